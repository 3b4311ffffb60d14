"""Seed lists of a living peer: pinned, asked for again, compared, and never older than before."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from meshnode.core.seed_files import SeedList, read_seed_list
from meshnode.errors import MeshnodeError, StorageError, UsageError
from meshnode.runtime.joining.contact_addresses import address_texts, binary_address, is_private
from meshnode.runtime.joining.first_contacts import FirstContacts
from meshnode.runtime.joining.seed_store import PINS_MAX, SOURCES_MAX, SeedStore
from tests.runtime.seed_makers import SeedMaker
from tests.runtime.web import Folder, serving

TOWN = SeedMaker("town")
PEER = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz"

GOOD = TOWN.signed(9)
FORGED = GOOD[:-1] + bytes([GOOD[-1] ^ 1])  # in the signature


class Learnt:
    """Takes the lists whose roots the node would learn."""

    def __init__(self) -> None:
        self.versions: list[int] = []

    async def __call__(self, seeds: SeedList) -> None:
        self.versions.append(seeds.seeds.version)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    web = tmp_path / "web"
    web.mkdir()
    return Folder(root=web)


def contacts_at(tmp_path: Path) -> FirstContacts:
    """Open the lists anew, as a peer that starts does."""
    return FirstContacts(SeedStore(tmp_path / "seeds"))


def versions(contacts: FirstContacts) -> list[int]:
    return [seeds.seeds.version for seeds in contacts.lists]


def states(contacts: FirstContacts) -> dict[str, str]:
    sources = contacts.sources(TOWN.institution.catalogue)
    return {source.url.rpartition("/")[2]: source.state for source in sources}


async def test_a_list_and_its_source_are_there_after_a_restart(tmp_path: Path, folder: Folder):
    (folder.root / "list").write_bytes(TOWN.signed(1, PEER))
    with serving(folder) as url:
        await contacts_at(tmp_path).join(TOWN.signed(1, PEER), f"{url}/list")
    after = contacts_at(tmp_path)
    assert versions(after) == [1]
    assert address_texts(after.lists[0].seeds) == (PEER,)
    assert states(after) == {"list": "same"}


async def test_a_newer_list_is_taken_and_its_roots_are_learnt(tmp_path: Path, folder: Folder):
    contacts, learnt = contacts_at(tmp_path), Learnt()
    (folder.root / "list").write_bytes(TOWN.signed(1))
    with serving(folder) as url:
        await contacts.join(TOWN.signed(1), f"{url}/list")
        await contacts.refresh(learnt)
        await contacts.refresh(learnt)
        assert [status for _, status in folder.answered] == [200, 304]
        assert learnt.versions == []
        (folder.root / "list").write_bytes(TOWN.signed(4))
        await contacts.refresh(learnt)
    assert learnt.versions == versions(contacts) == versions(contacts_at(tmp_path)) == [4]
    assert states(contacts) == {"list": "same"}


@pytest.mark.parametrize(
    ("offered", "state", "reason"),
    [
        (TOWN.signed(2), "older", "it tells seed list 2, and 3 is known"),
        (TOWN.signed(3, mirror="https://m.example/"), "contradicts", "another seed list 3"),
        (SeedMaker("village").signed(9), "foreign", "the seed list of another institution"),
        (FORGED, "refused", "does not hold"),
        (b"<html>gone</html>", "refused", "not a seed list that can be trusted"),
    ],
    ids=["rollback", "contradiction", "foreign", "forged", "no-list"],
)
async def test_n_91_a_source_that_disagrees_is_not_believed_and_the_operator_is_told(
    tmp_path: Path, folder: Folder, offered: bytes, state: str, reason: str
):
    contacts, learnt = contacts_at(tmp_path), Learnt()
    good = TOWN.signed(3)
    (folder.root / "good").write_bytes(good)
    (folder.root / "bad").write_bytes(offered)
    with serving(folder) as url:
        await contacts.join(good, f"{url}/good")
        await contacts.join(good, f"{url}/bad")
        await contacts.refresh(learnt)
        [told] = contacts.disagreements(TOWN.institution.catalogue)
    assert versions(contacts) == [3]
    assert learnt.versions == []
    assert states(contacts) == {"good": "same", "bad": state}
    assert told.url.endswith("/bad")
    assert reason in told.reason


async def test_n_91_a_source_that_stays_behind_shows_as_such(tmp_path: Path, folder: Folder):
    contacts, learnt = contacts_at(tmp_path), Learnt()
    for name in ("quick", "slow"):
        (folder.root / name).write_bytes(TOWN.signed(1))
    with serving(folder) as url:
        for name in ("quick", "slow"):
            await contacts.join(TOWN.signed(1), f"{url}/{name}")
        await contacts.refresh(learnt)
        (folder.root / "quick").write_bytes(TOWN.signed(2))
        await contacts.refresh(learnt)
        assert states(contacts) == {"quick": "same", "slow": "older"}
        (folder.root / "slow").write_bytes((folder.root / "quick").read_bytes())
        await contacts.refresh(learnt)
    assert states(contacts) == {"quick": "same", "slow": "same"}
    assert contacts.disagreements(TOWN.institution.catalogue) == []


@pytest.mark.parametrize("is_there", [True, False])
async def test_n_91_an_ended_list_and_a_silent_source_are_no_disagreement(
    tmp_path: Path, folder: Folder, is_there: bool
):
    contacts, learnt = contacts_at(tmp_path), Learnt()
    if is_there:
        (folder.root / "list").write_bytes(TOWN.signed(2, days=-1))
    with serving(folder) as url:
        await contacts.join(TOWN.signed(1), f"{url}/list")
        await contacts.refresh(learnt)
    assert states(contacts) == {"list": "expired" if is_there else "away"}
    assert contacts.disagreements(TOWN.institution.catalogue) == []
    assert versions(contacts) == [1]


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (TOWN.signed(2), "it tells seed list 2, and 3 is known"),
        (TOWN.signed(3, mirror="https://m.example/"), "another seed list 3"),
        (TOWN.signed(4, days=-1), "past its end"),
        (b"", "not a seed list that can be trusted"),
    ],
)
async def test_what_is_older_ended_or_forged_is_not_joined(
    tmp_path: Path, offered: bytes, reason: str
):
    contacts = contacts_at(tmp_path)
    await contacts.join(TOWN.signed(3), None)
    with pytest.raises(MeshnodeError, match=reason):
        await contacts.join(offered, None)
    assert versions(contacts_at(tmp_path)) == [3]


async def test_the_first_list_may_not_be_past_its_end(tmp_path: Path):
    with pytest.raises(UsageError, match="past its end"):
        await contacts_at(tmp_path).join(TOWN.signed(1, days=-1), None)
    assert versions(contacts_at(tmp_path)) == []


async def test_n_90_an_address_speaks_for_the_institution_it_was_pinned_to(tmp_path: Path):
    contacts = contacts_at(tmp_path)
    await contacts.join(TOWN.signed(1), "https://example.org/seeds")
    with pytest.raises(UsageError, match="pinned to another institution"):
        await contacts.join(SeedMaker("village").signed(1), "https://example.org/seeds")


async def test_there_are_bounds(tmp_path: Path):
    contacts = contacts_at(tmp_path)
    for number in range(PINS_MAX):
        await contacts.join(SeedMaker(f"town {number}").signed(1), None)
    with pytest.raises(UsageError, match="are kept already"):
        await contacts.join(TOWN.signed(1), None)
    first = SeedMaker("town 0")
    for number in range(SOURCES_MAX):
        await contacts.join(first.signed(2), f"https://example.org/{number}")
    with pytest.raises(UsageError, match="addresses of this list already"):
        await contacts.join(first.signed(2), "https://example.org/more")


async def test_a_dropped_list_is_gone_also_while_its_sources_are_asked(
    tmp_path: Path, folder: Folder
):
    contacts, learnt = contacts_at(tmp_path), Learnt()
    (folder.root / "list").write_bytes(TOWN.signed(2))
    with serving(folder) as url:
        await contacts.join(TOWN.signed(1), f"{url}/list")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(contacts.refresh, learnt)
            nursery.start_soon(contacts.drop, TOWN.institution.catalogue)
    after = contacts_at(tmp_path)
    assert versions(after) == []
    assert states(after) == {}
    with pytest.raises(UsageError, match="no seed list"):
        await contacts.drop(TOWN.institution.catalogue)


@pytest.mark.parametrize(
    ("source", "leads"),
    [(None, True), ("http://127.0.0.1:1/list", True), ("https://8.8.4.4/list", False)],
)
async def test_i13_a_list_from_far_away_does_not_lead_into_the_own_network(
    tmp_path: Path, source: str | None, leads: bool
):
    await contacts_at(tmp_path).join(TOWN.signed(1), source)
    contacts = contacts_at(tmp_path)
    assert contacts.leads_into_own_network(TOWN.institution.catalogue) is leads


@pytest.mark.parametrize(
    ("address", "private"),
    [
        (PEER, True),
        ("/ip4/10.0.0.1/tcp/22/p2p/x", True),
        ("/ip6/fd00::1/tcp/1/p2p/x", True),
        ("/ip4/8.8.4.4/tcp/1/p2p/x", False),
        ("/dns4/mesh.example.org/tcp/1/p2p/x", False),
    ],
)
def test_an_address_is_private_by_its_ip(address: str, private: bool):
    assert is_private(address) is private


@pytest.mark.parametrize("name", ["sources.json", f"{TOWN.institution.catalogue.hex()}.seeds"])
async def test_a_damaged_file_is_named(tmp_path: Path, name: str):
    await contacts_at(tmp_path).join(TOWN.signed(1), "https://example.org/seeds")
    (tmp_path / "seeds" / name).write_bytes(b"x")
    with pytest.raises(StorageError, match=f"{name} is damaged"):
        contacts_at(tmp_path)


async def test_a_list_under_a_wrong_name_is_damaged(tmp_path: Path):
    await contacts_at(tmp_path).join(TOWN.signed(1), None)
    path = tmp_path / "seeds" / f"{TOWN.institution.catalogue.hex()}.seeds"
    path.rename(path.with_name("ab.seeds"))
    with pytest.raises(StorageError, match="is damaged"):
        contacts_at(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "/ip4/1.2.3.4/tcp/1", PEER.replace("tcp", "udp"), "/ip4/1.2.3.4/p2p/x", "x" * 400]
)
def test_what_is_no_address_of_a_peer_is_refused(text: str):
    with pytest.raises(UsageError, match="is not the address of a peer"):
        binary_address(text)


def test_r_38_addresses_that_are_not_understood_are_passed_over():
    seeds = SeedMaker("town")
    raw = seeds.signed(1, PEER, "/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/tcp/2")

    assert address_texts(read_seed_list(raw).seeds) == (PEER,)
