"""The segment check: what agrees with its own JSON passes, everything else is refused in bounds."""

import json
import os
import signal
import tracemalloc
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import trio

from meshnode.core.names import SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.errors import StorageError
from meshnode.runtime.segments.checker import SegmentChecker, SegmentRefusedError
from meshnode.runtime.segments.segment import SegmentFile
from tests.runtime.stac_samples import TOWNS, item, pair, ref_of, rewritten, segment, with_column


@pytest.fixture
async def checker():
    with trio.fail_after(120):
        async with SegmentChecker() as checker:
            yield checker


async def rows_of(checker: SegmentChecker, path: Path, ref: SegmentRef) -> list[CheckedRow]:
    rows: list[CheckedRow] = []
    async with aclosing(checker.check(path, ref)) as batches:
        async for batch in batches:
            rows.extend(batch)
    return rows


async def reason_of(checker: SegmentChecker, path: Path, ref: SegmentRef) -> str:
    with pytest.raises(SegmentRefusedError) as caught:
        await rows_of(checker, path, ref)
    return str(caught.value)


async def test_the_rows_of_a_good_segment_are_its_items(checker, tmp_path):
    made = segment(tmp_path / "s", TOWNS)
    rows = {row.id: row for row in await rows_of(checker, tmp_path / "s", ref_of(made))}
    assert len(rows) == 30
    assert rows["t2"].item == pair(TOWNS[2])[0]
    assert rows["t2"].bbox == (-135.5, -53.0, -135.0, -52.5)
    assert rows["t2"].datetime_us == 1_622_548_800_250_000
    assert (rows["t2"].start_us, rows["t2"].end_us, rows["t2"].clock) == (None, None, None)


async def test_boxes_beyond_180_arrive_wrapped_and_intervals_as_they_are(checker, tmp_path):
    value = item("wide", west=179.8)
    value["properties"] = {
        "datetime": None,
        "start_datetime": "1969-12-31T23:59:59.5Z",
        "end_datetime": "2020-01-01T00:00:00+00:00",
    }
    made = segment(tmp_path / "s", [value])
    (row,) = await rows_of(checker, tmp_path / "s", ref_of(made))
    assert row.bbox == (179.8, 45.0, 180.3 - 360.0, 45.5)
    assert (row.start_us, row.end_us) == (-500_000, 1_577_836_800_000_000)
    assert made.span_s == (-1, 1_577_836_800)


async def test_items_without_a_collection_pass_in_the_one_of_the_segment(checker, tmp_path):
    value = {key: member for key, member in item().items() if key != "collection"}
    made = segment(tmp_path / "s", [value])
    (row,) = await rows_of(checker, tmp_path / "s", ref_of(made))
    assert row.item == pair(value)[0]


async def test_the_checker_goes_on_after_a_refusal(checker, tmp_path):
    bad = rewritten(tmp_path / "bad", with_column("id", lambda old: ["x", *old[1:]]))
    good = segment(tmp_path / "good", TOWNS)
    await reason_of(checker, tmp_path / "bad", ref_of(bad))
    assert len(await rows_of(checker, tmp_path / "good", ref_of(good))) == 30


@pytest.mark.slow
async def test_leaving_a_check_early_does_not_disturb_the_next_one(checker, tmp_path):
    values = [item(f"t{n}") | {"text": "x" * 100_000} for n in range(100)]
    made = segment(tmp_path / "s", values)
    async with aclosing(checker.check(tmp_path / "s", ref_of(made))) as batches:
        async for batch in batches:
            assert len(batch) < 100
            break
    assert len(await rows_of(checker, tmp_path / "s", ref_of(made))) == 100


async def test_two_checks_at_once_take_turns(checker, tmp_path):
    made = segment(tmp_path / "s", TOWNS)
    counts = []

    async def check() -> None:
        counts.append(len(await rows_of(checker, tmp_path / "s", ref_of(made))))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(check)
    assert counts == [30, 30, 30]


@pytest.mark.slow
async def test_a_process_killed_between_two_checks_is_replaced(checker, tmp_path):
    made = segment(tmp_path / "s", TOWNS)
    await rows_of(checker, tmp_path / "s", ref_of(made))
    process = checker._worker._process
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert len(await rows_of(checker, tmp_path / "s", ref_of(made))) == 30


