"""An institution's seed list: drafted as TOML, signed by a writer, packed with the roots.

The draft is for people: to be edited, kept under version control, and signed anew before a list
ends. What is signed last is kept beside the keys, so that versions rise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import key_id, parse_catalogue
from meshnode.core.limits import (
    NAME_BYTES_MAX,
    SEED_CATALOGUES_MAX,
    SEED_FILE_BYTES_MAX,
    SEED_MIRRORS_MAX,
    SEED_PEERS_MAX,
    URL_BYTES_MAX,
)
from meshnode.core.seed_files import SeedFile, SeedList, encode_seed_file, read_seed_list
from meshnode.core.seeds import SeedCatalogue, Seeds, decode_seeds, encode_seeds
from meshnode.core.signed import decode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.trust import RootChain
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import refused_by_disk, write_durably
from meshnode.runtime.joining.contact_addresses import binary_address
from meshnode.runtime.maintainer.institutions import Institution
from meshnode.runtime.maintainer.toml_files import Strict, read_toml

DAYS: Final = 90  # long enough to be away, short enough that a lost key does not speak for ever
DAYS_MAX: Final = 366
LAST_SIGNED: Final = "seeds.cbor"
_DAY_SECONDS: Final = 86_400
_PAGE: Final = "docs/joining.md"

Url = Annotated[str, Field(pattern=r"^https://", max_length=URL_BYTES_MAX)]


class Listed(Strict):
    """A catalogue that newcomers are told of."""

    id: str
    title: Annotated[str, Field(min_length=1, max_length=NAME_BYTES_MAX)]


class Draft(Strict):
    """What a list says, but for its version and times. `days`: how long it is good."""

    days: Annotated[int, Field(ge=1, le=DAYS_MAX)] = DAYS
    peers: Annotated[tuple[str, ...], Field(max_length=SEED_PEERS_MAX)] = ()
    mirrors: Annotated[tuple[Url, ...], Field(max_length=SEED_MIRRORS_MAX)] = ()
    catalogues: Annotated[tuple[Listed, ...], Field(max_length=SEED_CATALOGUES_MAX)] = ()


def read_draft(path: Path) -> Draft:
    """Raises UsageError: it cannot be read, or is no draft."""
    draft = read_toml(path, Draft, _PAGE)
    for peer in draft.peers:
        binary_address(peer)
    for listed in draft.catalogues:
        parse_catalogue(listed.id)
    if not draft.peers and not draft.mirrors:
        raise UsageError(f"{path} names neither a peer nor a mirror", hint="add one to `peers`")
    return draft


def write_draft(path: Path, draft: Draft, title: str) -> None:
    """Write a draft for people to edit.

    Raises:
        StorageError: there is such a file, or it cannot be written.
    """
    if path.exists():
        raise StorageError(f"there is {path} already", hint="name another file with --to")
    write_durably(path, _toml(draft, title).encode())


def sign_draft(
    draft: Draft, chain: RootChain, key: Ed25519PrivateKey, version: int, unix: int
) -> SeedList:
    """Sign a list as an open writer of the chain's catalogue, and pack it with the roots.

    Raises:
        UsageError: the writer may not sign, or the file would be too large.
    """
    writer = chain.writer(key_id(public_key(key)))
    if writer is None or writer.closed is not None:
        raise UsageError(
            "the writer key here is not an open writer of the catalogue",
            hint="meshnode writer list",
        )
    listed = tuple(SeedCatalogue(parse_catalogue(c.id), c.title) for c in draft.catalogues)
    peers = tuple(map(binary_address, draft.peers))
    expires = unix + draft.days * _DAY_SECONDS
    seeds = Seeds(chain.catalogue, version, unix, expires, peers, listed, tuple(draft.mirrors))
    payload = encode_seeds(seeds)
    try:
        decode_seeds(payload)
    except MalformedRecordError as error:
        raise UsageError(f"such a list breaks the rules: {error}", hint=_PAGE) from error
    roots = tuple(decode_signed(raw, SEED_FILE_BYTES_MAX) for raw in chain.raws)
    raw = encode_seed_file(SeedFile(roots, sign("seeds", payload, [key])))
    if len(raw) > SEED_FILE_BYTES_MAX:
        raise UsageError(f"the file would have {len(raw)} bytes; {SEED_FILE_BYTES_MAX} are read")
    return read_seed_list(raw)


def last_signed(institution: Institution) -> SeedList | None:
    """Return the list that was signed here last. Raises StorageError."""
    path = institution.directory / LAST_SIGNED
    try:
        return read_seed_list(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused_by_disk(f"cannot read {path}", error) from error


def keep_signed(institution: Institution, seeds: SeedList) -> None:
    """Remember a list before anybody gets it. Raises StorageError."""
    write_durably(institution.directory / LAST_SIGNED, seeds.raw)


def next_version(known: Sequence[SeedList | None]) -> int:
    """Return the version after those that are known."""
    return 1 + max((seeds.seeds.version for seeds in known if seeds is not None), default=0)


def _toml(draft: Draft, title: str) -> str:
    """Return the draft as text. A JSON string is a TOML basic string, but for DEL."""
    lines = [
        f"# First contacts of {' '.join(title.split())}. Edit, then: meshnode seeds sign",
        "# Days for which the signed list is good; sign it anew before they are over.",
        f"days = {draft.days}",
        "# Peers that newcomers call first: /dns4/HOST/tcp/PORT/p2p/PEER-ID, better three.",
        f"peers = {_list(draft.peers)}",
        "# https addresses of static mirrors.",
        f"mirrors = {_list(draft.mirrors)}",
        "",
        "# Catalogues that newcomers are told of.",
    ]
    for listed in draft.catalogues:
        lines += [
            "[[catalogues]]",
            f"id = {_text(listed.id)}",
            f"title = {_text(listed.title)}",
            "",
        ]
    return "\n".join(lines) + "\n"


def _list(texts: Sequence[str]) -> str:
    return "[" + "".join(f"\n  {_text(text)}," for text in texts) + ("\n]" if texts else "]")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
