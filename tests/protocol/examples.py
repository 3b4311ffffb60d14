"""The world of the vectors: two keys, a small catalogue, one record of every kind.

Times, names and digests are made up and fixed. `RECORDS` is what `records.json` shows;
`broken_records` is what nobody may accept.
"""

from __future__ import annotations

from typing import Any

from tests.protocol.plain import Key, encode, frontier, sha256, signed, tree_hash

ROOT_KEY = Key("root")
NEXT_ROOT_KEY = Key("next root")
WRITER = Key("writer")
COLLEAGUE = Key("colleague")
STRANGER = Key("stranger")
PEER = Key("peer")

START = 1_767_225_600  # 2026-01-01T00:00:00Z
COLLECTION = "orthophotos"

Record = list[Any]


def digest(label: str) -> bytes:
    return sha256(f"meshnode test object: {label}".encode())


def root() -> Record:
    return [
        "root",
        1,
        1,
        None,
        START,
        START + 365 * 86_400,
        [[1, ROOT_KEY.public]],
        [1, [0]],
        None,
        [
            [WRITER.public, "laptop", None, None],
            [COLLEAGUE.public, "pipeline", [COLLECTION], None],
        ],
        [],
        {"title": "Ville d'Exemple", "domain": "data.example", "languages": "en fr"},
    ]


ROOT = encode(root())
CATALOGUE = sha256(ROOT)


def rich_root() -> Record:
    """A second version that uses every field; its behaviour belongs to key rotation."""
    record = root()
    record[2:4] = [2, CATALOGUE]
    record[6] = [[1, ROOT_KEY.public], [1, NEXT_ROOT_KEY.public], [2, digest("later")]]
    record[7] = [2, [0, 1]]
    record[8] = [1, [sha256(NEXT_ROOT_KEY.public)]]
    record[9][0][3] = [3, digest("last good head")]
    record[9][1][3] = False
    record[10] = [["censuses", digest("delegate")]]
    return record


COLLECTION_ENTRY: Record = ["collection+", 1, 1, COLLECTION, [digest("collection"), 812]]
SEGMENT_ENTRY: Record = [
    "segment+",
    1,
    2,
    COLLECTION,
    [digest("segment 1"), 48_213, 250, 1],
    [-1_233_000_000, 491_000_000, -1_229_000_000, 494_000_000],
    [START - 40 * 86_400, START - 86_400],
    [],
]
SECOND_SEGMENT_ENTRY: Record = [
    "segment+",
    1,
    3,
    COLLECTION,
    [digest("segment 2"), 51_000, 260, 1],
    [1_790_000_000, -180_000_000, -1_790_000_000, -160_000_000],
    [-315_619_200, START],
    [digest("segment 1")],
]
PAYLOAD_ENTRY: Record = [
    "payload+",
    1,
    4,
    COLLECTION,
    digest("payload"),
    [digest("file list"), 900],
    33_554_432,
    1_048_576,
    [digest("info v2"), digest("info v1")[:20]],
    [digest("torrent"), 4_000],
    ["https://mirror.example/orthophotos/2026/"],
    1,
]
ITEMS_REMOVED_ENTRY: Record = [
    "item-",
    1,
    5,
    COLLECTION,
    ["tile-17", "tile-18"],
    2,
    [COLLECTION, "tile-17b"],
]
MIRROR_ENTRY: Record = [
    "mirror",
    1,
    6,
    COLLECTION,
    digest("payload"),
    ["https://second.example/o/"],
    ["https://mirror.example/orthophotos/2026/"],
]
RISK_ENTRY: Record = ["risk", 1, 7, COLLECTION, digest("payload"), 3, START + 90 * 86_400]
RELEASE_ENTRY: Record = [
    "release+",
    1,
    8,
    COLLECTION,
    "2026.1",
    "10.5072/example",
    [digest("payload")],
    [[digest("manifest"), 1_200], [digest("environment"), 700], digest("sources")],
    digest("former release"),
]
SEGMENT_REMOVED_ENTRY: Record = ["segment-", 1, 9, COLLECTION, digest("segment 2"), 0]
PAYLOAD_REMOVED_ENTRY: Record = ["payload-", 1, 10, COLLECTION, digest("payload"), 6]
UNKNOWN_ENTRY: Record = ["aurora+", 1, 11, {"a": [1, None, True]}, b"\x01"]
LATER_ENTRY: Record = ["segment-", 2, 12, "anything", -5]

ENTRIES: dict[str, Record] = {
    "collection-added": COLLECTION_ENTRY,
    "segment-added": SEGMENT_ENTRY,
    "segment-added-across-the-antimeridian": SECOND_SEGMENT_ENTRY,
    "payload-added": PAYLOAD_ENTRY,
    "items-removed": ITEMS_REMOVED_ENTRY,
    "mirrors-changed": MIRROR_ENTRY,
    "mirror-that-only-drops": [*MIRROR_ENTRY[:5], [], MIRROR_ENTRY[6]],
    "risk-set": RISK_ENTRY,
    "release-added": RELEASE_ENTRY,
    "segment-removed": SEGMENT_REMOVED_ENTRY,
    "payload-removed": PAYLOAD_REMOVED_ENTRY,
    "unknown-kind": UNKNOWN_ENTRY,
    "known-kind-of-a-later-version": LATER_ENTRY,
}


def head(seq: int, prev: bytes | None, leaves: list[bytes], writer: Key = WRITER) -> Record:
    tree = tree_hash(leaves)
    issued = START + seq * 3_600
    return ["head", 1, CATALOGUE, writer.kid, 1, seq, prev, len(leaves), tree, None, issued, None]


