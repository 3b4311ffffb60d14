"""What the peer says of itself while it works: the stream of events, and the log of the node."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from meshnode.config import LogSettings
from meshnode.control import Control, Message
from meshnode.core import trace
from meshnode.core.budgets import Budgets
from meshnode.core.durable import Restored
from meshnode.core.effects import Effect
from meshnode.core.events import AnnouncementReceived, Event, Now, StorageFailed
from meshnode.core.identifiers import PeerId, object_text, sha256
from meshnode.core.node import Node
from meshnode.errors import UsageError
from meshnode.runtime import service
from meshnode.runtime.bulletin import NOTICES_MAX
from meshnode.runtime.home import Home
from meshnode.runtime.journal import PayloadProgress
from meshnode.runtime.logs import configure_logs
from meshnode.runtime.service import offline, running
from tests.runtime.homes import (
    WITHIN_SECONDS,
    follow,
    ids_found,
    loopback,
    made_home,
    publish,
    publisher_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def verbose() -> Iterator[None]:
    configure_logs(LogSettings(level="debug"))
    yield
    configure_logs(LogSettings())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return made_home(tmp_path / "home")


class Watch:
    """Follows `events` in a task of its own, and keeps them."""

    def __init__(self, home: Home) -> None:
        self.said: list[Message] = []
        self._home = home
        self._changed = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        async with aclosing(Control(self._home.control).follow("events")) as messages:
            async for message in messages:
                if not self.said:
                    task_status.started()
                self.said.append(message["event"])
                self._changed.set()
                self._changed = trio.Event()

    async def until(self, **fields: Any) -> Message:
        """Return the first event with these fields."""
        with trio.fail_after(WITHIN_SECONDS):
            while True:
                for said in self.said:
                    if fields.items() <= said.items():
                        return said
                await self._changed.wait()


async def test_who_watches_is_told_what_the_peer_does(home: Home, tmp_path: Path):
    institution, publisher = publisher_of(home)
    other = made_home(tmp_path / "other")
    async with (
        running(home.root, loopback(), online=True) as peer,
        trio.open_nursery() as watching,
    ):
        watch = Watch(home)
        await watching.start(watch.run)
        assert watch.said[0]["what"] == "watching"
        await follow(home, institution)
        await watch.until(what="root adopted", catalogue=institution.text, version=1)
        await publish(publisher, tmp_path, "a", "b")
        await watch.until(what="head adopted", catalogue=institution.text, seq=1, entries=2)
        await watch.until(what="segment indexed", collection="towns", rows=2)
        payload = sha256(b"payload")
        peer.journal.progressed(PayloadProgress(payload, 3, 10))
        await watch.until(
            what="payload progress", payload=object_text(payload), done_bytes=3, total_bytes=10
        )
        assert peer.network is not None
        async with running(other.root, loopback(*peer.network.mesh.addresses()), online=True) as it:
            await watch.until(what="peer joined", peer=it.id)
        await watch.until(what="peer left", peer=it.id)
        await peer.tell(AnnouncementReceived(PeerId("liar"), b"no record"))
        assert (await watch.until(what="blame", peer="liar"))["check"] == "encoding"
        await peer.tell(StorageFailed("the disk is full"))
        await watch.until(what="read-only", reason="the disk is full")
        watching.cancel_scope.cancel()
    assert all(isinstance(said["time"], int) for said in watch.said)


async def test_who_reads_too_slowly_is_sent_away_and_nobody_waited_for_him(home: Home):
    async with offline(home.root) as peer:
        async with aclosing(Control(home.control).follow("events")) as messages:
            assert (await anext(messages))["event"]["what"] == "watching"
            for number in range(NOTICES_MAX + 9):
                peer.journal.progressed(PayloadProgress(sha256(b"p"), number, NOTICES_MAX))
            assert await Control(home.control).ask("ping") == {"online": False}
            with pytest.raises(UsageError, match="too slow to watch"):
                async for message in messages:
                    assert message["event"]["what"] == "payload progress"
        assert not peer.journal.notices._watchers


@dataclass
class Recording:
    """What a node was told and when, and what it asked for."""

    rng: object = None
    restored: tuple[Restored, Now] | None = None
    batches: list[tuple[list[Event], Now]] = field(default_factory=list)
    effects: list[list[Effect]] = field(default_factory=list)


@pytest.mark.usefixtures("verbose")
async def test_the_log_of_a_peer_is_the_trace_of_a_node_that_is_told_the_same(
    home: Home, tmp_path: Path, monkeypatch
):
    """The events of a real peer, told to another node at the same times, as simulations do."""
    recording = Recording()

    class RecordedNode(Node):
        def __init__(self, rng: random.Random, *, budgets: Budgets) -> None:
            recording.rng = rng.getstate()
            super().__init__(rng, budgets=budgets)

        def restore(self, restored: Restored, now: Now) -> list[Effect]:
            recording.restored = restored, now
            recording.effects.append(super().restore(restored, now))
            return recording.effects[-1]

        def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
            recording.batches.append((list(batch), now))
            recording.effects.append(super().handle(batch, now))
            return recording.effects[-1]

    institution, publisher = publisher_of(home)
    other = made_home(tmp_path / "other")
    async with running(home.root, loopback(), online=True) as peer:
        await follow(home, institution)
        await publish(publisher, tmp_path, "a", "b")
        assert peer.network is not None
        addresses = peer.network.mesh.addresses()
        with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
            patch.setattr(service, "Node", RecordedNode)
            async with running(other.root, loopback(*addresses), online=True) as remote:
                await Control(other.control).ask("follow", catalogue=institution.text)
                await remote.tell(AnnouncementReceived(PeerId("liar"), b"no record"))
                with trio.fail_after(WITHIN_SECONDS):
                    while await ids_found(other) != ["a", "b"]:
                        await trio.lowlevel.checkpoint()

    rng = random.Random()
    rng.setstate(recording.rng)  # type: ignore[arg-type]
    again = Node(rng)
    assert recording.restored is not None
    effects = [again.restore(*recording.restored)]
    effects += [again.handle(batch, now) for batch, now in recording.batches]
    assert effects == recording.effects
    steps = zip([[], *(batch for batch, _ in recording.batches)], effects, strict=True)
    lines = [trace.line(each) for batch, caused in steps for each in (*batch, *caused)]
    assert [line["event"] for line in logs if line["event"] in set(lines)] == lines
    kinds = {line.split()[0] for line in lines}
    assert kinds >= {"PeerConnected", "LogReceived", "ExtendLog", "SegmentIndexed", "Blame"}
