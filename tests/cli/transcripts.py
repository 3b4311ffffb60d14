"""Console transcripts of documents, run as they stand in one shell; `…` is a wildcard."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.cli.command_line import CommandLine

END = "--- the command has ended ---"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a transcript, and what it prints there."""

    command: str
    shown: str


class Shell:
    """One bash, as a reader has it open, in which `meshnode` is the command under test.

    `in_process`: a line that is one `meshnode` command runs in this process, with the words and the
    variables that bash makes of it.
    """

    def __init__(self, reader: CommandLine, *, in_process: bool = False) -> None:
        self._reader, self._in_process = reader, in_process
        program = reader.folder / "bin/meshnode"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m meshnode "$@"\n')
        program.chmod(0o755)
        path = f"{program.parent}{os.pathsep}{reader.environment['PATH']}"
        self._folder = reader.folder
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=reader.folder,
            env=reader.environment | {"PATH": path, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, line: str) -> str:
        """Run a line; return all it prints. A peer that it starts answers afterwards."""
        if self._in_process and line.startswith("meshnode "):
            words = self._run(f"printf '%s\\0' {line.removeprefix('meshnode ')}").split("\0")[:-1]
            variables = self._run("env -0").split("\0")[:-1]
            environment = dict(variable.split("=", 1) for variable in variables)
            return self._reader.printed(words, environment)
        printed = self._run(line)
        if line.endswith("&"):
            home = self.run("echo $MESHNODE_HOME").strip()
            while not _answers(self._folder / home / "control.sock"):
                self.run("meshnode version")  # some work, so that it is not asked all the time
        return printed

    def _run(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\necho '{END}'\n")
        self._process.stdin.flush()
        printed = ""
        while not printed.endswith(f"{END}\n"):
            line_read = self._process.stdout.readline()
            assert line_read, f"the shell ended: {printed}"
            printed += line_read
        return printed.removesuffix(f"{END}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what runs in the background, then the shell."""
        self.run("kill $(jobs -p); wait")
        self._process.communicate("exit\n")


def steps(document: Path) -> Iterator[Step]:
    for block in BLOCK.findall(document.read_text()):
        for part in block.split("\n$ ") if block.startswith("$ ") else ():
            command, _, shown = part.removeprefix("$ ").partition("\n")
            yield Step(command, shown if shown.endswith("\n") or not shown else f"{shown}\n")


def matches(printed: str, shown: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, printed) is not None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(os.path.relpath(path)) == 0
