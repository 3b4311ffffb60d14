"""The bench judges by ratios: what is too slow is named, whatever the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks import archive, large, parts, scenes
from benchmarks.cases import CASES
from benchmarks.limits import Limits
from benchmarks.measuring import Case, Figures, Result, Sample, by_clock, sample
from benchmarks.payload_layouts import Manner, layout, mirror_of
from benchmarks.processes import cpu_seconds
from benchmarks.trials.all import TRIALS
from benchmarks.trials.trial import Trial, Verdict
from benchmarks.trials.writers import Writer
from meshnode.runtime.segments.validation import check_items


def figures(side: str, *seconds: float, units: int = 10) -> Figures:
    return Figures(side, tuple(Sample(each, units, 1 << 20, 2 * each) for each in seconds))


def result(*, limit: float | None, by_clock: bool = False) -> Result:
    case = Case(
        "verify",
        "ten records",
        "record",
        lambda _: lambda: 1,
        {"hash": lambda _: int},
        by_clock=by_clock,
    )
    limits = {} if limit is None else {"hash": limit}
    return Result(case, figures("meshnode", 9.0, 6.0), (figures("hash", 2.0, 3.0),), limits)


def test_the_best_samples_are_compared_by_unit() -> None:
    measured = result(limit=3.0)
    assert measured.ratio(measured.peers[0]) == pytest.approx(3.0)
    assert (measured.ours.seconds_min, measured.ours.seconds_median) == (6.0, 7.5)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (3.01, []),
        (2.9, ["verify: 3.00 x hash, the limit is 2.9 x"]),
        (None, ["verify: no limit is set beside hash"]),
    ],
)
def test_a_ratio_above_its_limit_or_without_one_is_named(limit: float, said: list[str]) -> None:
    assert result(limit=limit).broken() == said


def test_a_case_by_the_clock_needs_a_limit_of_its_own() -> None:
    measured = result(limit=3.01, by_clock=True)
    assert measured.ratios() == pytest.approx({"hash": 3.0, "hash, by the clock": 3.0})
    assert measured.broken() == ["verify: no limit is set beside hash, by the clock"]


@pytest.mark.parametrize(
    ("figures", "limits", "said"),
    [
        ({"p99, s": 0.5}, {"p99, s": 0.5}, []),
        ({"p99, s": 0.51}, {"p99, s": 0.5}, ["gossip: p99, s is 0.51, the limit is 0.5"]),
        ({}, {"p99, s": 0.5}, ["gossip: p99, s was not measured"]),
        ({"p99, s": 0.5}, {}, ["gossip: no limit is set for p99, s"]),
    ],
)
def test_a_trial_keeps_each_promise_or_names_it(
    figures: dict[str, float], limits: dict[str, float], said: list[str]
) -> None:
    trial = Trial("gossip", "peers hear each other", lambda _: {}, ("p99, s",))
    assert Verdict(trial, figures, limits).broken() == said


def test_announcements_have_the_size_that_is_asked_for() -> None:
    writer = Writer("town")
    steps = [writer.sign(2_000) for _ in range(3)]
    assert [step.seq for step in steps] == [1, 2, 3]
    assert all(1_950 <= len(step.announcement) <= 2_050 for step in steps)


def test_every_pair_that_is_measured_has_a_limit_and_no_other() -> None:
    measured = {(case.name, peer) for case in CASES.values() for peer in case.peers}
    measured |= {
        (case.name, by_clock(peer))
        for case in CASES.values()
        for peer in case.peers
        if case.by_clock
    }
    measured |= {(trial.name, name) for trial in TRIALS.values() for name in trial.limited}
    limits = Limits.load().cases
    assert {(case, peer) for case, peers in limits.items() for peer in peers} == measured


@pytest.mark.slow
def test_a_side_is_measured_in_an_empty_folder_of_its_own() -> None:
    measured = sample(CASES["entries"].side("SHA-256"))
    assert measured.units == 20_000
    assert measured.cpu_seconds > 0
    assert measured.memory_bytes > 1 << 20


@pytest.mark.slow
def test_the_parts_of_an_entry_are_told_beside_its_hash(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ENTRIES", 100)
    parts.main()
    told = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert (told[0], told[-1]) == ("SHA-256 of the bytes, the floor", "all that is verified")


def test_what_the_children_of_a_process_cost_is_counted_while_they_live_and_after() -> None:
    burn = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(); sys.stdin.read()"
    before, own = cpu_seconds(os.getpid()), time.process_time()
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        living = cpu_seconds(os.getpid()) - before
    ended = cpu_seconds(os.getpid()) - before
    ours = time.process_time() - own
    assert living >= 0.25
    assert 0.25 <= ended <= ours + 1.0


def test_scenes_are_valid_items_as_long_as_real_ones_and_the_same_each_time() -> None:
    made = list(scenes.scenes(3, range(50)))
    assert made == list(scenes.scenes(3, range(50)))
    assert all(1_400 < len(raw) < 1_600 for raw, _ in made)
    checked = check_items([value for _, value in made], scenes.COLLECTIONS[3])
    assert [one.problems for one in checked] == [[]] * 50


@pytest.mark.slow
def test_a_large_archive_is_searched_by_us_and_by_duckdb_with_the_same_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BUILD", tmp_path)
    made = archive.made(2_000, lambda text: None)
    cost = archive.index(made, lambda text: None)
    assert archive.made(2_000, lambda text: None) == made  # what is there is taken up again
    assert (cost.items, cost.segment_bytes) == (2_000, made.segment_bytes)

    sides = {large.OURS: large.meshnode_side(made), "duckdb": large.duckdb_side(made)}
    for searches in large.cases(40, made.items).values():
        told = large.measured(searches, sides)
        assert told["duckdb"]["found"] == told[large.OURS]["found"] > 0


async def test_a_layout_is_read_from_its_mirror_as_from_its_file(tmp_path: Path) -> None:
    made = layout(3, 1 << 16)
    made.write(tmp_path / "file", range(1, 3))
    on_disk = (tmp_path / "file").read_bytes()
    assert on_disk == bytes(1 << 16) + 2 * made.block
    for manner, expected in ((Manner(), on_disk[70_000:140_001]), (Manner(is_rotten=True), None)):
        async with mirror_of(made, manner) as url, httpx.AsyncClient() as client:
            answer = await client.get(url, headers={"range": "bytes=70000-140000"})
        assert answer.status_code == 206
        assert answer.content == (expected or bytes(70_001))
        assert manner.served_bytes == 70_001
