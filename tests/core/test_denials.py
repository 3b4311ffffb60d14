"""The operator's deny lists: the format, and what a peer does and does no more for their sake."""

import random

import pytest

from meshnode.core.base58 import base58_text, parse_base58
from meshnode.core.denials import OWN
from meshnode.core.denylist import HEADER_BYTES_MAX, DenyList, parse_deny_list, rule_of, target_of
from meshnode.core.effects import Answer, PurgePayload, ServePayload, StopPayload
from meshnode.core.entries import InfoHash, ObjectRef, PayloadAdded
from meshnode.core.events import (
    DenyListChanged,
    Followed,
    Now,
    ObjectStored,
    StorageFailed,
    Unfollowed,
)
from meshnode.core.identifiers import (
    CatalogueId,
    Digest,
    catalogue_text,
    object_text,
    sha256,
)
from meshnode.core.names import Ticket
from meshnode.core.node import Node
from meshnode.errors import UsageError
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation, named
from tests.core.institutions import LogCopy, content, segment
from tests.core.test_closings import log_of

ONE, TWO = sha256(content("one")), sha256(content("two"))
FILES, TORRENT, KEY = (sha256(text) for text in (b"files", b"torrent", b"key"))
NAME = sha256(b"an object")


def deny_list(*rules: str) -> DenyList:
    return parse_deny_list("\n".join(rules).encode())


# --- The format -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "cid",
    [
        object_text(NAME),
        catalogue_text(CatalogueId(NAME)),
        base58_text(b"\x12\x20" + NAME),
        "z" + base58_text(b"\x01\x70\x12\x20" + NAME),
        "f01551220" + NAME.hex(),
    ],
    ids=["raw", "dag-cbor", "version 0", "base58", "base16"],
)
@pytest.mark.parametrize("end", ["", "/", "/*", " gateway_status=410"])
def test_a_rule_denies_the_multihash_whatever_its_cid_is_written_as(cid: str, end: str) -> None:
    assert deny_list(f"/ipfs/{cid}{end}").says(NAME) is True
    assert deny_list(f"/ipfs/{cid}{end}").says(ONE) is None


@pytest.mark.parametrize(
    "rule",
    [
        "//" + base58_text(b"\x12\x20" + sha256(base58_text(b"\x12\x20" + NAME).encode())),
        "//" + sha256(f"{object_text(NAME)}/".encode()).hex(),
        "//" + sha256(f"{catalogue_text(CatalogueId(NAME))}/".encode()).hex(),
    ],
    ids=["multihash", "legacy raw", "legacy dag-cbor"],
)
def test_a_hashed_rule_denies_what_it_does_not_name(rule: str) -> None:
    assert deny_list(rule).says(NAME) is True
    assert deny_list(rule).says(ONE) is None
    assert deny_list(rule, f"!/ipfs/{object_text(NAME)}").says(NAME) is False


def test_the_double_hash_of_the_specification_matches_its_example() -> None:
    """The two lines of the example in IPIP-383 belong to each other."""
    hashed = deny_list("//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM")
    name = Digest(parse_base58("QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR")[2:])
    assert hashed.says(name) is True


def test_the_last_rule_of_a_name_counts() -> None:
    rule = f"/ipfs/{object_text(NAME)}"
    assert deny_list(rule, f"!{rule}").says(NAME) is False
    assert deny_list(f"!{rule}", rule).says(NAME) is True


def test_a_list_counts_rules_of_every_kind() -> None:
    catalogue = catalogue_text(CatalogueId(bytes(32)))
    read = deny_list(rule_of(object_text(ONE)), f"//{ONE.hex()}", rule_of(f"{catalogue}/ortho/two"))
    assert (len(read.names), len(read.hashes), len(read.items)) == (1, 1, 1)
    assert read.rules == 3


def test_a_path_below_a_catalogue_denies_one_item() -> None:
    cid = catalogue_text(CatalogueId(NAME))
    read = deny_list(rule_of(f"{cid}/ortho/a b/ü*"), f"/ipfs/{cid}/ortho/plain/")
    assert read.items == {
        (CatalogueId(NAME), "ortho", "a b/ü*"): True,
        (CatalogueId(NAME), "ortho", "plain"): True,
    }
    assert read.says(NAME) is None


