"""`make mutants`: random mutants of the core, and how many of them the tests see.

A mutant dies if a test of `tests/core` or `tests/protocol` fails; those of its own module are run
first. Exit 1 if fewer die than asked. Verdicts are kept in a file: a run that was ended goes on
where it was. They count for a mutant whatever the tests are: remove the file when those change.
"""

from __future__ import annotations

import argparse
import hashlib
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
VERDICTS: Final = ROOT / ".mutants"
TESTS: Final = ("tests/protocol", "tests/core")  # the quick ones first


class Trial(NamedTuple):
    module: str
    mutant: Mutant

    @property
    def name(self) -> str:
        """The SHA-256 of the changed module: another change has another name."""
        return hashlib.sha256(f"{self.module}\n{self.mutant.source}".encode()).hexdigest()

    def __str__(self) -> str:
        place = path_of(self.module).relative_to(ROOT)
        return f"{place}:{self.mutant.line}: {self.mutant.change}"


def main() -> int:
    asked = _parser().parse_args()
    every = [
        Trial(module, mutant)
        for module in asked.module or modules()
        for mutant in mutants(path_of(module).read_text(encoding="utf-8"))
    ]
    chosen = random.Random(asked.seed).sample(every, min(asked.count, len(every)))
    _say(f"{len(chosen)} of {len(every)} mutants, seed {asked.seed}")
    known = read_verdicts(asked.verdicts)
    untried = [trial for trial in chosen if trial.name not in known]
    if known:
        _say(f"{len(chosen) - len(untried)} of them were tried before: {asked.verdicts}")
    if untried:
        try_all(untried, known, asked)
    tried = [trial for trial in chosen if trial.name in known]
    living = [trial for trial in tried if known[trial.name] is Verdict.PASSED]
    for trial in living:
        _say(f"lives: {trial}")
    died = len(tried) - len(living)
    _say(f"{died} of {len(tried)} died: {died / max(len(tried), 1):.1%}")
    return 0 if died >= asked.share * len(tried) > 0 else 1


def try_all(trials: Sequence[Trial], known: dict[str, Verdict], asked: argparse.Namespace) -> None:
    """Try mutants, several at once; add each verdict to `known` and to the file."""
    tests = asked.tests or TESTS
    begun = perf_counter()
    passed_over = failing(tests)
    seconds_max = max(SECONDS_MIN, SLOWER_MAX * (perf_counter() - begun))
    if passed_over:
        _say(f"passed over, they fail without a mutant: {', '.join(passed_over)}")
    trying = partial(
        verdict_on,
        tests=tests,
        passed_over=passed_over,
        seconds_max=seconds_max,
        end=perf_counter() + asked.seconds,
    )
    with ThreadPoolExecutor(asked.jobs) as pool, asked.verdicts.open("a") as file:
        for number, (trial, verdict) in enumerate(
            zip(trials, pool.map(trying, trials), strict=True), 1
        ):
            if verdict is not None:
                known[trial.name] = verdict
                file.write(f"{trial.name} {verdict.value}\n")
                file.flush()
                _say(f"{number} of {len(trials)} {verdict.value}: {trial}")


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """Return the verdicts that an earlier run kept, by the names of their trials."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: Verdict(value) for name, value in map(str.split, lines)}


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
    parser.add_argument("--verdicts", type=Path, default=VERDICTS, help="file that keeps verdicts")
    parser.add_argument("--seconds", type=float, default=inf, help="after which no trial begins")
    parser.add_argument("--share", type=float, default=SHARE, help="of them that must die")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--module", action="append", help="meshnode.core.…; all by default")
    parser.add_argument("--tests", action="append", help="a file or folder; all by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
