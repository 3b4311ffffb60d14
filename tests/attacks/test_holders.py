"""Lies about who holds what: they cost a few calls and a bounded time, and nobody else pays."""

from __future__ import annotations

import hashlib
import random
from contextlib import aclosing
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from libp2p.pubsub.pb import rpc_pb2

from meshnode.core.holders import KIND, LASTING_SECONDS_MAX
from meshnode.core.identifiers import Digest, parse_catalogue
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.statement_bodies import Endpoint, Provider, encode_body
from meshnode.core.statements import Statement, encode_statement
from meshnode.core.verdicts import Topic
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.holder_calls import CALLS_OF_ADDRESS
from meshnode.runtime.offers import CALLING_SECONDS_MAX
from tests.attacks.attackers import attacker_of, send
from tests.attacks.victims import Victims, until
from tests.cli.test_bad_input import town, write_items

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LIARS = 60
PAYLOAD_BYTES = 100_000
BEGUN_SECONDS_MAX = CALLING_SECONDS_MAX + 30.0  # the rest is for a busy machine


def lie(number: int, subject: bytes, port: int) -> bytes:
    """Return what a key that belongs to no peer states to serve at a port of this machine."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"liar %d" % number).digest())
    now = unix_now()
    body = encode_body(Provider((Endpoint(bytes([127, 0, 0, 1]), port),)))
    said = Statement(
        KIND, public_key(key), Digest(subject), 1, now, now + LASTING_SECONDS_MAX, body
    )
    return encode_signed(sign("statement", encode_statement(said), [key]))


async def test_false_holders_cost_a_few_calls_and_a_bounded_time(
    victims: Victims, tmp_path: Path
) -> None:
    await victims.begin()
    key = await payload_that_nobody_serves(victims, tmp_path)
    called = 0

    async def third_party(stream: trio.SocketStream) -> None:
        nonlocal called
        called += 1
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, third_party, 0)
        port = listeners[0].socket.getsockname()[1]
        subjects = [parse_catalogue(victims.pair.catalogue), bytes.fromhex(key)]
        async with attacker_of(await victims.address()) as attacker:
            stream = await attacker.gossip()
            for number in range(LIARS):
                for subject in subjects:
                    raw = lie(number, subject, port)
                    message = attacker.message(raw, topic=Topic.CLAIMS.value)
                    await send(stream, rpc_pb2.RPC(publish=[message]))
                    await trio.sleep(0.05)  # as an honest forwarder would: within its budget

            async def is_believed() -> bool:
                listed = await victims.reader.control.ask("payloads")
                return len(listed["payloads"][0]["stated_by"]) == LIARS

            await until(is_believed)
        await begin_to_get(victims, key)
        nursery.cancel_scope.cancel()
    assert 0 < called <= CALLS_OF_ADDRESS
    broken = (await victims.peers())["broken_words"]
    assert 0 < len(broken) <= CALLS_OF_ADDRESS
    assert all(each["times"] == 1 for each in broken)
    await victims.assert_unharmed()


async def begin_to_get(victims: Victims, key: str) -> None:
    """Ask for the payload until the calls have ended and the engine waits for sources."""
    with trio.fail_after(BEGUN_SECONDS_MAX):
        messages = victims.reader.control.follow("get", payload=key)
        async with aclosing(messages):
            await anext(messages)


async def payload_that_nobody_serves(victims: Victims, tmp_path: Path) -> str:
    """Publish a file, and have the publisher serve it no more; return the payload's key."""
    file, items = tmp_path / "data.bin", tmp_path / "items.ndjson"
    await trio.Path(file).write_bytes(random.Random(1).randbytes(PAYLOAD_BYTES))
    write_items(items, town("wanted", assets={"data": {"href": "https://data.example.org/d"}}))
    publisher = victims.pair.publisher
    await publisher.command("publish", str(items))
    victims.count_published(1)
    bound = ("--collection", "towns", "--bind", "wanted:data")
    await publisher.command("payload", "add", str(file), *bound)
    await victims.pair.synchronised()
    [payload] = (await publisher.control.ask("payloads"))["payloads"]
    await publisher.command("payload", "drop", payload["key"])
    return str(payload["key"])
