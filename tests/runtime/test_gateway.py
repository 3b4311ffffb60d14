"""The gateway of a running peer: ranges of files that come from a mirror or a peer, over HTTP."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.core.entries import PayloadRemoved, Reason
from meshnode.core.identifiers import Digest, object_text
from meshnode.demo.mirror import serve_directory
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import running
from tests.runtime.gateways import Served, client_of, served
from tests.runtime.homes import WITHIN_SECONDS, loopback, made_home, publisher_of, result_of
from tests.runtime.test_operator_payloads import publish_payload, until_payloads

pytestmark = pytest.mark.slow

MIB = 1 << 20
SIZE_BYTES = 6 * MIB + 5
UNPUBLISHED = "no catalogue that is followed here publishes this payload"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "files" / "tile.tif"
    path.parent.mkdir()
    path.write_bytes(random.Random(3).randbytes(SIZE_BYTES))
    return path


@pytest.fixture
async def cold(tmp_path: Path, content: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "home", content) as found:
        yield found


async def test_a_range_of_a_cold_file_is_fetched_verified_and_given(cold: Served) -> None:
    start = 2 * MIB + 100
    answer = await cold.get(f"bytes={start}-{start + 999}")

    assert answer.status_code == 206
    assert answer.content == cold.content[start : start + 1000]
    assert answer.headers["content-range"] == f"bytes {start}-{start + 999}/{SIZE_BYTES}"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "image/tiff"
    assert cold.mirror.served_bytes == MIB  # one piece


async def test_only_the_pieces_of_the_ranges_are_fetched_each_once(cold: Served) -> None:
    spans = [range(10), range(MIB - 5, MIB + 5), range(5 * MIB, 5 * MIB + 1), range(3, 70)]
    for span in spans:
        answer = await cold.get(f"bytes={span.start}-{span.stop - 1}")
        assert answer.content == cold.content[span.start : span.stop]

    assert cold.mirror.served_bytes <= 1.02 * 3 * MIB  # pieces 0, 1 and 5


async def test_the_last_bytes_and_the_whole_file_are_given(cold: Served) -> None:
    end = await cold.get("bytes=-8")
    whole = await cold.get()

    assert (end.status_code, end.content) == (206, cold.content[-8:])
    assert (whole.status_code, whole.content) == (200, cold.content)
    assert cold.mirror.served_bytes == SIZE_BYTES


async def test_head_says_what_there_is_and_fetches_nothing(cold: Served) -> None:
    answer = await cold.http.head(cold.path)

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == SIZE_BYTES
    assert answer.headers["etag"].strip('"')
    assert cold.mirror.requests == 0


async def test_an_etag_answers_conditions(cold: Served) -> None:
    etag = (await cold.http.head(cold.path)).headers["etag"]

    same = await cold.get("bytes=0-9", **{"if-range": etag})
    other = await cold.get("bytes=0-9", **{"if-range": '"another"'})
    known = await cold.get(**{"if-none-match": f'W/"x", {etag}'})

    assert (same.status_code, len(same.content)) == (206, 10)
    assert (other.status_code, len(other.content)) == (200, SIZE_BYTES)
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("span", [f"bytes={SIZE_BYTES}-", "bytes=-0"])
async def test_a_range_behind_the_end_is_416_with_the_size(cold: Served, span: str) -> None:
    answer = await cold.get(span)

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{SIZE_BYTES}"
    assert answer.json()["detail"] == f"the file has {SIZE_BYTES} bytes"


@pytest.mark.parametrize("span", ["bytes=5-2", "bytes=0-1,4-5", "pieces=0-1", "bytes=-"])
async def test_what_is_not_one_range_of_bytes_is_ignored(cold: Served, span: str) -> None:
    answer = await cold.get(span)

    assert (answer.status_code, answer.content) == (200, cold.content)


async def test_what_is_not_there_is_told_in_a_sentence(cold: Served) -> None:
    for path, status, sentence in (
        (f"/payload/{cold.key}/other.tif", 404, "the payload has no file 'other.tif'"),
        (f"/payload/{cold.key}/x/", 404, "the payload has no folder 'x/'"),
        (
            f"/payload/{'00' * 32}/a",
            404,
            "no catalogue that is followed here publishes this payload",
        ),
        ("/payload/abc/a", 404, "/payload/KEY/PATH: the key has 64 hexadecimal digits"),
        ("/", 404, "nothing is served here"),
    ):
        answer = await cold.http.get(path)
        assert (answer.status_code, answer.json()["detail"]) == (status, sentence)
    posted = await cold.http.post(cold.path)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


async def test_a_listing_names_the_files_and_where_they_are(cold: Served) -> None:
    answer = await cold.http.get(f"/payload/{cold.key}/")
    (file,) = answer.json()["files"]

    assert file["path"] == "tile.tif"
    assert file["href"] == cold.path
    assert file["size_bytes"] == SIZE_BYTES


async def test_the_urls_of_an_item_are_told_to_its_user(cold: Served) -> None:
    said = await Control(cold.home.control).ask("payload_urls", item="a", asset="image")
    (file,) = said["files"]

    assert file["url"] == f"{cold.http.base_url}{cold.path}"


async def test_many_readers_at_once_each_get_their_bytes(cold: Served) -> None:
    async def look(start: int) -> None:
        answer = await cold.get(f"bytes={start}-{start + 4999}")
        assert answer.content == cold.content[start : start + 5000]

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(look, number * 150_000)

    assert cold.mirror.served_bytes <= 1.02 * SIZE_BYTES


async def test_after_a_restart_what_was_read_is_not_fetched_again(
    tmp_path: Path, content: Path
) -> None:
    async with served(tmp_path / "home", content) as first:
        await first.get("bytes=0-9")
        state = first.home.payloads / first.key / "state"
        while not await trio.to_thread.run_sync(state.exists):
            await first.get("bytes=0-9")
    async with running(first.home.root, loopback(), online=True) as peer, client_of(peer) as client:
        with trio.fail_after(WITHIN_SECONDS):
            answer = await client.get(first.path, headers={"range": "bytes=5-9"})
    assert answer.content == first.content[5:10]  # the mirror is gone


async def test_when_the_reader_goes_away_nothing_more_is_fetched(
    tmp_path: Path, content: Path
) -> None:
    async with served(tmp_path / "home", content, bytes_per_second=2 * MIB) as slow:
        assert slow.http.base_url.port
        stream = await trio.open_tcp_stream("127.0.0.1", slow.http.base_url.port)
        async with stream:
            await stream.send_all(f"GET {slow.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        assert slow.peer.network is not None
        transfer = slow.peer.network.torrents._roster.find(Digest(bytes.fromhex(slow.key)))
        assert transfer is not None
        while transfer.is_used:
            await slow.http.head(slow.path)
        assert list(transfer.priorities.wanted()) == []
        assert not any(transfer.handle.current.get_piece_priorities())


async def test_a_reader_whose_source_stalls_is_told_so_in_bounded_time(
    tmp_path: Path, content: Path, nursery: trio.Nursery
) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def say_nothing(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    nursery.start_soon(trio.serve_listeners, say_nothing, listeners)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/tile.tif"
    home = made_home(tmp_path / "home")
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer, client_of(peer) as client:
            impatient(peer)
            key = await publish_payload(home, content, mirrors=[url])
            answer = await client.get(f"/payload/{key}/tile.tif", headers={"range": "bytes=0-9"})
    assert answer.status_code == 504
    assert answer.json()["detail"].startswith(f"nothing came for 2 s: mirror {url}: sends nothing")


def impatient(peer: Peer) -> None:
    """Have readers wait for two seconds instead of half a minute."""
    assert peer.network is not None
    torrents = peer.network.torrents
    torrents._settings = replace(torrents._settings, read_stall_seconds=2)


async def test_a_corrupt_mirror_gives_an_error_and_no_byte(tmp_path: Path, content: Path) -> None:
    home = made_home(tmp_path / "home")
    with trio.fail_after(WITHIN_SECONDS):
        async with (
            serve_directory(content.parent, change=lambda part: bytes(len(part))) as bad,
            running(home.root, loopback(), online=True) as peer,
            client_of(peer) as client,
        ):
            key = await publish_payload(home, content, mirrors=[f"{bad.url}tile.tif"])
            answer = await client.get(f"/payload/{key}/tile.tif")
    assert answer.status_code == 502
    assert "sent corrupt bytes" in answer.json()["detail"]


async def test_a_payload_is_read_from_another_peer_that_serves_it(
    tmp_path: Path, content: Path
) -> None:
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True):
            key = await publish_payload(home, content)
            said = {"catalogue": institution.text, "key": key, "content": str(content)}
            await Control(home.control).ask("seed", **said)
            addresses = (await Control(home.control).ask("status"))["addresses"]
            async with (
                running(other.root, loopback(*addresses), online=True) as peer,
                client_of(peer) as client,
            ):
                await Control(other.control).ask("follow", catalogue=institution.text)
                await until_payloads(other, 1)
                path = f"/payload/{key}/tile.tif"
                answer = await client.get(path, headers={"range": "bytes=1000-1999"})
    assert answer.content == (await trio.Path(content).read_bytes())[1000:2000]


async def test_a_part_is_read_from_another_peer_that_holds_only_that_part(
    tmp_path: Path, content: Path
) -> None:
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True):
            async with serve_directory(content.parent) as mirror:
                key = await publish_payload(home, content, mirrors=[f"{mirror.url}tile.tif"])
                held = {"payload": key, "first": 1, "last": 1, "any_licence": True}
                await Control(home.control).ask("payload_hold", **held)
            addresses = (await Control(home.control).ask("status"))["addresses"]
            async with (
                running(other.root, loopback(*addresses), online=True) as peer,
                client_of(peer) as client,
            ):
                impatient(peer)
                await Control(other.control).ask("follow", catalogue=institution.text)
                await until_payloads(other, 1)
                path = f"/payload/{key}/tile.tif"
                here = await client.get(path, headers={"range": f"bytes={MIB}-{MIB + 9}"})
                elsewhere = await client.get(path, headers={"range": "bytes=0-9"})

    whole = await trio.Path(content).read_bytes()
    assert (here.status_code, here.content) == (206, whole[MIB : MIB + 10])
    assert elsewhere.status_code == 504


async def test_a_denied_payload_is_451_and_an_allowed_one_again_is_given(cold: Served) -> None:
    await cold.get("bytes=0-9")
    rule = f"/ipfs/{object_text(Digest(bytes.fromhex(cold.key)))}"
    await Control(cold.home.control).ask("deny_edit", add=[rule])
    denied = await cold.get("bytes=0-9")
    await Control(cold.home.control).ask("deny_edit", remove=[rule])
    allowed = await cold.get("bytes=0-9")

    assert (denied.status_code, allowed.status_code) == (451, 206)
    assert denied.json()["detail"] == "the payload is on this peer's deny list"


async def test_what_its_publisher_withdrew_is_410(cold: Served) -> None:
    key = Digest(bytes.fromhex(cold.key))
    _, publisher = publisher_of(cold.home)

    def draft(clock: int) -> PayloadRemoved:
        return PayloadRemoved(clock, "towns", key, Reason.PRIVACY)

    with publisher.session():
        await result_of(publisher.publish(await publisher.state(), [draft], ()))
    answer = await cold.get("bytes=0-9")

    assert answer.status_code == 410
    assert answer.json()["detail"].startswith("the payload was withdrawn")


async def test_what_does_not_fit_into_the_quota_is_507(tmp_path: Path, content: Path) -> None:
    config = loopback()
    small = config.model_copy(
        update={"payload": config.payload.model_copy(update={"quota_bytes": MIB})}
    )
    async with served(tmp_path / "home", content, config=small) as cold:
        answer = await cold.get("bytes=0-9")
        status = await Control(cold.home.control).ask("status")

    assert answer.status_code == 507
    assert "that this peer may keep" in answer.json()["detail"]
    assert cold.mirror.requests == 0
    assert status["quota"]["used_bytes"] <= status["quota"]["limit_bytes"] == MIB
