"""A blueprint's folder: the manifest, the code with its history, the environment's definition."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.files import refused_by_disk, sync_directory, write_durably
from meshnode.runtime.maintainer.blueprints import BUNDLE, ENVIRONMENT, MANIFEST
from meshnode.runtime.maintainer.blueprints.description import Description, RawSource
from meshnode.runtime.maintainer.blueprints.repository import Commit, Repository
from meshnode.runtime.maintainer.blueprints.statement import (
    CODE,
    PROVENANCE,
    STATEMENT,
    Statement,
    written_statement,
)

_BUNDLE_TYPE: Final = "application/x-git-bundle"
_TAR_TYPE: Final = "application/x-tar"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The three files of a blueprint as they will be written, by name, and what they say."""

    files: dict[str, bytes]
    commit: Commit
    statement: Statement


def make_blueprint(
    description: Description,
    near: Path,
    repository: Repository,
    commit: Commit,
    outputs: Sequence[Path],
) -> Blueprint:
    """Make the blueprint of outputs; the same arguments give the same bytes.

    Args:
        description: of the build.
        near: the folder that paths of raw sources are relative to.
        repository: of the code.
        commit: of the repository, the one that was built with.
        outputs: files, and folders for all files below them.

    Raises:
        UsageError: an output or a source is not there, or a source has another SHA-256 than said.
    """
    environment = {path: repository.blob(commit, path) for path in description.environment}
    files = {BUNDLE: repository.bundle(commit), ENVIRONMENT: _tar(environment)}
    dependencies = [
        _code(commit, description.repository),
        _file(BUNDLE, files[BUNDLE], _BUNDLE_TYPE),
        {
            **_file(ENVIRONMENT, files[ENVIRONMENT], _TAR_TYPE),
            "annotations": {path: _sha256(raw) for path, raw in sorted(environment.items())},
        },
        *(_source(each, near) for each in description.sources),
    ]
    statement = Statement.model_validate(
        {
            "_type": STATEMENT,
            "subject": _subjects(outputs),
            "predicateType": PROVENANCE,
            "predicate": {
                "buildDefinition": {
                    "buildType": description.build_type,
                    "externalParameters": description.parameters,
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {"builder": {"id": description.builder}},
            },
        }
    )
    return Blueprint({MANIFEST: written_statement(statement), **files}, commit, statement)


def write_blueprint(blueprint: Blueprint, to: Path) -> None:
    """Write the folder: all of it is there, or nothing.

    Raises:
        UsageError: something is there already.
        StorageError: the disk refused.
    """
    if to.exists():
        raise UsageError(f"{to} is there already", hint="name a new folder with --to")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as made:
            folder = Path(made) / to.name
            for name, raw in blueprint.files.items():
                write_durably(folder / name, raw)
            folder.rename(to)
        sync_directory(to.parent)
    except OSError as error:
        raise refused_by_disk(f"cannot write {to}", error) from error


def named_files(outputs: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the files of outputs with the names that a manifest gives them.

    Raises:
        UsageError: one is not there.
    """
    for output in outputs:
        if output.is_dir():
            below = sorted(path for path in output.rglob("*") if path.is_file())
            for path in below:
                yield path.relative_to(output.parent).as_posix(), path
        elif output.is_file():
            yield output.name, output
        else:
            raise UsageError(f"the output {output} is not there", hint="build it first")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise refused_by_disk(f"cannot read {path}", error) from error


def _subjects(outputs: Sequence[Path]) -> list[dict[str, Any]]:
    named: dict[str, Path] = {}
    for name, path in named_files(outputs):
        if name in named:
            raise UsageError(f"two outputs are called {name}", hint="name their folder instead")
        named[name] = path
    if not named:
        raise UsageError("there is no output", hint="name the files that were built")
    return [{"name": name, "digest": {"sha256": sha256_of(path)}} for name, path in named.items()]


def _code(commit: Commit, repository: str | None) -> dict[str, Any]:
    swhids = {"swhid": commit.swhid, "directory": commit.directory_swhid}
    digest = {"gitCommit": commit.commit, "gitTree": commit.tree}
    code: dict[str, Any] = {"name": CODE, "digest": digest, "annotations": swhids}
    return code | ({"uri": f"git+{repository}"} if repository else {})


def _file(name: str, raw: bytes, media_type: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": _sha256(raw)}, "mediaType": media_type}


def _source(source: RawSource, near: Path) -> dict[str, Any]:
    said = source.sha256
    if source.file is not None:
        path = near / source.file
        if not path.is_file():
            raise UsageError(f"the source {path} is not there", hint="fetch it, or say its sha256")
        found = sha256_of(path)
        if said not in (None, found):
            raise UsageError(
                f"the source {path} has the SHA-256 {found}, not {said}", hint="which one was used?"
            )
        said = found
    if said is None:
        raise UsageError(f"the source {source.url} has neither sha256 nor file", hint="say one")
    return {"uri": source.url, "digest": {"sha256": said}}


def _tar(files: dict[str, bytes]) -> bytes:
    """Return a tar archive (pax) of files: by name, without owners and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, raw in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(raw), 0o644
            tar.addfile(member, io.BytesIO(raw))
    return buffer.getvalue()


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