@pytest.mark.slow
async def test_a_process_killed_within_a_check_refuses_the_segment(checker, tmp_path):
    values = [item(f"t{n}") | {"text": "x" * 100_000} for n in range(100)]
    made = segment(tmp_path / "s", values)
    await rows_of(checker, tmp_path / "s", ref_of(made))
    process = checker._worker._process
    with pytest.raises(SegmentRefusedError, match="died"):
        async with aclosing(checker.check(tmp_path / "s", ref_of(made))) as batches:
            async for _ in batches:
                process.send_signal(signal.SIGKILL)
                await process.wait()


@pytest.mark.slow
async def test_a_silent_process_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it waits for a writer that never comes
    ref = ref_of(segment(tmp_path / "s", TOWNS))
    with trio.fail_after(60):
        async with SegmentChecker(frame_seconds_max=1.0) as checker:
            reason = await reason_of(checker, tmp_path / "pipe", replace(ref, size_bytes=0))
    assert "silent for 1.0 s" in reason


async def test_a_missing_file_is_this_machines_fault(checker, tmp_path):
    ref = ref_of(segment(tmp_path / "s", TOWNS))
    with pytest.raises(StorageError, match="cannot read the segment"):
        await rows_of(checker, tmp_path / "absent", ref)


def bomb(path: Path, text: str, rows: int) -> SegmentFile:
    """Write one giant item `rows` times, dictionary-encoded: a small file that unfolds."""

    def change(table: pa.Table) -> pa.Table:
        wide = pa.concat_tables([table.slice(0, 1)] * rows).combine_chunks()
        wide = with_column("id", lambda old: [f"t{n}" for n in range(len(old))])(wide)
        items = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])
        field = pa.field("item", items.type, nullable=False)
        return wide.set_column(wide.schema.get_field_index("item"), field, items)

    return rewritten(path, change, dictionary_pagesize_limit=64 << 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "rows", "reason"),
    [
        ("x" * 4_000_000, 2_000, "memory"),
        (json.dumps(TOWNS[0] | {"text": "x" * 1_000_000}), 5_000, "unfolds to more"),
    ],
)
async def test_a_bomb_is_refused_and_our_memory_stays_flat(checker, tmp_path, text, rows, reason):
    made = bomb(tmp_path / "s", text, rows)
    assert made.size_bytes < 200_000
    tracemalloc.start()
    found = await reason_of(checker, tmp_path / "s", ref_of(made))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reason in found
    assert peak < 8 << 20


BAD = ("41317", "41321", "43605", "45185", "47662", "RS-GH-6229-DICTHEADER", "RS-GH-6229-LEVELS")


@pytest.mark.parametrize("name", [*BAD, "PARQUET-1481"])
async def test_malformed_parquet_of_the_public_collection_is_refused(
    checker, shared, tmp_path, name
):
    folder = shared / "vectors/parquet-testing-bad/bad_data"
    (path,) = folder.glob(f"*{name}*.parquet")
    ref = ref_of(segment(tmp_path / "s", TOWNS))
    size_bytes = path.stat().st_size
    reason = await reason_of(checker, path, replace(ref, size_bytes=size_bytes, rows=1))
    assert "refused" in reason


@pytest.mark.slow
async def test_a_byte_changed_anywhere_never_yields_another_id_place_or_time(checker, tmp_path):
    """The other bytes of an item are in the care of the segment's name, its digest."""
    made = segment(tmp_path / "s", TOWNS)
    good = {shown(row) for row in await rows_of(checker, tmp_path / "s", ref_of(made))}
    data = (tmp_path / "s").read_bytes()
    for position in range(5, len(data), len(data) // 16):
        changed = data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        (tmp_path / "s").write_bytes(changed)
        try:
            rows = await rows_of(checker, tmp_path / "s", ref_of(made))
        except SegmentRefusedError:
            continue
        assert {shown(row) for row in rows} == good


def shown(row: CheckedRow) -> tuple[object, ...]:
    return (row.id, row.datetime_us, row.start_us, row.end_us, row.bbox)
