"""What a peer states to serve, and a payload whose only holder is no neighbour."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.config import Config
from meshnode.control import Control
from meshnode.core.events import AnnouncementReceived
from meshnode.core.holders import KIND, LASTING_SECONDS_MAX
from meshnode.core.identifiers import Digest
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.statement_bodies import Endpoint, Provider, encode_body
from meshnode.core.statements import Statement, encode_statement
from meshnode.runtime.clock import unix_now
from meshnode.runtime.home import Home
from meshnode.runtime.peer import Peer
from meshnode.runtime.providing import ENOUGH, Providing
from meshnode.runtime.service import running
from tests.runtime.homes import WITHIN_SECONDS, loopback, made_home, publisher_of
from tests.runtime.test_operator_payloads import publish_payload, until_payloads

pytestmark = pytest.mark.slow

SIZE_BYTES = 1 << 20
AT = "/ip4/127.0.0.1/tcp/4001"


def alone(*seeds: str) -> Config:
    """Settings of a peer that meets nobody but its seeds, and states nothing by itself."""
    settings = loopback(*seeds)
    network = settings.network.model_copy(update={"discover": False, "provide": False})
    return settings.model_copy(update={"network": network})


@dataclass
class Words:
    """A peer that states what it serves when the test says so; `held` are its payloads."""

    peer: Peer
    held: list[Digest] = field(default_factory=list)
    addresses: Sequence[str] = (AT,)

    @property
    def providing(self) -> Providing:
        rng = random.Random(1)
        return Providing(
            self.peer, lambda: self.addresses, lambda: 6881, self.held.__contains__, rng
        )

    async def say(self) -> list[tuple[str, list[str]]]:
        """Let one round pass; return subject and endpoints of what stands of this peer."""
        await self.providing.round()
        said = await Control(self.peer.home.control).ask("statements", kind=KIND)
        own = [each for each in said["statements"] if each["own"]]
        return sorted((each["about"], each["says"].get("endpoints", [])) for each in own)


@asynccontextmanager
async def publishing(tmp_path: Path) -> AsyncIterator[tuple[Words, str, Digest]]:
    """Run a peer that published a payload; yield it with the catalogue and the payload's key."""
    home, content = made_home(tmp_path / "home"), tmp_path / "tile.tif"
    await trio.Path(content).write_bytes(random.Random(1).randbytes(SIZE_BYTES))
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, alone(), online=True) as peer:
            key = await publish_payload(home, content)
            said = {"catalogue": institution.text, "key": key, "content": str(content)}
            await Control(home.control).ask("seed", **said)
            yield Words(peer), institution.text, Digest(bytes.fromhex(key))


async def test_a_payload_comes_from_its_only_holder_who_is_no_neighbour(tmp_path: Path) -> None:
    between, other = made_home(tmp_path / "between"), made_home(tmp_path / "other")
    async with publishing(tmp_path) as (words, catalogue, key):
        network = words.peer.network
        assert network is not None
        words.addresses = network.mesh.addresses()
        words.held = [key]
        async with (
            running(between.root, alone(*words.addresses), online=True) as middle,
            running(other.root, alone(*(await addresses_of(between))), online=True) as reader,
        ):
            for home in (between, other):
                await Control(home.control).ask("follow", catalogue=catalogue)
                await until_payloads(home, 1)
            providing = Providing(
                words.peer,
                network.mesh.addresses,
                lambda: network.torrents.port,
                network.torrents.holds,
                random.Random(1),
            )
            await providing.round()
            await until(reader, lambda: len(list(reader.node.holders.stated(key))) == 1)
            assert [each.peer for each in neighbours(reader)] == [middle.id]

            got = await Control(other.control).ask("get", payload=key.hex())
            payloads = (await Control(other.control).ask("payloads"))["payloads"]

            assert list(got["by_source"]) == [f"peer 127.0.0.1:{network.torrents.port}"]
            assert words.peer.id in [each.peer for each in neighbours(reader)]
            assert [each["stated_by"] for each in payloads] == [[words.peer.id]]
            assert (await Control(other.control).ask("peers"))["broken_words"] == []


