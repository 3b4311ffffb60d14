"""The proof of one item: all that shows who signed it, as one file.

A ZIP archive, stored: `proof.json` (which item, and the receipt: entry, audit path, head, roots),
`item.json` (the exact bytes) and `segment.parquet` (the signed file that has them).
`meshnode verify FILE` checks it without a network (`meshnode.runtime.verification.proofs`).
"""

from __future__ import annotations

import io
from collections.abc import Generator, Mapping
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import trio
from fastapi import APIRouter
from pydantic_core import to_json
from starlette.responses import Response

from meshnode.control import Message
from meshnode.core.identifiers import catalogue_text
from meshnode.errors import UsageError
from meshnode.runtime.api.client import Client
from meshnode.runtime.api.refusals import RefusedError
from meshnode.runtime.datasets.proof_file import ITEM, PROOF, SEGMENT, VERSION
from meshnode.runtime.http.asgi import Receive, Scope, Send
from meshnode.runtime.operator.history import Evidence, evidence
from meshnode.runtime.peer import Peer

PROOFS_MAX: Final = 2  # that are made at once: each reads a whole log
_CHUNK_BYTES: Final = 256 << 10
_MADE: Final = (1980, 1, 1, 0, 0, 0)  # the same proof is the same bytes


def proof_router(peer: Peer, client: Client) -> APIRouter:
    """Return the route of proofs."""
    router = APIRouter()
    limiter = trio.CapacityLimiter(PROOFS_MAX)

    async def proof(collection_id: str, item_id: str) -> Response:
        """Return what shows who signed an item: `meshnode verify FILE` checks it."""
        query = await client.item_query(collection_id, item_id)
        [(catalogue, collection)] = query.pairs
        arguments = Evidence.model_construct(
            catalogue=catalogue, collection=collection, item=query.ids[0]
        )
        async with limiter:
            said = await _evidence(peer, arguments)
        name = {"content-disposition": f'attachment; filename="{_file_name(query.ids[0])}"'}
        return _Streamed(archive(arguments, said), headers=name)

    router.add_api_route(
        "/collections/{collection_id}/items/{item_id}/proof",
        proof,
        methods=["GET"],
        name="Get Proof",
        response_class=Response,
        responses={200: {"content": {"application/zip": {}}}},
    )
    return router


def archive(item: Evidence, evidence: Message) -> Generator[bytes, None, None]:
    """Yield the bytes of a proof as they are made, none of them empty; reads the segment."""
    segment = Path(evidence["path"])
    said: dict[str, Any] = {
        "version": VERSION,
        "catalogue": catalogue_text(item.catalogue),
        "collection": item.collection,
        "item": item.item,
        **{
            name: evidence[name] for name in ("segment", "entry", "index", "proof", "head", "roots")
        },
    }
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_STORED) as archived:
        for name, content in ((PROOF, to_json(said)), (ITEM, evidence["item"].encode())):
            archived.writestr(ZipInfo(name, _MADE), content)
            yield sink.taken()
        with segment.open("rb") as file, archived.open(ZipInfo(SEGMENT, _MADE), "w") as member:
            while chunk := file.read(_CHUNK_BYTES):
                member.write(chunk)
                if part := sink.taken():  # ZipFile gathers some before it writes
                    yield part
    yield sink.taken()


class _Streamed(Response):
    """Sends parts as they are made, each in a worker thread."""

    def __init__(self, parts: Generator[bytes, None, None], headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers, media_type="application/zip")
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        with closing(self._parts):
            while part := await trio.to_thread.run_sync(next, self._parts, b""):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _Sink(io.RawIOBase):
    """What is written waits to be taken; it cannot go back, so that sizes follow the bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has a buffer
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


async def _evidence(peer: Peer, arguments: Evidence) -> Message:
    try:
        async with aclosing(evidence(peer, arguments)) as messages:
            async for message in messages:
                return dict(message["result"])
    except UsageError as error:
        raise RefusedError(404, str(error)) from error
    raise AssertionError("evidence ends in a result")


def _file_name(item: str) -> str:
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in item)
    return f"{safe[:100]}.proof.zip"
