"""A small static mirror, file by file, and how logs are cut into its files (N-80 to N-83).

Written from the pages, without the code under test: blocks are found from the largest down.
"""

from __future__ import annotations

from typing import Any

from tests.protocol import examples
from tests.protocol.examples import CATALOGUE, ENTRIES, ROOT, ROOT_KEY, WRITER, head
from tests.protocol.plain import encode, sha256, signed

BLOCK_BYTES_MAX = 1_048_576
BLOCK_ENTRIES_MAX = 4096
LEVEL_MAX = 8

Size = tuple[int, int]  # of one head with its entries: bytes, entries

# Each: bytes and entries of heads 1, 2, …; the first and last seq of each file, by hand.
CUTS: list[tuple[str, list[Size], list[list[int]]]] = [
    ("one head", [(900, 3)], [[1, 1]]),
    ("five small heads", [(900, 3)] * 5, [[1, 4], [5, 5]]),
    ("256 small heads and one", [(300, 0)] * 257, [[1, 256], [257, 257]]),
    ("too many bytes for four", [(300_000, 20)] * 4, [[1, 2], [3, 4]]),
    ("exactly as many bytes as fit", [(262_144, 20)] * 4, [[1, 4]]),
    ("one byte more", [(262_145, 20), *[(262_144, 20)] * 3], [[1, 2], [3, 4]]),
    ("too many entries for two", [(9_000, 4_096), (400, 1), (400, 1)], [[1, 1], [2, 2], [3, 3]]),
    ("a large head ends a block", [(400, 1)] * 3 + [(1_048_200, 64)], [[1, 2], [3, 3], [4, 4]]),
    ("what follows a large head", [(600_000, 40), *[(400_000, 30)] * 4], [[1, 2], [3, 4], [5, 5]]),
]


def static_mirror() -> dict[str, Any]:
    entries = [encode(entry) for entry in list(ENTRIES.values())[:6]]
    heads, names, sizes = _heads(entries, (2, 3, 3, 5, 6))
    ways, files = [], list[bytes]()
    for first, last in blocks([(len(h), 0) for h in heads]):
        start = sizes[first - 2] if first > 1 else 0
        files.append(_stretch(start, heads[first - 1 : last], entries[start : sizes[last - 1]]))
        ways.append([first, last, _file(files[-1])])
    roots = encode(["static-roots", 1, CATALOGUE, [encode(signed("root", ROOT, ROOT_KEY))]])
    way = [WRITER.kid, heads[-1], ways]
    index = encode(["static-catalogue", 1, CATALOGUE, _file(roots), [], [], [way]])
    pointer = encode(["static-mirror", 1, [[CATALOGUE, _file(index)]]])
    placed = {_path(raw): raw.hex() for raw in (*files, roots, index)}
    return {
        "catalogue": CATALOGUE.hex(),
        "writer": WRITER.kid.hex(),
        "heads": [raw.hex() for raw in heads],
        "head_names": [name.hex() for name in names],
        "entries": [raw.hex() for raw in entries],
        "files": {"mirror.cbor": pointer.hex(), **dict(sorted(placed.items()))},
        "types": {
            "mirror.cbor": "static-mirror",
            _path(index): "static-catalogue",
            _path(roots): "static-roots",
            **{_path(raw): "static-stretch" for raw in files},
        },
        "cuts": [
            {"name": name, "heads": [list(size) for size in sizes_of], "files": expected}
            for name, sizes_of, expected in CUTS
        ],
    }


def blocks(sizes: list[Size]) -> list[tuple[int, int]]:
    """Return first and last seq of each file of a log whose heads have these sizes."""
    found = []
    seq = 1
    while seq <= len(sizes):
        found.append(_block(sizes, seq))
        seq = found[-1][1] + 1
    return found


def _block(sizes: list[Size], seq: int) -> tuple[int, int]:
    for level in range(LEVEL_MAX, 0, -1):
        length = 1 << level
        first = (seq - 1) // length * length + 1
        inside = sizes[first - 1 : first - 1 + length]
        is_whole = len(inside) == length
        fits = sum(size for size, _ in inside) <= BLOCK_BYTES_MAX
        if is_whole and fits and sum(number for _, number in inside) <= BLOCK_ENTRIES_MAX:
            return first, first + length - 1
    return seq, seq


def _heads(
    entries: list[bytes], sizes: tuple[int, ...]
) -> tuple[list[bytes], list[bytes], tuple[int, ...]]:
    heads, names = list[bytes](), list[bytes]()
    for seq, size in enumerate(sizes, 1):
        payload = encode(head(seq, names[-1] if names else None, entries[:size]))
        heads.append(encode(signed("head", payload, WRITER)))
        names.append(sha256(payload))
    return heads, names, sizes


def _stretch(first: int, heads: list[bytes], entries: list[bytes]) -> bytes:
    return encode(["static-stretch", 1, CATALOGUE, WRITER.kid, first, heads, entries])


def _file(raw: bytes) -> examples.Record:
    return [sha256(raw), len(raw)]


def _path(raw: bytes) -> str:
    name = sha256(raw).hex()
    return f"objects/{name[:2]}/{name}"
