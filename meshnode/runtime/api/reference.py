"""The page that describes the API for people: plain HTML, no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#eee;color:#111;padding:.1em .3em}dt{margin-top:.5rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)


def reference_page(description: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI description."""
    title = escape(description["info"]["title"])
    parts = "\n".join(_operations(description))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><main><h1>{title}</h1><p>{escape(description['info']['description'])}</p>\n"
        '<p>The same for programs: <a href="api">OpenAPI</a>.</p>\n'
        f"{parts}\n</main></body></html>\n"
    )


def _operations(description: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('summary', ''))}</p>"
            parameters = [*operation.get("parameters", ()), *_members(description, operation)]
            if parameters:
                yield "<dl>"
                yield from map(_parameter, parameters)
                yield "</dl>"


def _members(description: Mapping[str, Any], operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the members of the body that an operation takes, written like parameters."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = description.get("components", {}).get("schemas", {}).get(name, {})
    return [{"name": key, **value} for key, value in schema.get("properties", {}).items()]


def _parameter(parameter: Mapping[str, Any]) -> str:
    name, says = escape(parameter["name"]), escape(parameter.get("description", ""))
    return f"<dt><code>{name}</code></dt><dd>{says}</dd>"
