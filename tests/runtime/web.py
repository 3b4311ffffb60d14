"""Web servers on loopback for the tests of sources: a static folder, and a small whole STAC API."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Web:
    """Answers by `route`; `first` are answers given before it is asked."""

    first: list[Answer] = field(default_factory=list)
    answered: list[tuple[str, int]] = field(default_factory=list)  # path, status
    url: str = ""

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        return Answer(404)


@dataclass
class Folder(Web):
    """A static folder with ETags and range requests, as object stores serve one."""

    root: Path = Path()
    knows_ranges: bool = True

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        file = self.root / path.lstrip("/")
        if not file.is_file():
            return Answer(404)
        data = file.read_bytes()
        return Answer(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'})

    def part(self, whole: Answer, wanted: str | None) -> Answer:
        """Return the part that the header Range asks for."""
        if whole.status != 200 or wanted is None or not self.knows_ranges:
            return whole
        start, _, end = wanted.removeprefix("bytes=").partition("-")
        first = int(start)
        body = whole.body[first : int(end) + 1 if end else None]
        if not body:
            return Answer(416)
        place = f"bytes {first}-{first + len(body) - 1}/{len(whole.body)}"
        return Answer(206, body, whole.headers | {"Content-Range": place})


@dataclass
class StacApi(Web):
    """Item search with paging by GET or by POST, or Features alone."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    method: str = "GET"
    has_search: bool = True
    page_max: int = 4
    lost: int = 0  # matched and never given

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        asked = {**query, **(body or {})}
        match path.strip("/").split("/"):
            case [""]:
                return _json(self._landing())
            case ["collections"]:
                links = [{"rel": "self", "href": f"{self.url}/collections"}]
                return _json({"collections": list(self.collections.values()), "links": links})
            case ["search"]:
                return _json(self._page(asked, f"{self.url}/search"))
            case ["collections", name, "items"]:
                items = f"{self.url}/collections/{name}/items"
                return _json(self._page({**asked, "collections": name}, items))
            case _:
                return Answer(404)

    def _landing(self) -> dict[str, Any]:
        links = [{"rel": "data", "href": f"{self.url}/collections"}]
        if self.has_search:
            links.append({"rel": "search", "href": "/search", "method": "GET"})
        return {"type": "Catalog", "id": "api", "conformsTo": [], "links": links}

    def _page(self, asked: dict[str, str], here: str) -> dict[str, Any]:
        wanted = asked["collections"].split(",") if asked.get("collections") else None
        found = [
            item
            for _, item in sorted(self.items.items())
            if wanted is None or item["collection"] in wanted
        ]
        start = int(asked.get("token", 0))
        end = start + min(self.page_max, int(asked["limit"]))
        page = {
            "type": "FeatureCollection",
            "features": found[start:end],
            "numberMatched": len(found) + self.lost,
            "links": [],
        }
        if end < len(found):
            page["links"] = [self._next(asked, end, here)]
        return page

    def _next(self, asked: dict[str, str], end: int, here: str) -> dict[str, Any]:
        if self.method == "POST" and "token" in asked:
            body = {"token": str(end)}
            return {"rel": "next", "href": here, "method": "POST", "body": body, "merge": True}
        query = {**asked, "token": str(end)}
        if self.method == "POST":
            return {"rel": "next", "href": here, "method": "POST", "body": query}
        return {"rel": "next", "href": f"{here}?{urlencode(query)}"}


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


@contextmanager
def serving(web: Web, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on a free port; give the URL without a slash at its end. With `tls` over HTTPS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            answer = web.first.pop(0) if web.first else None
            answer = answer or web.route(self.command, parts.path, query, body)
            if answer.headers.get("ETag", "-") == self.headers.get("If-None-Match"):
                answer = Answer(304, b"", answer.headers)
            if isinstance(web, Folder):
                answer = web.part(answer, self.headers.get("Range"))
            web.answered.append((self.path, answer.status))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET  # noqa: N815 - a name that the server looks up

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        host = "http://127.0.0.1" if tls is None else "https://localhost"
        web.url = f"{host}:{server.server_port}"
        yield web.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
