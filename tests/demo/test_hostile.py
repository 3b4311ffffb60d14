"""The hostile process against a real node behind a real mesh: what it is blamed for."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.authoring import LogState, extend, first_root
from meshnode.core.effects import AskHeads, AskLog, AskRoots, Blame, Effect, FetchObject, Request
from meshnode.core.entries import SegmentAdded
from meshnode.core.events import Event, Followed, Now
from meshnode.core.identifiers import CatalogueId, PeerId, PublicKey, catalogue_text, key_id, sha256
from meshnode.core.merkle import Frontier
from meshnode.core.names import LogId, Ticket
from meshnode.core.node import Node
from meshnode.core.roots import encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from meshnode.core.verdicts import Check, Verdict
from meshnode.demo.hostile import main
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from meshnode.runtime.network.streams import Stream
from tests.runtime.meshes import HEARD_WITHIN_SECONDS, Peer
from tests.runtime.peers import Folder, Shelf, no_peers, no_provider

SEGMENT = random.Random(7).randbytes(300_000)


class Holder(Peer):
    """An honest peer that holds one catalogue of one segment."""

    def __init__(self) -> None:
        super().__init__("holder")
        self.shelf = Shelf()
        self.catalogue = _publish(self.shelf)

    async def serve(self, peer: PeerId, stream: Stream) -> None:
        serving = Serving(self.shelf, no_peers, no_provider, stretches=self.shelf.stretches)
        await serving.serve(peer, stream)


class Victim(Peer):
    """A node that follows the catalogue, and the requests it makes; nothing is written to disk."""

    def __init__(self, path: Path, catalogue: CatalogueId) -> None:
        self.node = Node(random.Random(3))
        super().__init__("victim", judge=self._judge)
        self.requests = Requests(self.mesh.open_stream, Folder(path), list)
        self._path = path
        self.catalogue = catalogue
        self.blames: list[Blame] = []
        self.blamed_twice = trio.Event()
        self._queue, self._next = trio.open_memory_channel[Event](1000)

    def is_empty(self) -> bool:
        """True if nothing of what was fetched is left."""
        return not list(self._path.iterdir())

    async def serve(self, peer: PeerId, stream: Stream) -> None:
        await Serving(Shelf(), no_peers, no_provider).serve(peer, stream)

    async def live(self) -> None:
        async with trio.open_nursery() as nursery:
            await self._tell(Followed(Ticket(1), self.catalogue))
            async for event in self._next:
                for effect in self.node.handle([event], _now()):
                    self._start(effect, nursery)

    def _start(self, effect: Effect, nursery: trio.Nursery) -> None:
        match effect:
            case AskHeads() | AskRoots() | AskLog() | FetchObject():
                nursery.start_soon(self._perform, effect)
            case Blame():
                self.blames.append(effect)
                if len(self.blames) == 2:
                    self.blamed_twice.set()
            case _:
                pass

    async def _perform(self, request: Request) -> None:
        await self._tell(await self.requests.perform(request))

    def _judge(self, raw: bytes) -> Verdict:
        refusal = self.node.judge(raw, _now())
        return Verdict.ACCEPT if refusal is None else refusal.verdict

    async def _tell(self, event: Event) -> None:
        await super()._tell(event)
        await self._queue.send(event)


@pytest.mark.slow
async def test_a_forged_head_and_a_corrupt_segment_are_blamed_by_name(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    holder = Holder()
    await holder.start(nursery)
    victim = Victim(tmp_path, holder.catalogue)
    await victim.start(nursery)
    nursery.start_soon(victim.live)
    command = [sys.executable, "-m", "meshnode.demo.hostile"]
    command += ["--to", victim.mesh.addresses()[0], "--learn-from", holder.mesh.addresses()[0]]
    command += ["--catalogue", catalogue_text(holder.catalogue)]
    with trio.fail_after(3 * HEARD_WITHIN_SECONDS):
        done = await trio.run_process(command, capture_stdout=True)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [report["attack"] for report in reports] == ["corrupt segment", "forged head"]
    assert {report["victim"] for report in reports} == {victim.id}

    with trio.fail_after(HEARD_WITHIN_SECONDS):
        await victim.blamed_twice.wait()
    assert {blame.check for blame in victim.blames} == {Check.CONTENT_HASH, Check.SIGNATURE}
    assert holder.id not in {blame.peer for blame in victim.blames}
    assert victim.is_empty()


def test_an_address_that_is_none_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--to", "nowhere", "--catalogue", "x"]) == 1
    assert capsys.readouterr().err == "error: 'nowhere' is not the address of a peer\n"


@pytest.mark.slow
def test_the_process_says_how_it_is_called() -> None:
    command = [sys.executable, "-m", "meshnode.demo.hostile", "--help"]
    assert b"--learn-from" in subprocess.run(command, capture_output=True, check=True).stdout


def _publish(shelf: Shelf) -> CatalogueId:
    root_key, writer_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    now = unix_now()
    root = first_root(_public(root_key), [(_public(writer_key), "writer")], {}, now, now + 1000)
    signed_root = sign("root", encode_root(root), [root_key])
    catalogue = CatalogueId(signed_root.digest)
    log = LogId(catalogue, key_id(_public(writer_key)))
    segment = SegmentAdded(
        1, "c", sha256(SEGMENT), len(SEGMENT), 1, 1, (0, 0, 0, 0), (None, None), ()
    )
    head, _, entries = extend(
        LogState(catalogue, log.writer, 1, None, Frontier(), 0),
        [segment],
        issued=now,
        next_by=None,
        sign=partial(sign, "head", keys=[writer_key]),
    )
    shelf.all_roots[catalogue] = [encode_signed(signed_root)]
    shelf.all_heads[catalogue] = [head]
    shelf.entries[log] = list(entries)
    shelf.objects[sha256(SEGMENT)] = SEGMENT
    return catalogue


def _public(key: Ed25519PrivateKey) -> PublicKey:
    return PublicKey(key.public_key().public_bytes_raw())


def _now() -> Now:
    return Now(monotonic=trio.current_time(), unix=unix_now())
