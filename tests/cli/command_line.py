"""The command line as a person uses it: real processes, what they print and how they end."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from meshnode.cli import main

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 120
MESHNODE = (sys.executable, "-m", "meshnode")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """A person with a data directory of his own, in a folder of his own, at 80 columns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = inherited | {
            "HOME": str(folder),
            "COLUMNS": "80",
            "MESHNODE_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, *arguments: str, **environment: str) -> Said:
        done = subprocess.run(
            [*MESHNODE, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def in_bash(self, *arguments: str) -> Said:
        """Run a command as a child of bash, whose name it finds among its ancestors."""
        done = subprocess.run(
            ["bash", "-c", '"$@"; exit $?', "bash", *MESHNODE, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def call(self, *arguments: str, **environment: str) -> Said:
        """Run a command in this process: it says the same, without starting Python again."""
        said = _Stream(), _Stream()
        status = self._call(arguments, self.environment | environment, *said)
        return Said(status, *(stream.text for stream in said))

    def printed(self, arguments: Sequence[str], environment: dict[str, str]) -> str:
        """Run a command in this process; return all that it prints, as a terminal shows it."""
        both = _Stream()
        self._call(arguments, environment, both, both)
        return both.text

    def _call(
        self, arguments: Sequence[str], environment: dict[str, str], out: TextIO, err: TextIO
    ) -> int:
        before, folder, argv, stdin = dict(os.environ), Path.cwd(), sys.argv, sys.stdin
        try:
            _set_environment(environment)
            os.chdir(self.folder)
            sys.argv, sys.stdin = ["meshnode", *arguments], io.StringIO()
            with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                main()
        except SystemExit as end:
            assert isinstance(end.code, int)
            return end.code
        finally:
            sys.argv, sys.stdin = argv, stdin
            os.chdir(folder)
            _set_environment(before)
        raise AssertionError("a command ends with its exit status")

    def shell(self, line: str) -> Said:
        """Run a line of sh in which `meshnode` is the command under test."""
        command = f'meshnode() {{ "{sys.executable}" -m meshnode "$@"; }}\n{line}'
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def unread(self, *arguments: str) -> Said:
        """Run a command whose output goes into a pipe that nobody reads any more."""
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = subprocess.run(
                [*MESHNODE, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
        finally:
            os.close(writer)
        return Said(done.returncode, "", done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*MESHNODE, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def running_peer(
        self, program: Sequence[str] = MESHNODE, options: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run `meshnode run`, whose log goes to a file, until the block ends; it answers."""
        with (self.folder / "run.log").open("w") as log:
            process = subprocess.Popen(
                [*program, "run", *options],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            while not self._answers():
                assert process.poll() is None, (self.folder / "run.log").read_text()
                self.run("version")  # some work, so that it is not asked all the time
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(SECONDS_MAX)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.home / "control.sock")) == 0


class _Stream(io.TextIOWrapper):
    """Stands for a standard stream of a command that runs in this process."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8")

    @property
    def text(self) -> str:
        self.seek(0)
        return self.read()


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory with its bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
