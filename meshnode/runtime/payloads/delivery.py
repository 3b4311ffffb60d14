"""Handing a verified file to the user: as the user, whole or not at all, without a second copy."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Final

from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import publish_file, refused_by_disk

_FICLONE: Final = 0x40049409  # linux/fs.h: share the blocks of another file until one is written
_READ_ONLY: Final = 0o444
_NOT_HERE: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)


class Handover(Enum):
    """How a file came to the user."""

    CLONE = "clone"  # a file of its own that shares its blocks with the peer's
    LINK = "link"  # a second name of the peer's file, which nobody may write to
    COPY = "copy"


def deliver(
    held: Path, directory: Path, path: str, sha256: str | None, *, may_link: bool = False
) -> tuple[Path, Handover]:
    """Put a file of the peer's under `directory` with its own name; return where it is, and how.

    A clone and a copy are the user's own. With `may_link` the file may become a second name of the
    peer's on the same file system, and read-only under both: what a user writes into it the peer
    would serve.

    Raises:
        UsageError: the folder does not exist.
        StorageError: the disk refused, or the file's SHA-256 is not `sha256` (hexadecimal).
    """
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a folder", hint=f"mkdir {directory}")
    target = directory / PurePosixPath(path).name
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        how = _place(held, temporary, may_link=may_link)
        with temporary.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and found != sha256:
            raise StorageError(
                f"the copy of {path} is damaged: SHA-256 {found}, not {sha256}",
                hint="check the disk that it is written to, then ask again",
            )
        publish_file(temporary, target)
    except OSError as error:
        raise refused_by_disk(f"cannot write {target}", error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target, how


def _place(held: Path, temporary: Path, *, may_link: bool) -> Handover:
    if _is_cloned(held, temporary):
        return Handover.CLONE
    if may_link and _is_linked(held, temporary):
        return Handover.LINK
    shutil.copyfile(held, temporary)
    return Handover.COPY


def _is_cloned(held: Path, temporary: Path) -> bool:
    with held.open("rb") as source, temporary.open("xb") as file, suppress(OSError):
        fcntl.ioctl(file.fileno(), _FICLONE, source.fileno())
        return True
    temporary.unlink()
    return False


def _is_linked(held: Path, temporary: Path) -> bool:
    if held.stat().st_uid != os.geteuid():
        return False
    try:
        held.chmod(_READ_ONLY)
        temporary.hardlink_to(held)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return False
        raise
    return True
