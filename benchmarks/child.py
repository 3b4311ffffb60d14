"""One measurement: `python -m benchmarks.child CASE SIDE` prints its sample as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from benchmarks.cases import CASES
from benchmarks.measuring import sample


def main() -> None:
    case, side = sys.argv[1:]
    sys.stdout.write(json.dumps(asdict(sample(CASES[case].side(side)))))


if __name__ == "__main__":
    main()