def test_a_header_comments_and_empty_lines_are_no_rules() -> None:
    read = deny_list(
        "version: 1", "name: x", "hints:", "  a: b", "---", "# no", "", f"/ipfs/{object_text(NAME)}"
    )
    assert (read.rules, read.skipped) == (1, ())


def test_a_list_may_be_as_long_as_its_limit_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = f"/ipfs/{object_text(NAME)}".encode()
    monkeypatch.setattr("meshnode.core.denylist.LIST_BYTES_MAX", len(raw))
    assert parse_deny_list(raw).says(NAME) is True
    with pytest.raises(UsageError, match="has at most"):
        parse_deny_list(raw + b"\n")


@pytest.mark.parametrize(("more", "skipped"), [("", 0), ("#", 1)], ids=["as long", "longer"])
def test_a_header_is_at_most_a_mebibyte_long(more: str, skipped: int) -> None:
    """Without a header its last line is a rule that names nothing."""
    lines_before = ["#" * 15] * (HEADER_BYTES_MAX // 16 - 1)  # of 16 bytes, with the line's end
    read = deny_list(*lines_before, "#" * 11 + more, "---", f"/ipfs/{object_text(NAME)}")
    assert read.says(NAME) is True
    assert read.skipped_count == skipped


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("/ipns/example.org", "this mesh has no IPNS names"),
        ("/mime/image/*", "it is no rule of a compact denylist"),
        ("/ipfs/bafy", "'bafy' is no CID of a SHA-256"),
        (f"/ipfs/{object_text(NAME).upper()}", "is no CID of a SHA-256"),
        (f"/ipfs/{object_text(NAME)}/a*", "paths with * are not compared"),
        (f"/ipfs/{object_text(NAME)}/a", "a path below a catalogue is COLLECTION/ITEM"),
        (f"/ipfs/{object_text(NAME)}/a/b/c", "a path below a catalogue is COLLECTION/ITEM"),
        ("//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX", "only double hashes of SHA-256"),
        ("//0", "only double hashes of SHA-256"),
    ],
)
def test_a_line_that_names_nothing_here_is_skipped_with_its_reason(line: str, reason: str) -> None:
    read = deny_list("---", line)
    assert (read.rules, read.skipped_count) == (0, 1)
    assert (read.skipped[0].line, read.skipped[0].text) == (2, line)
    assert reason in read.skipped[0].reason


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"\xff", "UTF-8"), (b"version: 2\n---\n", "version 2"), (bytes(50 << 20), "at most")],
    ids=["bytes", "version", "size"],
)
def test_a_list_that_cannot_be_read_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_deny_list(raw)


def test_a_rule_stays_what_it_is_and_its_target_is_compared() -> None:
    rule = rule_of(object_text(NAME))
    assert target_of(f"{rule} reason=x") == target_of(f"!/ipfs/{catalogue_text(CatalogueId(NAME))}")
    assert rule_of("!" + object_text(NAME)) == f"!{rule}"
    assert rule_of(NAME.hex()) == rule
    with pytest.raises(UsageError, match="cannot be denied"):
        rule_of("nothing")


@pytest.mark.parametrize("raw", [b"", b"\0\0a", bytes(range(256)), NAME])
def test_base58_is_read_as_it_is_written(raw: bytes) -> None:
    assert parse_base58(base58_text(raw)) == raw


# --- What a peer does -----------------------------------------------------------------------------
@pytest.fixture
def ceremony() -> Ceremony:
    return Ceremony(Signers(("alice",), threshold=1), ("laptop",))


@pytest.fixture
def laptop(ceremony: Ceremony) -> LogCopy:
    log = log_of(ceremony, "laptop")
    for clock, name in enumerate(("one", "two"), 1):
        log.publish(segment(clock, named(name)))
    return log


@pytest.fixture
def world(ceremony: Ceremony, laptop: LogCopy) -> Federation:
    world = Federation("ada", "ben")
    world.follow(ceremony.catalogue, ceremony.first.raw)
    world.join("ada", "ben")
    world.store("ada", "one", "two")
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    assert world["ben"].visible == ["one", "two"]
    return world


