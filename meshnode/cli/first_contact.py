"""What a person is shown of an institution that he does not know yet: its seed list, its domain."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from meshnode.cli.terminal import counted, cut_line, out, print_labelled
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.seed_files import SeedList
    from meshnode.runtime.joining.domain_book import Domain

SHOWN_MAX = 10  # of each kind of name; --json gives all
INDENT = "  "

_WORDS = {
    "seen": ("seen, it names this catalogue", "green"),
    "not seen": ("not seen, its site says nothing of this catalogue", "yellow"),
    "contradicted": ("CONTRADICTED, its site names other catalogues", "red bold"),
    "none": ("the root names no domain", "yellow"),
}

SeedsArgument = Annotated[str, typer.Argument(help="Web address or path of a seed file.")]


async def read_list(source: str) -> tuple[SeedList, str | None]:
    """Fetch or read a seed file and verify it; return its list, and the address if it has one.

    Raises:
        UsageError: there is no such file.
        PeerError: it cannot be had, or is not authentic.
    """
    from meshnode.core.limits import SEED_FILE_BYTES_MAX
    from meshnode.runtime.joining.documents import fetch, is_local
    from meshnode.runtime.joining.first_contacts import read_seeds

    if "://" in source:
        # A person named the address: it may lie in his own network.
        document = await fetch(source, SEED_FILE_BYTES_MAX, allow_local=await is_local(source))
        return read_seeds(document.body or b"", source), source
    return read_seeds(_read(Path(source), SEED_FILE_BYTES_MAX), source), None


def said_of_list(seeds: SeedList) -> dict[str, Any]:
    """Return a list for programs. Times are unix seconds."""
    from meshnode.core.domains import domain_of
    from meshnode.core.identifiers import catalogue_text
    from meshnode.runtime.joining.contact_addresses import address_texts

    said, root = seeds.seeds, seeds.chain.current
    return {
        "catalogue": catalogue_text(said.catalogue),
        "title": str(root.meta.get("title", "")),
        "domain": domain_of(root),
        "contact": str(root.meta.get("contact", "")),
        "root_version": root.version,
        "signer": seeds.signer.kid.hex(),
        "version": said.version,
        "issued": said.issued,
        "expires": said.expires,
        "peers": list(address_texts(said)),
        "mirrors": list(said.mirrors),
        "catalogues": [
            {"id": catalogue_text(listed.catalogue), "title": listed.title}
            for listed in said.catalogues
        ],
    }


def show_list(seeds: SeedList, domain: Domain | None = None) -> None:
    """Print who speaks, then what the list says; fits 80 columns but for addresses."""
    said = said_of_list(seeds)
    out.print(Text(said["title"] or "(an institution without a title)", style="bold"))
    _field("fingerprint", said["catalogue"])
    if domain is None:
        _field("domain", said["domain"] or "none")
    else:
        _show_domain(domain)
    _field("contact", said["contact"])
    _field("signed", f"{day(said['issued'])} by {seeds.signer.label} ({said['signer'][:16]})")
    _field("list", f"version {said['version']}, good until {day(said['expires'])}")
    _names("peers", said["peers"])
    _names("mirrors", said["mirrors"])
    _names("catalogues", [f"{each['title']}\n{each['id']}" for each in said["catalogues"]])


def _show_domain(domain: Domain) -> None:
    """Print whether the domain of an institution and its catalogue name each other."""
    text, style = _WORDS[domain.binding.value]
    print_labelled(f"{INDENT}{'domain':<13}{domain.name or 'none'}:", text, style, out)
    if domain.name and domain.reason:
        out.print(cut_line(f"{INDENT}{'':<13}({domain.reason})"))


def _read(path: Path, size_bytes_max: int) -> bytes:
    """Return a file's bytes, one more than the limit at most: whoever reads them refuses more."""
    try:
        with path.open("rb") as file:
            return file.read(size_bytes_max + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", hint="name a file, or an https address"
        ) from error


def _field(name: str, text: str) -> None:
    if text:
        out.print(cut_line(f"{INDENT}{name:<13}{text}"))


def _names(name: str, texts: list[str]) -> None:
    _field(name, counted(len(texts), name[:-1]) if texts else "none")
    for text in texts[:SHOWN_MAX]:
        for line in text.split("\n"):
            out.print(cut_line(f"{INDENT * 2}{line}"))
    if len(texts) > SHOWN_MAX:
        out.print(f"{INDENT * 2}… and {len(texts) - SHOWN_MAX} more")


def day(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d")
