"""`log`, `explain`, `verify`: what was signed, by whom, and whether it still is what it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.catalogue import CatalogueArgument, identifier, only_followed
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    cut_line,
    out,
    print_json,
    run_async,
)
from meshnode.control import Message
from meshnode.errors import PeerError

if TYPE_CHECKING:
    from meshnode.core.receipts import Step

STEPS_MAX = 1_000_000

app = typer.Typer()


@app.command(rich_help_panel="Catalogues")
def log(
    home: HomeOption,
    catalogue: Annotated[
        str | None,
        typer.Argument(help="Catalogue id, or name of one made here; needed if several are known."),
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Only what changed this collection.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=STEPS_MAX, help="Most signatures to show, the newest.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show a catalogue's history: who signed, when, and what it changed; the newest first.

    With --json each signature is one line.

    Examples:

      meshnode log

      meshnode log yukon --collection ca-yt-orthoimagery --json | head -1
    """
    named = identifier(home, catalogue) if catalogue else None
    wanted: Message = {"limit": limit} | ({"collection": collection} if collection else {})

    async def show() -> None:
        async with reach(home) as control:
            wanted["catalogue"] = named or await only_followed(control)
            async with aclosing(control.follow("history", **wanted)) as messages:
                async for message in messages:
                    if step := message.get("event", {}).get("step"):
                        _show_step(step, as_json=as_json)
            if as_json:
                return
            if (older := message["result"]["steps"] - limit) > 0:
                out.print(f"and {older} older: --limit {limit + older} shows them")
            for begun in message["result"]["snapshots"]:
                out.print(
                    f"{begun['label']}: this peer began with a snapshot, which lists"
                    f" {begun['listed']} of the first {begun['entries']} entries; their steps are"
                    " not here"
                )

    run_async(show)


@app.command(rich_help_panel="Catalogues")
def explain(
    home: HomeOption,
    catalogue: CatalogueArgument,
    collection: Annotated[str, typer.Argument(help="The item's collection.")],
    item: Annotated[str, typer.Argument(help="The item's id.")],
    as_json: JsonOption = False,
) -> None:
    """Walk from an item to the institution that signed it, and check each step anew.

    item, segment, entry, inclusion proof, head, root, catalogue. The exit status is 1 if a step
    fails.

    Example:

      meshnode explain yukon ca-yt-orthoimagery ca-yt_whitehorse-2019
    """
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.runtime.verification.evidence import examine

    text = identifier(home, catalogue)

    async def ask() -> Message:
        async with reach(home) as control:
            where = {"catalogue": text, "collection": collection, "item": item}
            return await control.ask("evidence", **where)

    evidence = run_async(ask)
    steps = list(examine(evidence, parse_catalogue(text), collection, item))
    if as_json:
        print_json({"catalogue": text, "steps": _steps_said(steps), "evidence": evidence})
    else:
        _print_steps(steps)
    if failing := [step.name for step in steps if step.fault]:
        raise PeerError(
            f"the item is not shown to be signed: {', '.join(failing)}",
            hint="meshnode verify says what of this data directory is damaged",
        )


