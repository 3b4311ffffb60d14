"""Files that survive a crash and a power loss: written beside, fsynced, renamed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from meshnode.errors import StorageError


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
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


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
    temporary.rename(path)
    sync_directory(path.parent)
    sync_directory(path.parent.parent)
