"""Writes what was measured into `docs/simulations/`: `python -m tests.simulations.generate_pages`.

Without names it runs the scenario of every page with the seed 1, which takes some minutes of
processor time; with names only those; with `--runs FOLDER` it takes what `meshsim run` left there.
The table of a page lies between two marks; what the figures mean is said around it, by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulations import output, scenario
from simulations.run import Simulation

PAGES = Path(__file__).parents[2] / "docs" / "simulations"
BEGIN = "<!-- measured by python -m tests.simulations.generate_pages {} -->"
END = "<!-- end of what was measured -->"
BLOCK = re.compile(rf"{BEGIN.format('[^ ]+')}\n(.*?){END}", re.DOTALL)

Row = tuple[str, str]
Json = Mapping[str, Any]


def main() -> None:
    """Bring the pages that are named up to date, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO")
    parser.add_argument("--runs", type=Path, help="a folder of finished runs, instead of running")
    chosen = parser.parse_args()
    for name in chosen.names or measured():
        said, found = read(chosen.runs, name) if chosen.runs else measure(name)
        page = PAGES / f"{name}.md"
        page.write_text(filled(page.read_text(encoding="utf-8"), name, said, found), "utf-8")
        print(f"{page.name}: {said['verdict']}")  # noqa: T201 - a program


def measured() -> list[str]:
    """Return the scenarios whose pages are made so: `calibration` is measured beside real peers."""
    return [name for name in scenario.library() if name != "calibration"]


def measure(name: str) -> tuple[Json, Json]:
    """Run a packaged scenario; return its summary and its invariants."""
    began, started = datetime.now(UTC), time.process_time()  # noqa: TID251 - of the real world
    simulation = Simulation(scenario.load(name), 1)
    simulation.run()
    seconds = time.process_time() - started
    return output.summary(Path(), simulation, began, seconds), output.invariants(simulation)


def read(runs: Path, name: str) -> tuple[Json, Json]:
    """Return the same of the newest run of a scenario that `meshsim run --seed 1` left there."""
    folder = max(runs.glob(f"{name}-[0-9]*-1-2*"), key=lambda each: each.name.split("-")[-2])
    files = (folder / output.SUMMARY, folder / output.INVARIANTS)
    said, found = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return said, found


def filled(text: str, name: str, said: Json, found: Json) -> str:
    """Return the page with the table of this run between its marks."""
    lines = ["| | |", "|---|---|", *(f"| {what} | {how} |" for what, how in rows(said, found))]
    block = "\n".join([BEGIN.format(name), *lines, END])
    replaced, count = BLOCK.subn(lambda _: block, text)
    assert count == 1, f"{name}.md has {count} places for what was measured"
    return replaced


def rows(said: Json, found: Json) -> Iterator[Row]:
    """Yield what one run showed, in the words of the pages; what it did not have is left out."""
    figures = said["metrics"]
    yield from _troubles(found)
    yield from _delays(figures)
    yield "all equal, segments and index too", _settled(said["settled_seconds"])
    yield from _arrivals(figures)
    yield from _traffic(figures)
    blames = figures.get("Blame_count", 0)
    yield "blames", f"{blames:,}, none of an honest peer with a sound disk" if blames else "none"
    checked = sum(each["checked"] for each in found["invariants"])
    broken = [each["name"] for each in found["invariants"] if each["broken"]]
    yield "checks", f"{checked:,}, {'broken: ' + ', '.join(broken) if broken else 'none broken'}"
    yield "trace", f"`{said['trace_sha256'][:16]}`, {said['steps']:,} steps"


def _settled(after: float | None) -> str:
    if after is None:
        return "not within the scenario's bound"
    return f"{after:.0f} s after the last publication or fault"


def _troubles(found: Json) -> Iterator[Row]:
    for fault in found["faults"]:
        where = f"{fault['kind']} at {fault['at_seconds']:,.0f} s"
        yield where, f"{fault['count']:,} {fault['what']}"
    for deeds in reversed(found["adversaries"]):
        counted = [f"{check} {count:,} times" for check, count in deeds["refused"].items()]
        refused = f"refused by {', '.join(counted)}" if counted else "no check refuses that"
        peers = len(deeds["peers"])
        who = f"{deeds['kind']}, {peers} peers" if peers > 1 else deeds["kind"]
        yield who, f"{deeds['count']:,} {deeds['what']}; {refused}"


def _delays(figures: Json) -> Iterator[Row]:
    for name, what in (
        ("head_propagation", "heads on disk after they were signed"),
        ("segment_visibility", "segments searchable after they were named"),
        ("heal", "heads that a peer lacked at the last heal, after it"),
    ):
        if figures[f"{name}_count"]:
            parts = ("median", "p90", "p99", "longest")
            median, p90, p99, longest = (seconds(figures[f"{name}_{p}_seconds"]) for p in parts)
            yield what, f"median {median}, 90 % {p90}, 99 % {p99}, slowest {longest}"


def _arrivals(figures: Json) -> Iterator[Row]:
    if figures["newcomers_count"]:
        came, of = figures["newcomers_caught_up_count"], figures["newcomers_count"]
        slowest = seconds(figures["newcomer_caught_up_longest_seconds"])
        yield "newcomers that caught up", f"{came} of {of}, the slowest {slowest} after it arrived"
    if figures["downloads_count"]:
        whole, of = figures["downloads_whole_count"], figures["downloads_count"]
        took = (figures[f"payload_download_{part}_seconds"] for part in ("median", "longest"))
        median, longest = map(seconds, took)
        yield "downloads", f"{whole} of {of} whole, median {median}, slowest {longest}"
        mirrors, peers = (figures[f"pieces_from_{who}_bytes"] for who in ("mirrors", "peers"))
        yield "pieces", f"{size(mirrors)} from mirrors, {size(peers)} from peers"


def _traffic(figures: Json) -> Iterator[Row]:
    objects, asked = figures.get("ObjectStored_count", 0), figures.get("FetchObject_count", 0)
    if objects:
        yield "questions for an object", f"{asked:,}; {objects:,} objects came or were made"
    polls = figures.get("AskRecon_count", 0) + figures.get("AskHeads_count", 0)
    yield "questions what another holds", f"{polls:,}"
    late, sent = figures["messages_delayed_count"], figures["messages_count"]
    lost = f", of which {late:,} were late, since a part was lost and sent again" if late else ""
    yield "messages", f"{sent:,}{lost}"
    mean, most = figures["sent_mean_bytes"], figures["sent_most_bytes"]
    yield "sent by a peer", f"{size(mean)} on average, {size(most)} at most"


def seconds(value: float) -> str:
    """Write seconds with as many digits as say something."""
    return f"{value:.2g} s" if value < 10 else f"{value:,.0f} s"


def size(value: float) -> str:
    """Write bytes with three digits or so."""
    for unit, width in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= width:
            return f"{value / width:.3g} {unit}"
    return f"{value:.0f} B"


if __name__ == "__main__":
    main()
