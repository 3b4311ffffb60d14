"""Attacks by questions and answers: silent ones, endless ones, and ones that lead astray."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from libp2p.abc import INetStream

from meshnode.core.events import Event
from meshnode.runtime.network.containment import STREAMS_PER_PEER_MAX
from meshnode.runtime.network.mesh import Mesh, MeshSettings
from meshnode.runtime.network.serving import IN_FLIGHT_MAX, Serving
from tests.attacks.attackers import Attacker, attacker_of
from tests.attacks.victims import Victims, until
from tests.cli.test_bad_input import town, write_items
from tests.runtime.meshes import ANYWHERE, accept
from tests.runtime.peers import Shelf, no_peers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BUSY = b"\x00\x00\x00\x06\x91\xa4busy"
PAYLOAD_BYTES = 1 << 20


async def test_questions_that_never_end_take_no_place_of_others(victims: Victims) -> None:
    """Slow loris: each stream says the first byte of a question, and no more."""
    await victims.begin()
    async with attacker_of(await victims.address()) as attacker:
        for _ in range(IN_FLIGHT_MAX):
            stream = await attacker.question()
            await stream.write(b"\x00")
        with trio.fail_after(30):
            assert await (await attacker.question()).read(64) == BUSY
        await victims.assert_unharmed()  # the reader asks and is asked, as ever


async def test_more_streams_than_a_peer_may_have_are_reset(victims: Victims) -> None:
    await victims.begin()
    async with attacker_of(await victims.address()) as attacker:
        muxed = attacker.host.get_network().get_connections(attacker.victim)[0].muxed_conn
        for _ in range(2 * STREAMS_PER_PEER_MAX):
            with trio.move_on_after(5):  # our own side has a limit of its own
                await muxed.open_stream()
        await victims.assert_unharmed()


async def test_answers_that_are_no_answers_cost_the_peer_its_standing(victims: Victims) -> None:
    """Whoever connects is asked for heads; this one answers with bytes of nothing."""
    await victims.begin()

    async def answer(stream: INetStream) -> None:
        await stream.write(b"\x00\x00\x00\x04junk")

    async with attacker_of(await victims.address(), answer) as attacker:
        await until_blamed(victims, attacker)
        await victims.assert_unharmed(blamed=attacker.id)


async def test_a_peer_that_names_false_providers_spoils_no_download(victims: Victims) -> None:
    """It says that it serves every payload, at a port where nobody speaks BitTorrent."""
    await victims.begin()
    content = random.Random(5).randbytes(PAYLOAD_BYTES)
    await publish_payload(victims, content)
    async with babbling_port() as port, false_provider(victims, port):
        downloads = victims.folder / "downloads"
        await trio.Path(downloads).mkdir()
        got = await victims.reader.command("get", "with data", "--to", str(downloads))
        (file,) = got["files"]
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        await victims.assert_unharmed()


async def publish_payload(victims: Victims, content: bytes) -> None:
    file, items = victims.folder / "data.bin", victims.folder / "with data.ndjson"
    await trio.Path(file).write_bytes(content)
    asset = {"href": "https://data.example.org/data.bin"}
    write_items(items, town("with data", assets={"data": asset}))
    publisher = victims.pair.publisher
    await publisher.command("publish", str(items))
    victims.count_published(1)
    bound = ("--collection", "towns", "--bind", "with data:data")
    await publisher.command("payload", "add", str(file), *bound)
    await victims.pair.synchronised()


@asynccontextmanager
async def babbling_port() -> AsyncIterator[int]:
    """Listen, and say garbage to whoever calls."""

    async def babble(stream: trio.SocketStream) -> None:
        try:
            await stream.send_all(random.Random(6).randbytes(1 << 16))
            await trio.sleep_forever()
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, babble, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def false_provider(victims: Victims, port: int) -> AsyncIterator[None]:
    """Be connected to the reader, and say to every question that the payload is at this port."""
    async with trio.open_nursery() as nursery:
        liar = Serving(Shelf(), no_peers, lambda _key: port)
        settings = MeshSettings(listen=(ANYWHERE,))
        mesh = Mesh(settings, secrets.token_bytes(32), accept, _hear_nothing, liar.serve)
        await nursery.start(mesh.run)
        await mesh.dial(await victims.address())
        yield
        nursery.cancel_scope.cancel()


async def _hear_nothing(_event: Event) -> None:
    """It only answers."""


async def until_blamed(victims: Victims, attacker: Attacker) -> None:
    async def is_blamed() -> bool:
        blames = (await victims.peers())["blames"]
        return attacker.id in [blame["peer"] for blame in blames]

    await until(is_blamed)
