"""The pictures of the report, drawn by matplotlib as SVG that stands inside the page.

Colours are Okabe and Ito's, which most colour-blind people tell apart; lines differ by dashes too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from meshnode.errors import UsageError
from simulations.figures import short
from simulations.report.html import Html, element, join
from simulations.report.recorded import WAITS, Recorded, Series
from simulations.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_INCHES: Final = (5.4, 3.1)  # about 520 pixels, so letters keep their size on a phone
POINTS_MAX: Final = 500  # of one line; more is finer than the picture
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#d55e00", "#009e73", "#b3261e", "#8a8f98"
STYLES: Final = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."))
SETTINGS: Final[Mapping[Any, Any]] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e5e8",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def delivery(found: Recorded, name: str) -> Html:
    """Draw what share of deliveries had happened how many seconds after publication."""
    waits = {figure: values for figure, values in found.waits.items() if values}
    if not waits:
        return Html()
    with drawing(name, "How long until a peer had it") as (figure, done):
        axes = figure.subplots()
        for (wait, values), (colour, dashes) in zip(waits.items(), STYLES, strict=False):
            seconds = thinned(values)
            shares = [(place + 1) / len(seconds) for place in range(len(seconds))]
            axes.step(seconds, shares, dashes, color=colour, label=WAITS[wait], where="post")
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xlim(left=0)
        axes.set(xlabel="virtual seconds", ylabel="share of deliveries", ylim=(0, 1.02))
        legend_above(axes, 1)
    return done(" ".join(_quantiles(wait, values) for wait, values in waits.items()))


def convergence(found: Recorded, name: str) -> Html:
    """Draw how many peers lack something over time, with the faults behind it."""
    panels = (
        {"peers that lack a head": found.mesh.get("peers_behind_count")},
        {"segments not yet shown, all peers": found.mesh.get("segments_missing_count")},
    )
    said = (
        "Peers that lack a head which its publisher confirmed, and segments that a running peer "
        "does not show yet. Shaded: while a fault lasts."
    )
    return _over_time(found, name, "Convergence", panels, said)


def copies(found: Recorded, name: str) -> Html:
    """Draw how many running peers hold a segment."""
    least = found.mesh.get("copies_least_count")
    shown = {
        "peers that hold a segment, mean": found.mesh.get("copies_mean_count"),
        "the rarest segment": least,
    }
    end = f" At the end the rarest has {short(least.values[-1])}." if least else ""
    return _over_time(found, name, "Copies of objects", [shown], f"On running peers.{end}")


def traffic(found: Recorded, name: str) -> Html:
    """Draw the bytes that all peers send in a second."""
    sent = found.mesh.get("sent_bytes")
    shown = {"bytes a second, all peers": sent.rates() if sent else None}
    total = f"All peers together sent {short(sent.values[-1])}B." if sent else ""
    return _over_time(found, name, "Traffic", [shown], total)


def outliers(found: Recorded, name: str, unusual: Sequence[str]) -> Html:
    """Draw every peer by what it sent and how long it waited; name the unusual ones."""
    x, y = "sent_bytes", "head_propagation_longest_seconds"
    peers = {peer: ends for peer, ends in found.peers.items() if x in ends and y in ends}
    if not peers:
        return Html()
    with drawing(name, "Peers, one dot each") as (figure, done):
        axes = figure.subplots()
        for names, colour, marker in (
            ([peer for peer in peers if peer not in unusual], BLUE, "o"),
            ([peer for peer in peers if peer in unusual], RED, "D"),
        ):
            across = [peers[peer][x] for peer in names]
            up = [peers[peer][y] for peer in names]
            axes.scatter(across, up, s=14, color=colour, marker=marker, alpha=0.7)
        for peer in [peer for peer in peers if peer in unusual]:
            spot = (peers[peer][x], peers[peer][y])
            axes.annotate(peer, spot, xytext=(5, 3), textcoords="offset points", fontsize=8)
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
        axes.set(xlabel="bytes sent", ylabel="longest wait for a head, seconds")
    return done(f"{len(peers)} peers; diamonds are unlike the others, and named below.")


def intervals(figure_name: str, points: Mapping[str, Interval], name: str, seeds: int) -> Html:
    """Draw one figure's mean and interval at every setting of a sweep."""
    with drawing(name, figure_name) as (figure, done):
        axes = figure.subplots()
        for place, found in enumerate(points.values()):
            axes.plot([place], [found.mean], "o", color=BLUE)
            if found.low is not None and found.high is not None:
                axes.plot([place, place], [found.low, found.high], color=BLUE)
        axes.set_xticks(range(len(points)), list(points), rotation=20, ha="right")
        axes.set_xlim(-0.5, len(points) - 0.5)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: short(value))
    return done(f"Mean and 95 % interval, up to {seeds} seeds each.")


