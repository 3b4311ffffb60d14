"""A disk that refuses: system calls of a running process fail, as the kernel would have them fail.

By strace, which answers the calls itself: nothing of the program is replaced or wrapped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

ATTACHED_SECONDS_MAX: Final = 30.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which calls fail, how, and on which files; on all of the process if none is named."""

    calls: str
    error: str
    paths: tuple[Path, ...] = ()

    @property
    def options(self) -> list[str]:
        named = [word for path in self.paths for word in ("-P", str(path))]
        inject = f"inject={self.calls}:error={self.error}"
        return ["-f", "-qq", "-o", os.devnull, *named, "-e", f"trace={self.calls}", "-e", inject]


def reason_not_to_refuse() -> str:
    """Return why this machine cannot have calls of a process fail, empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        tracer = subprocess.Popen(["strace", "-qq", "-o", os.devnull, "-p", str(sleeper.pid)])
        try:
            tracer.wait(0.5)
        except subprocess.TimeoutExpired:
            return ""
        finally:
            tracer.terminate()
            tracer.wait()
        return "strace may not attach to a process"
    finally:
        sleeper.kill()
        sleeper.wait()


@asynccontextmanager
async def refusing(pid: int, refusal: Refusal) -> AsyncIterator[None]:
    """Have calls of a running process fail while the block runs, in all of its threads."""
    tracer = subprocess.Popen(["strace", *refusal.options, "-p", str(pid)])  # noqa: ASYNC220
    try:
        with trio.fail_after(ATTACHED_SECONDS_MAX):
            while not _is_traced(pid):
                assert tracer.poll() is None, "strace ended"
                await trio.sleep(0.01)  # the kernel sets no event of ours
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def run_refused(command: Sequence[str], refusal: Refusal, nth: int, home: Path) -> tuple[int, str]:
    """Run a command of which the nth such call fails; return its status and what it said."""
    options = [word.replace(":error=", f":when={nth}:error=") for word in refusal.options]
    done = subprocess.run(
        ["strace", *options, *command],
        env=os.environ | {"MESHNODE_HOME": str(home), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


def _is_traced(pid: int) -> bool:
    """Say whether every thread of a process has a tracer."""
    status = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/status")]
    return bool(status) and all("TracerPid:\t0\n" not in each for each in status)
