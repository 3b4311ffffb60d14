"""How releases and payloads are named on the command line: `doi:`, `release:`, keys of payloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from meshnode.control import Control, Message
from meshnode.errors import UsageError

RELEASE: Final = "release:"
PAYLOAD: Final = "payload:"
KEY_CHARS_MIN: Final = 8  # of the beginning of a key: fewer could be anybody's
_FORMS: Final = "doi:10.5072/example, release:COLLECTION@VERSION, or release:bafkrei…"

PayloadArgument = Annotated[
    str, typer.Argument(help="The payload's key, as `payload list` prints it, or how it begins.")
]


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """What people call a release, and how the peer is asked for it."""

    text: str
    query: dict[str, Any]


def release_name(text: str) -> ReleaseName | None:
    """Read the name of a release; None if the text says that it is something else.

    Raises:
        UsageError: it says that it is a release, and is none.
    """
    from meshnode.core.dois import is_doi, parse_doi
    from meshnode.core.identifiers import parse_object

    if is_doi(text):
        return ReleaseName(text, {"doi": parse_doi(text)})
    if not text.startswith(RELEASE):
        return None
    name = text.removeprefix(RELEASE)
    collection, at, version = name.rpartition("@")
    if at and collection and version:
        return ReleaseName(text, {"collection": collection, "version": version})
    try:
        return ReleaseName(text, {"name": parse_object(name).hex()})
    except UsageError as error:
        raise UsageError(f"{text!r} is not the name of a release", hint=_FORMS) from error


def required_name(text: str) -> ReleaseName:
    """Read the name of a release; raises UsageError if it is none."""
    name = release_name(text)
    if name is None:
        raise UsageError(f"{text!r} is not the name of a release", hint=_FORMS)
    return name


async def releases_named(
    control: Control, name: ReleaseName, catalogues: Sequence[str] = ()
) -> list[Message]:
    """Return the releases of this name, at least one.

    Raises:
        UsageError: none is known here.
    """
    answer = await control.ask("releases", catalogues=list(catalogues), **name.query)
    if not answer["releases"]:
        raise UsageError(
            f"{name.text} is not known here",
            hint="meshnode versions COLLECTION lists those that are",
        )
    return list(answer["releases"])


async def release_named(
    control: Control, name: ReleaseName, catalogues: Sequence[str] = ()
) -> Message:
    """Return the one release of this name.

    Raises:
        UsageError: none is known here, or several are.
    """
    found = await releases_named(control, name, catalogues)
    if len(found) == 1:
        return found[0]
    several = {each["catalogue"] for each in found}
    how = "in several catalogues" if len(several) > 1 else "which is a conflict"
    names = ", ".join(f"{RELEASE}{each['release']}" for each in found)
    raise UsageError(
        f"{len(found)} releases are called {name.text}, {how}", hint=f"name one: {names}"
    )


def payload_named(payloads: Sequence[Message], text: str) -> Message:
    """Return the payload whose key begins like this.

    Raises:
        UsageError: none of these, or several.
    """
    wanted = text.removeprefix(PAYLOAD).lower()
    hint = "meshnode payload list says the keys"
    if len(wanted) < KEY_CHARS_MIN:
        raise UsageError(f"{text!r} is too short for the key of a payload", hint=hint)
    begins = [each for each in payloads if each["key"].startswith(wanted)]
    if len({each["key"] for each in begins}) != 1:
        how_many = "several payloads begin" if begins else "no payload begins"
        raise UsageError(f"{how_many} with {text!r} here", hint=hint)
    return begins[0]
