"""Holes in files: blocks go back to the disk, and the file keeps its size.

Linux has `fallocate` with FALLOC_FL_PUNCH_HOLE, where the file system can do it (ext4, XFS, Btrfs,
tmpfs; not FAT, and not every network file system).
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from meshnode.runtime.files import refused_by_disk

_PUNCH_HOLE: Final = 0x02  # linux/falloc.h
_KEEP_SIZE: Final = 0x01
_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever the file system's own is
_TRIAL_BYTES: Final = 1 << 18  # more than one block of any file system


def punch(path: Path, spans: Iterable[range]) -> None:
    """Free the whole blocks within these bytes of a file; a file that is not there has none.

    Raises:
        StorageError: the file system cannot do that, or refused.
    """
    try:
        descriptor = _opened(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused_by_disk(f"cannot free parts of {path}", error) from error
    try:
        for span in spans:
            _punch(descriptor, span)
    except OSError as error:
        raise refused_by_disk(f"cannot free parts of {path}", error) from error
    finally:
        os.close(descriptor)


def can_punch(folder: Path) -> bool:
    """Say whether the file system below a folder frees parts of files: it is tried out. Blocks.

    Raises:
        StorageError: nothing can be written there.
    """
    trial = folder / f".trial.{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with trial.open("xb") as file:
            file.write(b"\1" * _TRIAL_BYTES)
            file.flush()
            os.fsync(file.fileno())
            with suppress(OSError):
                _punch(file.fileno(), range(_TRIAL_BYTES))
            return os.fstat(file.fileno()).st_blocks * _BLOCK_BYTES < _TRIAL_BYTES
    except OSError as error:
        raise refused_by_disk(f"cannot write {trial}", error) from error
    finally:
        with suppress(OSError):
            trial.unlink()


def held_bytes(paths: Iterable[Path]) -> int:
    """Add up the blocks that these files occupy; a missing one occupies none. Blocks."""
    total = 0
    for path in paths:
        with suppress(OSError):
            total += path.stat().st_blocks * _BLOCK_BYTES
    return total


def is_shared(path: Path) -> bool:
    """Say whether the file has another name: what is freed of it is gone there too."""
    try:
        return path.stat().st_nlink > 1
    except OSError:
        return False


def _opened(path: Path) -> int:
    """Open a file of ours for writing, also one that was made read-only while it had two names."""
    try:
        return os.open(path, os.O_RDWR)
    except PermissionError:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
        return os.open(path, os.O_RDWR)


def _punch(descriptor: int, span: range) -> None:
    try:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
    except AttributeError as error:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)) from error
    where = (ctypes.c_int64(span.start), ctypes.c_int64(len(span)))
    if span and fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, *where) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
