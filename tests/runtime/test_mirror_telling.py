"""A peer tells how the mirrors of its payloads do, and the word of others orders them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.core.identifiers import Digest, sha256
from meshnode.core.mirror_health import KIND, Word
from meshnode.core.statement_bodies import SeenMirror, decode_body
from meshnode.runtime.mirror_telling import MirrorTelling
from meshnode.runtime.payloads.engine import Engine
from meshnode.runtime.payloads.governor import Governor
from meshnode.runtime.payloads.limits import UNLIMITED
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.enrolment import Enrolments
from meshnode.runtime.payloads.traffic import Traffic
from meshnode.runtime.service import running
from tests.runtime.homes import WITHIN_SECONDS, loopback, made_home, publisher_of
from tests.runtime.test_mirror_record import Clock
from tests.runtime.test_operator_payloads import publish_payload
from tests.runtime.test_web_seeds import LOCAL

URL = "https://data.example.org/tile.tif"
OTHER = "https://other.example.org/tile.tif"


@pytest.mark.slow
async def test_n_113_what_was_seen_of_an_offered_payload_is_told_once(tmp_path: Path) -> None:
    content = tmp_path / "tile.tif"
    await trio.Path(content).write_bytes(random.Random(1).randbytes(100_000))
    home = made_home(tmp_path / "home")
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            key = Digest(bytes.fromhex(await publish_payload(home, content, mirrors=[URL, OTHER])))
            assert peer.network is not None
            said = {"catalogue": institution.text, "key": key.hex(), "content": str(content)}
            await Control(home.control).ask("seed", **said)
            telling = MirrorTelling(peer, peer.network, random.Random(1))
            assert await telling.tell() == 0  # nothing was seen of them yet

            record = peer.network.torrents.mirrors
            record.note_proof(URL, key, 0, 1000, 0.1, 0.1)
            record.note_error("https://stranger.example.org/")
            assert await telling.tell() == 1
            (stated,) = [each for each in peer.node.claims if each.statement.kind == KIND]
            proven = record.of(URL).proven
            assert decode_body(KIND, stated.statement.body) == (
                SeenMirror(sha256(URL.encode()), proven, 0, 0),
            )
            assert stated.statement.subject == key
            record.note_corruption(URL)
            assert await telling.tell() == 0  # not again within six hours

            await peer.network.torrents.stop(key, erase=False)
            assert await telling.tell() == 0  # it is not offered any more


async def test_n_116_the_word_of_others_orders_mirrors_and_excludes_none() -> None:
    told = {sha256(URL.encode()): Word(8, 0), sha256(OTHER.encode()): Word(0, 8)}
    record = MirrorRecord(None, Clock())
    key = sha256(b"payload")

    def order(hear: dict[Digest, Word]) -> tuple[str, ...]:
        engine = Engine(LOCAL, lambda _alert: None)
        governor = Governor(engine, UNLIMITED, Traffic(None, Clock()))
        rng = random.Random(1)
        enrolments = Enrolments(record, LOCAL, rng, governor, hear=lambda _key: hear)
        return enrolments.choice(key, [URL, OTHER]).active

    assert order({}) == (URL, OTHER)
    assert order(told) == (OTHER, URL)
