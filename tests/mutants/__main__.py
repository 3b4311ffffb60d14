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
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.mutations import Mutant, mutants
from tests.mutants.trial import ROOT, Verdict, path_of, try_tests

COUNT: Final = 300
SEED: Final = 1
SHARE: Final = 0.9  # of the mutants, that must die
SECONDS_MAX: Final = 180.0  # of one trial; the whole subset needs a small part of it
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
    passed_over = failing(asked.tests or TESTS)
    if passed_over:
        _say(f"passed over, they fail without a mutant: {', '.join(passed_over)}")
    living = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        verdicts = pool.map(
            lambda trial: verdict_on(trial, asked.tests or TESTS, passed_over), chosen
        )
        for trial, verdict in zip(chosen, verdicts, strict=True):
            if verdict is Verdict.PASSED:
                living += 1
                place = f"{path_of(trial.module).relative_to(ROOT)}:{trial.mutant.line}"
                _say(f"lives: {place}: {trial.mutant.change}")
    died = len(chosen) - living
    _say(f"{died} of {len(chosen)} died: {died / len(chosen):.1%}")
    return 0 if died >= asked.share * len(chosen) else 1


def failing(tests: Sequence[str]) -> list[str]:
    """Return the tests that fail without a mutant: they would see anything."""
    module = modules()[0]
    source = path_of(module).read_text(encoding="utf-8")
    verdict, said = try_tests(module, source, tests, SECONDS_MAX)
    if verdict not in (Verdict.PASSED, Verdict.FAILED):
        raise RuntimeError(f"the tests cannot run without a mutant:\n{said}")
    return re.findall(r"^FAILED (\S+)", said, re.MULTILINE)


def modules() -> list[str]:
    """Return the modules of the core that hold behaviour."""
    paths = sorted((ROOT / "meshnode/core").glob("*.py"))
    return [f"meshnode.core.{path.stem}" for path in paths if path.stem != "__init__"]


def verdict_on(trial: Trial, tests: Sequence[str], passed_over: Sequence[str]) -> Verdict:
    without = [f"--deselect={test}" for test in passed_over]
    arguments = ["-x", *without, *own_tests(trial.module), *tests]
    verdict, _ = try_tests(trial.module, trial.mutant.source, arguments, SECONDS_MAX)
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
    parser.add_argument("--share", type=float, default=SHARE, help="of them that must die")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--module", action="append", help="meshnode.core.…; all by default")
    parser.add_argument("--tests", action="append", help="a file or folder; all by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
