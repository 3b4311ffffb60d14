"""What an action is asked with: JSON checked before anything is done."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator

from meshnode.control import Message
from meshnode.core.identifiers import CatalogueId, Digest, parse_catalogue


class Arguments(BaseModel):
    """The arguments of one action; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


# What performs an action: the peer, then the checked arguments.
Action = tuple[type[Arguments], Callable[[Any, Any], AsyncGenerator[Message, None]]]


class Nothing(Arguments):
    """The action takes no arguments."""


def _catalogue(value: object) -> CatalogueId:
    if not isinstance(value, str):
        raise ValueError("a catalogue id is text")
    return parse_catalogue(value)


def _from_hex(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("bytes are given as hexadecimal text")
    return bytes.fromhex(value)


def _digest(value: bytes) -> Digest:
    if len(value) != 32:
        raise ValueError("a digest has 32 bytes")
    return Digest(value)


Catalogue = Annotated[CatalogueId, PlainValidator(_catalogue)]
Hex = Annotated[bytes, PlainValidator(_from_hex)]
HexDigest = Annotated[Digest, PlainValidator(_from_hex), AfterValidator(_digest)]
