"""What a person is told of a catalogue that is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from meshnode.cli.terminal import counted, out, print_labelled, short, size_text
from meshnode.control import Message


def notes(catalogue: Message) -> Iterator[tuple[str, str]]:
    """Yield a label and a sentence for each thing that is not as it should be."""
    if (since := catalogue["stale_since"]) is not None:
        yield "stale", f"since {_day(since)}: its maintainers meant to renew the root by then"
    if (since := catalogue["frozen_since"]) is not None:
        yield (
            "possibly frozen",
            f"since {_day(since)}: a writer meant to sign by then; either he did not, or this peer"
            " hears of nothing",
        )
    if number := len(catalogue["rivals"]):
        version = catalogue.get("root_version", 0) + 1
        which = f"root {version}" if version > 1 else "its next root"
        yield (
            "FORK",
            f"{which} was signed {number} times, differently: none of them counts; ask the"
            " maintainers",
        )
    if catalogue["domain"]["binding"] == "contradicted":
        name = catalogue["domain"]["name"]
        yield "CONTRADICTED", f"the site of {name} names other catalogues, and not this one"
    if number := catalogue.get("over_budget", {}).get("objects", 0):
        over = catalogue["over_budget"]
        yield (
            "over budget",
            f"{counted(number, 'object')} of {size_text(over['bytes'])} are not fetched, since"
            f" {over['reason']}: meshnode follow {catalogue['id']} --budget SIZE",
        )
    if number := catalogue["excess_segments"]:
        yield "too many segments", f"{number} are not shown until others are gone"
    for each in catalogue["conflicts"]:
        yield (
            "CONFLICT",
            f"release {each['version']} of {each['collection']} is contradicted by another:"
            f" meshnode versions {each['collection']}",
        )


def titled(catalogue: Message, otherwise: str) -> str:
    """Return the catalogue's title, with the institution's domain if its root names one."""
    title, domain = catalogue["title"] or otherwise, catalogue["domain"]
    return f"{title} ({domain['name']}: {domain['binding']})" if domain["name"] else str(title)


def print_notes(catalogue: Message) -> None:
    for label, text in notes(catalogue):
        name = catalogue["title"] or short(catalogue["id"])
        print_labelled(label, f"{name}: {text}", "yellow", out)


def overdue_line(catalogues: Sequence[Message]) -> str:
    """Return one line about the catalogues that a search reached."""
    if len(catalogues) > 1:
        number = len(catalogues)
        contradicted = any(each["domain"]["binding"] == "contradicted" for each in catalogues)
        doubt = " or are contradicted by their domain" if contradicted else ""
        return f"{number} catalogues may be out of date{doubt}: meshnode status says why"
    [catalogue] = catalogues
    name = catalogue["title"] or short(catalogue["id"])
    said = [
        f"{label} since {_day(since)}" if since else label
        for label, since in (
            ("stale", catalogue["stale_since"]),
            ("possibly frozen", catalogue["frozen_since"]),
            ("forked roots", 0 if catalogue["rivals"] else None),
        )
        if since is not None
    ]
    if catalogue["domain"]["binding"] == "contradicted":
        said.append(f"contradicted by {catalogue['domain']['name']}")
    return f"{name}: {', '.join(said)} (meshnode status)"


def _day(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d")