def put(world: Federation, *rules: str, name: str = OWN, erase: bool = False) -> None:
    """Have ben's operator put these rules in the place of a list."""
    raw = "\n".join(rules).encode()
    event = DenyListChanged(Ticket(9), name, raw, parse_deny_list(raw), erase)
    world.tell("ben", event)
    assert world["ben"].answers[-1] == Answer(Ticket(9))
    world.wait(5)


def test_a_denied_segment_leaves_the_search_is_not_served_and_comes_back(world: Federation) -> None:
    ben = world["ben"]
    put(world, rule_of(object_text(ONE)))
    assert ben.visible == ["two"]
    assert ben.node.withholds(ONE)
    assert ONE in ben.objects
    assert not ben.node.withholds(TWO)
    put(world)
    assert ben.visible == ["one", "two"]
    assert not ben.node.withholds(ONE)


def test_what_is_denied_is_never_asked_for(world: Federation, laptop: LogCopy) -> None:
    put(world, rule_of(object_text(sha256(content("three")))))
    world.store("ada", "three")
    laptop.publish(segment(3, named("three")))
    assert world.submit("ada", laptop) == ""
    world.wait(120)
    assert world["ada"].visible == ["one", "three", "two"]
    assert world["ben"].visible == ["one", "two"]
    assert sha256(content("three")) not in world["ben"].objects
    assert world["ben"].node.replica.backlog == 0


def test_an_object_that_was_on_its_way_does_not_stay(world: Federation) -> None:
    put(world, rule_of(object_text(NAME)))
    world.tell("ben", ObjectStored(NAME))
    assert NAME not in world["ben"].objects
    assert not world["ben"].node.replica.objects.keys() & {NAME}


def test_what_is_wanted_is_not_wanted_once_it_is_denied(world: Federation, laptop: LogCopy) -> None:
    laptop.publish(segment(3, named("four")))
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    assert world["ben"].node.replica.backlog == 1
    put(world, rule_of(object_text(sha256(content("four")))))
    assert world["ben"].node.replica.backlog == 0
    put(world)
    assert world["ben"].node.replica.backlog == 1


def test_a_denied_item_is_hidden_though_it_is_published_again(
    world: Federation, ceremony: Ceremony, laptop: LogCopy
) -> None:
    put(world, rule_of(f"{catalogue_text(ceremony.catalogue)}/ortho/one"))
    assert world["ben"].visible == ["two"]
    laptop.publish(segment(3, named("one"), replaces=()))
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    assert world["ada"].visible == ["one", "two"]
    assert world["ben"].visible == ["two"]
    put(world)
    assert world["ben"].visible == ["one", "two"]


def test_of_a_denied_catalogue_nothing_is_followed_or_told(
    world: Federation, ceremony: Ceremony, laptop: LogCopy
) -> None:
    ben = world["ben"]
    put(world, rule_of(catalogue_text(ceremony.catalogue)))
    assert (ben.visible, ben.node.followed()) == ([], ())
    assert ben.node.denies(ceremony.catalogue)
    assert ben.node.withholds(ONE)
    assert ben.node.newest_roots([ceremony.catalogue]) == ()
    world.tell("ben", Followed(Ticket(3), ceremony.catalogue))
    assert ben.answers[-1].refusal == "this catalogue is on this peer's deny list"
    world.store("ada", "three")
    laptop.publish(segment(3, named("three")))
    assert world.submit("ada", laptop) == ""
    world.restart("ben")
    world.wait(60)
    assert ben.node.followed() == ()
    put(world)
    world.wait(60)
    assert world["ben"].visible == ["one", "three", "two"]


def test_who_unfollows_a_denied_catalogue_does_not_find_it_again(
    world: Federation, ceremony: Ceremony
) -> None:
    put(world, rule_of(catalogue_text(ceremony.catalogue)))
    world.tell("ben", Unfollowed(Ticket(3), ceremony.catalogue))
    assert world["ben"].answers[-1].refusal == ""
    put(world)
    assert world["ben"].node.followed() == ()
    assert ceremony.catalogue not in world["ben"].followed


