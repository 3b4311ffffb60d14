"""A hostile stranger, a process of its own that speaks the real wire protocol.

    python -m meshnode.demo.hostile --to MULTIADDR --catalogue ID [--learn-from MULTIADDR]

It learns a catalogue's authentic log from one peer (`--learn-from`, by default the victim), then
connects to the victim and attacks twice:

1. **corrupt segment** — it offers the authentic head and entries, and whoever asks it for a segment
   gets bytes of the right length and the wrong content. It can do so only to a victim that lacks
   them: one that follows the catalogue and has not heard of the newest entries yet.
2. **forged head** — it gossips the head that would come next, with a true key id and a signature by
   a key of its own.

Prints one JSON object a line for each attack it has carried out; exits with 0 if it could do both.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final, TypeVar

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.effects import AskHeads, AskLog, AskRoots, Request
from meshnode.core.entries import SegmentAdded, decode_entry
from meshnode.core.events import Event, HeadsReceived, LogReceived, RootsReceived
from meshnode.core.heads import (
    AnnouncedHead,
    Announcement,
    SignedHead,
    decode_signed_head,
    encode_announcement,
    encode_head,
)
from meshnode.core.identifiers import (
    CatalogueId,
    Digest,
    PeerId,
    catalogue_text,
    object_text,
    parse_catalogue,
    sha256,
)
from meshnode.core.names import HeadName, LogId, Stretch
from meshnode.core.signed import Signature, Signed
from meshnode.core.signing import signed_bytes
from meshnode.core.verdicts import Verdict
from meshnode.errors import MeshnodeError, PeerError
from meshnode.runtime.network.addresses import PeerAddress, parse_peer_address
from meshnode.runtime.network.mesh import Mesh, MeshSettings
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving

WAIT_SECONDS: Final = 30.0
LINGER_SECONDS: Final = 1.0  # gossip has no receipt: it must have left before the host closes
ATTACKS: Final = 2

Answer = TypeVar("Answer", bound=Event)


@dataclass(slots=True)
class Loot:
    """What was learned of catalogues, served as it is but for the segments: a `Library`."""

    all_roots: dict[CatalogueId, list[bytes]] = field(default_factory=dict)
    newest: dict[LogId, SignedHead] = field(default_factory=dict)
    all_heads: dict[LogId, list[bytes]] = field(default_factory=dict)
    entries: dict[LogId, list[bytes]] = field(default_factory=dict)
    sizes: dict[Digest, int] = field(default_factory=dict)  # of segments, in bytes
    corrupted: dict[Digest, None] = field(default_factory=dict)  # those that somebody asked for
    asked: trio.Event = field(default_factory=trio.Event)

    def heads(self, catalogues: Sequence[CatalogueId]) -> list[bytes]:
        return [head.raw for log, head in self.newest.items() if log.catalogue in catalogues]

    def roots(self, catalogue: CatalogueId, after: int) -> list[bytes]:
        return self.all_roots.get(catalogue, [])

    def stretches(
        self, log: LogId, _wanted: HeadName, _known: Sequence[HeadName]
    ) -> tuple[Stretch, ...]:
        """Tell the whole log, whatever the asker knows."""
        heads, entries = self.all_heads.get(log, []), self.entries.get(log, [])
        return (Stretch(0, 0, len(heads), 0, len(entries)),) if heads else ()

    def log(self, log: LogId, stretches: Sequence[Stretch]) -> tuple[list[bytes], list[bytes]]:
        return self.all_heads[log], self.entries[log]

    def open_object(self, digest: Digest) -> BinaryIO | None:
        """Open a segment's wrong bytes; called in a worker thread."""
        if digest not in self.sizes:
            return None
        self.corrupted[digest] = None
        trio.from_thread.run_sync(self.asked.set)
        return io.BytesIO(hashlib.shake_256(digest).digest(self.sizes[digest]))


