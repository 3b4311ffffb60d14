"""What a publisher finds out of a mirror before he signs its URL: that it has the files.

Repositories say sizes and checksums themselves; their word is compared with the files at hand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import trio

from meshnode.core.filelist import FileList
from meshnode.errors import UsageError
from meshnode.runtime.payloads.mirrors.file_addresses import pair, simplest
from meshnode.runtime.payloads.mirrors.range_client import MirrorError, RangeClient
from meshnode.runtime.payloads.mirrors.repositories import Copy, listed, repository_of

_STRONGEST: Final = ("sha256", "sha1", "md5")  # what a repository says, best first
_MISSING_SAID_MAX: Final = 3
_BUCKET: Final = r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,62})(/(?P<rest>[!-~]*))?"
_LISTING: Final = "?list-type=2&prefix="
# What people write, and the URL that it stands for.
_SHORT: Final = (
    (re.compile(r"zenodo:(?P<id>\d{1,18})"), "https://zenodo.org/records/{id}"),
    (re.compile(r"ia:(?P<id>[A-Za-z0-9._-]{1,100})"), "https://archive.org/details/{id}"),
    (re.compile(rf"source:{_BUCKET}"), "https://data.source.coop/{bucket}/" + _LISTING + "{rest}"),
    (re.compile(rf"s3://{_BUCKET}"), "https://{bucket}.s3.amazonaws.com/" + _LISTING + "{rest}"),
    (re.compile(rf"tigris:{_BUCKET}"), "https://{bucket}.t3.storage.dev/" + _LISTING + "{rest}"),
)
_FORMS: Final = (
    "a URL, zenodo:RECORD, ia:ITEM, source:ACCOUNT/PRODUCT, s3://BUCKET/PREFIX or"
    " tigris:BUCKET/PREFIX"
)


def mirror_url(text: str) -> str:
    """Return the URL that a short name of a mirror stands for; a URL is one already.

    Raises:
        UsageError: it is neither.
    """
    for pattern, form in _SHORT:
        if found := pattern.fullmatch(text):
            parts = {name: value or "" for name, value in found.groupdict().items()}
            if rest := parts.get("rest"):
                parts["rest"] = quote(rest.rstrip("/") + "/", safe="")
            return form.format(**parts)
    if urlsplit(text).scheme not in ("http", "https"):
        raise UsageError(f"{text!r} is not a mirror", hint=f"name {_FORMS}")
    return text


async def mirror_of(text: str, files: FileList, content: Path | None, *, allow_local: bool) -> str:
    """Return the URL to sign for a mirror that a person names.

    A repository is asked for its files first. With `content` at hand they are compared by its
    checksums, else by their sizes. Other URLs are taken as they are.

    Raises:
        UsageError: the repository lacks a file, has another one, or cannot be asked.
    """
    url = mirror_url(text)
    if repository_of(url) is None:
        return url
    client = RangeClient(url, allow_local=allow_local)
    async with aclosing(client):
        try:
            copies = await listed(client, url)
        except MirrorError as error:
            hint = error.hint or "check the name, or try again later"
            raise UsageError(f"{text} {error}", hint=hint) from error
    found = pair(files, copies)
    missing = [file.path for index, file in enumerate(files.files) if index not in found]
    if missing:
        raise UsageError(
            f"{text} does not have {_said(missing)}, or has it in another size",
            hint="a mirror has every file of a payload, byte for byte",
        )
    if content is not None:
        await trio.to_thread.run_sync(_compare, text, files, found, content)
    return simplest(url, files, found)


def _compare(text: str, files: FileList, found: dict[int, Copy], content: Path) -> None:
    for index, copy in found.items():
        path = content.parent / files.files[index].path
        algorithm = next((each for each in _STRONGEST if each in copy.checksums), None)
        if algorithm is not None and _sum(path, algorithm) != copy.checksums[algorithm].lower():
            raise UsageError(
                f"{text} has another {copy.path}: its {algorithm} is not that of {path}",
                hint="a mirror has every file of a payload, byte for byte",
            )


def _sum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        begun = partial(hashlib.new, algorithm, usedforsecurity=False)
        return hashlib.file_digest(file, begun).hexdigest()


def _said(paths: Sequence[str]) -> str:
    more = len(paths) - _MISSING_SAID_MAX
    shown = ", ".join(paths[:_MISSING_SAID_MAX])
    return f"{shown} and {more} more" if more > 0 else shown
