"""Reach the peer of a data directory: the one that runs, or one started offline for a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from meshnode.control import Control, NotRunningError

SOCKET = "control.sock"


async def running(root: Path) -> Control:
    """Give the control client of the peer that runs at `root`.

    Raises:
        NotRunningError: none does.
        StorageError: not a data directory, or one that does not answer.
    """
    control = Control(root / SOCKET)
    await control.ask("ping")
    return control


@asynccontextmanager
async def reach(root: Path) -> AsyncIterator[Control]:
    """Give the control client of the peer at `root`.

    Without a running peer the same node works offline under the directory's lock, until the
    command ends.

    Raises:
        StorageError: not a data directory, or in use by a process that does not answer.
    """
    try:
        control = await running(root)
    except NotRunningError:
        control = None
    if control is not None:
        yield control
        return
    from meshnode.runtime.service import offline

    async with offline(root):
        yield Control(root / SOCKET)
