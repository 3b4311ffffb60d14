"""`make fuzz`: every decoder in turn for some minutes; exit 1 at the end if one failed."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterator

from tests.fuzz.target import FuzzFailureError, Target, is_taken
from tests.fuzz.targets import every

SECONDS = 300.0
TURN_SECONDS = 1.0  # of one target before the next has its turn


def main() -> int:
    asked = _parser().parse_args()
    if asked.case:
        name, seed, number = asked.case.split("/")
        taken = is_taken(every()[name], int(seed), int(number))
        sys.stdout.write(f"{asked.case} is {'taken' if taken else 'refused'}\n")
        return 0
    return _run([every()[name] for name in asked.target or every()], asked.seed, asked.seconds)


def _run(targets: list[Target], seed: int, seconds: float) -> int:
    """Give each target its turn until the time is over; one that failed is out."""
    end, counts, failed = time.perf_counter() + seconds, dict.fromkeys(targets, 0), 0
    cases: dict[Target, Iterator[bool]] = {target: _cases(target, seed) for target in targets}
    while cases and time.perf_counter() < end:
        for target in list(cases):
            turn_end = min(end, time.perf_counter() + TURN_SECONDS)
            try:
                while time.perf_counter() < turn_end:
                    next(cases[target])
                    counts[target] += 1
            except FuzzFailureError as failure:
                sys.stderr.write(f"{failure}\n")
                failed += 1
                del cases[target]
    for target, count in counts.items():
        sys.stdout.write(f"{target.name:<22}{count:>9} cases\n")
    sys.stdout.write(f"seed {seed}: {sum(counts.values())} cases, {failed} targets failed\n")
    return 1 if failed else 0


def _cases(target: Target, seed: int) -> Iterator[bool]:
    number = 0
    while True:
        yield is_taken(target, seed, number)
        number += 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--target", action="append", help="one target; may be repeated")
    parser.add_argument("--case", help="one case again: target/seed/number")
    return parser


if __name__ == "__main__":
    sys.exit(main())
