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
from benchmarks.measuring import Figures, Result, by_clock, measure
from benchmarks.trials.all import TRIALS
from benchmarks.trials.trial import Verdict, attempt

REPEAT = 3  # the best of so many processes counts

err = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    limits = Limits.load()
    results: list[Result] = []
    verdicts: list[Verdict] = []
    for name in asked.case or (*CASES, *TRIALS):
        if name in CASES:
            err.print(f"measuring {name}: {CASES[name].what}")
            results.append(measure(CASES[name], limits, asked.repeat))
        else:
            err.print(f"trying {name}, which takes minutes: {TRIALS[name].what}")
            verdicts.append(attempt(TRIALS[name], limits))
    broken = [said for result in results for said in result.broken()]
    broken += [said for verdict in verdicts for said in verdict.broken()]
    if asked.json:
        sys.stdout.write(json.dumps(_report(results, verdicts, broken), indent=2) + "\n")
    else:
        _print_tables(results, verdicts)
    for said in broken:
        err.print(f"[red bold]worse than allowed:[/] {said}")
    if broken:
        err.print("[bold]next:[/] make it faster, or change benchmarks/limits.toml and say why")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[*CASES, *TRIALS, []], help="all by default")
    parser.add_argument("--repeat", type=int, default=REPEAT, help="processes a side")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def _print_tables(results: Sequence[Result], verdicts: Sequence[Verdict]) -> None:
    if results:
        _print_table(results)
    for verdict in verdicts:
        _print_verdict(verdict)


def _print_table(results: Sequence[Result]) -> None:
    table = Table("what", "CPU s", "a unit", "MiB", "ratio", "limit", box=None, pad_edge=False)
    for result in results:
        table.add_row(f"[bold]{result.case.what}[/]", *_cells(result.ours))
        for peer in result.peers:
            table.add_row(f"  {peer.side}", *_cells(peer), *_judged(result, peer.side))
            if result.case.by_clock:
                name = by_clock(peer.side)
                table.add_row(f"  {name}", "", "", "", *_judged(result, name))
    Console(highlight=False, soft_wrap=True).print(table)


def _judged(result: Result, name: str) -> tuple[str, str]:
    limit = result.limits.get(name)
    return f"{result.ratios()[name]:.2f}", "" if limit is None else f"{limit:g}"


def _print_verdict(verdict: Verdict) -> None:
    table = Table("what", "figure", "limit", box=None, pad_edge=False)
    table.add_row(f"[bold]{verdict.trial.what}[/]")
    for name, figure in verdict.figures.items():
        limit = verdict.limits.get(name)
        table.add_row(f"  {name}", f"{figure:,.4g}", "" if limit is None else f"{limit:g}")
    Console(highlight=False, soft_wrap=True).print(table)


def _cells(figures: Figures) -> tuple[str, str, str]:
    unit_us = figures.unit_seconds * 1e6
    a_unit = f"{unit_us:.1f} us" if unit_us < 1_000 else f"{unit_us / 1e3:.2f} ms"
    return f"{figures.seconds_min:.2f}", a_unit, str(figures.memory_bytes >> 20)


def _report(
    results: Sequence[Result], verdicts: Sequence[Verdict], broken: Sequence[str]
) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cases": [_said(result) for result in results],
        "trials": [
            {
                "trial": verdict.trial.name,
                "what": verdict.trial.what,
                "figures": dict(verdict.figures),
                "limits": dict(verdict.limits),
            }
            for verdict in verdicts
        ],
        "broken": list(broken),
    }


def _said(result: Result) -> dict[str, Any]:
    return {
        "case": result.case.name,
        "what": result.case.what,
        "unit": result.case.unit,
        "ours": _numbers(result.ours),
        "ratios": result.ratios(),
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
        "unit_clock_seconds": figures.unit_clock_seconds,
        "memory_bytes": figures.memory_bytes,
        "samples": len(figures.samples),
    }


if __name__ == "__main__":
    sys.exit(main())
