"""Notices: what travels on the statements topic beside heads (protocol/02-records.md).

A notice says which catalogue a signed record is about: a root names only the root before it. Owns
the record alone; whether what it carries counts is decided by `trust` and `purges`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.identifiers import CatalogueId
from meshnode.core.limits import NOTICE_BYTES_MAX
from meshnode.core.purges import decode_purge
from meshnode.core.roots import decode_root
from meshnode.core.signed import ENVELOPE, Signed, decode_signed

_BEGINNING: Final = encode(["notice", 1, 0, 0])[:8]  # no announcement begins like this


@dataclass(frozen=True, slots=True)
class Notice:
    """A signed root or a signed purge of a catalogue; nobody signs the notice itself."""

    catalogue: CatalogueId
    signed: Signed

    @property
    def version(self) -> int:
        """Return that of the root, or of the root that a purge is by."""
        if self.signed.kind == "purge":
            return decode_purge(self.signed.payload).root_version
        return decode_root(self.signed.payload).version


def is_notice(raw: bytes) -> bool:
    """Say whether a gossiped message is meant as a notice, and not as an announcement."""
    return raw.startswith(_BEGINNING)


def encode_notice(notice: Notice) -> bytes:
    return encode(_NOTICE.write(notice))


def notice_of(catalogue: CatalogueId, raw: bytes) -> bytes:
    """Return the notice of a signed record that was checked before."""
    return encode_notice(Notice(catalogue, decode_signed(raw, NOTICE_BYTES_MAX)))


def decode_notice(raw: bytes) -> Notice:
    """Raises MalformedRecordError: not a notice of a root or purge."""
    return _NOTICE.read(decode(raw, NOTICE_BYTES_MAX))


def _check_notice(notice: Notice) -> None:
    if notice.signed.kind == "purge":
        named = decode_purge(notice.signed.payload).catalogue
        shapes.require(named == notice.catalogue, "the purge is another catalogue's")
    else:
        decode_root(notice.signed.payload)


_NOTICE = shapes.Layout("notice", 1, Notice, (shapes.digest, ENVELOPE), _check_notice)
