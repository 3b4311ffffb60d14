"""`follow https://…`: catalogues of a static mirror, and the mirror itself as a source."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from meshnode import config as configuration
from meshnode.cli.access import reach, running
from meshnode.cli.config import with_setting
from meshnode.cli.terminal import err, out, print_json, run_async
from meshnode.control import Message, NotRunningError
from meshnode.errors import UsageError

_SETTING = "static_mirrors.urls"


def is_address(text: str) -> bool:
    """Say whether this names a static mirror, and no catalogue."""
    return text.startswith(("https://", "http://"))


def follow_mirror(
    home: Path, url: str, only: list[str] | None, *, yes: bool, as_json: bool
) -> None:
    """Show what a mirror has, follow it on confirmation, and read the mirror from now on."""
    found = run_async(lambda: _look(home, url, only))
    wanted = nonempty(found)
    if not as_json:
        show_catalogues(f"static mirror {found['url']}", wanted)
    if not (yes or only):
        confirm(len(wanted))
    _remember(home, found["url"], is_read=True)
    is_running = run_async(lambda: _follow(home, found["url"], wanted))
    if as_json:
        print_json({"mirror": found["url"], "followed": [each["id"] for each in wanted]})
    else:
        out.print("followed" if is_running else "followed; it is read by: [bold]meshnode run[/]")


def unfollow_mirror(home: Path, url: str, *, as_json: bool) -> None:
    """Read a mirror no longer; the catalogues stay followed."""
    from meshnode.runtime.static_mirror.shelves import folder_url

    name = folder_url(url)
    was_read = _remember(home, name, is_read=False)

    async def tell() -> None:
        try:
            control = await running(home)
        except NotRunningError:
            return
        await control.ask("mirror_unfollow", url=name)

    run_async(tell)
    if not was_read:
        raise UsageError(f"{name} is not read by this peer", hint="meshnode status")
    if as_json:
        print_json({"unfollowed": name})
    else:
        out.print(f"done: {name} is not read any more; its catalogues stay followed")


async def _look(home: Path, url: str, only: list[str] | None) -> Message:
    settings = configuration.load(home / configuration.FILE_NAME).static_mirrors
    allow_local = settings.allow_local_addresses
    async with reach(home) as control:
        return await control.ask("mirror_look", url=url, allow_local=allow_local, only=only or [])


def nonempty(found: Message) -> list[dict[str, Any]]:
    """Return the catalogues that were found; raises UsageError: there is none."""
    catalogues: list[dict[str, Any]] = found["catalogues"]
    if not catalogues:
        raise UsageError("this mirror is empty", hint="its maker runs: meshnode static export")
    return catalogues


def show_catalogues(where: str, catalogues: list[dict[str, Any]]) -> None:
    """Show what a mirror has: titles, and the ids that a person can compare."""
    out.print(Text(where))
    for each in catalogues:
        domain = f" ({each['domain']}, which nobody has checked)" if each["domain"] else ""
        out.print(Text(f"  {each['title']}{domain}", "bold"))
        out.print(Text(f"  {each['id']}"))


def confirm(number: int) -> None:
    """Let a person compare the ids with those he has from somebody he trusts."""
    what = "this catalogue" if number == 1 else f"these {number} catalogues"
    if not sys.stdin.isatty():
        raise UsageError(
            f"nobody is there to confirm {what}",
            hint="compare the ids, then add --yes, or --only ID",
        )
    err.print("An id says whose catalogue it is: compare it with one that you have from them.")
    if not typer.confirm(f"follow {what}?", err=True):
        raise UsageError("nothing is followed", hint="ask the institution for its id")


def _remember(home: Path, url: str, *, is_read: bool) -> bool:
    """Write into the settings whether a mirror is read; return whether it was before."""
    from meshnode.runtime.files import write_durably

    path = home / configuration.FILE_NAME
    settings = configuration.load(path)
    before = settings.static_mirrors.urls
    if (url in before) != is_read:
        urls = [*before, url] if is_read else [each for each in before if each != url]
        changed = with_setting(settings, _SETTING, urls or [""])
        write_durably(path, configuration.to_toml(changed).encode())
    return url in before


async def _follow(home: Path, url: str, catalogues: list[dict[str, Any]]) -> bool:
    """Follow these; return whether a peer runs that reads the mirror now."""
    async with reach(home) as control:
        is_running = bool((await control.ask("ping"))["online"])
        for each in catalogues:
            await control.ask("follow", catalogue=each["id"], roots=each["roots"])
        if is_running:
            await control.ask("mirror_follow", url=url)
    return is_running
