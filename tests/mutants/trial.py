"""One trial: the tests run against a mutant of one module, in a process of their own.

The processes are forked from one that has loaded what the tests need and nothing of ours, which
takes most of the time of a trial.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from tests.mutants.plant import plant

ROOT: Final = Path(__file__).resolve().parents[2]
_PYTEST: Final = (
    *("-q", "--no-header", "--tb=line", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of what is loaded already
)
_PROFILE: Final = "mutants"
_RAN: Final = 100  # added to pytest's exit code: a process that dies otherwise has another one
_PRELOADED: Final = [
    *("hypothesis", "hypothesis.strategies", "cryptography.hazmat.primitives.asymmetric.ed25519"),
    *("nacl.bindings", "cbor2", "pycddl", "trio"),
]
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(_PRELOADED)


class Verdict(Enum):
    PASSED = "passed"  # the mutant lives
    FAILED = "failed"  # a test saw it
    BROKE = "broke"  # it could not even be imported, or the tests could not run
    HUNG = "hung"


def path_of(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


def try_tests(
    module: str, source: str, arguments: Sequence[str], seconds_max: float
) -> tuple[Verdict, str]:
    """Run pytest with `source` in the place of the module; return how it went and what it said."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as said:
        work = (module, source, [*_PYTEST, *arguments], said.name)
        process = _processes.Process(target=_run, args=work, daemon=True)
        process.start()
        process.join(seconds_max)
        hung = process.is_alive()
        process.kill()
        process.join()
        return _verdict(process.exitcode, hung=hung), said.read()


def _verdict(status: int | None, *, hung: bool) -> Verdict:
    if hung:
        return Verdict.HUNG
    known = {_RAN: Verdict.PASSED, _RAN + 1: Verdict.FAILED}
    return known.get(status or 0, Verdict.BROKE)


def _run(module: str, source: str, arguments: list[str], said: str) -> None:
    import pytest  # not at the top: the process that is forked loads nothing of pytest
    from hypothesis import settings

    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    os.chdir(ROOT)
    # Few examples and always the same: a mutant that lives can be looked at again.
    settings.register_profile(_PROFILE, max_examples=30, deadline=None, derandomize=True)
    os.environ["HYPOTHESIS_PROFILE"] = _PROFILE
    descriptor = os.open(said, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.dont_write_bytecode = True
    plant(module, str(path_of(module)), source)
    sys.exit(_RAN + pytest.main(arguments))


def _end_with_the_runner() -> None:
    """End this process when the one that asked for it is gone, however it ended.

    The server that forks ends with the last process that it forked.
    """
    runner = multiprocessing.parent_process()
    assert runner is not None
    runner.join()
    os._exit(1)
