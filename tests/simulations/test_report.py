"""The HTML report: whole in one file, well-formed, verdict first, and nothing in it escapes."""

from __future__ import annotations

import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from meshnode.errors import UsageError
from simulations.report import write_report
from simulations.report.html import VOID, element, join
from simulations.report.network import places
from simulations.report.plots import POINTS_MAX, thinned
from simulations.report.recorded import Series
from simulations.report.unusual import unusual
from tests.simulations.command_line import SMALL, meshsim

SVG_ALONE = {"use", "path", "rect", "image"}  # written as <path …/>
MEMORY = """
[[faults]]
kind = "crash"
at_seconds = 30
for_seconds = 5
"""


class Page(HTMLParser):
    """What a reader's browser makes of the page. Invariant: every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of a split and a crash."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "small.toml").write_text(SMALL + MEMORY, encoding="utf-8")
    done = meshsim("run", "small.toml", "--seed", "4", "--report", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.fixture
def run(ran: Path, tmp_path: Path) -> Path:
    """The same run, to be altered."""
    shutil.copytree(ran, tmp_path / "run")
    return tmp_path / "run"


def page_of(*folders: Path) -> Page:
    path = folders[0] / "report.html"
    write_report(folders, path)
    return Page(path.read_text(encoding="utf-8"))


def alter(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself(ran: Path) -> None:
    text = (ran / "report.html").read_text(encoding="utf-8")
    page = Page(text)

    assert page.open == []
    assert not {"script", "link", "iframe", "object", "img"} & set(page.names)
    assert "src" not in page.attributes
    assert not any(word in text for word in ("http:", "https:", "@import", "url(/"))
    assert all(link.startswith(("#", "data:image/png")) for link in page.links)


@pytest.mark.slow
def test_every_id_is_there_once_and_every_link_leads_to_one(run: Path, ran: Path) -> None:
    page = page_of(run, ran)
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}

    assert len(page.ids) == len(set(page.ids)) > 0
    assert inside <= set(page.ids)
    assert {"run-1", "run-2"} <= inside


@pytest.mark.slow
def test_the_verdict_comes_first_then_the_command_then_figures(ran: Path) -> None:
    text = Page((ran / "report.html").read_text(encoding="utf-8")).text
    parts = (
        "pass 6 peers, seed 4.",
        "What was promised",
        "after the last heal all peers hold equal logs",
        "How to run it again",
        "meshsim replay",
        "Figures",
        "What each fault did",
        "Pictures",
    )
    found = [text.index(part) for part in parts]

    assert found == sorted(found)


@pytest.mark.slow
def test_a_run_can_be_quoted_from_its_page(ran: Path) -> None:
    text = Page((ran / "report.html").read_text(encoding="utf-8")).text
    said = json.loads((ran / "summary.json").read_text())

    for name in ("commit", "scenario_sha256", "trace_sha256", "reproduce"):
        assert said[name] in text
    assert all(version in text for version in said["versions"].values())


@pytest.mark.slow
def test_every_picture_says_in_words_what_it_shows(ran: Path) -> None:
    text = (ran / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    titles = ("How long until a peer had it", "Convergence", "Copies of objects", "Traffic",
              "The mesh", "Peers, one dot each")  # fmt: skip

    assert page.names.count("svg") == page.names.count("figcaption") == len(titles)
    assert text.count('role="img"><title>') == len(titles)
    assert [text.count(f"<h4>{title}</h4>") for title in titles] == [1] * len(titles)


@pytest.mark.slow
def test_each_fault_is_told_with_what_it_did_and_whom_it_struck(ran: Path) -> None:
    text = Page((ran / "report.html").read_text(encoding="utf-8")).text
    faults = json.loads((ran / "invariants.json").read_text())["faults"]
    split, crash = faults

    assert f"{split['count']} messages cut" in text
    assert "22 to 37" in text
    assert ", ".join(crash["peers"]) in text


@pytest.mark.slow
def test_a_broken_promise_is_the_first_thing_said(run: Path) -> None:
    broken = {"name": "I4", "says": "seqs never fall", "checked": 9, "broken": 2}
    found = {"invariant": "I4", "second": 31.5, "peer": "p3", "said": "seq fell from 2 to 1"}
    alter(run / "invariants.json", invariants=[broken], violations=[found])
    alter(run / "summary.json", verdict="fail", faults=["I4 was broken 2 times"])
    text = page_of(run).text

    assert text.index("fail 6 peers") < text.index("I4 was broken 2 times")
    assert text.index("broken 2 times") < text.index("seq fell from 2 to 1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("virtual_seconds", "said"),
    [(30, "The run ended early"), (10_000, "did not become equal within the scenario's bound")],
)
def test_a_mesh_that_did_not_agree_is_told_apart_from_a_run_that_ended_early(
    run: Path, virtual_seconds: int, said: str
) -> None:
    alter(run / "summary.json", settled_seconds=None, virtual_seconds=virtual_seconds)

    assert said in page_of(run).text


@pytest.mark.slow
def test_adversaries_are_told_with_what_refused_them(run: Path) -> None:
    forger = {"kind": "forger", "peers": ["p5"], "what": "answers altered", "count": 37,
              "refused": {"signature": 30, "chain": 7}}  # fmt: skip
    alter(run / "invariants.json", adversaries=[forger])
    text = page_of(run).text

    assert "37 answers altered" in text
    assert "signature: 30, chain: 7" in text


@pytest.mark.slow
def test_words_of_others_are_text_and_never_markup(run: Path) -> None:
    hostile = "</title><script>alert(1)</script>&"
    alter(run / "scenario.json", title=hostile)
    alter(run / "summary.json", faults=[hostile], reproduce=hostile)
    page = page_of(run)

    assert "script" not in page.names
    assert page.text.count(hostile) == 3


@pytest.mark.slow
def test_a_run_without_series_has_a_shorter_page(run: Path) -> None:
    (run / "metrics.parquet").unlink()
    (run / "network.json").unlink()
    page = page_of(run)

    assert "svg" not in page.names
    assert "wrote no series" in page.text
    assert "How to run it again" in page.text


@pytest.mark.slow
def test_a_sample_of_seeds_is_told_by_means_and_its_failures(run: Path) -> None:
    shutil.copytree(run, run.parent / "loss=0/seed-4")
    shutil.copytree(run, run.parent / "loss=0/seed-5")
    alter(run.parent / "loss=0/seed-5/summary.json", seed=5, verdict="fail", faults=["bad luck"])
    page = page_of(run.parent / "loss=0")

    assert "1 of 2" in page.text
    assert page.text.count("bad luck") == 1
    assert page.names.count("svg") == 5


@pytest.mark.slow
def test_without_matplotlib_the_command_says_how_to_get_it(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(UsageError, match="need matplotlib") as caught:
        write_report([ran], tmp_path / "report.html")

    assert "meshnode[sim]" in caught.value.hint
    assert not (tmp_path / "report.html").exists()


def test_only_text_is_escaped() -> None:
    inner = element("b", 'a < "b"', class_="x & y")

    assert inner == '<b class="x &amp; y">a &lt; &quot;b&quot;</b>'
    assert join(inner, "<") == inner + "&lt;"


def test_a_peer_far_above_the_others_is_unusual_and_the_others_are_not() -> None:
    peers = {f"p{n}": {"sent_bytes": 100.0 + n % 5} for n in range(20)}
    peers["odd"] = {"sent_bytes": 500.0}
    (found,) = unusual(peers)

    assert (found.peer, found.usual) == ("odd", 102)
    assert unusual({name: ends for name, ends in peers.items() if name != "odd"}) == []


def test_a_long_line_is_thinned_and_keeps_its_end() -> None:
    values = [float(value) for value in range(12_345)]
    found = thinned(values)

    assert (len(found), found[-1]) == (POINTS_MAX, 12_344)
    assert found == sorted(found)
    assert thinned([1.0, 2.0]) == [1.0, 2.0]


def test_the_rate_of_a_total_is_its_growth_in_a_second() -> None:
    rates = Series([0, 1, 3], [0, 10, 50]).rates()

    assert (rates.seconds, rates.values) == ([1, 3], [10, 20])


def test_the_sides_of_a_split_stand_apart() -> None:
    found = places({f"p{n}": n % 2 for n in range(8)})
    up = [y for name, (_, y) in found.items() if int(name[1:]) % 2 == 0]
    down = [y for name, (_, y) in found.items() if int(name[1:]) % 2]

    assert min(up) > max(down)
