"""`cite`: a release as people, LaTeX, reference managers and DataCite write it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.collection import title_in
from meshnode.cli.naming import release_named, required_name
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async
from meshnode.control import Control, Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.datasets.citation import Cited
    from meshnode.runtime.datasets.collection import CollectionDocument

app = typer.Typer()


class Style(StrEnum):
    """What a citation is written as."""

    TEXT = "text"
    BIBTEX = "bibtex"
    CSL = "csl"
    DATACITE = "datacite"


@app.command(rich_help_panel="Use")
def cite(
    home: HomeOption,
    release: Annotated[
        str, typer.Argument(help="doi:…, release:COLLECTION@VERSION, or release:bafkrei….")
    ],
    style: Annotated[
        Style, typer.Option("--format", help="How the citation is written.")
    ] = Style.TEXT,
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", help="Only this catalogue, by id.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Cite a release: as text, BibTeX, CSL-JSON, or the metadata that DataCite registers.

    Who made it, its title and its licence are those of the collection's document; the year is that
    of the signature. --json gives the citation in all four forms.

    Examples:

      meshnode cite doi:10.5072/yukon-2019

      meshnode cite release:ca-yt-orthoimagery@2019.1 --format bibtex >> data.bib
    """
    name = required_name(release)

    async def ask() -> Cited:
        async with reach(home) as control:
            found = await release_named(control, name, [catalogue] if catalogue else [])
            return _cited(found, await _document(control, found))

    forms = _forms(run_async(ask))
    if as_json:
        print_json(forms)
    else:
        form = forms[style.value]
        is_text = isinstance(form, str)
        out.print(Text(form if is_text else json.dumps(form, ensure_ascii=False, indent=2)))


async def _document(control: Control, found: Message) -> CollectionDocument:
    """Return what the collection's document says; nothing if it is not here."""
    from meshnode.runtime.datasets.collection import understood

    where = {"collection": found["collection"], "catalogue": found["catalogue"]}
    try:
        raw = (await control.ask("collection", **where))["document"].encode()
    except UsageError:
        raw = b""
    return understood(raw, found["collection"])


def _cited(found: Message, document: CollectionDocument) -> Cited:
    from meshnode.runtime.datasets.citation import Cited, day_of

    former = found["predecessor"]
    return Cited(
        document=document,
        title=" ".join((title_in(dict(document.titles)) or document.id).split()),
        publisher=found["catalogue_title"] or found["catalogue"],
        version=found["version"],
        doi=found["doi"],
        released=day_of(found["issued"]),
        name=found["release"],
        size_bytes=sum(each.get("size_bytes", 0) for each in found["payloads"]),
        former=(former["doi"],) if former and former["doi"] else (),
        later=tuple(each["doi"] for each in found["successors"] if each["doi"]),
    )


def _forms(cited: Cited) -> Message:
    from meshnode.runtime.datasets.citation import bibtex, csl, datacite, text

    return {
        "text": text(cited),
        "bibtex": bibtex(cited),
        "csl": [csl(cited)],
        "datacite": datacite(cited),
    }
