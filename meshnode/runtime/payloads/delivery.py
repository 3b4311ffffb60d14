"""Handing a verified file to the user: as the user, whole or not at all."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from pathlib import Path, PurePosixPath

from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import publish_file, refused_by_disk


def deliver(held: Path, directory: Path, path: str, sha256: str | None) -> Path:
    """Put a file of the peer's under `directory` with its own name; return where it is.

    The copy is the user's own: writing to it cannot change what the peer serves.

    Raises:
        UsageError: the folder does not exist.
        StorageError: the disk refused, or the copy's SHA-256 is not `sha256` (hexadecimal).
    """
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a folder", hint=f"mkdir {directory}")
    target = directory / PurePosixPath(path).name
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        shutil.copyfile(held, temporary)
        with temporary.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and found != sha256:
            raise StorageError(f"the copy of {path} is damaged: SHA-256 {found}, not {sha256}")
        publish_file(temporary, target)
    except OSError as error:
        raise refused_by_disk(f"cannot write {target}", error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target