class Nowhere:
    """An intake for somebody who fetches nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def partial(self, digest: Digest) -> Path:
        return self._path / digest.hex()

    def complete(self, digest: Digest, temporary: Path) -> None:
        temporary.unlink()

    def read_object(self, digest: Digest) -> bytes | None:
        return None


class Stranger:
    """A peer of the mesh that is not honest."""

    def __init__(self, scratch: Path) -> None:
        self.loot = Loot()
        serving = Serving(
            self.loot,
            lambda _asker, _offered: ((), ()),
            lambda _key: None,
            stretches=self.loot.stretches,
        )
        settings = MeshSettings(listen=("/ip4/127.0.0.1/tcp/0",))
        self.mesh = Mesh(
            settings,
            secrets.token_bytes(32),
            lambda _raw: Verdict.ACCEPT,
            self._tell,
            serving.serve,
        )
        self._requests = Requests(self.mesh.open_stream, Nowhere(scratch), lambda: ())

    async def learn(self, teller: PeerAddress, catalogue: CatalogueId) -> None:
        """Take a catalogue's roots and logs from an honest peer; raises PeerError."""
        await self.mesh.dial(teller.text)
        roots = await self._ask(AskRoots(teller.peer, catalogue), RootsReceived)
        self.loot.all_roots[catalogue] = list(roots.raws)
        heads = await self._ask(AskHeads(teller.peer, (catalogue,)), HeadsReceived)
        for raw in heads.raws:
            await self._learn_log(teller.peer, decode_signed_head(raw))

    async def offer_corrupt_segments(self, victim: PeerAddress) -> None:
        """Replay the authentic heads, and wait until the victim fetched a segment."""
        await self.mesh.dial(victim.text)
        await self.mesh.until_heard_by(victim.peer)
        for head in self.loot.newest.values():
            await self.mesh.publish(_announcement(head.signed, head.head.size))
        await self.loot.asked.wait()

    async def gossip_forged_head(self, victim: PeerAddress, catalogue: CatalogueId) -> None:
        """Gossip what would be the next head of one of the catalogue's logs."""
        await self.mesh.dial(victim.text)
        await self.mesh.until_heard_by(victim.peer)
        known = [head for log, head in self.loot.newest.items() if log.catalogue == catalogue]
        if not known:
            raise PeerError(f"nothing is known of {catalogue_text(catalogue)}")
        await self.mesh.publish(_announcement(_forge(known[0]), known[0].head.size))

    async def _learn_log(self, teller: PeerId, newest: SignedHead) -> None:
        log = LogId(newest.head.catalogue, newest.head.writer)
        heads: list[bytes] = []
        entries: list[bytes] = []
        while len(entries) < newest.head.size:
            known = (decode_signed_head(heads[-1]).name,) if heads else ()
            question = AskLog(teller, log, newest.name, known)
            part = await self._ask(question, LogReceived)
            if not part.entries:
                raise PeerError("the log ends before its head says")
            heads += part.heads
            entries += part.entries
        self.loot.newest[log] = newest
        self.loot.all_heads[log] = heads
        self.loot.entries[log] = entries
        for entry in map(decode_entry, entries):
            if isinstance(entry, SegmentAdded):
                self.loot.sizes[entry.segment] = entry.size_bytes

    async def _ask(self, request: Request, answer: type[Answer]) -> Answer:
        event = await self._requests.perform(request)
        if not isinstance(event, answer):
            raise PeerError(f"{type(request).__name__}: {event}")
        return event

    async def _tell(self, event: Event) -> None:
        """Listen to nobody."""


def _forge(authentic: SignedHead) -> Signed:
    head = authentic.head
    forged = replace(
        head,
        seq=head.seq + 1,
        prev=authentic.signed.digest,
        tree=sha256(b"what the writer never said"),
        issued=head.issued + 1,
    )
    payload = encode_head(forged)
    signature = Ed25519PrivateKey.generate().sign(signed_bytes("head", payload))
    return Signed(payload, (Signature(head.writer, signature),))


def _announcement(head: Signed, size: int) -> bytes:
    return encode_announcement(Announcement((AnnouncedHead(head, size, ()),)))


async def attack(
    victim: PeerAddress, teller: PeerAddress, catalogues: Sequence[CatalogueId], seconds: float
) -> int:
    """Carry out both attacks within `seconds`; return the number that succeeded."""
    done = 0
    with TemporaryDirectory() as scratch:
        async with trio.open_nursery() as nursery:
            stranger = Stranger(Path(scratch))
            await nursery.start(stranger.mesh.run)
            for catalogue in catalogues:
                await stranger.learn(teller, catalogue)
            with trio.move_on_after(seconds):
                await stranger.offer_corrupt_segments(victim)
                done += 1
                for digest in stranger.loot.corrupted:
                    _report("corrupt segment", victim, object=object_text(digest))
            # Last: a victim that has refused several forgeries asks for nothing any more.
            for catalogue in catalogues[:1]:
                await stranger.gossip_forged_head(victim, catalogue)
                _report("forged head", victim, catalogue=catalogue_text(catalogue))
                done += 1
            await trio.sleep(LINGER_SECONDS)
            nursery.cancel_scope.cancel()
    return done


def main(arguments: Sequence[str]) -> int:
    """Run the attacks that the arguments describe; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m meshnode.demo.hostile")
    parser.add_argument("--to", required=True, help="multiaddr of the victim, with /p2p/<peer id>")
    parser.add_argument("--learn-from", help="multiaddr of a peer that holds the catalogue")
    parser.add_argument("--catalogue", required=True, action="append", help="its id; repeatable")
    parser.add_argument("--seconds", type=float, default=WAIT_SECONDS, help="to wait for a fetch")
    given = parser.parse_args(arguments)
    done = 0
    try:
        victim = parse_peer_address(given.to)
        teller = parse_peer_address(given.learn_from or given.to)
        catalogues = [parse_catalogue(text) for text in given.catalogue]
        done = trio.run(attack, victim, teller, catalogues, given.seconds)
    except* MeshnodeError as errors:
        print(f"error: {_first(errors)}", file=sys.stderr)  # noqa: T201
    return 0 if done == ATTACKS else 1


def _report(attack: str, victim: PeerAddress, **what: str) -> None:
    print(json.dumps({"attack": attack, "victim": victim.peer, **what}), flush=True)  # noqa: T201


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
