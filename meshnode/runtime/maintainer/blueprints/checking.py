"""Outputs and a blueprint's own files against its manifest."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.blueprints import BUNDLE, ENVIRONMENT, MANIFEST
from meshnode.runtime.maintainer.blueprints.creation import named_files, sha256_of
from meshnode.runtime.maintainer.blueprints.repository import run_git
from meshnode.runtime.maintainer.blueprints.statement import CODE, Statement

_SHA1: Final = re.compile(r"[0-9a-f]{40}")


class Verdict(Enum):
    """How a file stands to the manifest."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "not in the manifest"
    MISSING = "not given"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file by its name in the manifest; SHA-256 in hexadecimal, empty where there is none."""

    name: str
    verdict: Verdict
    said: str = ""
    found: str = ""


def manifest_of(blueprint: Path) -> Path:
    """Return the manifest of a blueprint's folder, or the file itself."""
    return blueprint / MANIFEST if blueprint.is_dir() else blueprint


def check_outputs(statement: Statement, outputs: Sequence[Path]) -> list[Checked]:
    """Compare files with what was built, by their names; outputs that are not given come last.

    Raises:
        UsageError: a file is not there.
    """
    said = statement.outputs
    checked = [_checked(name, said.get(name), path) for name, path in named_files(outputs)]
    given = {each.name for each in checked}
    missing = [name for name in said if name not in given]
    return checked + [Checked(name, Verdict.MISSING, said[name]) for name in missing]


def check_folder(statement: Statement, folder: Path) -> list[Checked]:
    """Compare a blueprint's own files with its manifest."""
    checked = []
    for name in (BUNDLE, ENVIRONMENT):
        resource = statement.dependency(name)
        said = resource.digest.get("sha256") if resource else None
        path = folder / name
        checked.append(
            _checked(name, said, path)
            if path.is_file()
            else Checked(name, Verdict.MISSING, said or "")
        )
    return checked


def check_code(statement: Statement, bundle: Path) -> str | None:
    """Say why a bundle does not hold the code of the manifest; None if it does.

    Git unpacks it into a folder that is removed afterwards, and computes every name anew. Nothing
    of it is checked out or run.
    """
    code = statement.dependency(CODE)
    commit, tree = (code.digest.get(kind, "") if code else "" for kind in ("gitCommit", "gitTree"))
    if not _SHA1.fullmatch(commit):
        return "the manifest names no commit"
    with tempfile.TemporaryDirectory(prefix="meshnode-") as folder:
        clone = ("-c", "transfer.fsckObjects=true", "clone", "--bare", "-q", str(bundle), folder)
        look = ("-C", folder, "rev-parse", "--verify", "-q", f"{commit}^{{tree}}")
        try:
            run_git(clone, "git cannot read the bundle")
            found = run_git(look, f"the bundle does not hold commit {commit}").decode().strip()
        except UsageError as error:
            return str(error)
    return None if found == tree else f"commit {commit} has the tree {found}, not {tree}"


def _checked(name: str, said: str | None, path: Path) -> Checked:
    found = sha256_of(path)
    if said is None:
        return Checked(name, Verdict.UNKNOWN, found=found)
    verdict = Verdict.SAME if found == said else Verdict.DIFFERENT
    return Checked(name, verdict, said, found)
