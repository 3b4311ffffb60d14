"""Reconciliation as the pages say it (N-75 to N-78), written once more and apart from `meshnode`.

Sets are small here, so that everything is computed anew from all items each time.
"""

from __future__ import annotations

from typing import Any

from tests.protocol.broken import MESSAGES
from tests.protocol.examples import CATALOGUE, START, WRITER, digest
from tests.protocol.plain import encode, sha256

Item = tuple[int, bytes]
Told = tuple[Item | None, str, bytes | list[bytes]]  # up to where (None: the end), what, of it

VERSION = b"\x61"
ORIGIN: Item = (0, bytes(32))


def varint(number: int) -> bytes:
    digits = bytes([number % 128])
    while number := number // 128:
        digits = bytes([number % 128 + 128]) + digits
    return digits


def fingerprint(ids: list[bytes]) -> bytes:
    total = sum(int.from_bytes(name, "little") for name in ids) % 2**256
    return sha256(total.to_bytes(32, "little"), varint(len(ids)))[:16]


def message(ranges: list[Told]) -> bytes:
    """Write ranges; what is skipped at the end is left out, and skips side by side are one."""
    raw, second = VERSION, 0
    skipped: Item | None = None
    for upper, said, what in ranges:
        if said == "skip":
            skipped = upper
            continue
        for bound, mode, body in ((skipped, 0, b""), (upper, _MODES[said], _body(what))):
            if mode or bound:
                raw += _bound(bound, second) + varint(mode) + body
                second = bound[0] if bound else second
        skipped = None
    return raw


def _bound(bound: Item | None, second: int) -> bytes:
    if bound is None:
        return varint(0) + varint(0)
    prefix = bound[1].rstrip(b"\0")
    return varint(1 + bound[0] - second) + varint(len(prefix)) + prefix


def _body(what: bytes | list[bytes]) -> bytes:
    return what if isinstance(what, bytes) else varint(len(what)) + b"".join(what)


