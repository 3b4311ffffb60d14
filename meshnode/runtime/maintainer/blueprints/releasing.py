"""A blueprint as a release names it: two objects of the log, and the payload that has all of it."""

from __future__ import annotations

from pathlib import Path

from meshnode.core.entries import Blueprint, ObjectRef
from meshnode.core.limits import OBJECT_BYTES_MAX
from meshnode.errors import UsageError
from meshnode.runtime.maintainer.blueprints import ENVIRONMENT, MANIFEST
from meshnode.runtime.maintainer.blueprints.statement import read_statement
from meshnode.runtime.maintainer.staging import stage
from meshnode.runtime.payloads.creation import describe


def staged_blueprint(directory: Path, folder: Path) -> Blueprint:
    """Stage manifest and environment of a blueprint's folder; return what a release says of it.

    Raises:
        UsageError: it is no blueprint, or one of the two is too large for an object.
    """
    read_statement(folder / MANIFEST)
    return Blueprint(
        manifest=_staged(directory, folder / MANIFEST),
        environment=_staged(directory, folder / ENVIRONMENT),
        sources=describe(folder).key,
    )


def _staged(directory: Path, path: Path) -> ObjectRef:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}",
            hint="give the folder that blueprint create made",
        ) from error
    if len(raw) > OBJECT_BYTES_MAX:
        raise UsageError(f"{path} has {len(raw)} bytes, the limit is {OBJECT_BYTES_MAX}")
    return ObjectRef(stage(directory, raw), len(raw))
