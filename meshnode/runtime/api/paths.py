"""Steps of paths with any name in them: an item may be called `a/b`.

Frameworks decode a path before they look for its steps. Here each step stays escaped where it has
a slash or a percent sign, and whoever takes a step from a path unescapes it.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from meshnode.runtime.http.asgi import Scope


def path_of(scope: Scope) -> str:
    """Return the path of a request, its steps escaped."""
    raw = scope.get("raw_path") or scope["path"].encode()
    return "/".join(map(_escaped, raw.split(b"?")[0].split(b"/")))


def unescaped(step: str) -> str:
    """Return the name that a step of such a path stands for."""
    return unquote_to_bytes(step.encode()).decode(errors="replace")


def _escaped(step: bytes) -> str:
    name = unquote_to_bytes(step).decode(errors="replace")
    return name.replace("%", "%25").replace("/", "%2F")
