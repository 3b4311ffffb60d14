"""Files that a mirror does not name any more, and since when: readers may still be at them.

Kept in the mirror itself, so that whoever updates it next knows. No reader looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.identifiers import Digest
from meshnode.core.limits import INTEGER_MAX

LEAVING_NAME: Final = "leaving.cbor"
_FILES_MAX: Final = 1_000_000
_BYTES_MAX: Final = 48 * _FILES_MAX
_read = shapes.reader(
    shapes.array(
        shapes.integer(1, 1),
        shapes.listed(shapes.array(shapes.digest, shapes.integer(0, INTEGER_MAX)), 0, _FILES_MAX),
    )
)


def encode_leaving(since: Mapping[Digest, int]) -> bytes:
    """Write since which unix second each file is not named any more."""
    return encode([1, [[digest, unix] for digest, unix in sorted(since.items())]])


def decode_leaving(raw: bytes | None) -> dict[Digest, int]:
    """Read what `encode_leaving` wrote; a damaged list is an empty one: files leave later."""
    if raw is None:
        return {}
    try:
        _, rows = _read(decode(raw, _BYTES_MAX))
    except MalformedRecordError:
        return {}
    return dict(rows)


def since(
    unnamed: Iterable[Digest], before: Mapping[Digest, int], now_unix: int
) -> dict[Digest, int]:
    """Return since when each of these files is not named, given what was known before."""
    return {digest: min(before.get(digest, now_unix), now_unix) for digest in unnamed}
