"""What the operator wants to be at which mirror, and when it is an alarm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshnode.core.identifiers import sha256
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors import requirements
from meshnode.runtime.payloads.mirrors.requirements import (
    DAY_SECONDS,
    Requirement,
    Requirements,
    State,
)
from tests.runtime.test_mirror_record import Clock

KEY = sha256(b"payload")
URL = "https://data.example.org/tile.tif"
REQUIRED = Requirement(KEY.hex(), "doi:10.5072/example", "https://data.example.org/", 2)


@pytest.mark.parametrize(
    ("happened", "mirrors", "state"),
    [
        (lambda record: None, None, State.UNKNOWN_PAYLOAD),
        (lambda record: None, ["https://other.example.org/tile.tif"], State.NOT_NAMED),
        (lambda record: None, [URL], State.NOT_CHECKED),
        (lambda record: record.note_proof(URL, KEY, 0, 10, 0.1, 0.1), [URL], State.MET),
        (lambda record: record.note_error(URL), [URL], State.FAILING),
    ],
)
def test_a_requirement_is_judged_by_what_is_known(
    happened: Callable[[MirrorRecord], None], mirrors: list[str] | None, state: State
) -> None:
    clock = Clock()
    record = MirrorRecord(None, clock)
    happened(record)
    assert REQUIRED.state(mirrors, record.of, clock.now)[0] is state


def test_a_proof_grows_old_and_a_later_failure_outweighs_it() -> None:
    clock = Clock()
    record = MirrorRecord(None, clock)
    record.note_proof(URL, KEY, 0, 10, 0.1, 0.1)
    clock.now += 2 * DAY_SECONDS
    assert REQUIRED.state([URL], record.of, clock.now)[0] is State.MET
    clock.now += 1
    assert REQUIRED.state([URL], record.of, clock.now)[0] is State.STALE
    record.note_corruption(URL)
    state, health = REQUIRED.state([URL], record.of, clock.now)
    assert state is State.FAILING
    assert health is not None
    assert health.reason == "sent corrupt bytes"


def test_one_of_several_mirrors_there_is_enough() -> None:
    clock = Clock()
    record = MirrorRecord(None, clock)
    record.note_error(f"{URL}?old")
    record.note_proof(URL, KEY, 0, 10, 0.1, 0.1)
    assert REQUIRED.state([f"{URL}?old", URL], record.of, clock.now)[0] is State.MET


def test_what_is_required_survives_the_process_and_can_be_dropped(tmp_path: Path) -> None:
    path = tmp_path / "required_mirrors.json"
    kept = Requirements(path)
    kept.add([REQUIRED])
    kept.add([REQUIRED])  # the same takes its place
    assert Requirements(path).all() == [REQUIRED]
    assert kept.drop([KEY.hex()], "https://other.example.org/") == 0
    assert kept.drop([KEY.hex()], REQUIRED.mirror) == 1
    assert Requirements(path).all() == []


def test_a_damaged_file_is_told_and_there_is_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "required_mirrors.json"
    path.write_bytes(b'[{"key": "xyz"}]')
    with pytest.raises(StorageError, match="is damaged"):
        Requirements(path)
    path.unlink()
    monkeypatch.setattr(requirements, "REQUIRED_MAX", 0)
    with pytest.raises(UsageError, match="cannot be required"):
        Requirements(path).add([REQUIRED])