def say(held: list[Item], upper: Item | None, within: list[Item]) -> list[Told]:
    """Say more of a range: its ids if they are fewer than 32, else sixteen parts of it."""
    if len(within) < 32:
        return [(upper, "ids", [name for _, name in within])]
    ends = [len(within) * part // 16 for part in range(17)]
    bounds = [*(_between(within[end - 1], within[end]) for end in ends[1:-1]), upper]
    return [
        (bound, "fingerprint", fingerprint([name for _, name in within[start:end]]))
        for bound, start, end in zip(bounds, ends, ends[1:], strict=False)
    ]


def _between(before: Item, after: Item) -> Item:
    if before[0] != after[0]:
        return after[0], bytes(32)
    shared = next(n for n in range(32) if before[1][n] != after[1][n])
    return after[0], after[1][: shared + 1] + bytes(31 - shared)


def exchange(here: list[Item], there: list[Item]) -> tuple[list[bytes], list[bytes]]:
    """Return the messages of one reconciliation, in turn, and the ids that are lacking here."""
    lacked: list[bytes] = []
    told: list[Told] = [(None, "fingerprint", fingerprint([name for _, name in here]))]
    if not here:
        told = [(None, "ids", [])]
    said = [message(told)]
    while True:
        told = _reply(there, told, None)
        said.append(message(told))
        told = _reply(here, told, lacked)
        if all(what == "skip" for _, what, _ in told):
            return said, sorted(lacked)
        said.append(message(told))


def _reply(held: list[Item], told: list[Told], lacked: list[bytes] | None) -> list[Told]:
    """Answer each range; who asks (`lacked` is a list) answers no ids, but takes them."""
    said: list[Told] = []
    lower = ORIGIN
    for upper, what, of in told:
        within = sorted(i for i in held if lower <= i and (upper is None or i < upper))
        ids = [name for _, name in within]
        if what == "skip" or (what == "fingerprint" and of == fingerprint(ids)):
            said.append((upper, "skip", b""))
        elif what == "ids" and lacked is not None:
            lacked += [name for name in of if isinstance(name, bytes) and name not in ids]
            said.append((upper, "skip", b""))
        elif what == "ids":
            said.append((upper, "ids", ids))
        else:
            said += say(held, upper, within)
        lower = upper or lower
    return said


def reconciliation() -> dict[str, Any]:
    """Return the whole file."""
    ids = [digest(f"record {number}") for number in range(3)]
    numbers = (0, 127, 128, 300, 16_384, START, 2**53 - 1)
    return {
        "varints": [{"value": number, "hex": varint(number).hex()} for number in numbers],
        "fingerprints": [
            {"ids": [name.hex() for name in of], "hex": fingerprint(of).hex()}
            for of in ([], ids[:1], ids, [b"\xff" * 32, b"\x02" + bytes(31)])
        ],
        "messages": [
            {"name": name, "hex": message(told).hex(), "ranges": [_shown(one) for one in told]}
            for name, told in _messages(ids).items()
        ],
        "invalid": [{"name": n, "hex": raw, "reason": why} for n, raw, why in MESSAGES],
        "evidence": _evidence(),
        "lists": _lists(),
        "choices": _choices(),
        "exchanges": [_exchange(*one) for one in _sets()],
    }


def _messages(ids: list[bytes]) -> dict[str, list[Told]]:
    prefix = b"\x0a\x0b" + bytes(30)
    return {
        "nothing-differs": [],
        "one-fingerprint": [(None, "fingerprint", fingerprint(ids))],
        "no-ids": [(None, "ids", [])],
        "all-modes": [
            ((START, bytes(32)), "skip", b""),
            ((START, prefix), "fingerprint", fingerprint(ids[:1])),
            ((START + 300, bytes(32)), "ids", ids[1:]),
            (None, "fingerprint", fingerprint([])),
        ],
        "a-whole-id-as-bound": [((START, ids[0]), "ids", ids[:1])],
    }


def _shown(told: Told) -> dict[str, Any]:
    upper, said, what = told
    shown: dict[str, Any] = {
        "below": None if upper is None else [upper[0], upper[1].hex()],
        "mode": said,
    }
    if said == "fingerprint" and isinstance(what, bytes):
        shown["fingerprint"] = what.hex()
    if isinstance(what, list):
        shown["ids"] = [name.hex() for name in what]
    return shown


def _evidence() -> dict[str, Any]:
    return {
        "catalogue": CATALOGUE.hex(),
        "writer": WRITER.kid.hex(),
        "seq": 3,
        "id": sha256(encode(["fork", 1, CATALOGUE, WRITER.kid, 3])).hex(),
    }


def _lists() -> list[dict[str, Any]]:
    names = _catalogues(3)
    return [
        {"catalogues": [name.hex() for name in of], "sha256": sha256(b"".join(of)).hex()}
        for of in ([], names)
    ]


def _choices() -> list[dict[str, Any]]:
    names = _catalogues(10)
    return [
        {
            "of": [name.hex() for name in names],
            "chosen": [names[place].hex() for place in places],
            "hex": sum(1 << place for place in places).to_bytes(2, "little").hex(),
        }
        for places in ([0], [9], [1, 2, 8])
    ]


def _catalogues(count: int) -> list[bytes]:
    return sorted(digest(f"catalogue {number}") for number in range(count))


def _sets() -> list[tuple[str, list[Item], list[Item]]]:
    many = [(START + number // 4 * 60, digest(f"record {number}")) for number in range(80)]
    return [
        ("equal", many, many),
        ("one-is-lacking", many[1:], many),
        ("both-lack-some", many[:70], many[5:]),
        ("all-is-lacking", [], many[:40]),
    ]


def _exchange(name: str, here: list[Item], there: list[Item]) -> dict[str, Any]:
    said, lacked = exchange(here, there)
    return {
        "name": name,
        "here": [[second, one.hex()] for second, one in sorted(here)],
        "there": [[second, one.hex()] for second, one in sorted(there)],
        "messages": [raw.hex() for raw in said],
        "lacking_here": [one.hex() for one in lacked],
    }


_MODES = {"skip": 0, "fingerprint": 1, "ids": 2}
