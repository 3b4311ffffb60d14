"""`block` and `unblock`, as an operator uses them."""

import pytest

from tests.cli.command_line import CommandLine

pytestmark = pytest.mark.slow

PEER = "12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz"


def test_a_peer_is_blocked_and_unblocked(publisher: CommandLine) -> None:
    assert publisher.call("block", PEER).out == f"done: block {PEER}\n"
    assert f"blocked: {PEER}" in publisher.call("peers").out
    assert publisher.call("peers", "--json").json["blocked"] == [PEER]
    assert publisher.call("unblock", PEER).status == 0
    assert publisher.call("peers", "--json").json["blocked"] == []
    again = publisher.call("unblock", PEER)
    assert (again.status, again.err.splitlines()[0]) == (1, f"error: {PEER} is not blocked")


def test_a_catalogue_is_blocked_by_the_own_deny_list_and_comes_back(
    publisher: CommandLine,
) -> None:
    [held] = publisher.call("status", "--json").json["catalogues"]
    blocked = publisher.call("block", "towns", "--reason", "a letter", "--json")
    assert blocked.json == {"done": "block", "names": ["towns"]}
    assert publisher.call("status", "--json").json["catalogues"] == []
    assert publisher.call("deny", "check", held["id"]).out == "denied by own\n"
    assert "reason=a%20letter" in publisher.call("deny", "list").out
    assert publisher.call("unblock", "towns").status == 0
    [again] = publisher.call("status", "--json").json["catalogues"]
    assert again["id"] == held["id"]


def test_a_peer_does_not_block_itself_and_what_is_no_name_is_refused(
    publisher: CommandLine,
) -> None:
    own = publisher.call("status", "--json").json["peer"]
    assert "is this peer itself" in publisher.call("block", own).err
    assert "is not a catalogue id" in publisher.call("block", "nonsense").err
    assert "is not a peer id" in publisher.call("block", f"{PEER}/x").err
