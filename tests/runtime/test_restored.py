"""A restored old data directory is noticed before it signs a place in the log a second time."""

from __future__ import annotations

import shutil
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.core.amendments import set_meta
from meshnode.core.identifiers import Digest, Kid
from meshnode.core.names import HeadName
from meshnode.core.roots import LastHead
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.keys import load_key
from meshnode.runtime.maintainer.ceremony import (
    amendment,
    chain_at,
    last_head,
    signed_by_those_asked,
)
from meshnode.runtime.maintainer.ceremony import publish as publish_root
from meshnode.runtime.maintainer.institutions import all_of, writer_of
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.maintainer.signing_record import NAME, SigningRecord, recall, remember
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import offline, running
from tests.runtime.homes import (
    WITHIN_SECONDS,
    copy_of,
    follow,
    ids_found,
    loopback,
    made_home,
    publish,
    published_home,
    publisher_of,
)

pytestmark = pytest.mark.slow


def address_of(peer: Peer) -> str:
    assert peer.network is not None
    return str(peer.network.mesh.addresses()[0])


async def found_all(home: Home, *ids: str) -> None:
    """Wait until a peer shows these items and no others."""
    with trio.fail_after(WITHIN_SECONDS):
        async with aclosing(Control(home.control).follow("watch")) as changes:
            async for _ in changes:
                if await ids_found(home) == sorted(ids):
                    return


def opened(home: Home) -> Publisher:
    (institution,) = all_of(home)
    return Publisher(home, institution, institution.writer_key(None), Control(home.control))


async def test_heads_that_a_restored_backup_never_signed_are_fetched_and_shown(tmp_path: Path):
    """The backup is older than head 2. Peers have it, so the publisher is told before he signs."""
    home, reader = made_home(tmp_path / "home"), made_home(tmp_path / "reader")
    institution, publisher = publisher_of(home)
    async with running(reader.root, loopback(), online=True) as other:
        await follow(reader, institution)
        seeds = loopback(address_of(other))
        async with running(home.root, seeds, online=True):
            await follow(home, institution)
            await publish(publisher, tmp_path, "a")
        backup = copy_of(home, tmp_path / "backup")
        async with running(home.root, seeds, online=True):
            await publish(publisher, tmp_path, "b")
            await found_all(reader, "a", "b")
        async with running(backup.root, seeds, online=True):
            restored = opened(backup)
            with trio.fail_after(WITHIN_SECONDS):
                answered = await restored.catch_up()
            state = await restored.state()
            assert (answered, state["size"]) == (1, 3)
            with pytest.raises(UsageError, match="has heads 2 to 2, which were not signed in this"):
                restored.require_own(state, answered, offline=False, restored=False)
            restored.require_own(state, answered, offline=False, restored=True)
            restored.require_own(state, answered, offline=False, restored=False)  # said once
            await publish(restored, tmp_path, "c")
            await found_all(reader, "a", "b", "c")
        log = other.node.catalogues[institution.catalogue]
        assert (log.log(writer_of(restored._key)).seq, log.disputed) == (3, {})


async def test_of_two_copies_that_have_both_signed_everything_shows_and_the_dispute(tmp_path: Path):
    home, reader = made_home(tmp_path / "home"), made_home(tmp_path / "reader")
    institution, publisher = publisher_of(home)
    async with running(reader.root, loopback(), online=True) as other:
        await follow(reader, institution)
        seeds = loopback(address_of(other))
        async with offline(home.root):
            await follow(home, institution)
            await publish(publisher, tmp_path, "a")
        backup = copy_of(home, tmp_path / "backup")
        async with running(home.root, seeds, online=True):
            await publish(publisher, tmp_path, "b")
            await publish(publisher, tmp_path, "c")
            await found_all(reader, "a", "b", "c")
        async with offline(backup.root):
            await publish(opened(backup), tmp_path, "d")
        async with running(backup.root, seeds, online=True) as restored:
            with trio.fail_after(WITHIN_SECONDS):
                assert await opened(backup).catch_up() == 1
            for each in (backup, reader):
                await found_all(each, "a", "b", "c", "d")
            writer = writer_of(opened(backup)._key)
            for peer in (other, restored):
                assert peer.node.catalogues[institution.catalogue].disputed == {writer: 2}
                assert len(peer.store.restored().forks) == 1
            await publish(opened(backup), tmp_path, "e")
            await found_all(reader, "a", "b", "c", "d", "e")

            asked = Control(backup.control), institution.catalogue, writer
            with pytest.raises(UsageError, match="2 heads of one seq") as caught:
                await last_head(*asked, None)
            assert "--head" in caught.value.hint
            [main, rival] = restored.node.catalogues[institution.catalogue].log(writer).branches
            for branch in (main, rival):
                name = branch.name_at(3)
                found = await last_head(*asked, None, name.digest.hex()[:12])
                assert found == LastHead(3, name.digest)


