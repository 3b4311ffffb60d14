"""Copies of one seed list at several places: are all of them authentic, the same, and good?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshnode.cli.first_contact import day, read_list, said_of_list
from meshnode.control import Message
from meshnode.errors import MeshnodeError

if TYPE_CHECKING:
    from meshnode.core.seed_files import SeedList


async def compared(sources: list[str], good_until: int) -> list[Message]:
    """Read every copy, and say what is wrong with it beside the newest one; "" if nothing is."""
    read: list[tuple[str, SeedList | None, str]] = []
    for source in sources:
        try:
            seeds, _ = await read_list(source)
            read.append((source, seeds, ""))
        except MeshnodeError as error:
            read.append((source, None, str(error)))
    newest = max(
        (seeds for _, seeds, _ in read if seeds), key=lambda each: each.seeds.version, default=None
    )
    return [
        {
            "source": source,
            "catalogue": said_of_list(seeds)["catalogue"] if seeds else None,
            "version": seeds.seeds.version if seeds else None,
            "expires": seeds.seeds.expires if seeds else None,
            "problem": problem or (_problem(seeds, newest, good_until) if seeds and newest else ""),
        }
        for source, seeds, problem in read
    ]


def _problem(seeds: SeedList, newest: SeedList, good_until: int) -> str:
    if seeds.catalogue != newest.catalogue:
        return "it is the list of another institution"
    if seeds.seeds.version != newest.seeds.version:
        return f"it is version {seeds.seeds.version}, and there is version {newest.seeds.version}"
    if seeds.digest != newest.digest:
        return f"it is another version {seeds.seeds.version}: two were signed"
    if seeds.is_expired(good_until):
        return f"it ends on {day(seeds.seeds.expires)}: meshnode seeds sign"
    return ""
