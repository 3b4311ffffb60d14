"""A payload as text: its files, where they are to be had, and what of it is here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from meshnode.cli.terminal import counted, out, size_text
from meshnode.control import Message

BAR_WIDTH: Final = 60  # columns
RUNS_SHOWN_MAX: Final = 8
_SHADES: Final = " ░▒▓█"  # of the pieces behind one column: none, some, all


def print_payload(payload: Message) -> None:
    """Show one payload: its files, where they are to be had, and how much of them is here."""
    out.print(Text(f"  {payload['key']}"))
    if not payload.get("is_live", True):
        out.print("    withdrawn, or not here yet")
        return
    kib = payload["piece_size_bytes"] >> 10
    pieces = f"pieces of {kib} KiB" if kib < 1 << 10 else f"pieces of {kib >> 10} MiB"
    here = "its file list is not here yet"
    if payload["files"] is not None:
        total = counted(payload["file_count"], "file")
        here = f"{total}, {payload['files_held']} of them here"
    out.print(Text(f"    {size_text(payload['size_bytes'])}, {pieces}; {here}"))
    if payload["held"] is not None:
        out.print(Text(f"    {held_text(payload['held'])}"))
    for file in payload["files"] or ():
        bound = ", ".join(f"{item}:{asset}" for item, asset in file["bindings"])
        out.print(Text(f"    {file['path']}{f'  = {bound}' if bound else ''}"))
    if number := len(payload["stated_by"]):
        out.print(f"    {counted(number, 'peer states', 'peers state')} to serve it")
    for url in payload["mirrors"]:
        out.print(Text(f"    mirror {url}"))


def held_text(held: Message) -> str:
    """Say how many pieces are here, how many stay, and what they occupy, in one line."""
    count, here = held["piece_count"], held["held_pieces"]
    share = 100 * here / count if count else 100.0
    said = f"{here} of {counted(count, 'piece')} ({share:.1f} %)"
    if held["is_own"]:
        return f"{said}, in the publisher's own files"
    kept = held["kept_pieces"]
    stay = "all kept" if kept == count else f"{kept} kept"
    return f"{said}, {stay}, {size_text(held['disk_bytes'])} of disk"


def runs_text(runs: Sequence[Sequence[int]]) -> str:
    """Say which pieces are here, as numbers from 0."""
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:RUNS_SHOWN_MAX]]
    return ", ".join([*shown, "…"] if len(runs) > RUNS_SHOWN_MAX else shown) or "none"


def bar(runs: Sequence[Sequence[int]], piece_count: int) -> str:
    """Draw which pieces are here, from the first on the left to the last on the right."""
    width = min(BAR_WIDTH, piece_count)
    columns = (
        range(i * piece_count // width, (i + 1) * piece_count // width) for i in range(width)
    )
    return "".join(_shade(runs, column) for column in columns)


def _shade(runs: Sequence[Sequence[int]], pieces: range) -> str:
    here = sum(max(0, min(pieces.stop, b + 1) - max(pieces.start, a)) for a, b in runs)
    if here == len(pieces):
        return _SHADES[-1]
    return _SHADES[1 + 3 * here // len(pieces)] if here else _SHADES[0]