async def test_a_root_that_others_know_is_learned_before_the_next_is_proposed(tmp_path: Path):
    """Two roots of one version would void each other."""
    home, reader = made_home(tmp_path / "home"), made_home(tmp_path / "reader")
    institution, _ = publisher_of(home)
    async with running(reader.root, loopback(), online=True) as other:
        await follow(reader, institution)
        control = Control(reader.control)
        chain = await chain_at(control, institution.catalogue)
        proposal = amendment(chain, [set_meta({"contact": "geo@example.org"})])
        proposal = signed_by_those_asked(proposal, [load_key(institution.root_key)])
        await publish_root(control, proposal)
        async with offline(home.root):
            await follow(home, institution)
        async with running(home.root, loopback(address_of(other)), online=True):
            with trio.fail_after(WITHIN_SECONDS):
                asked = {"catalogue": institution.text}
                assert (await Control(home.control).ask("catch_up", **asked))["answered"] == 1
            chain = await chain_at(Control(home.control), institution.catalogue)
    assert chain.current.version == 2


async def test_a_copy_that_can_ask_nobody_does_not_sign_unless_the_operator_knows_better(
    tmp_path: Path,
):
    (tmp_path / "made").mkdir()
    made = await trio.to_thread.run_sync(published_home, tmp_path / "made", ["a"])
    backup = copy_of(made, tmp_path / "backup")
    async with offline(backup.root):
        copy = opened(backup)
        assert await copy.catch_up() == 0
        state = await copy.state()
        with pytest.raises(UsageError, match="is not the one that signed last") as caught:
            copy.require_own(state, 0, offline=False, restored=False)
        assert "--offline" in caught.value.hint
        copy.require_own(state, 0, offline=True, restored=False)
        copy.require_own(state, 0, offline=False, restored=False)  # it is the original from now on


async def test_the_original_signs_on_without_asking(tmp_path: Path):
    (tmp_path / "made").mkdir()
    made = await trio.to_thread.run_sync(published_home, tmp_path / "made", ["a"])
    async with offline(made.root):
        publisher = opened(made)
        publisher.require_own(await publisher.state(), 0, offline=False, restored=False)
        await publish(publisher, tmp_path, "b")
        publisher.require_own(await publisher.state(), 0, offline=False, restored=False)


async def test_a_log_that_lost_heads_signed_here_is_not_signed_again(tmp_path: Path):
    """Only the store was restored: the key's folder remembers more than the log holds."""
    (tmp_path / "made").mkdir()
    made = await trio.to_thread.run_sync(published_home, tmp_path / "made", ["a"])
    lost = [made.root / name for name in ("log.db", "log.db-wal") if (made.root / name).exists()]
    backup = {path: path.read_bytes() for path in lost}
    async with offline(made.root):
        await publish(opened(made), tmp_path, "b")
    for path, content in backup.items():
        path.write_bytes(content)
    async with offline(made.root):
        publisher = opened(made)
        with pytest.raises(UsageError, match=r"head 2 .* holds heads up to 1 now") as caught:
            publisher.require_own(await publisher.state(), 0, offline=True, restored=True)
        assert "meshnode run" in caught.value.hint


async def test_another_head_in_the_place_of_the_one_signed_here_is_noticed(tmp_path: Path):
    """Somebody else with the key was heard of first, after the store was lost."""
    (tmp_path / "made").mkdir()
    made = await trio.to_thread.run_sync(published_home, tmp_path / "made", ["a"])
    thief = copy_of(made, tmp_path / "thief")
    async with offline(made.root):
        await publish(opened(made), tmp_path, "b")
    async with offline(thief.root):
        await publish(opened(thief), tmp_path, "x")
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        (made.root / name).unlink(missing_ok=True)
        if (thief.root / name).exists():
            shutil.copy(thief.root / name, made.root / name)
    async with offline(made.root):
        publisher = opened(made)
        with pytest.raises(UsageError, match="has heads 2 to 2, which were not signed in this"):
            publisher.require_own(await publisher.state(), 0, offline=False, restored=False)


def test_what_was_signed_is_remembered_of_one_writer_and_one_folder(tmp_path: Path):
    folder, writer, other = tmp_path / "a", Kid(bytes(16)), Kid(bytes([1] * 16))
    folder.mkdir()
    assert recall(folder, writer) == SigningRecord(None, is_original=False)
    remember(folder, writer, HeadName(7, Digest(bytes(32))))
    assert recall(folder, writer) == SigningRecord(HeadName(7, Digest(bytes(32))), is_original=True)
    assert recall(folder, other) == SigningRecord(None, is_original=False)
    folder.rename(tmp_path / "b")
    assert recall(tmp_path / "b", writer).is_original
    (tmp_path / "b" / NAME).write_text("{")
    with pytest.raises(StorageError, match="is damaged"):
        recall(tmp_path / "b", writer)
