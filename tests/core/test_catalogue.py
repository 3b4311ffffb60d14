"""What a catalogue holds depends on the set of its roots and entries, and on nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.authoring import LogState
from meshnode.core.catalogue import Catalogue
from meshnode.core.entries import Entry, ItemsRemoved, Reason, SegmentRemoved, UnknownEntry
from meshnode.core.heads import SignedHead, decode_signed_head
from meshnode.core.identifiers import Kid, key_id, sha256
from meshnode.core.log import Extension
from meshnode.core.merkle import Frontier
from meshnode.core.roots import LastHead, Root, Writer
from meshnode.core.signing import public_key
from meshnode.core.trust import RootChain
from tests.core.ceremonies import Ceremony, Signers, Version
from tests.core.institutions import LogCopy, content, key_of, segment

BOARD = Signers(("alice", "bob"), threshold=2)
BY = ["alice", "bob"]
CEREMONY = Ceremony(BOARD, ("laptop", "pipeline"))


@dataclass(frozen=True, slots=True)
class Published:
    """One writer's whole log, and its entries as the test wrote them, by head."""

    copy: LogCopy
    heads: tuple[SignedHead, ...]
    steps: tuple[tuple[Entry, ...], ...]


def published(writer: str, *steps: Sequence[Entry]) -> Published:
    key = key_of(writer)
    state = LogState(CEREMONY.catalogue, key_id(public_key(key)), 1, None, Frontier(), 0)
    copy = LogCopy(key, state)
    for step in steps:
        copy.publish(*step)
    heads = tuple(decode_signed_head(raw) for raw in copy.heads)
    return Published(copy, heads, tuple(map(tuple, steps)))


def gone(clock: int, name: str, collection: str = "ortho") -> ItemsRemoved:
    return ItemsRemoved(clock, collection, (name,), Reason.ERROR, None)


def removed(clock: int, name: str) -> SegmentRemoved:
    return SegmentRemoved(clock, "ortho", sha256(content(name)), Reason.RETIRED)


LOGS = (
    published(
        "laptop",
        [segment(1, "a"), segment(2, "b", collection="census")],
        [gone(3, "a"), segment(5, "c", replaces=["x"])],
        [removed(7, "x"), removed(8, "c")],
    ),
    published(
        "pipeline",
        [segment(2, "x"), gone(3, "b", "census")],
        [segment(4, "a"), UnknownEntry("later", 1, 6, b"\x84elater\x01\x06\x00")],
        [removed(9, "a"), segment(10, "x")],
    ),
    published("newcomer", [segment(3, "n")], [removed(11, "x")]),
)


def at(log: Published, seq: int) -> LastHead:
    return LastHead(seq, log.heads[seq - 1].signed.digest)


def limited(root: Version, label: str, prefixes: tuple[str, ...]) -> Version:
    writers = tuple(
        replace(writer, prefixes=prefixes) if writer.label == label else writer
        for writer in root.root.writers
    )
    return root.then(by=BY, writers=writers)


def _roots() -> list[Version]:
    """Two branches of roots after the first, each with closings, prefixes or a new writer."""
    newcomer = Writer(public_key(key_of("newcomer")), "newcomer")
    first = CEREMONY.first
    added = first.then(by=BY, writers=(*first.root.writers, newcomer))
    closed = added.closing("laptop", at(LOGS[0], 2), by=BY)
    narrow = limited(closed, "pipeline", ("census",))
    wide = limited(narrow, "pipeline", ("census", "ortho"))
    earlier = wide.closing("laptop", at(LOGS[0], 1), by=BY)
    nothing = earlier.closing("newcomer", False, by=BY)
    rival = first.closing("pipeline", at(LOGS[1], 1), by=BY)
    return [added, closed, narrow, wide, earlier, nothing, rival]


ROOTS = _roots()


