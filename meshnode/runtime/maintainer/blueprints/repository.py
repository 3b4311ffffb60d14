"""The code of a build: a commit of a git repository, its SWHIDs, and a bundle of its history.

Git itself reads and packs. For a repository with SHA-1 names the SWHID of a commit or a directory
has git's own name of it (SWHID specification 1.2, ISO/IEC 18670, sections 5.3 and 5.4).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshnode.errors import UsageError

# All that decides about the bytes of a pack is said, so that the user's settings do not matter.
_PACKING: Final = ("-c", "core.bigFileThreshold=512m", "-c", "pack.windowMemory=0")
_PACK_OPTIONS: Final = (
    "--stdout", "-q", "--threads=1", "--window=10", "--depth=50", "--compression=6",
    "--no-reuse-delta", "--no-reuse-object", "--delta-base-offset",
)  # fmt: skip
BUNDLE_BYTES_MAX: Final = 1 << 30  # made in memory; code is far smaller
_SUBMODULE: Final = b"160000 "
_SHA1_CHARS: Final = 40


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit and its directory by git's names, SHA-1 in hexadecimal."""

    commit: str
    tree: str

    @property
    def swhid(self) -> str:
        return f"swh:1:rev:{self.commit}"

    @property
    def directory_swhid(self) -> str:
        return f"swh:1:dir:{self.tree}"


class Repository:
    """A git repository on this disk.

    Raises:
        UsageError: it is none, or git is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("rev-parse", "--git-dir", failing=f"{path} is no git repository")

    def commit(self, name: str | None) -> Commit:
        """Return the commit of this name; without a name the one that is checked out.

        Raises:
            UsageError: there is none, the work tree has changes that are in no commit, or a bundle
                of it would not hold all of its code.
        """
        if name is None:
            self._require_clean()
        failing = f"{self.path} has no commit {name or 'yet'}"
        asked = f"{name or 'HEAD'}^{{commit}}"
        commit = self._line("rev-parse", "--verify", "-q", asked, failing=failing)
        self._require_whole(commit)
        tree = self._line("rev-parse", f"{commit}^{{tree}}")
        return Commit(commit, tree)

    def blob(self, commit: Commit, path: str) -> bytes:
        """Return a file of a commit.

        Raises:
            UsageError: it is not there.
        """
        failing = f"{path!r} is no file of commit {commit.commit}"
        return self.git("cat-file", "blob", f"{commit.commit}:{path}", failing=failing)

    def bundle(self, commit: Commit) -> bytes:
        """Return a bundle (gitformat-bundle, version 2) of a commit with all of its history.

        The same commit gives the same bytes, whatever else the repository holds and however it is
        packed, with one release of git.

        Raises:
            UsageError: the history is too large.
        """
        usage = self._line("rev-list", "--objects", "--disk-usage", commit.commit)
        if int(usage) > BUNDLE_BYTES_MAX:
            raise UsageError(
                f"the history of {commit.commit} has {usage} bytes, more than {BUNDLE_BYTES_MAX}",
                hint="keep data out of the repository of the code",
            )
        objects = self._line("rev-parse", "--path-format=absolute", "--git-path", "objects")
        with tempfile.TemporaryDirectory(prefix="meshnode-") as folder:
            # Without refs and settings: git writes what tags name first.
            run_git(("init", "-q", "--bare", "--object-format=sha1", folder))
            (Path(folder) / "objects/info/alternates").write_text(f"{objects}\n")
            pack = _pack(folder, commit)
        head = f"{commit.commit} refs/heads/main\n{commit.commit} HEAD\n"
        return f"# v2 git bundle\n{head}\n".encode() + pack

    def git(self, *arguments: str, failing: str = "git failed") -> bytes:
        """Run git; return what it prints.

        Raises:
            UsageError: it fails, said as `failing` with git's own words.
        """
        return run_git(("-C", str(self.path), *arguments), failing)

    def _line(self, *arguments: str, failing: str = "git failed") -> str:
        return self.git(*arguments, failing=failing).decode().strip()

    def _require_clean(self) -> None:
        looking = ("--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=none")
        changed = self.git("status", *looking).split(b"\0")
        if changed[0]:
            first = changed[0][3:].decode(errors="replace")
            raise UsageError(
                f"the work tree {self.path} has changes that are in no commit: {first}",
                hint="commit them, or name the commit that was built with --commit",
            )

    def _require_whole(self, commit: str) -> None:
        if len(commit) != _SHA1_CHARS:
            raise UsageError("the repository has SHA-256 names, which SWHIDs do not know yet")
        if self._line("rev-parse", "--is-shallow-repository") == "true":
            raise UsageError(
                f"{self.path} is a shallow clone: its history is not here",
                hint="git fetch --unshallow",
            )
        for entry in self.git("ls-tree", "-r", "-z", commit).split(b"\0"):
            if entry.startswith(_SUBMODULE):
                name = entry.partition(b"\t")[2].decode(errors="replace")
                raise UsageError(
                    f"{name} is a submodule: its code would not be in the bundle",
                    hint="take its code into the repository",
                )


def _pack(folder: str, commit: Commit) -> bytes:
    """Return a pack of all that a commit leads to; what git is given is sorted."""
    listing = ("-C", folder, "rev-list", "--objects", commit.commit)
    names = sorted(run_git(listing).splitlines())
    packing = ("-C", folder, *_PACKING, "pack-objects", *_PACK_OPTIONS)
    return run_git(packing, given=b"".join(name + b"\n" for name in names))


def run_git(arguments: Sequence[str], failing: str = "git failed", *, given: bytes = b"") -> bytes:
    """Run git with the bytes `given` on its standard input; return what it prints.

    Raises:
        UsageError: it is not installed, or fails.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 - git of the user's path
            input=given,
            capture_output=True,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="install git") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{failing}: {said[-1]}" if said else failing)
    return done.stdout
