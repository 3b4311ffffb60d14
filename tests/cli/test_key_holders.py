"""People who hold keys: passphrases, history and proof, and ceremonies across machines."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshnode.runtime.segments.segment import read_segment_rows
from tests.cli.command_line import MESHNODE, SECONDS_MAX, CommandLine, Said
from tests.cli.test_bad_input import assert_refused, town, write_items

pytestmark = pytest.mark.slow

SECRET = "correct horse battery staple"
ASKING = "run it in a terminal, or give --passphrase-file, MESHNODE_PASSPHRASE or"
WATCHED = """
import os, sys
log = os.open("opened.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def watch(event, arguments):
    if event == "open":
        os.write(log, f"{arguments[0]}\\n".encode())
sys.addaudithook(watch)
from meshnode.cli import main
main()
"""


def kid_in(said: Said) -> str:
    return str(said.json["kid"])


# --- Key files ------------------------------------------------------------------------------------
def test_a_new_key_without_a_passphrase_is_refused_unless_it_is_wanted(
    newcomer: CommandLine,
) -> None:
    said = newcomer.call("key", "create", "a.key")
    assert said.err.startswith("error: a new private key needs a passphrase\nnext:  ")
    assert said.status == 1
    assert not (newcomer.folder / "a.key").exists()
    assert newcomer.call("key", "create", "a.key", "--no-passphrase").status == 0
    assert "BEGIN PRIVATE KEY" in (newcomer.folder / "a.key").read_text()


def test_a_passphrase_comes_from_a_file_a_variable_or_a_descriptor(newcomer: CommandLine) -> None:
    (newcomer.folder / "secret").write_text(f"{SECRET}\nnot this line\n")
    made = newcomer.call("key", "create", "a.key", "--passphrase-file", "secret", "--json")
    assert stat.S_IMODE((newcomer.folder / "a.key").stat().st_mode) == 0o600
    by_variable = newcomer.call("key", "show", "a.key", "--json", MESHNODE_PASSPHRASE=SECRET)
    descriptor = os.open(newcomer.folder / "secret", os.O_RDONLY)
    by_descriptor = subprocess.run(
        [*MESHNODE, "key", "show", "a.key", "--json"],
        cwd=newcomer.folder,
        env=newcomer.environment | {"MESHNODE_PASSPHRASE_FD": str(descriptor)},
        pass_fds=(descriptor,),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    os.close(descriptor)
    assert kid_in(made) == kid_in(by_variable) == json.loads(by_descriptor.stdout)["kid"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MESHNODE_PASSPHRASE": "wrong"}, "the passphrase does not open a.key"),
        ({"MESHNODE_PASSPHRASE_FD": "x"}, "MESHNODE_PASSPHRASE_FD is 'x', not the number of"),
        (
            {"MESHNODE_PASSPHRASE_FD": "99"},
            "cannot read the passphrase from the file descriptor 99",
        ),
        ({}, "a.key is protected by a passphrase"),
    ],
)
def test_a_passphrase_that_cannot_be_had_or_is_wrong_is_told(
    newcomer: CommandLine, variables: dict[str, str], message: str
) -> None:
    newcomer.call("key", "create", "a.key", MESHNODE_PASSPHRASE=SECRET)
    said = newcomer.call("key", "show", "a.key", **variables)
    assert said.err.startswith(f"error: {message}")
    assert (said.status, said.out) == (1, "")
    assert SECRET not in said.err


def test_the_passphrase_of_a_key_is_changed_and_the_key_stays(newcomer: CommandLine) -> None:
    made = newcomer.call("key", "create", "a.key", "--json", MESHNODE_PASSPHRASE="old")
    (newcomer.folder / "new").write_text("new\n")
    change = ("key", "passphrase", "a.key", "--new-passphrase-file", "new")
    assert newcomer.call(*change, MESHNODE_PASSPHRASE="old").status == 0
    assert newcomer.call("key", "show", "a.key", MESHNODE_PASSPHRASE="old").status == 1
    assert kid_in(newcomer.call("key", "show", "a.key", "--json", MESHNODE_PASSPHRASE="new")) == (
        kid_in(made)
    )


def test_a_key_is_made_and_opened_by_a_person_at_a_terminal(newcomer: CommandLine) -> None:
    script = (
        "import pty, os, sys\n"
        "answers = dict.fromkeys((b'new keys', b'once more', b'passphrase of'), b'words\\n')\n"
        "def read(fd):\n"
        "    data = os.read(fd, 1024)\n"
        "    for prompt, answer in answers.items():\n"
        "        if prompt in data:\n"
        "            os.write(fd, answer)\n"
        "    return data\n"
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read)))\n"
    )
    for command in (["key", "create", "a.key"], ["key", "show", "a.key"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *MESHNODE, *command],
            cwd=newcomer.folder,
            env=newcomer.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert "words" not in done.stdout
    assert "BEGIN ENCRYPTED PRIVATE KEY" in (newcomer.folder / "a.key").read_text()


def test_the_daemon_never_opens_a_maintainers_key(newcomer: CommandLine) -> None:
    """Every open of the running peer is watched while a catalogue is made and published."""
    newcomer.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    newcomer.call("config", "set", "payload.listen", "127.0.0.1:0")
    newcomer.call("config", "set", "http.listen", "off")
    write_items(newcomer.folder / "one.ndjson", town("one"))
    with newcomer.running_peer((sys.executable, "-c", WATCHED)):
        create = ("catalogue", "create", "towns", "--title", "Towns")
        assert newcomer.call(*create, MESHNODE_PASSPHRASE=SECRET).status == 0
        published = newcomer.call("publish", "one.ndjson", MESHNODE_PASSPHRASE=SECRET)
        assert published.status == 0, published.err
        assert newcomer.call("root", "propose", "--yes", MESHNODE_PASSPHRASE=SECRET).status == 0
    opened = (newcomer.folder / "opened.log").read_text().splitlines()
    assert str(newcomer.home / "identity.key") in opened
    assert [path for path in opened if "/keys/" in path] == []
    assert SECRET not in (newcomer.folder / "run.log").read_text()


# --- History and proof ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def published_home(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`towns` with two heads."""
    maker = CommandLine(tmp_path_factory.mktemp("published"))
    shutil.copytree(made_home, maker.home)
    for name in ("dawson", "mayo"):
        write_items(maker.folder / "items.ndjson", town(name))
        assert maker.call("publish", "items.ndjson").status == 0
    return maker.home


@pytest.fixture
def towns(newcomer: CommandLine, published_home: Path) -> CommandLine:
    shutil.copytree(published_home, newcomer.home)
    return newcomer


def test_the_log_tells_who_signed_when_and_what_it_changed(towns: CommandLine) -> None:
    lines = towns.call("log", "towns").out.splitlines()
    assert [line[21:28] for line in lines if not line.startswith("    ")] == [
        " head 2", " head 1", " root 1",
    ]  # fmt: skip
    assert lines[1].startswith("    towns: 1 item in segment …")
    assert max(map(len, lines)) <= 100
    steps = [json.loads(line) for line in towns.call("log", "towns", "--json").out.splitlines()]
    assert [(step["kind"], step["seq"]) for step in steps] == [
        ("head", 2), ("head", 1), ("root", 1),
    ]  # fmt: skip
    assert [change["index"] for step in steps[:2] for change in step["changes"]] == [2, 0, 1]
    said = towns.call("log", "towns", "--limit", "1")
    assert said.out.splitlines()[-1] == "and 2 older: --limit 3 shows them"


def test_the_log_needs_no_name_where_one_catalogue_is_followed(towns: CommandLine) -> None:
    assert towns.call("log").out == towns.call("log", "towns").out
    another = ("catalogue", "create", "parks", "--title", "Parks", "--no-passphrase")
    assert towns.call(*another).status == 0
    said = towns.call("log")
    assert said.status != 0
    assert "this peer follows 2 catalogues: name the one you mean" in said.err
    assert "meshnode catalogue list" in said.err


def test_each_step_from_an_item_to_its_institution_is_shown_with_its_check(
    towns: CommandLine,
) -> None:
    said = towns.call("explain", "towns", "towns", "dawson")
    assert said.status == 0
    assert [line.split()[0] for line in said.out.splitlines()[::2]] == [
        "item", "segment", "row", "entry", "inclusion", "head", "root", "catalogue",
    ]  # fmt: skip
    assert {line.split()[0] for line in said.out.splitlines()[1::2]} == {"holds"}


def test_a_damaged_segment_is_found_by_explain_and_by_verify(towns: CommandLine) -> None:
    evidence = towns.call("explain", "towns", "towns", "mayo", "--json").json["evidence"]
    segment = Path(evidence["path"])
    raw = segment.read_bytes()
    segment.write_bytes(raw[:500] + bytes([raw[500] ^ 1]) + raw[501:])
    explained = towns.call("explain", "towns", "towns", "mayo", "--json")
    assert explained.status == 1
    failing = [step["step"] for step in explained.json["steps"] if step["fault"]]
    assert failing[0] == "segment"
    verified = towns.call("verify", "--json")
    assert verified.status == 1
    assert str(segment) in [fault["where"] for fault in verified.json["faults"]]


def test_an_item_that_is_not_there_cannot_be_explained(towns: CommandLine) -> None:
    assert_refused(
        towns.call("explain", "towns", "towns", "nowhere"),
        "no item 'nowhere' of 'towns' is shown here",
        "it may be withdrawn: meshnode log CATALOGUE --collection COLLECTION",
    )


def test_a_store_is_verified_while_its_peer_runs(towns: CommandLine) -> None:
    with towns.running_peer():
        said = towns.call("verify")
    assert said.status == 0
    assert said.out.splitlines()[-1] == "all of it is what was signed"


def test_a_changed_line_of_an_export_is_named(towns: CommandLine) -> None:
    towns.call("export", "--to", "all.ndjson")
    assert towns.call("verify", "all.ndjson").status == 0
    path = towns.folder / "all.ndjson"
    path.write_text(path.read_text().replace("2021", "2022", 1))
    said = towns.call("verify", "all.ndjson")
    assert said.status == 1
    assert said.out.startswith("export: line 1 of all.ndjson\n    its byte ")


# --- Ceremonies -----------------------------------------------------------------------------------
@pytest.fixture
def holders(tmp_path: Path) -> Iterator[dict[str, CommandLine]]:
    """Three people, each with a machine of his own and a root key on it."""
    people = {}
    for name in ("alice", "bob", "carol"):
        (tmp_path / name).mkdir()
        people[name] = CommandLine(tmp_path / name)
        made = people[name].call("key", "create", f"{name}.key", MESHNODE_PASSPHRASE=name)
        assert made.status == 0
    yield people


def carry(file: str, sender: CommandLine, *receivers: CommandLine) -> None:
    for receiver in receivers:
        shutil.copy(sender.folder / file, receiver.folder / file)


def test_two_of_three_people_make_a_catalogue_and_change_it_on_their_own_machines(
    holders: dict[str, CommandLine],
) -> None:
    alice, bob, carol = holders.values()
    for name, holder in holders.items():
        if holder is not alice:
            carry(f"{name}.key.pub", holder, alice)
    alice.call("init")
    keys = [option for name in holders for option in ("--root-key", f"{name}.key.pub")]
    created = alice.call(
        *("catalogue", "create", "joint", "--title", "Joint", "--threshold", "2", *keys),
        *("--to", "first.proposal", "--json"),
        MESHNODE_PASSPHRASE="writer",
    )
    assert (created.status, created.json["published"]) == (0, False)
    carry("first.proposal", alice, bob, carol)
    early = bob.call("root", "publish", "first.proposal")
    assert "0 of the 2 signatures that root 1 asks for are there" in early.err
    for name in ("bob", "carol"):
        sign = ("root", "sign", "first.proposal", "--key", f"{name}.key", "--yes")
        signed = holders[name].call(*sign, MESHNODE_PASSPHRASE=name)
        assert f"to be signed: the first root of {created.json['catalogue']}" in signed.err
        shutil.copy(holders[name].folder / "first.proposal", alice.folder / f"from-{name}")
    assert alice.call("root", "combine", "from-bob", "from-carol", "--to", "both").status == 0
    assert alice.call("root", "publish", "both").out.startswith("in force: the first root of ")
    write_items(alice.folder / "one.ndjson", town("one"))
    assert alice.call("publish", "one.ndjson", MESHNODE_PASSPHRASE="writer").status == 0

    propose = ("root", "propose", "--contact", "geo@example.org", "--to", "second.proposal")
    proposed = alice.call(
        *propose, "--key", "alice.key", "--yes", "--json", MESHNODE_PASSPHRASE="alice"
    )
    assert [len(role["signed"]) for role in proposed.json["roles"]] == [1, 1]
    carry("second.proposal", alice, carol)
    sign = ("root", "sign", "second.proposal", "--key", "carol.key", "--yes")
    signed = carol.call(*sign, MESHNODE_PASSPHRASE="carol")
    assert "it differs from root 1 by:\n  contact: geo@example.org\n" in signed.err
    carry("second.proposal", carol, alice)
    assert alice.call("root", "publish", "second.proposal").status == 0
    assert json.loads(alice.call("log", "joint", "--json").out.splitlines()[0])["seq"] == 2


def test_nothing_is_signed_without_a_yes(publisher: CommandLine) -> None:
    said = publisher.call("root", "propose", "--contact", "x@example.org")
    assert said.err.endswith(
        "  contact: x@example.org\n"
        "error: nobody can be asked whether to sign this\nnext:  --yes signs it\n"
    )
    assert said.status == 1


def test_a_colleague_gets_a_key_publishes_and_leaves(
    publisher: CommandLine, tmp_path: Path
) -> None:
    """Two machines; the log of the one who leaves stays, and nothing comes after it."""
    catalogue = publisher.call("catalogue", "list", "--json").json[0]["id"]
    root = publisher.home / "keys/towns/root.cbor"
    (tmp_path / "colleague").mkdir()
    colleague = CommandLine(tmp_path / "colleague")
    colleague.call("init")
    assert colleague.call("follow", catalogue, "--root", str(root)).status == 0
    made = colleague.call("writer", "create", "towns", catalogue, "--no-passphrase", "--json")
    public = made.json["public"]
    write_items(colleague.folder / "one.ndjson", town("one"))
    early = colleague.call("publish", "one.ndjson")
    assert "the key at hand is not a writer of this catalogue's root" in early.err
    add = ("writer", "add", public, "--label", "Colleague", "--prefix", "tow", "--yes")
    assert publisher.call(*add).out.startswith("in force: root 2 of ")
    listed = publisher.call("writer", "list", "towns").out
    assert "Colleague  open\n" in listed
    assert "  tow*\n" in listed
    closed = publisher.call("writer", "close", "Colleague", "--yes", "--json")
    assert closed.json["published"]
    standing = [
        each["standing"] for each in publisher.call("writer", "list", "towns", "--json").json
    ]
    assert standing == ["open", "closed, nothing counts"]
    again = publisher.call("writer", "close", "nobody", "--yes")
    assert again.err.startswith("error: no writer is called 'nobody'\nnext:  known: ")


def test_a_thief_is_closed_at_the_last_good_head_and_a_new_key_goes_on(towns: CommandLine) -> None:
    assert towns.call("key", "create", "new.key", "--no-passphrase").status == 0
    close = ("writer", "close", "first writer", "--at", "1", "--replace-by", "new.key.pub")
    assert towns.call(*close, "--yes").out.startswith("in force: root 2 of ")
    assert towns.call("search", "--json").json["features"][0]["id"] == "dawson"
    assert towns.call("search", "--count").out == "1\n"
    step = json.loads(towns.call("log", "towns", "--json").out.splitlines()[1])
    assert [change["counts"] for change in step["changes"]] == [False]
    shutil.copy(towns.folder / "new.key", towns.home / "keys/towns/writer.key")
    write_items(towns.folder / "items.ndjson", town("mayo"))
    assert towns.call("publish", "items.ndjson").status == 0
    assert towns.call("search", "--count").out == "2\n"
    assert towns.call("verify").status == 0


def test_the_root_key_is_renewed_and_the_old_one_signs_no_more(publisher: CommandLine) -> None:
    keys = publisher.home / "keys/towns"
    old = (keys / "root.key").read_bytes()
    assert publisher.call("root", "rotate", "--no-passphrase", "--yes").status == 0
    assert (keys / "root.key.old-1").read_bytes() == old
    said = publisher.call("root", "propose", "--yes", "--key", str(keys / "root.key.old-1"))
    assert "root 2 asks for 1 signatures, 0 there\n" in said.out
    assert publisher.call("root", "propose", "--yes").out.startswith("in force: root 3 of ")


def test_committed_keys_take_over_and_no_others_do(publisher: CommandLine) -> None:
    for name in ("next", "other"):
        publisher.call("key", "create", f"{name}.key", "--no-passphrase")
    commit = ("root", "rotate", "--commit", "next.key.pub", "--yes")
    assert publisher.call(*commit).out.startswith("in force: root 2 of ")
    said = publisher.call("root", "rotate", "--take", "other.key.pub", "--yes")
    assert "the root role is neither the former one nor the one it committed to" in said.err
    keys = ("--key", str(publisher.home / "keys/towns/root.key"), "--key", "next.key")
    take = ("root", "rotate", "--take", "next.key.pub", *keys, "--yes")
    assert publisher.call(*take).out.startswith("in force: root 3 of ")


def test_collections_are_delegated_and_taken_back(publisher: CommandLine) -> None:
    other = "bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u"
    assert publisher.call("delegate", "parks-", other, "--yes").status == 0
    assert f"collections parks-* are those of {other}" in publisher.call("log", "towns").out
    assert publisher.call("delegate", "parks-", "--end", "--yes").status == 0
    said = publisher.call("delegate", "parks-", "--yes")
    assert said.err.startswith("error: name the other catalogue, or give --end\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("root", "show", "none"), "cannot read none: No such file or directory"),
        (("root", "show", "junk"), "junk is not a proposal: "),
        (("writer", "add", "junk", "--label", "x", "--yes"), "junk is not a public key in PEM"),
        (("writer", "close", "x", "--at", "1", "--nothing"), "--at and --nothing say different"),
        (("writer", "close", "first writer", "--at", "9", "--yes"), "this peer holds no head 9"),
        (("root", "rotate", "--remove", "ffff", "--yes"), "'ffff' is not one root key's id"),
        (("root", "rotate", "--take", "junk", "--yes"), "junk is not a public key in PEM"),
        (
            ("catalogue", "create", "x", "--title", "X", "--threshold", "2"),
            "2 root keys are to sign and none is named",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(
    publisher: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    (publisher.folder / "junk").write_bytes(b"junk")
    said = publisher.call(*arguments)
    assert said.err.splitlines()[-2 if "next:" in said.err else -1].startswith(f"error: {message}")
    assert said.status == 1


def test_a_withdrawn_item_that_is_purged_is_erased_from_this_disk_at_once(
    towns: CommandLine,
) -> None:
    segment = towns.call("explain", "towns", "towns", "dawson", "--json").json["evidence"]["path"]
    withdraw = ("withdraw", "towns", "dawson", "--reason", "privacy", "--offline")
    assert towns.call(*withdraw).out.startswith("withdrawn from towns: 1 item, privacy\n")
    assert [each["id"] for each in towns.call("search", "--json").json["features"]] == ["mayo"]
    assert Path(segment).exists()
    purge = ("purge", "propose", "--reason", "privacy", "--item", "towns/dawson")
    said = towns.call(*purge, "--yes")
    assert said.out.startswith("in force: a purge in bafyrei")
    assert "to be erased from every disk, privacy:\n  item towns/dawson\n" in said.err
    assert towns.call("search", "--count").out == "1\n"
    assert not Path(segment).exists()
    assert towns.call("verify").status == 0
    assert_refused(
        towns.call("withdraw", "towns", "dawson", "--reason", "error"),
        "no item 'dawson' of 'towns' is shown here",
        "it may be withdrawn: meshnode log CATALOGUE --collection COLLECTION",
    )


def test_who_withdraws_for_privacy_replaces_the_segment_so_that_nobody_loses_the_others(
    publisher: CommandLine,
) -> None:
    write_items(publisher.folder / "items.ndjson", *map(town, ("dawson", "mayo", "carcross")))
    publisher.call("publish", "items.ndjson")
    before = publisher.call("export", "--to", "-").out.splitlines()
    old = publisher.call("explain", "towns", "towns", "mayo", "--json").json["evidence"]
    said = publisher.call("withdraw", "towns", "dawson", "--reason", "legal")
    assert said.out == (
        "withdrawn from towns: 1 item, legal\n1 segment replaced by one without it\n"
    )
    after = publisher.call("export", "--to", "-").out.splitlines()
    assert sorted(after) == sorted(line for line in before if '"dawson"' not in line)
    new = publisher.call("explain", "towns", "towns", "mayo", "--json").json["evidence"]
    assert new["segment"] != old["segment"]
    assert "dawson" not in str(read_rows(new["path"]))
    assert [clock for _, clock in read_rows(new["path"])] == [2, 2]
    assert publisher.call("verify").status == 0
    purge = ("purge", "propose", "--reason", "legal", "--item", "towns/dawson", "--yes")
    assert publisher.call(*purge).status == 0
    assert publisher.call("search", "--count").out == "2\n"
    assert not Path(old["path"]).exists()
    assert Path(new["path"]).exists()


def read_rows(path: str) -> list[tuple[bytes, int | None]]:
    return list(read_segment_rows(Path(path)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reason", "boredom", "--item", "c/i"), "'boredom' is no reason to purge"),
        (("--reason", "privacy"), "nothing is named"),
        (("--reason", "legal", "--item", "c"), "--item 'c' is not COLLECTION/ID"),
    ],
)
def test_a_purge_that_says_too_little_is_refused(
    publisher: CommandLine, options: tuple[str, ...], message: str
) -> None:
    assert publisher.call("purge", "propose", *options).err.startswith(f"error: {message}\n")