FIRST_LEAVES = [encode(COLLECTION_ENTRY), encode(SEGMENT_ENTRY)]
FIRST_HEAD = encode(head(1, None, FIRST_LEAVES))


def rich_head() -> Record:
    record = head(2, sha256(FIRST_HEAD), FIRST_LEAVES)
    record[9] = [2, digest("snapshot"), 900]
    record[11] = START + 7 * 86_400
    return record


def announcement() -> Record:
    return [[signed("head", FIRST_HEAD, WRITER), 0, list(FIRST_LEAVES)]]


def fork() -> Record:
    other = encode(head(1, None, FIRST_LEAVES[:1]))
    sides = sorted(signed("head", payload, WRITER) for payload in (FIRST_HEAD, other))
    return ["fork", 1, *sides]


def snapshot() -> Record:
    kept = [[0, FIRST_LEAVES[0]], [1, FIRST_LEAVES[1]]]
    return ["snapshot", 1, CATALOGUE, WRITER.kid, 2, frontier(FIRST_LEAVES), kept]


PURGE: Record = [
    "purge",
    1,
    CATALOGUE,
    1,
    4,
    START,
    [digest("segment 1")],
    [[COLLECTION, "tile-17"]],
]


def notice(record: Record) -> Record:
    return ["notice", 1, CATALOGUE, record]


SEEDS: Record = [
    "seeds",
    1,
    CATALOGUE,
    1,
    START,
    START + 30 * 86_400,
    [bytes.fromhex("047f000001060fa1")],
    [[CATALOGUE, "Ville d'Exemple"]],
    ["https://static.example/log/"],
]
SEED_FILE: Record = [
    "seed-file",
    1,
    [signed("root", ROOT, ROOT_KEY)],
    signed("seeds", encode(SEEDS), WRITER),
]
FILES: list[Record] = [
    ["ortho/2026/17.tif", 30_000_000, digest("17.tif"), digest("root of 17.tif")],
    ["ortho/readme.txt", 0, digest("empty"), None],
]
IDENTITY: Record = ["payload", 1, None, FILES]
FILE_LIST: Record = [
    "files",
    1,
    None,
    [[*FILES[0], [["tile-17", "data"], ["tile-18", "data"]]], [*FILES[1], []]],
]
FOREIGN_FILE_LIST: Record = [
    "files",
    1,
    digest("info v1")[:20],
    [["archive.zip", 5, None, None, [["archive", "data"]]]],
]
BODIES: dict[str, Record] = {
    "holding": [465, 12, 970, "Example University", "CA", [[digest("p")[:8], 3, 2, b"\x1a\x40"]]],
    "provider": [[[bytes([198, 51, 100, 7]), 6881]]],
    "mirror-health": [[digest("https://mirror.example/"), START, 0, 2]],
    "at-risk": [3, 1, None],
    "load": [600, 10**9, 2 * 10**9, 310, 24],
    "issue": [3, [COLLECTION, "tile-17"], "The year is wrong."],
    "status": [1, [[WRITER.kid, 3, 7]], 0],
    "rebuild": [digest("manifest"), digest("environment"), digest("sources"), digest("payload")],
    "deny": [4, [[COLLECTION, "tile-17"]]],
}


def statement(kind: str) -> Record:
    subject = sha256(PEER.public) if kind == "load" else CATALOGUE
    if kind in ("provider", "mirror-health", "at-risk", "rebuild"):
        subject = digest("payload")
    times = [START, START + 86_400]
    return ["statement", 1, kind, PEER.public, subject, 1, *times, encode(BODIES[kind])]


def statement_about_a_catalogue() -> Record:
    """Return where a peer is called that holds the bytes of a catalogue (R-93)."""
    times = [START, START + 2 * 86_400]
    body = encode([[[bytes([198, 51, 100, 7]), 4001]]])
    return ["statement", 1, "provider", PEER.public, CATALOGUE, 1, *times, body]


def records() -> dict[str, tuple[str, Record]]:
    """Return every example as name -> (rule of records.cddl, record)."""
    found: dict[str, tuple[str, Record]] = {
        "root": ("root", root()),
        "root-with-every-field": ("root", rich_root()),
        "head": ("head", head(1, None, FIRST_LEAVES)),
        "head-with-every-field": ("head", rich_head()),
    }
    found |= {name: ("entry", entry) for name, entry in ENTRIES.items()}
    found |= {
        "signed-root": ("signed", signed("root", ROOT, ROOT_KEY)),
        "signed-head": ("signed", signed("head", FIRST_HEAD, WRITER)),
        "root-signed-by-two": (
            "signed",
            signed("root", encode(rich_root()), ROOT_KEY, NEXT_ROOT_KEY),
        ),
        "announcement": ("announcement", announcement()),
        "fork": ("fork", fork()),
        "snapshot": ("snapshot", snapshot()),
        "purge": ("purge", PURGE),
        "purge-of-an-object": ("purge", [*PURGE[:7], []]),
        "notice-of-a-root": ("notice", notice(signed("root", ROOT, ROOT_KEY))),
        "notice-of-a-purge": ("notice", notice(signed("purge", encode(PURGE), ROOT_KEY))),
        "seeds": ("seeds", SEEDS),
        "seed-file": ("seed-file", SEED_FILE),
        "file-list": ("file-list", FILE_LIST),
        "file-list-of-a-foreign-torrent": ("file-list", FOREIGN_FILE_LIST),
        "payload-identity": ("payload-identity", IDENTITY),
    }
    found |= {f"statement-{kind}": ("statement", statement(kind)) for kind in BODIES}
    found["statement-provider-of-a-catalogue"] = ("statement", statement_about_a_catalogue())
    return found