@app.command(rich_help_panel="Peer")
def verify(
    home: HomeOption,
    export: Annotated[
        Path | None,
        typer.Argument(
            help="An export, a static mirror, or the proof of an item to check; without it the data"
            " directory alone."
        ),
    ] = None,
    trusted: Annotated[
        list[str] | None,
        typer.Option(
            "--catalogue",
            help="A catalogue that you trust: its proofs hold. Without it those that are followed.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything anew from its bytes: roots, heads, entries, objects, segments, an export.

    A static mirror is checked alone, without a data directory. So is the proof of an item, as the
    STAC API gives it, where --catalogue says whom you trust. Reads the disk and nothing else, also
    while the peer runs, and changes nothing. Each damaged thing is named. The exit status is 1 if
    there is any.

    Examples:

      meshnode verify

      meshnode verify items.ndjson

      meshnode verify /var/www/mesh

      meshnode verify ca-yt_whitehorse-2019.proof.zip --catalogue bafyrei…
    """
    if export is not None and _is_proof(export):
        _verify_proof(home, export, trusted or [], as_json=as_json)
        return
    from meshnode.runtime.home import Home
    from meshnode.runtime.verification.exports import verify_export
    from meshnode.runtime.verification.reports import Report
    from meshnode.runtime.verification.static_mirrors import is_static_mirror, verify_static_mirror
    from meshnode.runtime.verification.stores import verify_store

    layout = Home(home)
    is_mirror = export is not None and is_static_mirror(export)

    async def check() -> Report:
        if export is not None and is_mirror:
            return await verify_static_mirror(export)
        return await (verify_export(layout, export) if export else verify_store(layout))

    report = run_async(check)
    numbers = {
        name: getattr(report, name)
        for name in (
            *("catalogues", "roots", "heads", "entries"),
            *("objects", "segments", "items", "missing"),
        )
    }
    if as_json:
        faults = [
            {"check": fault.check, "where": fault.where, "reason": fault.reason}
            for fault in report.faults
        ]
        print_json({"home": str(home), "export": str(export or ""), **numbers, "faults": faults})
    else:
        for fault in report.faults:
            out.print(Text(f"{fault.check}: {fault.where}\n    {fault.reason}", "red"))
        logs = ("catalogue", report.catalogues), ("root", report.roots), ("head", report.heads)
        said = [counted(number, noun) for noun, number in logs]
        out.print(", ".join([*said, counted(report.entries, "entry", "entries")]))
        said = [counted(report.objects, "object"), counted(report.segments, "segment")]
        where = f" of {export}" if export else ""
        out.print(Text(", ".join([*said, counted(report.items, "item")]) + where))
        if report.missing:
            where = "not in it" if is_mirror else "not here yet: a running peer fetches them"
            out.print(f"{counted(report.missing, 'object')} {where}")
        if not report.faults:
            out.print("[green]all of it is what was signed[/]")
    if report.faults:
        number = len(report.faults)
        raise PeerError(
            f"{number} thing{' is' if number == 1 else 's are'} not what was signed",
            hint="a damaged object is fetched again at the next start; a damaged export is not"
            " to be passed on",
        )


def _is_proof(path: Path) -> bool:
    from meshnode.runtime.verification.proofs import is_proof

    return is_proof(path)


def _verify_proof(home: Path, path: Path, trusted: list[str], *, as_json: bool) -> None:
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.runtime.home import Home
    from meshnode.runtime.verification.proofs import Verdict, pinned_in, verify_proof

    async def check() -> Verdict:
        named = [parse_catalogue(identifier(home, each)) for each in trusted]
        return await verify_proof(path, named or pinned_in(Home(home)))

    found = run_async(check)
    if as_json:
        named = {"catalogue": found.catalogue, "collection": found.collection, "item": found.item}
        print_json({**named, "steps": _steps_said(found.steps)})
    else:
        out.print(Text(f"{found.item} of {found.collection}", "bold"))
        _print_steps(found.steps)
    if found.failing:
        raise PeerError(
            f"the item is not shown to be signed: {', '.join(found.failing)}",
            hint="name a catalogue that you trust with --catalogue; its id tells it apart",
        )


def _steps_said(steps: Sequence[Step]) -> list[dict[str, str]]:
    return [
        {"step": step.name, "says": step.says, "check": step.check, "fault": step.fault}
        for step in steps
    ]


def _print_steps(steps: Sequence[Step]) -> None:
    for step in steps:
        out.print(Text(f"{step.name:<10}{step.says}"))
        mark = Text("FAILS", "red bold") if step.fault else Text("holds", "green")
        out.print(Text(f"{'':10}").append(mark).append(f"  {step.fault or step.check}"))


def _show_step(step: Message, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(step, ensure_ascii=False) + "\n")
        return
    when = _time_text(step["time"])
    signer = f"{step['label']} ({step['writer'][:16]}…)" if "writer" in step else "root keys"
    out.print(Text(f"{when}  {step['kind']} {step['seq']}  ").append(signer, "bold"))
    if step.get("disputed"):
        named = f"there is another history since; this is head {step['head'][:16]}…"
        out.print(Text(f"    DISPUTED: {named}", "yellow"))
    if step.get("next_by"):
        out.print(f"    promises the next head by {_time_text(step['next_by'])}")
    if step.get("snapshot"):
        out.print(f"    begins the snapshot of the first {step['snapshot']} entries")
    for change in step["changes"]:
        void = "" if change.get("counts", True) else "(does not count) "
        out.print(cut_line(f"    {void}{change['says']}"))


def _time_text(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