async def test_a_peer_that_has_not_what_it_states_is_named(tmp_path: Path) -> None:
    between, other = made_home(tmp_path / "between"), made_home(tmp_path / "other")
    async with publishing(tmp_path) as (words, catalogue, key):
        assert words.peer.network is not None
        words.addresses = words.peer.network.mesh.addresses()
        words.held = [key]
        async with (
            running(between.root, alone(*words.addresses), online=True),
            running(other.root, alone(*(await addresses_of(between))), online=True) as reader,
        ):
            for home in (between, other):
                await Control(home.control).ask("follow", catalogue=catalogue)
                await until_payloads(home, 1)
            await words.providing.round()
            await until(reader, lambda: len(list(reader.node.holders.stated(key))) == 1)
            await Control(words.peer.home.control).ask("payload_drop", payload=key.hex())
            get = {"payload": key.hex()}
            with trio.move_on_after(WITHIN_SECONDS):
                async with aclosing(Control(other.control).follow("get", **get)) as messages:
                    async for _ in messages:
                        break  # it waits for sources from here on

            said = await Control(other.control).ask("peers")

            assert said["broken_words"] == [{"peer": words.peer.id, "times": 1}]


async def test_what_is_served_is_stated_once_and_taken_back_when_it_is_not(tmp_path: Path) -> None:
    async with publishing(tmp_path) as (words, catalogue, key):
        at, torrent_at = ["127.0.0.1:4001"], ["127.0.0.1:6881"]
        assert await words.say() == []  # the catalogue has no segment, and no payload is held
        words.held = [key]
        both = sorted([(catalogue, at), (f"payload:{key.hex()}", torrent_at)])
        assert await words.say() == both
        before = seqs(words.peer)
        assert await words.say() == both
        assert seqs(words.peer) == before

        words.addresses = ["/ip4/127.0.0.1/tcp/4002"]
        assert (catalogue, ["127.0.0.1:4002"]) in await words.say()
        assert seqs(words.peer) > before

        words.held = []
        assert [ends for _, ends in await words.say()] == [[], []]


async def test_a_peer_that_nobody_can_call_states_nothing(tmp_path: Path) -> None:
    async with publishing(tmp_path) as (words, _, key):
        words.held, words.addresses = [key], ["/dns4/seed.example.org/tcp/4001"]

        assert await words.say() == []


async def test_where_enough_others_state_the_same_one_more_is_silent(tmp_path: Path) -> None:
    async with publishing(tmp_path) as (words, catalogue, key):
        words.held = [key]
        for number in range(ENOUGH):
            await words.peer.tell(AnnouncementReceived(words.peer.id, by_other(number, key)))
        await until(
            words.peer,
            lambda: len(list(words.peer.node.holders.stated(key))) == ENOUGH,
        )

        assert await words.say() == [(catalogue, ["127.0.0.1:4001"])]


def by_other(number: int, subject: Digest) -> bytes:
    """Return what another peer states about this subject."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    now = unix_now()
    body = encode_body(Provider((Endpoint(bytes([192, 0, 2, number]), 6881),)))
    said = Statement(KIND, public_key(key), subject, 1, now, now + LASTING_SECONDS_MAX, body)
    return encode_signed(sign("statement", encode_statement(said), [key]))


def seqs(peer: Peer) -> list[int]:
    return [each.statement.seq for each in peer.node.claims]


def neighbours(peer: Peer) -> Sequence[Any]:
    assert peer.network is not None
    return peer.network.mesh.connections()


async def addresses_of(home: Home) -> list[str]:
    return list((await Control(home.control).ask("status"))["addresses"])


async def until(peer: Peer, is_so: Callable[[], bool]) -> None:
    """Wait until it is so; each event and effect of the peer is a moment to look."""
    with peer.journal.notices.watch(lambda _: True) as watcher:
        while not is_so():
            await watcher.receive()
