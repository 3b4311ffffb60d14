"""How the API says no: a status, and a sentence that names the parameter (RFC 9457).

`code` and `description` are what STAC API calls the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from meshnode.errors import MeshnodeError, PeerError, StorageError, UsageError

RETRY_SECONDS: Final = 1
_PROBLEMS_MAX: Final = 5  # of one request, in one sentence
_LOCATIONS: Final = ("query", "path", "body")


class RefusedError(Exception):
    """What is asked for cannot be had: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


@contextmanager
def named(parameter: str) -> Iterator[None]:
    """Have what is refused in the block name the parameter that it came in."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{parameter}: {error}", hint=error.hint) from error


def install(app: FastAPI) -> None:
    """Have an application answer its refusals so."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(MeshnodeError, _failed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def problem(
    status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> ProblemResponse:
    phrase = HTTPStatus(status).phrase
    said = {
        "status": status,
        "title": phrase,
        "detail": sentence,
        "code": phrase.replace(" ", ""),
        "description": sentence,
    }
    return ProblemResponse(said, status, headers=dict(headers or {}))


async def _refused(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RefusedError)
    return problem(error.status, str(error), _again(error.status))


async def _failed(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, MeshnodeError)
    status = (
        503 if isinstance(error, StorageError) else 502 if isinstance(error, PeerError) else 400
    )
    sentence = f"{error} ({error.hint})" if error.hint and status == 400 else str(error)
    return problem(status, sentence, _again(status))


async def _http(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    known = {404: "nothing is served here", 405: "that is not done here: see the service's pages"}
    said = known.get(error.status_code, str(error.detail))
    return problem(error.status_code, said, error.headers)


async def _invalid(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    return problem(400, "; ".join(map(_sentence, error.errors()[:_PROBLEMS_MAX])))


def _sentence(found: Mapping[str, Any]) -> str:
    place = [str(part) for part in found["loc"] if part not in _LOCATIONS]
    name = ".".join(place) or "the body"
    if found["type"] == "extra_forbidden":
        return f"{name[:100]}: there is no such parameter"
    said = str(found["msg"])
    return f"{name[:100]}: {said[:1].lower()}{said[1:200]}"


def _again(status: int) -> dict[str, str]:
    return {"retry-after": str(RETRY_SECONDS)} if status == 503 else {}
