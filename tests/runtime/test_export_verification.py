"""Exports against what was signed: any changed byte is found, and its line or place is named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshnode.core.names import SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.errors import UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.segments.export import export_geoparquet, export_ndjson
from meshnode.runtime.verification.exports import Export, verify_export
from meshnode.runtime.verification.reports import Fault
from meshnode.runtime.verification.stores import verify_store
from tests.runtime.homes import copy_of, published_home

pytestmark = pytest.mark.slow

Rows = list[tuple[SegmentRef, list[CheckedRow]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return published_home(tmp_path_factory.mktemp("made"), ["a", "b", "c"])


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return copy_of(made, tmp_path / "home")


async def signed_rows(home: Home) -> Rows:
    rows: Rows = []
    await verify_store(home, lambda segment, found: rows.append((segment, found)))
    return rows


async def exported(home: Home, rows: Rows, path: Path) -> Path:
    async def items() -> AsyncIterator[bytes]:
        for _, found in rows:
            for row in found:
                yield row.item

    if path.suffix == ".ndjson":
        await export_ndjson(items(), path)
    else:
        documents = [path for path in home.objects.rglob("*") if path.is_file()]
        (document,) = (raw for path in documents if (raw := path.read_bytes())[:1] == b"{")
        await export_geoparquet(items(), path, "towns", document)
    return path


def faults_of(home: Home, rows: Rows, path: Path) -> list[Fault]:
    export = Export(path)
    for segment, found in rows:
        export.compare(segment, found)
    return export.faults(home)


@pytest.mark.parametrize("name", ["all.ndjson", "all.parquet"])
async def test_an_honest_export_is_whole(home: Home, tmp_path: Path, name: str):
    path = await exported(home, await signed_rows(home), tmp_path / name)
    report = await verify_export(home, path)
    assert (report.faults, report.items) == ([], 3)


@pytest.mark.parametrize("name", ["all.ndjson", "all.parquet"])
async def test_any_changed_byte_is_found(home: Home, tmp_path: Path, name: str):
    rows = await signed_rows(home)
    path = await exported(home, rows, tmp_path / name)
    honest = path.read_bytes()

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(at=st.integers(0, len(honest) - 1), change=st.integers(1, 255))
    def check(at: int, change: int) -> None:
        path.write_bytes(honest[:at] + bytes([honest[at] ^ change]) + honest[at + 1 :])
        assert faults_of(home, rows, path)

    check()


async def test_the_line_and_the_byte_are_named(home: Home, tmp_path: Path):
    rows = await signed_rows(home)
    path = await exported(home, rows, tmp_path / "all.ndjson")
    lines = path.read_bytes().splitlines(keepends=True)
    at = lines[1].index(b'"type"')
    lines[1] = lines[1].replace(b'"type"', b'"tYpe"', 1)
    name = json.loads(lines[1])["id"]
    path.write_bytes(b"".join(lines))
    assert faults_of(home, rows, path) == [
        Fault(
            "export",
            f"line 2 of {path}",
            f"its byte {at + 2} differs from the signed item towns/{name}",
        )
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw[:-1], "its byte"),
        (lambda raw: raw + b"\n", "it is no STAC item"),
        (lambda raw: b"\xff" + raw, "it is no STAC item"),
        (
            lambda raw: raw.replace(b'"id": "', b'"id": "not-', 1),
            "is signed in what this peer holds",
        ),
        (lambda raw: b"", "it is empty"),
    ],
)
async def test_each_way_to_change_a_file_has_its_reason(home, tmp_path, change, reason: str):
    rows = await signed_rows(home)
    path = await exported(home, rows, tmp_path / "all.ndjson")
    path.write_bytes(change(path.read_bytes()))
    (fault,) = faults_of(home, rows, path)
    assert reason in fault.reason


async def test_a_file_that_is_not_there_is_named(home: Home, tmp_path: Path):
    with pytest.raises(UsageError, match="there is no"):
        await verify_export(home, tmp_path / "none.ndjson")
