"""What a server said of a document, so that it need not be sent again (RFC 9110 section 8.8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Validators:
    """The headers ETag and Last-Modified as they came."""

    etag: str | None = None
    modified: str | None = None

    def conditions(self) -> dict[str, str]:
        """Return the headers that ask for news only."""
        named = (("If-None-Match", self.etag), ("If-Modified-Since", self.modified))
        return {name: value for name, value in named if value}
