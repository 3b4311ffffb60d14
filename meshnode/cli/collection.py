"""`collection`: what is said of all items of one collection: its title, licence, providers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.signing import (
    CatalogueOption,
    DryRunOption,
    OfflineOption,
    RestoredOption,
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
)
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.maintainer.publishing import Draft

app = typer.Typer(help="Describe collections: title, licence, providers.", no_args_is_help=True)

DocumentsArgument = Annotated[
    list[Path], typer.Argument(help="STAC Collection documents, as JSON files.")
]


@app.command()
def add(
    home: HomeOption,
    documents: DocumentsArgument,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish STAC Collection documents; items may follow later.

    The structure and the licence (an SPDX expression) are checked first, without a network. A
    document stays byte for byte as given.

    Example:

      meshnode collection add orthoimagery.json --dry-run
    """
    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    _say(_sign(how, documents, replaces=False), as_json=as_json)


@app.command()
def replace(
    home: HomeOption,
    documents: DocumentsArgument,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put new documents in the place of published ones. The items stay as they are.

    Example:

      meshnode collection replace orthoimagery.json
    """
    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    _say(_sign(how, documents, replaces=True), as_json=as_json)


@app.command("list")
def list_(
    home: HomeOption,
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Only collections in whose id, titles or text these words stand."),
    ] = None,
    catalogue: Annotated[
        list[str] | None,
        typer.Option("--catalogue", help="Only these catalogues, by id (repeatable)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the collections of all followed catalogues.

    Examples:

      meshnode collection list

      meshnode collection list orthoimagery yukon
    """

    async def ask() -> list[Message]:
        async with reach(home) as control:
            wanted = {"catalogues": catalogue or [], "words": words or []}
            return list((await control.ask("collections", **wanted))["collections"])

    found = run_async(ask)
    if as_json:
        print_json(found)
        return
    for each in found:
        out.print(Text(each["collection"], "bold"))
        if title := title_in(each["titles"]):
            out.print(Text(f"  {title}"))
        items, licence = counted(each["items"], "item"), each["licence"] or "no licence said"
        out.print(Text(f"  {items}, {licence}; {each['catalogue_title'] or each['catalogue']}"))
    if not found:
        out.print("no collection is called like this" if words else "no collection is here yet")
        err.print("next: meshnode status says whether there is more to fetch")


@app.command()
def show(
    home: HomeOption,
    collection: Annotated[str, typer.Argument(help="The collection's id.")],
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", help="The catalogue, by id, where several have it.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the exact bytes published.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a collection's document says.

    Examples:

      meshnode collection show ca-yt-orthoimagery

      meshnode collection show ca-yt-orthoimagery --raw > collection.json
    """

    async def ask() -> Message:
        async with reach(home) as control:
            where = {"catalogue": catalogue} if catalogue else {}
            return await control.ask("collection", collection=collection, **where)

    found = run_async(ask)
    if raw:
        sys.stdout.write(found["document"])
    elif as_json:
        print_json(found)
    else:
        _print_collection(found)


def title_in(titles: dict[str, str]) -> str:
    """Return the title in the reader's language (LC_ALL, LC_MESSAGES, LANG), else any."""
    names = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    language = next(filter(None, names), "")[:2].lower()
    return titles.get(language) or next(iter(titles.values()), "")


def _sign(how: Signing, paths: list[Path], *, replaces: bool) -> Message:
    """Sign an entry for each document that is not in force already."""
    from meshnode.runtime.datasets.collection import checked, licence_problem, read_document

    documents = dict(map(read_document, paths))
    doubts = {name: licence_problem(checked(raw)) for name, raw in documents.items()}

    async def work() -> Message:
        from meshnode.runtime.maintainer.staging import stage_collection, staged_in

        async with how.session() as session:
            state = await session.state()
            new = {
                name: raw
                for name, raw in documents.items()
                if _is_new(name, raw, state["collections"].get(name), replaces=replaces)
            }
            staging = session.publisher.staging
            drafts: list[Draft] = [stage_collection(staging, *each) for each in new.items()]
            published = bool(drafts) and not how.dry_run
            if published:
                await session.publish(state, drafts, staged_in(staging))
            return {
                "catalogue": how.institution.text,
                "name": how.institution.name,
                "collections": list(new),
                "same": [name for name in documents if name not in new],
                "entries": len(drafts),
                "warnings": [f"{name}: {each.reason}" for name, each in doubts.items() if each],
                "published": published,
            }

    return run_async(work)


def _is_new(name: str, raw: bytes, held: str | None, *, replaces: bool) -> bool:
    """Say whether a document is to be signed; `held` is the SHA-256 of the one in force.

    Raises:
        UsageError: there is another one, and it is not to be replaced; or there is none to replace.
    """
    from meshnode.core.identifiers import sha256

    if held == sha256(raw).hex():
        return False
    if held is None and replaces:
        raise UsageError(f"no document of {name!r} is published", hint="meshnode collection add")
    if held is not None and not replaces:
        raise UsageError(
            f"another document of {name!r} is published",
            hint=f"look at it: meshnode collection show {name}; then: meshnode collection replace",
        )
    return True


def _say(done: Message, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    for warning in done["warnings"]:
        print_labelled("note", warning, "yellow", err)
    for name in done["same"]:
        out.print(Text(f"{name}: published already, byte for byte"))
    if done["published"]:
        out.print(Text(f"published in {done['name']}: {', '.join(done['collections'])}"))
    elif done["entries"]:
        entries = counted(done["entries"], "entry", "entries")
        names = ", ".join(done["collections"])
        out.print(Text(f"not published: {names}; {entries} would be signed in {done['name']}"))


def _print_collection(found: Message) -> None:
    out.print(Text(found["collection"], "bold"))
    for title in found["titles"].values():
        out.print(Text(title))
    if found["description"]:
        out.print(Text(found["description"]))
    first, last = found["interval"]
    spans = f"{(first or '..')[:10]} to {(last or '..')[:10]}" if first or last else "open"
    print_fields(
        licence=" ".join(filter(None, (found["licence"], found["licence_url"]))) or "not said",
        providers="\n".join(_provider(each) for each in found["providers"]) or "not said",
        keywords=", ".join(found["keywords"]),
        place=", ".join(map(str, found["bbox"])),
        time=spans,
        catalogue=f"{found['catalogue_title']}\n{found['catalogue']}",
        object=found["object"],
    )


def _provider(provider: Message) -> str:
    roles = ", ".join(provider["roles"])
    return f"{provider['name']} ({roles})" if roles else str(provider["name"])
