"""js-libp2p and a meshnode peer: they connect, ping, and hear each other's heads.

The heads are real: what the peer announces is decoded and compared here with what it holds, and
what js-libp2p announces enters the peer's catalogue.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meshnode import config as configuration
from meshnode.config import Config, NetworkSettings, PayloadSettings
from meshnode.core.gossip import announce
from meshnode.core.heads import decode_announcement, decode_head, decode_signed_head
from meshnode.core.identifiers import catalogue_text, parse_catalogue
from meshnode.demo.federation import free_ports, seq_of
from meshnode.demo.processes import PeerProcess, all_stopped
from meshnode.errors import UsageError
from meshnode.runtime.network.gossipsub import HEADS_TOPIC
from tests.cli.test_bad_input import town, write_items
from tests.core.institutions import Institution, segment
from tests.interop.js_peers import JsPeer, install, js_peer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ARRIVAL_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install js-libp2p; skip if Node or npm is not here, unless they must be."""
    try:
        return install(tmp_path_factory.mktemp("js"))
    except UsageError as error:
        if os.environ.get("MESHNODE_REQUIRE_NPM") == "1":
            pytest.fail(f"{error}, and MESHNODE_REQUIRE_NPM is set")
        pytest.skip(str(error))


@asynccontextmanager
async def peer_at(home: Path, seeds: tuple[str, ...] = ()) -> AsyncIterator[PeerProcess]:
    """Run a peer that dials these seeds, and no others."""
    peer = PeerProcess("peer", home)
    await peer.command("init")
    settings = Config(
        network=NetworkSettings(listen=(f"/ip4/127.0.0.1/tcp/{free_ports(1)[0]}",), seeds=seeds),
        payload=PayloadSettings(listen="127.0.0.1:0"),
    )
    (home / configuration.FILE_NAME).write_text(configuration.to_toml(settings))
    async with all_stopped([peer]):
        await peer.start()
        yield peer


@asynccontextmanager
async def connected(
    installed: Path, home: Path, *, js_dials: bool
) -> AsyncIterator[tuple[JsPeer, PeerProcess, str]]:
    """Run both, one dialled by the other; yield them and the multiaddr of the meshnode peer."""
    async with js_peer(installed) as js:
        seeds = () if js_dials else (await js.said("address"),)
        async with peer_at(home, seeds) as peer:
            status = await peer.control.ask("status")
            address = status["addresses"][0]
            if js_dials:
                await js.tell(dial=address)
            await js.said("connected", status["peer"])
            await js.said("subscribed", status["peer"])
            yield js, peer, address


@pytest.mark.parametrize("js_dials", [True, False], ids=["js dials", "meshnode dials"])
async def test_they_ping_and_hear_each_others_heads(
    installed: Path, tmp_path: Path, js_dials: bool
) -> None:
    async with connected(installed, tmp_path / "home", js_dials=js_dials) as (js, peer, address):
        await js.tell(ping=address)
        assert await js.said("pinged") >= 0
        await assert_js_hears(js, peer, tmp_path)
        await assert_js_is_heard(js, peer)
        said = await peer.control.ask("peers")
        assert len(said["peers"]) == 1
        assert said["blames"] == []


async def assert_js_hears(js: JsPeer, peer: PeerProcess, folder: Path) -> None:
    """What the peer signs reaches js-libp2p."""
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    catalogue = parse_catalogue((await peer.command(*create))["catalogue"])
    write_items(folder / "items.ndjson", town("one"))
    await peer.command("publish", str(folder / "items.ndjson"))
    [announced] = decode_announcement(base64.b64decode(await js.said("heard"))).items
    head = decode_head(announced.head.payload)
    assert (head.catalogue, head.seq) == (catalogue, 1)


async def assert_js_is_heard(js: JsPeer, peer: PeerProcess) -> None:
    """A head that only js-libp2p announces enters the log of a catalogue that the peer follows."""
    institution = Institution("elsewhere")
    head = decode_signed_head(institution.log.publish(segment(1)))
    raw = announce(head, 0, institution.log.entries)
    name = catalogue_text(institution.catalogue)
    await peer.control.ask("follow", catalogue=name, roots=[institution.raw_root.hex()])
    await js.tell(publish=base64.b64encode(raw).decode(), topic=HEADS_TOPIC)
    await peer.until(lambda status: seq_of(status, name) == 1, ARRIVAL_SECONDS_MAX)
