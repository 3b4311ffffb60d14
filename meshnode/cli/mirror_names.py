"""Mirrors as people name them on the command line: URLs, and short names of repositories."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meshnode.cli.terminal import progress, run_async

if TYPE_CHECKING:
    from meshnode.core.filelist import FileList


def mirrors_named(texts: Sequence[str], files: FileList, content: Path | None) -> list[str]:
    """Return the URLs to sign; repositories are asked whether they have the files.

    Raises:
        UsageError: a repository does not have them, or a text names no mirror.
        PeerError: the host of a repository is not found.
    """
    from meshnode.runtime.joining.documents import is_local
    from meshnode.runtime.payloads.mirrors.copies import mirror_of, mirror_url
    from meshnode.runtime.payloads.mirrors.repositories import repository_of

    async def ask(text: str) -> str:
        url = mirror_url(text)
        if repository_of(url) is None:
            return url
        # An address in one's own network is taken if a person typed it.
        return await mirror_of(text, files, content, allow_local=await is_local(url))

    found = []
    for text in texts:
        with progress("{task.description}") as shown:
            shown.add_task(f"comparing with {text}", total=None)
            found.append(run_async(partial(ask, text)))
    return list(dict.fromkeys(found))
