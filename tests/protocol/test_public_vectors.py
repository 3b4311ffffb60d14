"""The encoding against the DAG-CBOR fixtures of the IPLD project, as far as our subset reaches.

Read from beside the project; skipped where they are not.
"""

from __future__ import annotations

import json
from pathlib import Path

import cbor2

from meshnode.core.encoding import MalformedRecordError, decode, encode
from tests.protocol.plain import cid, sha256

SIZE_BYTES_MAX = 1 << 20
DEPTH_MAX = 8


def _fixtures(shared: Path) -> list[tuple[str, bytes]]:
    folder = shared / "vectors/ipld-codec-fixtures/fixtures"
    return [(path.stem, path.read_bytes()) for path in sorted(folder.rglob("*.dag-cbor"))]


def _in_subset(value: object, depth: int = 0) -> bool:
    """Say whether E-1 to E-10 allow a value that is canonical DAG-CBOR."""
    match value:
        case float() | cbor2.CBORTag():
            return False
        case list():
            return depth < DEPTH_MAX and all(_in_subset(member, depth + 1) for member in value)
        case dict():
            return depth < DEPTH_MAX and all(_in_subset(m, depth + 1) for m in value.values())
        case _:
            return True


def _refused(raw: bytes) -> bool:
    try:
        decode(raw, SIZE_BYTES_MAX)
    except MalformedRecordError:
        return True
    return False


def test_canonical_dag_cbor_of_our_subset_survives_and_the_rest_is_refused(shared: Path) -> None:
    fixtures = [(name, raw) for name, raw in _fixtures(shared) if len(raw) <= SIZE_BYTES_MAX]
    inside = [raw for _, raw in fixtures if _in_subset(cbor2.loads(raw))]
    outside = [raw for _, raw in fixtures if not _in_subset(cbor2.loads(raw))]
    assert len(inside) > 40
    assert len(outside) > 20
    assert [raw for raw in inside if encode(decode(raw, SIZE_BYTES_MAX)) != raw] == []
    assert [raw for raw in outside if not _refused(raw)] == []


def test_our_content_ids_are_those_of_ipld(shared: Path) -> None:
    fixtures = _fixtures(shared)
    assert len(fixtures) > 100
    assert [name for name, raw in fixtures if cid(0x71, sha256(raw)) != name] == []


def test_negative_dag_cbor_fixtures_are_refused(shared: Path) -> None:
    folder = shared / "vectors/ipld-codec-fixtures/negative-fixtures/dag-cbor"
    cases = [case for path in folder.rglob("*.json") for case in json.loads(path.read_bytes())]
    assert len(cases) > 0
    assert [case["name"] for case in cases if not _refused(bytes.fromhex(case["hex"]))] == []
