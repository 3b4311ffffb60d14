"""A payload's file as HTTP describes it: its version, its type, and how browsers must treat it."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from meshnode.core.filelist import FileList
from meshnode.runtime.http.asgi import Header

_UNKNOWN: Final = "application/octet-stream"
# The registered or usual types of formats that are read by range; Python does not know them.
_TYPES: Final = {
    ".fgb": "application/flatgeobuf",
    ".geojson": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".pmtiles": "application/vnd.pmtiles",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
# What a browser may show without running anything: the files are a stranger's.
_HARMLESS: Final = ("image/", "audio/", "video/", "text/plain", "text/csv", "application/")
_ACTIVE: Final = ("image/svg", "application/xhtml", "application/xml", "application/javascript")


@dataclass(frozen=True, slots=True)
class Representation:
    """`etag` is a strong one: it names these bytes, whichever payload they are in."""

    size_bytes: int
    etag: str
    headers: tuple[Header, ...]

    @classmethod
    def of(cls, files: FileList, index: int) -> Representation:
        """Describe file `index`; a file without hashes is named by its torrent and place."""
        file = files.files[index]
        if file.sha256 is not None:
            etag = f'"{file.sha256.hex()}"'
        else:
            etag = f'"{(file.root or files.infohash_v1 or b"").hex()}-{index}"'
        headers = (
            (b"accept-ranges", b"bytes"),
            (b"etag", etag.encode()),
            (b"content-type", content_type(file.path).encode()),
            (b"cache-control", b"private, no-cache"),  # asked again: it may be withdrawn
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", b"sandbox; default-src 'none'"),
        )
        return cls(file.size_bytes, etag, headers)


def content_type(path: str) -> str:
    """Return the media type of a name; for what could run in a browser, that of mere bytes."""
    suffix = PurePosixPath(path).suffix.lower()
    guessed = _TYPES.get(suffix) or mimetypes.guess_type(path, strict=True)[0] or _UNKNOWN
    if guessed.startswith(_ACTIVE) or not guessed.startswith(_HARMLESS):
        return _UNKNOWN
    return guessed
