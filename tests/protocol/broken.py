"""Bytes that every peer refuses, each with the rule of `protocol/` that it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from tests.protocol import examples
from tests.protocol.examples import FIRST_HEAD, FIRST_LEAVES, STRANGER, WRITER, digest
from tests.protocol.plain import encode, signed


class Broken(NamedTuple):
    """`type` is a rule of records.cddl; `in_cddl`: whether the schema alone refuses it."""

    name: str
    type: str
    raw: bytes
    rule: str
    reason: str
    in_cddl: bool


# (name, hex, reason): no messages of reconciliation (N-77).
MESSAGES: list[tuple[str, str, str]] = [
    ("empty", "", "no version"),
    ("another-version", "6200000200", "version 2"),
    ("ends-in-a-bound", "6101", "the length of the prefix is missing"),
    ("ends-before-the-mode", "610000", "the mode is missing"),
    ("no-such-mode", "61000003", "mode 3"),
    ("short-fingerprint", "61000001" + "00" * 15, "15 of 16 bytes"),
    ("short-list", "6100000202" + "00" * 32, "one id of two"),
    ("last-bound-with-an-id", "6100010500", "the end has no id"),
    ("empty-first-range", "61010000", "it ends where it begins"),
    ("bounds-that-stay", "61030000010000", "the second is not above the first"),
    ("bounds-that-fall", "61030102000101" + "0100", "of one second, the smaller id comes second"),
    ("behind-the-end", "610000000000" + "00", "a range after the last"),
    ("long-prefix", "610121" + "01" * 33 + "00", "33 bytes of an id"),
    ("number-with-a-zero-first", "6180020000", "one digit is enough"),
    ("second-too-large", "61" + "9fffffffffffff81" + "010000", "beyond 2^53 - 1"),
    ("endless-number", "61" + "ff" * 12, "no number has so many digits"),
    ("too-many-ranges", "61" + "020000" * 1025, "1,025"),
]

# (name, hex, rule, reason): one CBOR item each, or what is none.
ENCODINGS: list[tuple[str, str, str, str]] = [
    ("empty", "", "E-9", "no item at all"),
    ("integer-in-one-byte-too-many", "1817", "E-2", "23 fits into the first byte"),
    ("integer-in-two-bytes-too-many", "190017", "E-2", "23 fits into the first byte"),
    ("negative-integer-too-long", "390000", "E-2", "-1 fits into the first byte"),
    ("integer-in-eight-bytes", "1b00000000ffffffff", "E-2", "it fits into four bytes"),
    ("bytes-length-too-long", "580161", "E-2", "the length 1 fits into the first byte"),
    ("text-length-too-long", "780161", "E-2", "the length 1 fits into the first byte"),
    ("array-length-too-long", "980101", "E-2", "the length 1 fits into the first byte"),
    ("indefinite-array", "9f01ff", "E-3", "indefinite length"),
    ("indefinite-bytes", "5f4101ff", "E-3", "indefinite length"),
    ("indefinite-text", "7f6161ff", "E-3", "indefinite length"),
    ("indefinite-map", "bf616101ff", "E-3", "indefinite length"),
    ("half-float", "f93c00", "E-4", "1.0 as a float"),
    ("single-float", "fa3f800000", "E-4", "1.0 as a float"),
    ("double-float", "fb3ff0000000000000", "E-4", "1.0 as a float"),
    ("not-a-number", "f97e00", "E-4", "NaN is a float"),
    ("undefined", "f7", "E-5", "a simple value other than false, true, null"),
    ("simple-value", "f0", "E-5", "a simple value other than false, true, null"),
    ("tagged-date", "c001", "E-5", "a tag"),
    ("tagged-bignum", "c24101", "E-5", "a tag"),
    ("tagged-cid", "d82a450001550000", "E-5", "a tag"),
    ("integer-key", "a10101", "E-6", "a map key that is no text"),
    ("keys-out-of-order", "a2616201616101", "E-6", "b before a"),
    ("long-key-before-short", "a262616101616201", "E-6", "aa before b"),
    ("repeated-key", "a2616101616102", "E-6", "a twice"),
    ("broken-utf-8", "62c328", "E-7", "not UTF-8"),
    ("surrogate-in-utf-8", "63eda080", "E-7", "a surrogate is not UTF-8"),
    ("trailing-byte", "0000", "E-9", "a second item follows"),
    ("cut-short", "8201", "E-9", "the second member is missing"),
    ("length-beyond-the-end", "5affffffff00", "E-9", "4 GiB announced, one byte there"),
    ("too-deep", "8181818181818181" + "80", "E-10", "nine arrays in each other"),
]


# (name, base, path, value, rule, reason, in_cddl): the base with one value put in its place.
_Edit = tuple[str, str, tuple[int, ...], Any, str, str, bool]
ENTRY_RULES = {  # of examples that are not named as their rule
    "segment-added-across-the-antimeridian": "segment-added",
    "mirror-that-only-drops": "mirrors-changed",
}
_EDITS: list[_Edit] = [
    ("head-of-another-version", "head", (1,), 2, "R-2", "head version 2", True),
    ("head-whose-version-is-true", "head", (1,), True, "R-2", "true is no number", True),
    ("head-of-another-type", "head", (0,), "heap", "R-2", "not a head", True),
    ("head-with-a-short-catalogue", "head", (2,), b"\x01" * 31, "R-1", "31 bytes", True),
    ("head-with-a-long-writer", "head", (3,), b"\x01" * 17, "R-1", "17 bytes", True),
    ("head-of-seq-0", "head", (5,), 0, "R-20", "seq begins at 1", True),
    ("first-head-with-prev", "head", (6,), b"\x01" * 32, "R-21", "seq 1 follows nothing", False),
    ("later-head-without-prev", "head", (5,), 2, "R-21", "seq 2 follows a head", False),
    ("head-of-too-large-a-tree", "head", (7,), 1 << 40, "R-1", "size 2^40", True),
    ("head-with-a-float-time", "head", (10,), True, "R-1", "issued is no integer", True),
    ("root-of-version-0", "root", (2,), 0, "R-10", "version begins at 1", True),
    ("first-root-with-prev", "root", (3,), b"\x01" * 32, "R-10", "nothing before it", False),
    ("later-root-without-prev", "root", (2,), 2, "R-10", "version 2 follows a root", False),
    ("root-without-keys", "root", (6,), [], "R-11", "no key", True),
    ("root-with-threshold-0", "root", (7, 0), 0, "R-12", "a threshold of none", True),
    ("root-with-too-high-a-threshold", "root", (7, 0), 2, "R-12", "2 of 1", False),
    ("root-role-of-a-missing-key", "root", (7, 1), [1], "R-12", "there is no key 1", False),
    ("root-role-with-a-key-twice", "root", (7, 1), [0, 0], "R-12", "key 0 twice", False),
    ("root-with-an-empty-label", "root", (9, 0, 1), "", "R-1", "a name has 1 byte", True),
    ("root-with-a-long-label", "root", (9, 0, 1), "l" * 256, "R-1", "256 bytes", True),
    ("root-writer-neither-open-nor-closed", "root", (9, 0, 3), True, "R-1", "true", True),
    ("root-with-a-list-in-meta", "root", (11,), {"title": []}, "R-1", "a list", True),
    ("entry-without-clock", "collection-added", (2,), 0, "R-1", "clocks begin at 1", True),
    ("entry-beyond-the-last-clock", "collection-added", (2,), 1 << 53, "R-1", "2^53", True),
    ("entry-without-collection", "collection-added", (3,), "", "R-1", "empty name", True),
    ("segment-without-rows", "segment-added", (4, 2), 0, "R-1", "a segment has a row", True),
    ("segment-too-large", "segment-added", (4, 1), (64 << 20) + 1, "R-1", "64 MiB", True),
    ("segment-upside-down", "segment-added", (5, 1), 500_000_000, "R-31", "s > n", False),
    ("segment-off-the-world", "segment-added", (5, 0), -1_800_000_001, "R-1", "west", True),
    ("segment-with-half-a-span", "segment-added", (6, 0), None, "R-32", "one null", False),
    ("segment-that-ends-early", "segment-added", (6, 1), 0, "R-32", "first > last", False),
    ("removal-without-items", "items-removed", (4,), [], "R-1", "no id", True),
    ("removal-for-no-reason", "items-removed", (5,), 7, "R-1", "reasons end at 6", True),
    ("payload-with-a-long-infohash", "payload-added", (8, 1), b"\1" * 32, "R-1", "v1", True),
    ("payload-without-infohash", "payload-added", (8,), [None, None], "R-33", "none", False),
    ("payload-of-odd-pieces", "payload-added", (7,), 1_000_000, "R-33", "no power of 2", False),
    ("payload-at-risk-5", "payload-added", (11,), 5, "R-1", "risks end at 4", True),
    ("mirrors-unchanged", "mirror-that-only-drops", (6,), [], "R-34", "no change", False),
    (
        "mirror-added-twice",
        "mirrors-changed",
        (5,),
        ["https://a.example/"] * 2,
        "R-34",
        "one twice",
        False,
    ),
    ("items-removed-twice", "items-removed", (4,), ["tile-17"] * 2, "R-34", "one id twice", False),
    ("mirror-with-an-empty-url", "mirrors-changed", (5,), [""], "R-1", "a url has a byte", True),
    ("mirror-with-a-long-url", "mirrors-changed", (5,), ["u" * 1025], "R-1", "1,025", True),
    (
        "segment-that-replaces-itself",
        "segment-added",
        (7,),
        [digest("segment 1")],
        "R-34",
        "itself",
        False,
    ),
    ("object-without-bytes", "collection-added", (4, 1), 0, "R-1", "an object has a byte", True),
    ("snapshot-behind-its-head", "head-with-every-field", (9, 0), 3, "R-25", "3 of 2", False),
    ("snapshot-out-of-order", "snapshot", (6, 0, 0), 1, "R-36", "index 1 twice", False),
    ("snapshot-entry-beyond", "snapshot", (6, 1, 0), 2, "R-36", "index 2 of 2", False),
    ("snapshot-without-its-last-entry", "snapshot", (6,), [], "R-36", "1 is missing", False),
    ("snapshot-of-another-frontier", "snapshot", (5,), [], "R-36", "one hash is due", False),
    ("purge-of-nothing", "purge-of-an-object", (6,), [], "R-37", "nothing named", False),
    ("purge-of-one-twice", "purge", (6,), [digest("segment 1")] * 2, "R-37", "twice", False),
    ("seeds-that-expire-first", "seeds", (5,), 0, "R-38", "before issued", False),
    ("seed-file-without-roots", "seed-file", (2,), [], "R-90", "no root", True),
    ("seed-file-with-a-bare-list", "seed-file", (3,), b"\x80", "R-90", "not in signed", True),
    ("seeds-with-a-peer-twice", "seeds", (6,), [b"\x04"] * 2, "R-38", "one peer twice", False),
    ("statement-that-expires-first", "statement-load", (7,), 0, "R-40", "before issued", False),
    ("statement-with-a-float-as-body", "statement-load", (8,), b"\xf9\0\0", "R-42", "0.0", False),
    ("statement-with-two-items-as-body", "statement-load", (8,), b"\x80\x80", "R-42", "2", False),
    ("statement-with-a-long-body", "statement-load", (8,), bytes(8_193), "R-1", "8,193", True),
    ("file-list-without-files", "file-list", (3,), [], "R-1", "no file", True),
    ("file-list-out-of-order", "file-list", (3, 0, 0), "z/z", "P-4", "z before o", False),
    ("file-list-with-a-step-up", "file-list", (3, 0, 0), "../17.tif", "P-5", "..", False),
    ("file-list-with-an-absolute-path", "file-list", (3, 0, 0), "/17.tif", "P-5", "/", False),
    ("file-list-with-a-backslash", "file-list", (3, 0, 0), "o\\17.tif", "P-5", "\\", False),
    ("file-list-without-a-checksum", "file-list", (3, 0, 2), None, "P-6", "no SHA-256", False),
    ("file-list-with-both", "file-list", (2,), b"\x01" * 20, "P-7", "both hashes", False),
    ("file-list-bound-twice", "file-list", (3, 0, 4), [["a", "b"]] * 2, "P-8", "twice", False),
    ("statement-without-kind", "statement-load", (2,), "", "R-1", "empty name", True),
]


def broken_records() -> Iterator[Broken]:
    known = examples.records()
    for name, base, path, value, rule, reason, in_cddl in _EDITS:
        kind, record = known[base]
        # The schema alone calls a broken known entry an unknown one.
        kind = ENTRY_RULES.get(base, base) if kind == "entry" else kind
        yield Broken(name, kind, encode(_edited(record, path, value)), rule, reason, in_cddl)
    yield from _pairs()
    yield from _lengths()
    yield from _signatures()
    yield from _announcements()
    yield from _notices()


def _edited(record: list[Any], path: tuple[int, ...], value: object) -> list[Any]:
    copy = deepcopy(record)
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


def _pairs() -> Iterator[Broken]:
    kind, _, a, b = examples.fork()
    turned, same = encode([kind, 1, b, a]), encode([kind, 1, a, a])
    yield Broken("fork-turned", "fork", turned, "R-35", "the larger payload first", False)
    yield Broken("fork-of-one", "fork", same, "R-35", "both sides are one", False)
    other = signed("head", encode(examples.head(2, bytes(32), FIRST_LEAVES)), WRITER)
    apart = sorted([a, other])
    yield Broken("fork-apart", "fork", encode([kind, 1, *apart]), "R-35", "seq 1 and 2", False)


def _lengths() -> Iterator[Broken]:
    known = examples.records()
    for name in ("head", "root", "segment-added", "statement-load"):
        kind, record = known[name]
        kind = name if kind == "entry" else kind
        yield Broken(f"{name}-cut", kind, encode(record[:-1]), "R-2", "a field is missing", True)
        extra = encode([*record, None])
        yield Broken(f"{name}-too-long", kind, extra, "R-2", "a field too many", True)
    long = ["segment+", *known["collection-added"][1][1:]]
    yield Broken("known-kind-misshapen", "segment-added", encode(long), "R-3", "wrong shape", True)


def _signatures() -> Iterator[Broken]:
    good = signed("head", FIRST_HEAD, WRITER, STRANGER)
    payload, sigs = good
    assert isinstance(sigs, list)
    yield Broken("unsigned", "signed", encode([payload, []]), "R-5", "no signature", True)
    upside_down = encode([payload, sigs[::-1]])
    yield Broken("signatures-out-of-order", "signed", upside_down, "R-5", "not sorted", False)
    twice = encode([payload, [sigs[0], sigs[0]]])
    yield Broken("signature-twice", "signed", twice, "R-5", "one key twice", False)
    short = encode([payload, [[sigs[0][0], sigs[0][1][:-1]]]])
    yield Broken("signature-too-short", "signed", short, "R-1", "63 bytes", True)
    many = [[i.to_bytes(16, "big"), bytes(64)] for i in range(33)]
    yield Broken("too-many-signatures", "signed", encode([payload, many]), "R-1", "33", True)


def _announcements() -> Iterator[Broken]:
    head = signed("head", FIRST_HEAD, WRITER)
    yield Broken("empty-announcement", "announcement", encode([]), "R-1", "no head", True)
    nine = encode([[head, 0, []]] * 9)
    yield Broken("too-many-heads", "announcement", nine, "R-1", "nine heads", True)
    large = [[head, 0, [FIRST_LEAVES[0] + bytes(4_096)] * 3]]
    why = "over 8 KiB of entries"
    yield Broken("too-many-entry-bytes", "announcement", encode(large), "R-24", why, False)


def _notices() -> Iterator[Broken]:
    head = encode(examples.notice(signed("head", FIRST_HEAD, WRITER)))
    yield Broken("notice-of-a-head", "notice", head, "R-39", "no root or purge", False)
    purge = signed(
        "purge", encode([*examples.PURGE[:2], digest("else"), *examples.PURGE[3:]]), WRITER
    )
    why = "the purge is another catalogue's"
    yield Broken("notice-astray", "notice", encode(examples.notice(purge)), "R-39", why, False)
    nothing = encode(examples.notice(signed("root", encode(0), WRITER)))
    yield Broken("notice-of-a-number", "notice", nothing, "R-39", "no record", False)


def forged_head() -> list[object]:
    """Return a head in the writer's name with another's signature under the writer's kid."""
    signature = STRANGER.sign("head", FIRST_HEAD)
    return [FIRST_HEAD, [[WRITER.kid, signature]]]
