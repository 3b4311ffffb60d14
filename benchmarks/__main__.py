"""The command: measure, print a table or JSON, exit 1 if a limit is broken."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES
from benchmarks.limits import Limits
from benchmarks.measuring import Figures, Result, measure

REPEAT = 3  # the best of so many processes counts

err = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    limits = Limits.load()
    results = []
    for name in asked.case or CASES:
        err.print(f"measuring {name}: {CASES[name].what}")
        results.append(measure(CASES[name], limits, asked.repeat))
    broken = [said for result in results for said in result.broken()]
    if asked.json:
        sys.stdout.write(json.dumps(_report(results, broken), indent=2) + "\n")
    else:
        _print_table(results)
    for said in broken:
        err.print(f"[red bold]slower than allowed:[/] {said}")
    if broken:
        err.print("[bold]next:[/] make it faster, or change benchmarks/limits.toml and say why")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[*CASES, []], help="all of them by default")
    parser.add_argument("--repeat", type=int, default=REPEAT, help="processes a side")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def _print_table(results: Sequence[Result]) -> None:
    table = Table("what", "CPU s", "a unit", "MiB", "ratio", "limit", box=None, pad_edge=False)
    for result in results:
        table.add_row(f"[bold]{result.case.what}[/]", *_cells(result.ours))
        for peer in result.peers:
            limit = result.limits.get(peer.side)
            ratio, most = f"{result.ratio(peer):.2f}", "" if limit is None else f"{limit:g}"
            table.add_row(f"  {peer.side}", *_cells(peer), ratio, most)
    Console(highlight=False, soft_wrap=True).print(table)


def _cells(figures: Figures) -> tuple[str, str, str]:
    unit_us = figures.unit_seconds * 1e6
    a_unit = f"{unit_us:.1f} us" if unit_us < 1_000 else f"{unit_us / 1e3:.2f} ms"
    return f"{figures.seconds_min:.2f}", a_unit, str(figures.memory_bytes >> 20)


def _report(results: Sequence[Result], broken: Sequence[str]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cases": [_said(result) for result in results],
        "broken": list(broken),
    }


def _said(result: Result) -> dict[str, Any]:
    return {
        "case": result.case.name,
        "what": result.case.what,
        "unit": result.case.unit,
        "ours": _numbers(result.ours),
        "peers": {
            peer.side: {
                **_numbers(peer),
                "ratio": result.ratio(peer),
                "limit": result.limits.get(peer.side),
            }
            for peer in result.peers
        },
    }


def _numbers(figures: Figures) -> dict[str, float]:
    return {
        "cpu_seconds_min": figures.seconds_min,
        "cpu_seconds_median": figures.seconds_median,
        "unit_seconds": figures.unit_seconds,
        "memory_bytes": figures.memory_bytes,
        "samples": len(figures.samples),
    }


if __name__ == "__main__":
    sys.exit(main())
