"""Repositories on loopback: an InvenioRDM, an Internet Archive and an S3 store, as far as we ask.

Their answers have the form that the real ones have; the files are those of a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

import trio

from tests.runtime.web_seeds import Answer, Request, WebSeed, files, response


def names(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def record(folder: Path, origin: str, *, newer: bool = False) -> dict[str, Any]:
    """Return record 77; names are flat there. `newer`: the form of InvenioRDM."""
    rows = []
    for name in names(folder):
        path, key = folder / name, name.rpartition("/")[2]
        there = f"{origin}api/records/77/files/{quote(key)}/content"
        size, checksum = path.stat().st_size, f"md5:{md5(path)}"
        link = {"content" if newer else "self": there}
        rows.append({"key": key, "size": size, "checksum": checksum, "links": link})
    if newer:
        return {
            "id": "77",
            "files": {"enabled": True, "entries": {row["key"]: row for row in rows}},
        }
    return {"id": 77, "files": rows}


def item(folder: Path) -> dict[str, Any]:
    """Return the metadata of the item `tiles`; one file of its own has no size."""
    rows: list[dict[str, Any]] = [
        {"name": name, "size": str((folder / name).stat().st_size), "md5": md5(folder / name)}
        for name in names(folder)
    ]
    return {"files": [*rows, {"name": "tiles_files.xml", "source": "metadata"}]}


def listing(folder: Path, prefix: str, after: str, page_max: int = 2) -> bytes:
    """Return a page of a bucket's listing (ListObjectsV2)."""
    found = [name for name in names(folder) if name.startswith(prefix) and name > after]
    page, more = found[:page_max], len(found) > page_max
    rows = "".join(
        f"<Contents><Key>{escape(name)}</Key><Size>{(folder / name).stat().st_size}</Size>"
        f"<ETag>&quot;{md5(folder / name)}&quot;</ETag></Contents>"
        for name in page
    )
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{rows}{token}</ListBucketResult>"
    ).encode()


def repository(
    folder: Path,
    *,
    newer: bool = False,
    change: Callable[[str, int, bytes], bytes] = lambda _path, _at, body: body,
) -> Callable[[WebSeed], Answer]:
    """Serve a folder as all three at once: /records/77, /details/tiles, /bucket/?list-type=2."""
    flat = {name.rpartition("/")[2]: name for name in names(folder)}

    def made(seed: WebSeed) -> Answer:
        give = files(folder, change)(seed)

        async def respond(stream: trio.abc.Stream, request: Request) -> bool:
            query = {
                key: value[0] for key, value in parse_qs(urlsplit(request.target).query).items()
            }
            match request.path.strip("/").split("/"):
                case ["api", "records", "77"]:
                    said = json.dumps(record(folder, seed.url, newer=newer)).encode()
                case ["api", "records", "77", "files", key, "content"]:
                    request.path = f"/{flat.get(key, 'none')}"
                    return await give(stream, request)
                case ["metadata", "tiles"]:
                    said = json.dumps(item(folder)).encode()
                case ["download", "tiles", *parts] | ["bucket", *parts] if parts:
                    request.path = "/" + "/".join(parts)
                    return await give(stream, request)
                case ["bucket"] if query.get("list-type") == "2":
                    after = query.get("continuation-token", "")
                    said = listing(folder, query.get("prefix", ""), after)
                case _:
                    await stream.send_all(response("404 Not Found"))
                    return True
            await stream.send_all(response("200 OK", said))
            return True

        return respond

    return made
