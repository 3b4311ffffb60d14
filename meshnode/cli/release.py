"""`release`, `versions`: versions of a dataset, which never change once they are signed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.collection import title_in
from meshnode.cli.naming import payload_named
from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.payload_text import print_payload
from meshnode.cli.signing import (
    CatalogueOption,
    DryRunOption,
    OfflineOption,
    RestoredOption,
    Session,
    Signing,
)
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    err,
    out,
    print_fields,
    print_json,
    print_labelled,
    run_async,
    short,
    size_text,
)
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.entries import Blueprint
    from meshnode.core.identifiers import Digest
    from meshnode.core.releases import Releases

app = typer.Typer(help="Make versions of datasets, with their DOIs.", no_args_is_help=True)
listing = typer.Typer()

FilterOption = Annotated[
    str | None, typer.Option("--catalogue", help="Only this catalogue, by id.")
]


@app.callback()
def release() -> None:
    """Make versions of datasets, with their DOIs."""


@app.command()
def create(
    home: HomeOption,
    collection: Annotated[str, typer.Option(help="The collection that it is a version of.")],
    version: Annotated[str, typer.Option(help="What this version is called, such as 2021.1.")],
    payload: Annotated[
        list[str] | None,
        typer.Option(help="Key of a payload that belongs to it, or how it begins (repeatable)."),
    ] = None,
    doi: Annotated[
        str | None, typer.Option(help="The DOI that is registered for exactly this version.")
    ] = None,
    supersedes: Annotated[
        str | None,
        typer.Option(help="The version before it: its version, doi:… or bafkrei… name."),
    ] = None,
    blueprint: Annotated[
        Path | None,
        typer.Option(help="Folder of the blueprint that it was built by, published as a payload."),
    ] = None,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a release: these payloads are this version, for good.

    A version or a DOI that has other content already is refused. What is released never changes:
    something better is another release, which supersedes it.

    Example:

      meshnode release create --collection ca-yt-orthoimagery --version 2019.1
        --payload 1a9a0dac02abf7d4 --doi 10.5072/yukon-2019 --dry-run
    """
    from meshnode.core.dois import parse_doi
    from meshnode.runtime.maintainer.releasing import Naming, known_releases, release_draft
    from meshnode.runtime.maintainer.staging import staged_in

    doi = parse_doi(doi) if doi else None
    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )

    async def work() -> Message:
        async with how.session() as session:
            state = await session.state()
            if collection not in state["collections"]:
                raise UsageError(
                    f"no collection {collection!r} is published in {how.institution.name}",
                    hint="meshnode collection add FILE",
                )
            there = await session.payloads(collection)
            payloads = sorted({payload_named(there, text)["key"] for text in payload or []})
            naming = Naming(
                collection,
                version,
                doi,
                tuple(_digest(each) for each in payloads),
                supersedes,
                _blueprint(session, collection, blueprint, there) if blueprint else None,
            )
            said = await session.control.ask("release_entries", catalogue=how.institution.text)
            known = known_releases(said)
            draft = release_draft(naming, known)
            if draft is not None and not dry_run:
                await session.publish(state, [draft], staged_in(session.publisher.staging))
            return {
                "catalogue": how.institution.text,
                "name": how.institution.name,
                "collection": collection,
                "version": version,
                "doi": doi,
                "supersedes": supersedes,
                "payloads": payloads,
                "blueprint": naming.blueprint.sources.hex() if naming.blueprint else None,
                "newest": _newest(known, collection, version),
                "is_new": draft is not None,
                "published": draft is not None and not dry_run,
            }

    done = run_async(work)
    if as_json:
        print_json(done)
    else:
        _say(done)


