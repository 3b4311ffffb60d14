"""The picture of the mesh: who is linked to whom, what a split cut, and the same after the heal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from simulations.report.html import Html
from simulations.report.plots import BLUE, GREEN, GREY, ORANGE, RED, drawing
from simulations.report.recorded import Recorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES: Final = (5.4, 4.4)  # two circles above each other, twice
LINKS_CLEAR: Final = 150  # up to so many links are drawn strongly; more would hide each other
LINES_MAX: Final = 1500  # of links drawn as lines; more of them are drawn as pixels
ROLES: Final = {"publisher": (ORANGE, "s"), "follower": (BLUE, "o"), "newcomer": (GREEN, "^")}
ADVERSARY: Final = (RED, "X")

Spot = tuple[float, float]


def picture(found: Recorded, name: str) -> Html:
    """Draw the links while the first split lasts and afterwards; once if there is no split."""
    peers: Sequence[Mapping[str, Any]] = found.network.get("peers", ())
    links: Sequence[tuple[str, str, float]] = found.network.get("links", ())
    if not peers:
        return Html()
    sides = {peer["name"]: peer.get("side", 0) for peer in peers}
    cut = [link for link in links if sides[link[0]] != sides[link[1]]]
    spots = places(sides)
    with drawing(name, "The mesh", SIZE_INCHES) as (figure, done):
        panels = figure.subplots(1, 2 if cut else 1, squeeze=False)[0]
        whole = [link for link in links if sides[link[0]] == sides[link[1]]]
        if cut:
            _draw(panels[0], "while cut", peers, spots, whole, cut)
            _draw(panels[1], "healed", peers, spots, links, ())
        else:
            _draw(panels[0], "", peers, spots, links, ())
        handles, labels = panels[0].get_legend_handles_labels()
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=min(4, len(labels))
        )
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)
    counts = f"{len(peers)} peers, {len(links)} links"
    said = f"; {len(cut)} of them are cut by the first split" if cut else ""
    return done(f"{counts}{said}.")


def places(sides: Mapping[str, int]) -> dict[str, Spot]:
    """Put each side's peers on a circle, and the circles on a larger one."""
    groups: dict[int, list[str]] = {}
    for name, side in sides.items():
        groups.setdefault(side, []).append(name)
    count = len(groups)
    radius = 1.0 if count == 1 else min(1.0, 1.9 * math.sin(math.pi / count))
    found: dict[str, Spot] = {}
    for place, (_, names) in enumerate(sorted(groups.items())):
        turn = math.pi / 2 + 2 * math.pi * place / count
        x, y = (0.0, 0.0) if count == 1 else (2 * math.cos(turn), 2 * math.sin(turn))
        for number, name in enumerate(names):
            angle = 2 * math.pi * number / len(names)
            found[name] = (x + radius * math.cos(angle), y + radius * math.sin(angle))
    return found


def _draw(
    axes: Axes,
    title: str,
    peers: Sequence[Mapping[str, Any]],
    spots: Mapping[str, Spot],
    whole: Sequence[tuple[str, str, float]],
    cut: Sequence[tuple[str, str, float]],
) -> None:
    from matplotlib.collections import LineCollection

    for links, colour, dashes, label in (
        (whole, GREY, "-", "link"),
        (cut, RED, ":", "cut link"),
    ):
        if links:
            lines = LineCollection(
                [(spots[a], spots[b]) for a, b, _ in links],
                colors=colour,
                linestyles=dashes,
                linewidths=0.7,
                alpha=max(0.05, min(0.6, LINKS_CLEAR / (len(whole) + len(cut)))),
                label=label,
                rasterized=len(whole) + len(cut) > LINES_MAX,
            )
            axes.add_collection(lines)
    for role in dict.fromkeys(peer["role"] for peer in peers):
        at = [spots[peer["name"]] for peer in peers if peer["role"] == role]
        colour, marker = ROLES.get(role, ADVERSARY)
        usual = role == "follower"
        size = max(3.0 if usual else 14.0, min(26.0, 1500 / len(peers)))
        axes.scatter(
            [x for x, _ in at],
            [y for _, y in at],
            s=size,
            color=colour,
            marker=marker,
            label=role,
            zorder=3 if usual else 4,
            linewidths=0,
            rasterized=len(peers) > LINES_MAX,
        )
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9.5)
    axes.autoscale_view()
