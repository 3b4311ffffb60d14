"""A data directory that cannot be written: each command says so in a sentence, none breaks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from meshnode.demo.processes import MESHNODE
from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import town, write_items

# In a namespace of its own, since nothing is read-only to the root user by permissions alone.
_MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def reason_not_to_mount(folder: Path) -> str:
    """Return why this machine cannot mount a folder read-only, empty if it can."""
    tried = subprocess.run(
        ["unshare", "-m", "sh", "-c", _MOUNTED, str(folder), "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tried.stderr.strip() if tried.returncode else ""


@pytest.fixture
def person(tmp_path: Path) -> CommandLine:
    if reason := reason_not_to_mount(tmp_path):
        pytest.skip(f"no folder can be mounted read-only here: {reason}")
    person = CommandLine(tmp_path)
    assert person.run("init").status == 0
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    assert person.run(*create).status == 0
    write_items(tmp_path / "items.ndjson", town("one"))
    return person


def run_read_only(person: CommandLine, *arguments: str) -> tuple[int, str]:
    """Run a command while nobody can write the data directory."""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", _MOUNTED, str(person.home), *MESHNODE, *arguments],
        cwd=person.folder,
        env=person.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("publish", "items.ndjson"),
        ("search",),
        ("unfollow", "towns"),
        ("config", "set", "log.level", "debug"),
        ("catalogue", "create", "other", "--title", "Other", "--no-passphrase"),
        ("index", "rebuild"),
        ("init", "--listen", "/ip4/127.0.0.1/tcp/4009"),
    ],
)
def test_a_command_says_that_it_cannot_write_there(
    person: CommandLine, arguments: tuple[str, ...]
) -> None:
    status, said = run_read_only(person, *arguments)

    assert status != 0
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("error")]) == 1, said
    assert "next:" in said, said
