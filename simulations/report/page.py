"""The whole page: it needs no network, no script and no file beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from meshnode.errors import StorageError
from simulations import samples
from simulations.figures import KEY, SHARES, short
from simulations.report import plots, recorded, sections
from simulations.report.html import Html, element, join, table
from simulations.samples import Sample
from simulations.study import STUDY

MEANS: Final = tuple(figure for figure in KEY if figure not in SHARES)
POINTS_DRAWN_MAX: Final = 12  # of a sweep, in one picture; the table has them all


def write_report(folders: Sequence[Path], path: Path) -> None:
    """Write the report of some runs, or of samples of runs, into one HTML file.

    Raises:
        UsageError: a folder holds no run, or matplotlib is missing.
        StorageError: the file cannot be written.
    """
    text = page([samples.read(folder) for folder in folders])
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}", hint="name another file with --output"
        ) from error


def page(studies: Sequence[Sequence[Sample]]) -> str:
    """Return the page; a sample of one run is told in full, others by their means."""
    lone = [study[0] for study in studies if len(study) == 1 and len(study[0].runs) == 1]
    others = [study for study in studies if len(study) > 1 or len(study[0].runs) > 1]
    runs = [recorded.read(sample.runs[0]) for sample in lone]
    names = [f"run-{place}" for place in range(1, len(runs) + 1)]
    title = _title(studies)
    body = join(
        element("h1", title),
        sections.overview(runs, names) if len(runs) > 1 else Html(),
        *(_study(study, f"study-{place}") for place, study in enumerate(others, 1)),
        *(sections.article(run, name) for run, name in zip(runs, names, strict=True)),
    )
    style = (resources.files("simulations.report") / "style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        Html(f"<style>{style}</style>"),
    )
    whole = element("html", head, element("body", element("main", body)), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _title(studies: Sequence[Sequence[Sample]]) -> str:
    names = dict.fromkeys(sample.scenario.name for study in studies for sample in study)
    return f"Simulation of {', '.join(names)}"


def _study(study: Sequence[Sample], name: str) -> Html:
    """Return the part about settings with several seeds each."""
    points = {sample.name: sample.intervals() for sample in study}
    drawn = [
        plots.intervals(
            figure,
            {point: found[figure] for point, found in points.items() if figure in found},
            f"{name}-{figure}",
            max(len(sample.runs) for sample in study),
        )
        for figure in KEY
        if any(figure in found for found in points.values()) and len(points) <= POINTS_DRAWN_MAX
    ]
    return element(
        "article",
        element("h2", f"Settings of {study[0].scenario.name}", id=name),
        _again(study),
        table("Runs that passed", ("setting", "passed", "seeds that failed"), map(_passed, study)),
        table("Means over seeds", ("setting", *MEANS), (_means(sample) for sample in study)),
        element("div", drawn, class_="figures"),
        *(_failures(sample) for sample in study),
        aria_labelledby=name,
    )


def _again(study: Sequence[Sample]) -> Html:
    """Return the command of the sweep, if it was one."""
    path = study[0].folder.parent / STUDY
    if not path.exists():
        return Html()
    said = json.loads(path.read_text(encoding="utf-8"))
    return join(sections.command(said["command"]), element("p", f"Commit {said['commit']}."))


def _passed(sample: Sample) -> tuple[str, ...]:
    failed = [str(run.seed) for run in sample.runs if not run.passed]
    return sample.name, f"{len(sample.runs) - len(failed)} of {len(sample.runs)}", ", ".join(failed)


def _means(sample: Sample) -> list[str]:
    found = sample.intervals()
    cells = [sample.name]
    for figure in MEANS:
        if figure not in found:
            cells.append("")
            continue
        each = found[figure]
        span = "" if each.low is None or each.high is None else (
            f" ({short(each.low)} … {short(each.high)})"
        )  # fmt: skip
        cells.append(short(each.mean) + span)
    return cells


def _failures(sample: Sample) -> Html:
    failed = [run for run in sample.runs if not run.passed]
    if not failed:
        return Html()
    return element(
        "section",
        element("h3", f"{sample.name}: how to see the first failure again"),
        sections.command(str(failed[0].summary["reproduce"])),
        element("ul", (element("li", reason) for reason in failed[0].summary["faults"])),
    )
