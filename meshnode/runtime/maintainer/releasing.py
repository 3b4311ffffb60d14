"""A release before it is signed: from what a maintainer names to the entry, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meshnode.control import Message
from meshnode.core.dois import is_doi, parse_doi
from meshnode.core.entries import Blueprint, ReleaseAdded, decode_entry
from meshnode.core.identifiers import Digest, Kid, object_text, parse_object, sha256
from meshnode.core.limits import NAME_BYTES_MAX, RELEASE_PAYLOADS_MAX
from meshnode.core.releases import Release, Releases
from meshnode.errors import UsageError
from meshnode.runtime.maintainer.publishing import Draft

OBJECT_ID = "bafkrei"  # how the name of a release begins as text


@dataclass(frozen=True, slots=True)
class Naming:
    """What the maintainer says of a release; `supersedes` as he names the former one."""

    collection: str
    version: str
    doi: str | None
    payloads: tuple[Digest, ...]
    supersedes: str | None
    blueprint: Blueprint | None = None


def known_releases(said: Message) -> Releases:
    """Return the releases of an answer to `release_entries`."""
    entries = {}
    for writer, raw in ((bytes.fromhex(w), bytes.fromhex(r)) for w, r in said["entries"]):
        entry = decode_entry(raw)
        assert isinstance(entry, ReleaseAdded)
        entries[entry.clock, Kid(writer), sha256(raw)] = entry
    return Releases.of(entries)


def release_draft(naming: Naming, known: Releases) -> Draft | None:
    """Return the entry to sign; None if this very release is there already.

    Raises:
        UsageError: what is said cannot be signed, or is in conflict with a release that is there.
    """
    if not 1 <= len(naming.version.encode()) <= NAME_BYTES_MAX:
        raise UsageError(f"a version has 1 to {NAME_BYTES_MAX} bytes")
    if len(naming.payloads) > RELEASE_PAYLOADS_MAX:
        raise UsageError(f"a release has at most {RELEASE_PAYLOADS_MAX} payloads")
    entry = ReleaseAdded(
        clock=1,
        collection=naming.collection,
        version=naming.version,
        doi=naming.doi,
        payloads=tuple(sorted(set(naming.payloads))),
        blueprint=naming.blueprint,
        supersedes=former(naming, known).name if naming.supersedes else None,
    )
    if known.held(entry) is not None:
        return None
    if rivals := known.against(entry):
        raise _in_conflict(entry, rivals)
    return lambda clock: replace(entry, clock=clock)


def former(naming: Naming, known: Releases) -> Release:
    """Return the release that is to be superseded, by its version, DOI or name.

    Raises:
        UsageError: none is called so, or several are.
    """
    text = naming.supersedes or ""
    if is_doi(text):
        found: Sequence[Release] = known.with_doi(parse_doi(text))
    elif text.startswith(OBJECT_ID):
        said = known.said_by(parse_object(text))
        found = [said] if said else []
    else:
        found = known.with_version(naming.collection, text)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(object_text(each.name) for each in found)
        raise UsageError(f"several releases are called {text!r}", hint=f"name one: {names}")
    versions = ", ".join(r.entry.version for r in known.of_collection(naming.collection)) or "none"
    raise UsageError(
        f"no release of {naming.collection!r} is called {text!r}", hint=f"known: {versions}"
    )


def _in_conflict(entry: ReleaseAdded, rivals: Sequence[Release]) -> UsageError:
    rival = rivals[0].entry
    same = (
        f"version {entry.version} of {entry.collection!r}"
        if (rival.collection, rival.version) == (entry.collection, entry.version)
        else f"DOI {entry.doi}"
    )
    return UsageError(
        f"{same} is released already, with other content ({object_text(rivals[0].name)})",
        hint="what is released never changes: give the new content a version and a DOI of its own",
    )
