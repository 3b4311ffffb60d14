"""The parts of one run's report, verdict first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from simulations.figures import short
from simulations.report import network, plots
from simulations.report.html import Html, element, join, table
from simulations.report.recorded import Recorded
from simulations.report.unusual import unusual

VIOLATIONS_SHOWN_MAX: Final = 20
NAMES_SHOWN_MAX: Final = 6
FIGURES: Final = (
    ("head_propagation_median_seconds", "median until a head was on a peer's disk"),
    ("head_propagation_p99_seconds", "99 % of them"),
    ("segment_visibility_median_seconds", "median until a segment was searchable"),
    ("segment_visibility_p99_seconds", "99 % of them"),
    ("sent_mean_bytes", "sent by a peer, mean"),
    ("sent_most_bytes", "sent by the peer that sent most"),
    ("messages_count", "messages"),
    ("messages_delayed_count", "messages late, since a part was lost and sent again"),
    ("messages_cut_count", "messages lost to a cut or a dead peer"),
    ("gossip_delivered_count", "gossip messages delivered"),
    ("gossip_duplicates_count", "gossip messages that came again"),
)


def article(found: Recorded, name: str) -> Html:
    """Return the report of one run; `name` begins every id in it."""
    run = found.run
    head = element("h2", run.scenario.name, id=name)
    return element(
        "article",
        head,
        element("p", run.scenario.title, class_="lead"),
        _verdict(found),
        _invariants(found),
        _again(found),
        _figures(found),
        _faults(found),
        _adversaries(found),
        _pictures(found, name),
        _setting(found),
        aria_labelledby=name,
    )


def badge(*, passed: bool) -> Html:
    return element("strong", "pass" if passed else "fail", class_="pass" if passed else "fail")


def command(text: str) -> Html:
    return element("pre", element("code", text), tabindex="0", aria_label="command")


# --- What held ------------------------------------------------------------------------------------
def _verdict(found: Recorded) -> Html:
    said, run = found.run.summary, found.run
    when = _settled(found)
    reasons = [element("li", reason) for reason in said["faults"]]
    return element(
        "section",
        element("p", badge(passed=run.passed), f" {run.scenario.nodes} peers, seed {run.seed}. ",
                when, class_="verdict"),
        element("ul", reasons) if reasons else Html(),
    )  # fmt: skip


def _settled(found: Recorded) -> str:
    said, chosen = found.run.summary, found.run.scenario
    if said["settled_seconds"] is not None:
        seconds = short(said["settled_seconds"])
        return (
            f"All peers were equal {seconds} virtual seconds after the last fault and publication."
        )
    if said["virtual_seconds"] < chosen.quiet_from_seconds + chosen.settle_seconds_max:
        return "The run ended early, before the mesh had become equal."
    return "The mesh did not become equal within the scenario's bound."


def _invariants(found: Recorded) -> Html:
    rows = [
        (each["name"], each["says"], f"{each['checked']:,}", _held(each))
        for each in found.invariants.get("invariants", ())
    ]
    if not rows:
        return Html()
    violations = found.violations[:VIOLATIONS_SHOWN_MAX]
    broken = [
        (each["invariant"], f"{each['second']:.2f}", each["peer"], each["said"])
        for each in violations
    ]
    header = ("invariant", "virtual second", "peer", "what was the case")
    return element(
        "section",
        element("h3", "What was promised"),
        table("Every invariant", ("invariant", "says", "checked", "verdict"), rows),
        table(f"The first {len(broken)} violations", header, broken) if broken else Html(),
    )


def _held(invariant: Mapping[str, Any]) -> Html:
    if invariant["broken"]:
        return element("strong", f"broken {invariant['broken']:,} times", class_="fail")
    if not invariant["checked"]:
        return element("span", "never checked", class_="none")
    return element("strong", "held", class_="pass")


# --- How to have it again -------------------------------------------------------------------------
def _again(found: Recorded) -> Html:
    said = found.run.summary
    rows = [
        ("seed", str(said["seed"])),
        ("commit", str(said["commit"])),
        ("scenario, SHA-256", element("code", said["scenario_sha256"])),
        ("trace, SHA-256", element("code", said["trace_sha256"])),
        *(said.get("versions") or {"meshnode": said["version"]}).items(),
        ("began", str(said["began"])),
        ("cost", f"{said['cpu_seconds']:.1f} CPU-seconds, {short(said['memory_most_bytes'])}B"),
        ("length", f"{said['virtual_seconds']:,.0f} virtual seconds, {said['steps']:,} events"),
    ]
    return element(
        "section",
        element("h3", "How to run it again"),
        command(str(said["reproduce"])),
        table("What to quote", ("what", "value"), rows),
    )


# --- What was measured ----------------------------------------------------------------------------
def _figures(found: Recorded) -> Html:
    measured = found.run.summary["metrics"]
    rows = [(says, _with_unit(name, measured[name])) for name, says in FIGURES if name in measured]
    return element(
        "section", element("h3", "Figures"), table("Main figures", ("figure", "value"), rows)
    )


def _with_unit(figure: str, value: float) -> str:
    match figure.rpartition("_")[2]:
        case "seconds":
            return f"{short(value)} s"
        case "bytes":
            return f"{short(value)}B"
        case _:
            return f"{value:,.0f}"


def _faults(found: Recorded) -> Html:
    if not found.faults:
        return Html()
    rows = [
        (
            fault["kind"],
            _span(fault),
            _names(fault.get("peers", ()), "the mesh"),
            f"{fault['count']:,} {fault['what']}",
            _felt(found, fault),
        )
        for fault in found.faults
    ]
    header = ("fault", "virtual seconds", "whom", "what it did", "peers that lacked a head")
    return element(
        "section", element("h3", "What each fault did"), table("Faults in order", header, rows)
    )


def _span(fault: Mapping[str, Any]) -> str:
    begin, end = fault["at_seconds"], fault.get("until_seconds")
    return f"{begin:g}" if end is None else f"{begin:g} to {end:g}"


def _felt(found: Recorded, fault: Mapping[str, Any]) -> str:
    """Say how far behind the mesh fell during a fault, and when it had caught up."""
    behind, end = found.mesh.get("peers_behind_count"), fault.get("until_seconds")
    if behind is None or end is None:
        return ""
    during = behind.between(fault["at_seconds"], end)
    after = [t for t, value in zip(behind.seconds, behind.values, strict=True)
             if t >= end and value == 0]  # fmt: skip
    most = f"at most {max(during):.0f}" if during else "not sampled"
    return f"{most}, none {short(after[0] - end)} s after it" if after else f"{most}, never none"


def _adversaries(found: Recorded) -> Html:
    if not found.adversaries:
        return Html()
    rows = [
        (
            each["kind"],
            _names(each.get("peers", ()), ""),
            f"{each['count']:,} {each['what']}",
            ", ".join(f"{check}: {count:,}" for check, count in each.get("refused", {}).items())
            or "nothing had to be refused",
        )
        for each in found.adversaries
    ]
    header = ("adversary", "who", "what it did", "what refused it")
    return element(
        "section", element("h3", "Adversaries"), table("Adversaries and checks", header, rows)
    )


def _names(names: Sequence[str], none: str) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX]) or none
    more = len(names) - NAMES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


# --- Pictures -------------------------------------------------------------------------------------
def _pictures(found: Recorded, name: str) -> Html:
    odd = unusual(found.peers)
    names = list(dict.fromkeys(each.peer for each in odd))
    drawn = [
        plots.delivery(found, f"{name}-delivery"),
        plots.convergence(found, f"{name}-convergence"),
        plots.copies(found, f"{name}-copies"),
        plots.traffic(found, f"{name}-traffic"),
        network.picture(found, f"{name}-mesh"),
        plots.outliers(found, f"{name}-peers", names),
    ]
    if not any(drawn):
        return element(
            "p", "This run wrote no series to draw: it is of an older commit.", class_="none"
        )
    rows = [
        (each.peer, each.figure, short(each.value), short(each.usual), f"{each.deviations:.0f}")
        for each in odd
    ]
    header = ("peer", "figure", "value", "median of all", "deviations")
    return element(
        "section",
        element("h3", "Pictures"),
        element("div", drawn, class_="figures"),
        table("Peers unlike the others", header, rows) if rows else Html(),
    )


def _setting(found: Recorded) -> Html:
    from simulations import overrides

    rows = [
        (name, str(value))
        for name, value in overrides.flat(found.run.scenario).items()
        if name not in ("name", "title")
    ]
    return element(
        "details",
        element("summary", "Every setting of the scenario"),
        table("The resolved scenario", ("setting", "value"), rows),
    )


def overview(runs: Sequence[Recorded], names: Sequence[str]) -> Html:
    """Return one line a run, with a link to its part."""
    rows = [
        (
            element("a", each.run.scenario.name, href=f"#{name}"),
            str(each.run.scenario.nodes),
            str(each.run.seed),
            badge(passed=each.run.passed),
            join("; ".join(each.run.summary["faults"])),
        )
        for each, name in zip(runs, names, strict=True)
    ]
    header = ("run", "peers", "seed", "verdict", "why")
    return table("The runs of this page", header, rows)
