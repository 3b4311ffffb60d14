"""Publishing: a crash between any two steps is harmless, and a retry submits the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest
import trio
import trio.lowlevel

from meshnode.control import Control, Message, NotRunningError
from meshnode.core.heads import Head, decode_signed_head
from meshnode.core.identifiers import Digest, sha256
from meshnode.core.names import LogId, Stretch
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer import room
from meshnode.runtime.maintainer.institutions import writer_of
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.maintainer.staging import stage
from meshnode.runtime.service import offline
from tests.runtime.homes import (
    WITHIN_SECONDS,
    follow,
    ids_found,
    items_file,
    made_home,
    publish,
    publisher_of,
    result_of,
)
from tests.runtime.stac_samples import item

ROOT = Path(__file__).resolve().parents[2]


class CrashError(Exception):
    """The process ends here."""


class Line:
    """The way to the peer; it is cut before a submission arrives, or before it is acknowledged."""

    def __init__(self, home: Home, *, arrives: bool) -> None:
        self._control = Control(home.control)
        self._arrives = arrives

    async def ask(self, action: str, **arguments: Any) -> Message:
        return await self._control.ask(action, **arguments)

    async def follow(self, action: str, **arguments: Any) -> AsyncGenerator[Message, None]:
        if not self._arrives:
            raise CrashError
        async with aclosing(self._control.follow(action, **arguments)) as messages:
            async for message in messages:
                if "adopted" in message.get("event", {}):
                    raise CrashError
                yield message


async def publish_and_crash(home: Home, directory: Path, item_id: str, *, arrives: bool) -> None:
    """Publish in a process that ends before, or just after, the peer has the signed head."""
    _, publisher = publisher_of(home)
    publisher._control = cast("Control", Line(home, arrives=arrives))
    with pytest.raises(CrashError):
        await publish(publisher, directory, item_id)


def crash(*_arguments: object, **_options: object) -> None:
    raise CrashError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return made_home(tmp_path / "home")


async def log_of(publisher: Publisher) -> tuple[int, str | None]:
    state = await publisher.state()
    return state["size"], state["head"]


async def sign_anew(publisher: Publisher, next_within_s: int) -> Head:
    """Sign a head that adds nothing but this promise."""
    with publisher.session():
        await result_of(publisher.recover())
        await result_of(publisher.publish(await publisher.state(), [], [], next_within_s))
    return await newest_head(publisher)


async def newest_head(publisher: Publisher) -> Head:
    return decode_signed_head(bytes.fromhex((await publisher.state())["head"])).head


async def promised(publisher: Publisher) -> int | None:
    return (await newest_head(publisher)).next_by


async def freshness(home: Home, monkeypatch, at: int) -> tuple[list[str], int | None]:
    """Return what `status` says of the only catalogue at this unix second."""
    monkeypatch.setattr("meshnode.runtime.operator.standing.unix_now", lambda: at)
    [said] = (await Control(home.control).ask("status"))["catalogues"]
    return said["freshness"], said["frozen_since"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["staging.stage", "staging.write_durably", "publishing.write_durably"]
)
async def test_a_crash_before_the_journal_is_written_publishes_nothing(
    home: Home, tmp_path: Path, monkeypatch, step: str
):
    institution, publisher = publisher_of(home)

    async with offline(home.root):
        await follow(home, institution)
        with monkeypatch.context() as patch, pytest.raises(CrashError):
            patch.setattr(f"meshnode.runtime.maintainer.{step}", crash)
            await publish(publisher, tmp_path, "a")
        assert not institution.journal.exists()
        assert (await log_of(publisher))[0] == 0
        await publish(publisher, tmp_path, "a", "b")
        assert await ids_found(home) == ["a", "b"]


@pytest.mark.slow
async def test_a_head_that_was_journalled_but_never_submitted_is_submitted_first(
    home: Home, tmp_path: Path
):
    institution, publisher = publisher_of(home)

    async with offline(home.root) as peer:
        await follow(home, institution)
        await publish_and_crash(home, tmp_path, "a", arrives=False)
        assert await log_of(publisher) == (0, None)
        signed = msgpack.unpackb(institution.journal.read_bytes())["heads"]
        await publish(publisher, tmp_path, "b")
        assert await ids_found(home) == ["a", "b"]
        assert not institution.journal.exists()
        log = LogId(institution.catalogue, writer_of(institution.writer_key(None)))
        heads, _ = peer.store.whole(log, [Stretch(0, 0, 1, 0, 1)])
    assert heads[0] == bytes.fromhex(signed[0])


@pytest.mark.slow
async def test_a_head_whose_acknowledgement_was_lost_is_not_signed_again(
    home: Home, tmp_path: Path
):
    institution, publisher = publisher_of(home)

    async with offline(home.root):
        await follow(home, institution)
        await publish_and_crash(home, tmp_path, "a", arrives=True)
        before = await log_of(publisher)
        assert institution.journal.exists()
        with publisher.session():
            assert await result_of(publisher.recover()) == {"refused": []}
        assert await log_of(publisher) == before
        assert not institution.journal.exists()
        assert await ids_found(home) == ["a"]


@pytest.mark.slow
async def test_objects_stored_for_a_command_that_died_count_when_it_is_repeated(
    home: Home, tmp_path: Path
):
    """The peer gives up a request when the asker is gone, maybe before the node hears of it all."""
    institution, publisher = publisher_of(home)

    async with offline(home.root) as peer:
        await follow(home, institution)
        await publish_and_crash(home, tmp_path, "a", arrives=False)
        for staged in list(publisher.staging.iterdir()):
            peer.store.complete(Digest(bytes.fromhex(staged.name)), staged)
        with trio.fail_after(WITHIN_SECONDS):
            await publish(publisher, tmp_path, "b")
        assert await ids_found(home) == ["a", "b"]


@pytest.mark.slow
async def test_the_promise_of_a_next_head_stays_until_it_is_renewed_or_lifted(
    home: Home, tmp_path: Path
):
    institution, publisher = publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
        assert await promised(publisher) is None
        first = await sign_anew(publisher, 3_600)
        assert first.next_by == first.issued + 3_600
        await publish(publisher, tmp_path, "b")
        assert await promised(publisher) == first.next_by
        renewed = await sign_anew(publisher, 7_200)
        assert (renewed.size, renewed.next_by) == (first.size + 1, renewed.issued + 7_200)
        assert (await sign_anew(publisher, 0)).next_by is None


@pytest.mark.slow
async def test_a_catalogue_whose_promise_is_past_is_possibly_frozen(home: Home, monkeypatch):
    institution, publisher = publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        head = await sign_anew(publisher, 3_600)
        assert head.next_by is not None
        assert await freshness(home, monkeypatch, head.next_by) == (["current"], None)
        past = await freshness(home, monkeypatch, head.next_by + 1)
        assert past == (["possibly frozen"], head.next_by)


@pytest.mark.slow
async def test_l_93_a_segment_that_would_find_no_room_is_not_signed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    institution, publisher = publisher_of(home)
    monkeypatch.setattr(room, "LIVE_SEGMENTS_MAX", 1)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "one")
        with pytest.raises(UsageError, match="would have 2 live segments; 1 count"):
            await publish(publisher, tmp_path, "two")
        assert (await publisher.state())["size"] == 2
    assert not institution.journal.exists()


@pytest.mark.slow
async def test_a_journal_that_no_peer_takes_names_the_way_out(home: Home, tmp_path: Path):
    """Two copies of one key: both sign the same place in the log."""
    institution, publisher = publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        await publish_and_crash(home, tmp_path, "a", arrives=False)
        lost = institution.journal.read_bytes()
        institution.journal.unlink()
        await publish(publisher, tmp_path, "b")
        institution.journal.write_bytes(lost)
        with pytest.raises(UsageError, match=r"staged object|is taken by another head") as caught:
            await publish(publisher, tmp_path, "c")
        assert str(institution.journal) in str(caught.value)
        assert "move" in caught.value.hint
        assert institution.journal.read_bytes() == lost
        institution.journal.rename(institution.directory / "journal.refused")
        await publish(publisher, tmp_path, "c")
        assert await ids_found(home) == ["b", "c"]


async def test_two_publishers_of_one_catalogue_at_once_are_refused(home: Home):
    _, publisher = publisher_of(home)
    _, other = publisher_of(home)
    another = pytest.raises(UsageError, match="another process publishes to 'towns'")
    with publisher.session(), another, other.session():
        pytest.fail("both hold the catalogue")
    with other.session():
        pass


def test_an_error_inside_a_session_is_not_taken_for_another_publisher(home: Home):
    _, publisher = publisher_of(home)
    with pytest.raises(BlockingIOError), publisher.session():
        raise BlockingIOError


def test_a_catalogue_whose_folder_is_gone_is_an_error_of_the_machine(home: Home):
    institution, publisher = publisher_of(home)
    institution.directory.rename(home.root / "elsewhere")
    with pytest.raises(StorageError, match="cannot open"), publisher.session():
        pytest.fail("there is no lock to hold")


async def test_a_damaged_journal_is_kept_and_named(home: Home):
    institution, publisher = publisher_of(home)
    institution.journal.write_bytes(b"\xc1")
    with publisher.session(), pytest.raises(StorageError, match="cannot be read") as caught:
        await result_of(publisher.recover())
    assert "keep it" in caught.value.hint
    assert institution.journal.exists()


async def test_without_a_peer_nothing_is_signed(home: Home, tmp_path: Path):
    institution, publisher = publisher_of(home)
    with pytest.raises(NotRunningError):
        await publish(publisher, tmp_path, "a")
    assert not institution.journal.exists()


def test_staged_objects_lie_under_their_hash(tmp_path: Path):
    digest = stage(tmp_path, b"object")
    assert digest == sha256(b"object")
    assert (tmp_path / digest.hex()).read_bytes() == b"object"


@pytest.mark.slow
@pytest.mark.parametrize("awaited", ["keys/towns/journal.cbor", "incoming"])
async def test_a_publish_that_is_killed_can_be_repeated(home: Home, tmp_path: Path, awaited: str):
    """The command is killed with SIGKILL as soon as it wrote its journal, or began to stage."""
    institution, publisher = publisher_of(home)
    items = items_file(tmp_path / "items.ndjson", [item(f"i{n}") for n in range(200)])
    command = [sys.executable, "-m", "meshnode", "publish", str(items), "--home", str(home.root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    async with offline(home.root):
        await follow(home, institution)
        process = await trio.lowlevel.open_process(
            command, env=environment, stderr=subprocess.DEVNULL
        )
        place = home.root / awaited
        with trio.fail_after(60):
            while process.poll() is None and not (place.is_file() or _staged(place)):
                await trio.lowlevel.checkpoint()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await publish(publisher, tmp_path, *(f"i{n}" for n in range(200)))
        assert len(await ids_found(home)) == 200
        assert not institution.journal.exists()
        assert len((await publisher.own_segments())["segments"]) == 1


def _staged(place: Path) -> bool:
    return place.is_dir() and any(place.glob("*/*"))