@contextmanager
def drawing(
    name: str, title: str, size: tuple[float, float] = SIZE_INCHES
) -> Iterator[tuple[Figure, Callable[[str], Html]]]:
    """Give a figure to draw on, and what turns it into HTML with a caption afterwards.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "the report's pictures need matplotlib", hint="pip install 'meshnode[sim]'"
        ) from error
    with mpl.rc_context({**SETTINGS}):
        mpl.rcParams["svg.hashsalt"] = name
        figure = Figure(figsize=size, layout="constrained")
        yield figure, lambda caption: _framed(figure, name, title, caption)


def thinned(values: Sequence[float]) -> list[float]:
    """Return at most POINTS_MAX of the values at equal steps, the last among them."""
    count = len(values)
    if count <= POINTS_MAX:
        return list(values)
    return [values[(place + 1) * count // POINTS_MAX - 1] for place in range(POINTS_MAX)]


def _over_time(
    found: Recorded,
    name: str,
    title: str,
    panels: Sequence[Mapping[str, Series | None]],
    caption: str,
) -> Html:
    """Draw panels above each other over the same virtual time; a missing series is left out."""
    drawn = [
        {label: each for label, each in panel.items() if each and each.seconds} for panel in panels
    ]
    drawn = [panel for panel in drawn if panel]
    if not drawn:
        return Html()
    with drawing(name, title) as (figure, done):
        stack = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(stack, drawn, strict=True):
            _shade_faults(axes, found)
            for (label, each), (colour, dashes) in zip(panel.items(), STYLES, strict=False):
                seconds, values = thinned(each.seconds), thinned(each.values)
                axes.plot(seconds, values, dashes, color=colour, label=label)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(lambda value, _: short(value))
            legend_above(axes, len(panel))
        stack[-1].set_xlabel("virtual seconds")
    return done(caption)


def legend_above(axes: Axes, columns: int) -> None:
    """Put the legend where it hides no line."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)


def _shade_faults(axes: Axes, found: Recorded) -> None:
    """Shade each fault's time, and mark the heal of a split."""
    for fault in found.faults:
        begin, end = fault["at_seconds"], fault.get("until_seconds", fault["at_seconds"])
        split = fault["kind"] == "split"
        axes.axvspan(begin, end, color=ORANGE if split else GREY, alpha=0.12, linewidth=0)
        if split:
            axes.axvline(end, color=GREEN, linestyle=":")
            spot = (end, 0.98)
            axes.annotate(
                " heal", spot, xycoords=("data", "axes fraction"), va="top", color=GREEN, fontsize=8
            )


def _quantiles(wait: str, values: Sequence[float]) -> str:
    half, most = values[len(values) // 2], values[round((len(values) - 1) * 0.99)]
    what = WAITS[wait].partition(":")[0]
    return f"{what.capitalize()}: half within {short(half)} s, 99 % within {short(most)} s."


def _framed(figure: Figure, name: str, title: str, caption: str) -> Html:
    return element(
        "figure",
        element("h4", title),
        _svg(figure, name, f"{title}. {caption}"),
        element("figcaption", caption),
    )


def _svg(figure: Figure, name: str, description: str) -> Html:
    """Return the figure as SVG for a page: no prologue, no addresses, ids of its own."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing)
    found = text.getvalue()
    found = found[found.index("<svg") :]
    found = re.sub(r' xmlns(:\w+)?="[^"]*"', "", found)
    found = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\1{name}-", found)
    start = element("title", description)
    opened, _, rest = found.partition(">")
    opened = re.sub(r' (width|height)="[^"]*"', "", opened)
    return join(Html(f'{opened} role="img">'), start, Html(rest))