def take_in(catalogue: Catalogue, thing: Version | tuple[Published, int]) -> None:
    """Hear of one root, or of one log up to some head."""
    if isinstance(thing, Version):
        assert catalogue.chain is not None
        catalogue.obey(catalogue.chain.extend([thing.raw]))
        return
    log, seq = thing
    assert catalogue.chain is not None
    if catalogue.chain.key_of(log.copy.writer) is None:
        return
    size = log.copy.sizes[seq - 1]
    result = catalogue.consider(log.copy.writer, log.heads[:seq], 0, log.copy.entries[:size])
    assert isinstance(result, Extension)
    if result.heads:
        catalogue.adopt(log.copy.writer, result)


def valid_entries(root: Root, logs: Sequence[tuple[Published, int]]) -> list[tuple[Kid, Entry]]:
    """Read from the rules L-20, L-21 and L-60 what counts, without the code under test."""
    found: list[tuple[Kid, Entry]] = []
    for log, seq in logs:
        grants = [writer for writer in root.writers if writer.kid == log.copy.writer]
        closed = grants[0].closed if grants else False
        last = seq if closed is None else (closed.seq if closed else 0)
        for entry in (entry for step in log.steps[: min(seq, last)] for entry in step):
            allowed = grants[0].prefixes
            named = getattr(entry, "collection", None)
            if allowed is None or named is None or any(named.startswith(p) for p in allowed):
                found.append((log.copy.writer, entry))
    return found


def shown(catalogue: Catalogue) -> object:
    contents = catalogue.contents
    segments = {name: contents.live_segment(name) for name in contents.segments}
    return (
        {name: live for name, live in segments.items() if live is not None},
        sorted((e.clock, e.collection, e.ids) for e in contents.removals()),
        contents.clock,
    )


def begun() -> Catalogue:
    return Catalogue(CEREMONY.catalogue, chain=RootChain.begin(CEREMONY.first.raw))


KNOWN = st.tuples(
    st.integers(0, len(ROOTS) - 1),
    st.booleans(),
    st.tuples(*(st.integers(0, len(log.heads)) for log in LOGS)),
)


@given(KNOWN, st.data())
def test_l_50_the_state_depends_on_the_set_of_roots_and_entries_alone(known, data):
    length, forked, seqs = known
    roots = ROOTS[:length] + ([ROOTS[-1]] if forked else [])
    logs = [(log, seq) for log, seq in zip(LOGS, seqs, strict=True) if seq]
    parts = [(log, data.draw(st.integers(1, seq))) for log, seq in logs]
    catalogue = begun()
    for thing in data.draw(st.permutations([*roots, *logs, *parts, *roots])):
        take_in(catalogue, thing)
    things: list[Version | tuple[Published, int]] = [*roots, *logs]
    for thing in things:  # what could not be judged at first comes again
        take_in(catalogue, thing)

    # Two roots of version 2 void each other, and what follows them.
    is_fork = forked and length > 0
    newest = CEREMONY.first if is_fork or not roots else roots[-1]
    assert catalogue.chain is not None
    assert catalogue.chain.current == newest.root
    expected = begun()
    for writer, entry in valid_entries(newest.root, logs):
        raws = {e: r for log, _ in logs for e, r in _raws(log)}
        expected.contents.apply(writer, entry, sha256(raws[entry]))
    assert shown(catalogue) == shown(expected)


def _raws(log: Published) -> list[tuple[Entry, bytes]]:
    entries = [entry for step in log.steps for entry in step]
    return list(zip(entries, log.copy.entries, strict=True))


def test_a_root_that_changes_no_grant_counts_nothing_anew():
    catalogue = begun()
    take_in(catalogue, (LOGS[0], 3))
    before = catalogue.contents
    titled = CEREMONY.first.then(by=BY, meta={"title": "Ville nouvelle"})
    assert catalogue.chain is not None
    changes = catalogue.obey(catalogue.chain.extend([titled.raw]))
    assert not changes.recounted
    assert catalogue.contents is before


def test_a_log_on_another_branch_than_the_last_good_head_counts_nowhere():
    """Nobody here can tell how far the two are common."""
    other = published("laptop", [segment(1, "a")], [segment(2, "other")])
    catalogue = begun()
    take_in(catalogue, (other, 2))
    take_in(catalogue, ROOTS[0])
    take_in(catalogue, ROOTS[1])
    assert list(catalogue.contents.segments) == []
