"""Institutions for tests: real keys and real records, the same in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.authoring import LogState, extend, first_root
from meshnode.core.entries import Entry, SegmentAdded, decode_entry
from meshnode.core.heads import SnapshotRef, decode_signed_head, encode_head
from meshnode.core.identifiers import CatalogueId, Digest, Kid, key_id, sha256
from meshnode.core.merkle import Frontier
from meshnode.core.names import LogId
from meshnode.core.roots import Root, encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.snapshots import encode_snapshot, snapshot_of

ISSUED = 1_700_000_000  # when everything is issued unless a test says otherwise


def key_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


@dataclass(slots=True)
class LogCopy:
    """One writer's log with everything that was signed, for tests to hand out in parts."""

    key: Ed25519PrivateKey
    state: LogState
    heads: list[bytes] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def writer(self) -> Kid:
        return self.state.writer

    def publish(
        self,
        *entries: Entry,
        issued: int = ISSUED,
        root_version: int = 1,
        snapshot: SnapshotRef | None = None,
    ) -> bytes:
        """Sign a head over these entries, which begins the snapshot; return it."""
        state = replace(self.state, root_version=root_version)
        raw, first, raws = extend(
            state,
            entries,
            issued=issued,
            next_by=None,
            sign=lambda payload: sign("head", payload, [self.key]),
            snapshot=snapshot,
        )
        assert first == len(self.entries)
        head = decode_signed_head(raw)
        self.heads.append(raw)
        self.entries += raws
        self.sizes.append(head.head.size)
        clock = decode_entry(raws[-1]).clock if raws else state.clock
        self.state = replace(
            self.state,
            head=head,
            frontier=state.frontier.extend([_leaf(entry) for entry in raws]),
            clock=clock,
        )
        return raw

    def snapshot(self) -> bytes:
        """Return the snapshot of all entries so far."""
        log = LogId(self.state.catalogue, self.writer)
        return encode_snapshot(snapshot_of(log, self.state.frontier, enumerate(self.entries)))

    def begin_snapshot(self, raw: bytes | None = None) -> SnapshotRef:
        """Sign a head that begins the true snapshot, or another one; return how it is named."""
        raw = raw or self.snapshot()
        ref = SnapshotRef(len(self.entries), sha256(raw), len(raw))
        self.publish(snapshot=ref)
        return ref

    def fork(self) -> LogCopy:
        """Return a copy that goes its own way from here, as from a restored backup."""
        return LogCopy(self.key, self.state, list(self.heads), list(self.entries), list(self.sizes))


class Institution:
    """A catalogue with one root key and one writer a name."""

    def __init__(self, name: str, writers: Sequence[str] = ("writer",)) -> None:
        self.name = name
        self.root_key = key_of(f"{name} root")
        self.writer_keys = [key_of(f"{name} {writer}") for writer in writers]
        self.root = first_root(
            public_key(self.root_key),
            [
                (public_key(key), label)
                for key, label in zip(self.writer_keys, writers, strict=True)
            ],
            {"title": name},
            issued=ISSUED,
            review_by=ISSUED + 1,
        )
        self._sign()

    def change_root(self, change: Callable[[Root], Root]) -> None:
        """Sign another first root instead, before anything is published."""
        self.root = change(self.root)
        self._sign()

    def _sign(self) -> None:
        self.raw_root = encode_signed(sign("root", encode_root(self.root), [self.root_key]))
        self.catalogue = CatalogueId(sha256(encode_root(self.root)))
        self.logs = [self._log(key) for key in self.writer_keys]

    def _log(self, key: Ed25519PrivateKey) -> LogCopy:
        kid = key_id(public_key(key))
        return LogCopy(key, LogState(self.catalogue, kid, 1, None, Frontier(), 0))

    @property
    def log(self) -> LogCopy:
        return self.logs[0]


def segment(
    clock: int, name: str = "", *, collection: str = "ortho", replaces: Sequence[str] = ()
) -> SegmentAdded:
    """Return an entry for a segment whose bytes are `content(name)`."""
    data = content(name or str(clock))
    return SegmentAdded(
        clock=clock,
        collection=collection,
        segment=sha256(data),
        size_bytes=len(data),
        rows=1,
        format=1,
        bbox=(-10, -5, 10, 5),
        span=(0, 1),
        replaces=tuple(sha256(content(old)) for old in replaces),
    )


def content(name: str) -> bytes:
    return f"segment {name}".encode()


def altered(raw_head: bytes, key: Ed25519PrivateKey, **changes: object) -> bytes:
    """Return the head with other fields, signed again."""
    head = replace(decode_signed_head(raw_head).head, **changes)  # type: ignore[arg-type]
    return encode_signed(sign("head", encode_head(head), [key]))


def _leaf(raw: bytes) -> Digest:
    return Digest(hashlib.sha256(b"\x00" + raw).digest())