def test_the_lists_are_in_force_again_after_a_restart(world: Federation) -> None:
    put(world, rule_of(object_text(ONE)))
    world.restart("ben")
    world.wait(5)
    assert world["ben"].visible == ["two"]
    assert world["ben"].node.withholds(ONE)
    put(world)
    assert world["ben"].visible == ["one", "two"]


def test_what_the_own_list_allows_no_other_denies(world: Federation) -> None:
    put(world, rule_of(object_text(ONE)), rule_of(object_text(TWO)), name="theirs")
    assert world["ben"].visible == []
    put(world, rule_of("!" + object_text(ONE)))
    assert world["ben"].visible == ["one"]
    denials = world["ben"].node.denials
    assert denials.denying(("name", ONE)) == ()
    assert denials.denying(("name", TWO)) == ("theirs",)


def test_an_item_is_denied_by_any_list_unless_the_own_list_allows_it(
    world: Federation, ceremony: Ceremony
) -> None:
    one, two = (f"{catalogue_text(ceremony.catalogue)}/ortho/{name}" for name in ("one", "two"))
    put(world, rule_of(one), rule_of(two), name="theirs")
    put(world, rule_of("!" + two))
    denials = world["ben"].node.denials
    assert denials.denying(("item", (ceremony.catalogue, "ortho", "one"))) == ("theirs",)
    assert denials.denying(("item", (ceremony.catalogue, "ortho", "two"))) == ()


def test_the_lists_that_hold_a_hashed_rule_are_named_by_its_hash(world: Federation) -> None:
    hashed, allowed = sha256(b"a text"), sha256(b"another")
    put(world, f"//{hashed.hex()}", f"!//{allowed.hex()}", name="theirs")
    denials = world["ben"].node.denials
    assert denials.denying(("hash", hashed)) == ("theirs",)
    assert denials.denying(("hash", allowed)) == ()


def test_nothing_is_erased_unless_it_is_wanted(world: Federation, ceremony: Ceremony) -> None:
    rules = rule_of(object_text(ONE)), rule_of(f"{catalogue_text(ceremony.catalogue)}/ortho/two")
    put(world, *rules)
    assert {ONE, TWO} <= world["ben"].objects.keys()
    put(world, *rules, erase=True)
    assert not {ONE, TWO} & world["ben"].objects.keys()
    put(world)
    world.wait(60)
    assert world["ben"].visible == ["one", "two"]
    assert {ONE, TWO} <= world["ben"].objects.keys()


@pytest.mark.parametrize("denied", [KEY, FILES, TORRENT], ids=["key", "file list", "torrent"])
def test_a_denied_payload_is_stopped_erased_only_if_wanted_and_served_again(
    world: Federation, laptop: LogCopy, denied: Digest
) -> None:
    refs = ObjectRef(FILES, 5), ObjectRef(TORRENT, 7)
    infohash = InfoHash(Digest(bytes(32)), None)
    laptop.publish(PayloadAdded(3, "ortho", KEY, refs[0], 9, 1 << 16, infohash, refs[1], (), 0))
    for digest in (FILES, TORRENT):
        world.tell("ada", ObjectStored(digest))
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    ben = world["ben"]
    put(world, rule_of(object_text(denied)))
    assert ben.erased == [StopPayload(KEY)]
    assert ben.node.withholds(KEY)
    world.restart("ben")
    assert ben.erased == [StopPayload(KEY)] * 2
    put(world)
    assert ben.erased[2:] == [ServePayload(KEY)]
    put(world, rule_of(object_text(denied)), erase=True)
    assert PurgePayload(KEY) in ben.erased[3:]


def test_a_peer_that_is_read_only_says_so() -> None:
    node, now = Node(random.Random(1)), Now(0.0, 0)
    node.handle([StorageFailed("full")], now)
    [answer] = node.handle([DenyListChanged(Ticket(1), OWN, b"", DenyList())], now)
    assert answer == Answer(Ticket(1), "this peer is read-only: full")
