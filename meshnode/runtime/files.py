"""Files that survive a crash and a power loss: written beside, fsynced, renamed."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from meshnode.errors import StorageError, UsageError

Kept = TypeVar("Kept")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data`: after a crash it holds the old bytes or the new, never a part.

    Raises:
        StorageError: the directory cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise refused_by_disk(f"cannot write {path}", error) from error


def read_kept(path: Path, read: Callable[[bytes], Kept], missing: Kept, if_damaged: str) -> Kept:
    """Return what a file of ours says; `missing` if there is none. `if_damaged`: what to do then.

    Raises:
        StorageError: the disk refuses, or `read` finds what was never written there.
    """
    try:
        return read(path.read_bytes())
    except FileNotFoundError:
        return missing
    except OSError as error:
        raise refused_by_disk(f"cannot read {path}", error) from error
    except (ValueError, TypeError, AttributeError, KeyError, UsageError) as error:
        raise StorageError(f"{path} is damaged", hint=if_damaged) from error


def refused_by_disk(doing: str, error: OSError) -> StorageError:
    """Return what the operator is told when the system refuses: what, why, and what to do."""
    if error.errno in _FULL:
        hint = "free disk space, then try again"
    elif error.errno in _NOT_OURS:
        hint = "let this user write there"
    else:
        hint = "check the disk and the path"
    return StorageError(f"{doing}: {error.strerror or error}", hint=hint)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, not only the files' bytes."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_file(temporary: Path, path: Path) -> None:
    """Fsync a finished temporary file of the same filesystem and give it its final name.

    Raises:
        OSError: as the operating system says.
    """
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.parent.mkdir(parents=True, exist_ok=True)
    sync_directory(path.parent.parent)  # first: the file must not move where nothing leads
    temporary.rename(path)
    sync_directory(path.parent)
