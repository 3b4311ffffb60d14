"""Repositories that say which files they have: one table (protocol/06-payloads.md, P-34).

Zenodo and others with InvenioRDM, the Internet Archive, and stores that speak S3. A mirror's URL of
one of these forms stands for the files that the repository names, each at a URL of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree

from meshnode.core.limits import URL_BYTES_MAX
from meshnode.runtime.payloads.mirrors.range_client import Fault, MirrorError, RangeClient

LISTING_BYTES_MAX: Final = 16 << 20  # an item of the Archive may have tens of thousands of files
PAGES_MAX: Final = 20  # of a bucket's listing, a thousand files each
_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?')
_RECORD: Final = re.compile(r"/records?/(\d{1,18})/?")
_ITEM: Final = re.compile(r"/details/([A-Za-z0-9._-]{1,100})/?")


@dataclass(frozen=True, slots=True)
class Copy:
    """A file at a repository. `checksums` in hex by algorithm (md5, sha1, sha256)."""

    path: str
    url: str
    size_bytes: int | None
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repository:
    """A kind: whether a URL is of it, and what is listed there (raises MirrorError)."""

    name: str
    knows: Callable[[str], bool]
    list: Callable[[RangeClient, str], Awaitable[list[Copy]]]


def repository_of(url: str) -> Repository | None:
    """Return the kind of repository whose listing a URL is, None for a plain mirror."""
    return next((each for each in REPOSITORIES if each.knows(url)), None)


# --- InvenioRDM: Zenodo and others ----------------------------------------------------------------
async def _list_record(client: RangeClient, url: str) -> list[Copy]:
    parts = urlsplit(url)
    number = _found(_RECORD, parts.path)
    origin = f"{parts.scheme}://{parts.netloc}"
    said = await _json(client, f"{origin}/api/records/{number}")
    files = said.get("files", [])
    if isinstance(files, dict):  # the newer form
        files = list(files.get("entries", {}).values())
    found = []
    for file in files:
        links = file.get("links", {})
        plain = f"{origin}/api/records/{number}/files/{quote(file['key'], safe='')}/content"
        there = links.get("content") or links.get("self") or plain
        algorithm, _, digest = str(file.get("checksum", "")).partition(":")
        sums = {algorithm: digest} if digest else {}
        found.append(Copy(str(file["key"]), str(there), _size(file), sums))
    return found


# --- The Internet Archive -------------------------------------------------------------------------
async def _list_item(client: RangeClient, url: str) -> list[Copy]:
    parts = urlsplit(url)
    name = _found(_ITEM, parts.path)
    origin = f"{parts.scheme}://{parts.netloc}"
    said = await _json(client, f"{origin}/metadata/{name}")
    return [
        Copy(
            str(file["name"]),
            f"{origin}/download/{name}/{quote(str(file['name']))}",
            _size(file),
            {kind: str(file[kind]) for kind in ("md5", "sha1") if kind in file},
        )
        for file in said.get("files", [])
    ]


# --- Stores that speak S3 -------------------------------------------------------------------------
async def _list_bucket(client: RangeClient, url: str) -> list[Copy]:
    parts = urlsplit(url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    bucket = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/", "", ""))
    prefix, found = asked.get("prefix", ""), list[Copy]()
    query = {"list-type": "2", "prefix": prefix}
    for _ in range(PAGES_MAX):
        page = _xml(await client.document(f"{bucket}?{urlencode(query)}", LISTING_BYTES_MAX))
        found += _objects(page, bucket, prefix)
        token = _text(page, "NextContinuationToken")
        if _text(page, "IsTruncated") != "true" or not token:
            return found
        query["continuation-token"] = token
    raise MirrorError(Fault.ERROR, f"lists more than {PAGES_MAX} pages of files")


def _objects(page: ElementTree.Element, bucket: str, prefix: str) -> Iterator[Copy]:
    for each in page.iterfind("{*}Contents"):
        key, size = _text(each, "Key"), _text(each, "Size")
        etag = _MD5.fullmatch(_text(each, "ETag"))  # of an upload in parts it is no MD5
        if not key.startswith(prefix) or key.endswith("/"):
            continue
        sums = {"md5": etag[1]} if etag else {}
        length = int(size) if size.isdecimal() else None
        yield Copy(key.removeprefix(prefix), bucket + quote(key), length, sums)


def _xml(raw: bytes) -> ElementTree.Element:
    if b"<!" in raw.replace(b"<![CDATA[", b""):
        raise MirrorError(Fault.ERROR, "lists its files with a document type of its own")
    try:
        return ElementTree.fromstring(raw)  # noqa: S314 - no entity can be declared
    except ElementTree.ParseError as error:
        raise MirrorError(Fault.ERROR, f"lists its files in no XML: {error}") from error


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""


# --- All ------------------------------------------------------------------------------------------
async def listed(client: RangeClient, url: str) -> list[Copy]:
    """Return the files that a repository names at a URL of one of the forms of the table.

    Raises:
        MirrorError: it cannot be asked, or its answer has another form.
    """
    repository = repository_of(url)
    assert repository is not None  # whoever calls looked
    try:
        found = await repository.list(client, url)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        said = f"answers in another form than {repository.name} does"
        raise MirrorError(Fault.ERROR, said) from error
    if not found:
        raise MirrorError(Fault.ERROR, "names no file")
    web = ("http://", "https://")
    return [each for each in found if each.url.startswith(web) and _is_plain(each.url)]


async def _json(client: RangeClient, url: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(await client.document(url, LISTING_BYTES_MAX))
    return said


def _size(file: dict[str, Any]) -> int | None:
    said = file.get("size", file.get("filesize"))
    return None if said is None else int(said)


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url and len(url) <= 2 * URL_BYTES_MAX


def _found(pattern: re.Pattern[str], path: str) -> str:
    found = pattern.fullmatch(path)
    assert found is not None  # the URL was recognised
    return found[1]


def _is_path(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    def knows(url: str) -> bool:
        parts = urlsplit(url)
        return not parts.query and pattern.fullmatch(parts.path) is not None

    return knows


def _is_listing(url: str) -> bool:
    return parse_qs(urlsplit(url).query).get("list-type") == ["2"]


REPOSITORIES: Final = (
    Repository("InvenioRDM", _is_path(_RECORD), _list_record),
    Repository("Internet Archive", _is_path(_ITEM), _list_item),
    Repository("S3", _is_listing, _list_bucket),
)
