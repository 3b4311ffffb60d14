"""`make mutants`: random mutants of the core, and how many of them the tests see.

A mutant dies if a test of `tests/core` or `tests/protocol` fails; those of its own module are run
first. Exit 1 if fewer die than asked.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

from tests.mutants.mutations import Mutant, mutants
from tests.mutants.trial import ROOT, Verdict, path_of, try_tests

COUNT: Final = 300
SEED: Final = 1
SHARE: Final = 0.9  # of the mutants, that must die
SECONDS_MIN: Final = 60.0  # given to one trial at the least
SLOWER_MAX: Final = 3.0  # times as long as without a mutant: then a trial hangs
BASELINE_SECONDS_MAX: Final = 1800.0
TESTS: Final = ("tests/protocol", "tests/core")  # the quick ones first


class Trial(NamedTuple):
    module: str
    mutant: Mutant


def main() -> int:
    asked = _parser().parse_args()
    every = [
        Trial(module, mutant)
        for module in asked.module or modules()
        for mutant in mutants(path_of(module).read_text(encoding="utf-8"))
    ]
    chosen = random.Random(asked.seed).sample(every, min(asked.count, len(every)))
    _say(f"{len(chosen)} of {len(every)} mutants, seed {asked.seed}")
    begun = perf_counter()
    passed_over = failing(asked.tests or TESTS)
    seconds_max = max(SECONDS_MIN, SLOWER_MAX * (perf_counter() - begun))
    if passed_over:
        _say(f"passed over, they fail without a mutant: {', '.join(passed_over)}")
    end = perf_counter() + asked.seconds
    trying = partial(
        verdict_on,
        tests=asked.tests or TESTS,
        passed_over=passed_over,
        seconds_max=seconds_max,
        end=end,
    )
    tried = living = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        for trial, verdict in zip(chosen, pool.map(trying, chosen), strict=True):
            tried += verdict is not None
            if verdict is Verdict.PASSED:
                living += 1
                place = f"{path_of(trial.module).relative_to(ROOT)}:{trial.mutant.line}"
                _say(f"lives: {place}: {trial.mutant.change}")
    died = tried - living
    _say(f"{died} of {tried} died: {died / max(tried, 1):.1%}")
    return 0 if died >= asked.share * tried > 0 else 1


def failing(tests: Sequence[str]) -> list[str]:
    """Return the tests that fail without a mutant: they would see anything."""
    module = modules()[0]
    source = path_of(module).read_text(encoding="utf-8")
    verdict, said = try_tests(module, source, tests, BASELINE_SECONDS_MAX)
    if verdict not in (Verdict.PASSED, Verdict.FAILED):
        raise RuntimeError(f"the tests cannot run without a mutant:\n{said}")
    return re.findall(r"^FAILED (\S+)", said, re.MULTILINE)


def modules() -> list[str]:
    """Return the modules of the core that hold behaviour."""
    paths = sorted((ROOT / "meshnode/core").glob("*.py"))
    return [f"meshnode.core.{path.stem}" for path in paths if path.stem != "__init__"]


def verdict_on(
    trial: Trial,
    tests: Sequence[str],
    passed_over: Sequence[str],
    seconds_max: float,
    end: float,
) -> Verdict | None:
    """Try one mutant; None if it would begin after `end`, in seconds of `perf_counter`."""
    if perf_counter() > end:
        return None
    without = [f"--deselect={test}" for test in passed_over]
    arguments = ["-x", *without, *own_tests(trial.module), *tests]
    verdict, _ = try_tests(trial.module, trial.mutant.source, arguments, seconds_max)
    return verdict


def own_tests(module: str) -> list[str]:
    own = Path("tests/core") / f"test_{module.rpartition('.')[2]}.py"
    return [str(own)] if (ROOT / own).exists() else []


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--seconds", type=float, default=inf, help="after which no trial begins")
    parser.add_argument("--share", type=float, default=SHARE, help="of them that must die")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--module", action="append", help="meshnode.core.…; all by default")
    parser.add_argument("--tests", action="append", help="a file or folder; all by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