@listing.command(rich_help_panel="Use")
def versions(
    home: HomeOption,
    collection: Annotated[str, typer.Argument(help="The collection's id.")],
    catalogue: FilterOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the releases of a collection: what follows what, and what is in conflict.

    Example:

      meshnode versions ca-yt-orthoimagery
    """

    async def ask() -> list[Message]:
        async with reach(home) as control:
            wanted = {"catalogues": [catalogue] if catalogue else [], "collection": collection}
            return list((await control.ask("releases", **wanted))["releases"])

    found = run_async(ask)
    if as_json:
        print_json(found)
        return
    for each in found:
        _print_version(each)
    if not found:
        out.print(Text(f"no release of {collection} is known here"))
        err.print("next: meshnode collection list says which collections there are")


def print_release(found: Message) -> None:
    """Show one release with all that is known of it."""
    heading = f"{found['collection']} {found['version']}"
    out.print(Text(heading, "bold"))
    if title := title_in(found["collection_titles"]):
        out.print(Text(title))
    former, label = found["predecessor"], "not known here"
    print_fields(
        doi=found["doi"] or "",
        released=day(found["issued"]),
        supersedes=_named(former) if former else label if found["supersedes"] else "",
        superseded=", ".join(f"by {_named(each)}" for each in found["successors"]),
        catalogue=f"{found['catalogue_title']}\n{found['catalogue']}",
        signed_by=f"{found['writer']}, clock {found['clock']}",
        blueprint=f"payload:{found['blueprint']['sources']}" if found["blueprint"] else "",
        release=found["release"],
    )
    _print_conflicts(found)
    out.print("\npayloads", style="bold")
    for payload in found["payloads"]:
        print_payload(payload)
    if not found["payloads"]:
        out.print("  none: it is a version of the items alone")


def version_line(release: Message) -> str:
    """Return version, DOI and standing of a release in one line."""
    notes = "" if release["is_newest"] else ", superseded"
    notes += ", in conflict" if release["conflicts"] else ""
    return f"{_named(release)}{notes}"


def day(unix: int | None) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d") if unix is not None else ""


def _blueprint(session: Session, collection: str, folder: Path, there: list[Message]) -> Blueprint:
    """Return what the release says of its blueprint, whose payload must be among those `there`."""
    from meshnode.runtime.maintainer.blueprints.releasing import staged_blueprint

    blueprint = staged_blueprint(session.publisher.staging, folder)
    if all(each["key"] != blueprint.sources.hex() for each in there):
        raise UsageError(
            f"the blueprint {folder} is not published in {collection!r}",
            hint=f"meshnode payload add {folder} --collection {collection}",
        )
    return blueprint


def _digest(key: str) -> Digest:
    from meshnode.core.identifiers import Digest

    return Digest(bytes.fromhex(key))


def _newest(known: Releases, collection: str, version: str) -> list[str]:
    """Return the versions beside this one that nothing supersedes, before it is made."""
    found = known.newest(collection)
    return [each.entry.version for each in found if each.entry.version != version]


def _say(done: Message) -> None:
    what = f"release {done['version']} of {done['collection']}"
    number = counted(len(done["payloads"]), "payload")
    doi = f", doi {done['doi']}" if done["doi"] else ""
    if not done["is_new"]:
        out.print(Text(f"known already: {what}{doi}, {number}"))
        return
    if done["published"]:
        out.print(Text(f"released in {done['name']}: {what}{doi}, {number}"))
    else:
        out.print(Text(f"not signed: {what}{doi}, {number}; 1 entry would be signed"))
        for key in done["payloads"]:
            out.print(Text(f"  payload {key}"))
    if not done["supersedes"] and done["newest"]:
        others = ", ".join(done["newest"])
        text = f"it does not supersede {others}: --supersedes would say so"
        print_labelled("note", text, "yellow", err)


def _print_version(found: Message) -> None:
    newest = "" if found["successors"] else "  newest"
    size = sum(each.get("size_bytes", 0) for each in found["payloads"])
    out.print(Text(found["version"], "bold").append(newest, "not bold green"))
    payloads = counted(len(found["payloads"]), "payload")
    about = (day(found["issued"]), f"{payloads}, {size_text(size)}")
    out.print(Text("  " + "  ".join(filter(None, about))))
    if found["doi"]:
        out.print(Text(f"  doi:{found['doi']}"))
    if found["predecessor"]:
        out.print(Text(f"  supersedes {_named(found['predecessor'])}"))
    _print_conflicts(found)


def _print_conflicts(found: Message) -> None:
    for rival in found["conflicts"]:
        text = f"{_named(rival)}, {short(rival['release'])}, says something else by this name"
        print_labelled("CONFLICT", text, "yellow", out)


def _named(release: Message) -> str:
    doi = f" (doi:{release['doi']})" if release["doi"] else ""
    return f"{release['version']}{doi}"
