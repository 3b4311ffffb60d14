"""From drafts of entries to a signed head that a peer holds: signing, journal, submission.

Runs in the command line, as the maintainer: the daemon never sees a private key. The order is what
makes a crash harmless: the objects are staged and fsynced, then the signed head is journalled and
fsynced, then it is submitted, and only an acknowledgement removes the journal. A retry submits the
same bytes (protocol/04-log-and-trust.md).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.control import Control, Message
from meshnode.core.authoring import LogState, extend
from meshnode.core.entries import Entry
from meshnode.core.heads import SnapshotRef, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, catalogue_text
from meshnode.core.limits import CLOCK_MAX
from meshnode.core.merkle import Frontier
from meshnode.core.signing import sign
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.files import refused_by_disk, sync_directory, write_durably
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer.institutions import Institution, writer_of
from meshnode.runtime.maintainer.room import heads_of, require_room, segments_in
from meshnode.runtime.maintainer.signing_record import remember, require_own

_WHEN_REFUSED = (
    "publish again: the same bytes are submitted first. If no peer ever takes them (another head "
    "has this place in the log), move {0} away and publish again; a peer that saw this head will "
    "show the log as disputed"
)

Draft = Callable[[int], Entry]  # an entry that only lacks its clock


class Publisher:
    """One maintainer's session with his own log: at most one process a catalogue has it.

    Use as a context manager, which holds the catalogue's lock.
    """

    def __init__(
        self, home: Home, institution: Institution, key: Ed25519PrivateKey, control: Control
    ) -> None:
        self.staging = home.staging(institution.catalogue)
        self._objects = home.objects
        self._institution = institution
        self._key = key
        self._control = control

    @contextmanager
    def session(self) -> Iterator[Publisher]:
        """Hold the catalogue's lock.

        Raises:
            UsageError: another publisher is at work.
        """
        descriptor = self._lock()
        try:
            yield self
            if not self._institution.journal.exists():
                shutil.rmtree(self.staging, ignore_errors=True)
        finally:
            os.close(descriptor)

    async def catch_up(self) -> int:
        """Let the peer learn the newest heads from others; return how many of these answered.

        Raises:
            UsageError: others know heads of our own log that do not follow what is held here.
        """
        text = catalogue_text(self._institution.catalogue)
        said = await self._control.ask("catch_up", catalogue=text)
        own = writer_of(self._key).hex()
        for log in said["behind"]:
            if log["writer"] == own:
                raise UsageError(
                    f"other peers know head {log['known']} of your log, and it cannot be followed "
                    f"from head {log['held']}, which this data directory has",
                    hint="wait and try again; if it stays so, two copies of the key have signed: "
                    "meshnode writer close --help",
                )
        return int(said["answered"])

    def require_own(self, state: Message, answered: int, *, offline: bool, restored: bool) -> None:
        """Refuse to sign after heads that this data directory may not know, or never signed.

        Args:
            state: of the log, after catching up and recovering.
            answered: how many peers were asked for newer heads.
            offline: the operator knows that no other copy of the key has signed since.
            restored: the operator knows that the heads from elsewhere are his own.

        Raises:
            UsageError: that is so, and the operator has not said that it is right.
        """
        require_own(
            self._institution.directory,
            writer_of(self._key),
            decode_signed_head(bytes.fromhex(state["head"])).name if state["head"] else None,
            answered,
            offline=offline,
            restored=restored,
        )

    async def recover(self) -> AsyncGenerator[Message, None]:
        """Submit what an earlier run signed and saw no answer to; then start with clean staging."""
        if self._institution.journal.exists():
            async with aclosing(self._submit(self._read_journal())) as messages:
                async for message in messages:
                    yield message
        shutil.rmtree(self.staging, ignore_errors=True)
        try:
            self.staging.mkdir(parents=True)
            sync_directory(self.staging.parent)
        except OSError as error:
            raise refused_by_disk(f"cannot write {self.staging}", error) from error

    async def state(self) -> Message:
        """Return what the peer holds of the catalogue, as the `log` action says it."""
        return await self._control.ask(
            "log",
            catalogue=catalogue_text(self._institution.catalogue),
            writer=writer_of(self._key).hex(),
        )

    async def own_segments(self) -> Message:
        """Return the live segments and the withdrawals of this writer, as the peer counts them."""
        return await self._control.ask(
            "own_segments",
            catalogue=catalogue_text(self._institution.catalogue),
            writer=writer_of(self._key).hex(),
        )

    async def made_snapshot(self, *, keep: bool) -> Message:
        """Return the snapshot of the log as it is; `keep` it as an object, so that it is served."""
        text, writer = catalogue_text(self._institution.catalogue), writer_of(self._key)
        return await self._control.ask("snapshot", catalogue=text, writer=writer.hex(), keep=keep)

    async def begin_snapshot(self, state: Message, made: Message) -> AsyncGenerator[Message, None]:
        """Sign a head that begins this snapshot and adds no entry, journal it, submit it."""
        digest = Digest(bytes.fromhex(made["object"]))
        snapshot = SnapshotRef(made["index"], digest, made["size_bytes"])
        async with aclosing(self._extend(state, (), (), None, snapshot)) as messages:
            async for message in messages:
                yield message

    def documents(self, state: Message) -> dict[str, bytes]:
        """Return the collection documents in force by id, as far as this peer holds them."""
        found = {name: self.object(digest) for name, digest in state["collections"].items()}
        return {name: raw for name, raw in found.items() if raw is not None}

    def object(self, digest: str) -> bytes | None:
        """Return the bytes of an object, named in hexadecimal; None if this peer has it not."""
        path = self._objects / digest[:2] / digest
        return path.read_bytes() if path.is_file() else None

    async def publish(
        self,
        state: Message,
        drafts: Sequence[Draft],
        staged: Sequence[Digest],
        next_within_s: int | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Sign a head over the drafts, journal it, submit it; yield the peer's messages.

        More drafts than a head may have become several heads, each signed when the one before is
        held: an interruption leaves whole heads. All that is staged goes with the first. Without
        drafts the head only renews the promise: `next_within_s`, within how many seconds the next
        head follows. 0: no promise; None: the one that was made last stays.
        """
        entries = [draft(CLOCK_MAX) for draft in drafts]  # as long as they can become
        await self._require_room(entries)
        refused: list[object] = []
        for part in heads_of(entries):
            following = self._extend(state, drafts[part], staged, next_within_s)
            async with aclosing(following) as messages:
                async for message in messages:
                    if "result" in message:
                        refused += message["result"].get("refused", [])
                    else:
                        yield message
            state, staged = await self.state(), ()
        yield {"result": {"refused": refused}}

    async def _require_room(self, entries: Sequence[Entry]) -> None:
        if names := segments_in(entries):
            said = await self._control.ask(
                "live_segments",
                catalogue=catalogue_text(self._institution.catalogue),
                segments=[(collection, digest.hex()) for collection, digest in names],
            )
            live = [(name, Digest(bytes.fromhex(digest))) for name, digest in said["live"]]
            require_room(said["count"], live, entries)

    async def _extend(
        self,
        state: Message,
        drafts: Sequence[Draft],
        staged: Sequence[Digest],
        next_within_s: int | None,
        snapshot: SnapshotRef | None = None,
    ) -> AsyncGenerator[Message, None]:
        # The log's own clock is ahead of the catalogue's if entries of the log do not count.
        clock = max(state["catalogue_clock"], state["clock"])
        entries = [draft(clock + number) for number, draft in enumerate(drafts, 1)]
        log, issued = _log_state(self._institution.catalogue, state, self._key), unix_now()
        head, first, raws = extend(
            log,
            entries,
            issued=issued,
            next_by=_next_by(log, issued, next_within_s),
            sign=lambda payload: sign("head", payload, [self._key]),
            snapshot=snapshot,
        )
        submission = {
            "heads": [head.hex()],
            "first": first,
            "entries": [raw.hex() for raw in raws],
            "staged": [digest.hex() for digest in staged],
        }
        write_durably(self._institution.journal, msgpack.packb(submission), mode=0o600)
        async with aclosing(self._submit(submission)) as messages:
            async for message in messages:
                yield message

    def _lock(self) -> int:
        path = self._institution.lock
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise refused_by_disk(f"cannot open {path}", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise UsageError(
                f"another process publishes to {self._institution.name!r}", hint="wait for its end"
            ) from error
        return descriptor

    async def _submit(self, submission: Message) -> AsyncGenerator[Message, None]:
        text = catalogue_text(self._institution.catalogue)
        journal = self._institution.journal
        try:
            async with aclosing(
                self._control.follow("submit", catalogue=text, **submission)
            ) as said:
                async for message in said:
                    if "adopted" in message.get("event", {}):
                        self._remember(submission)
                        journal.unlink()
                    yield message
        except UsageError as error:
            raise UsageError(
                f"{error}; the signed head is kept in {journal}", hint=_WHEN_REFUSED.format(journal)
            ) from error

    def _remember(self, submission: Message) -> None:
        signed = decode_signed_head(bytes.fromhex(submission["heads"][-1]))
        remember(self._institution.directory, signed.head.writer, signed.name)

    def _read_journal(self) -> Message:
        path = self._institution.journal
        try:
            return dict(msgpack.unpackb(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(
                f"the journal {path} cannot be read: {error}",
                hint="it holds a signed head that may be known to others: keep it, ask for help",
            ) from error


def _log_state(catalogue: CatalogueId, state: Message, key: Ed25519PrivateKey) -> LogState:
    head = state["head"]
    hashes = tuple(Digest(bytes.fromhex(text)) for text in state["frontier"])
    return LogState(
        catalogue=catalogue,
        writer=writer_of(key),
        root_version=state["root_version"],
        head=decode_signed_head(bytes.fromhex(head)) if head else None,
        frontier=Frontier(state["size"], hashes),
        clock=state["clock"],
    )


def _next_by(log: LogState, issued: int, within_s: int | None) -> int | None:
    """Return when the next head is promised, in unix seconds; None: no promise."""
    if within_s is not None:
        return issued + within_s if within_s else None
    promised = log.head.head.next_by if log.head else None
    return promised if promised is not None and promised > issued else None
