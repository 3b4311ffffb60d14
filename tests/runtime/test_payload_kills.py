"""A peer that reads, evicts and is killed at any moment keeps no lie and stays within its quota."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from meshnode.core.filelist import encode_file_list
from meshnode.demo.mirror import serve_directory
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.payload_directory import PayloadDirectory
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_torrent
from meshnode.runtime.quota import occupied_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PROJECT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
PAYLOADS = 4
SIZE_BYTES = 3 * MIB + 50
LIMIT_BYTES = 9 * MIB  # two payloads and a bit: every third one needs the room of another
KILLS = 8
STEPS_MAX = 30  # parts that a life reads at most before it ends
SECONDS_MAX = 260

READER = """
import random, sys, trio
from contextlib import aclosing
from pathlib import Path
from meshnode.core.filelist import decode_file_list
from meshnode.runtime.payloads.torrent_check import open_torrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.quota import Quota

async def main(home, folder, mirror, limit, seed):
    choice = random.Random(seed)
    known = [
        open_torrent(path.read_bytes(), decode_file_list(path.with_suffix(".files").read_bytes()))
        for path in sorted(Path(folder).glob("*.torrent"))
    ]
    quota = Quota(Path(home), int(limit))
    settings = TorrentSettings(allow_local_addresses=True)
    torrents = Torrents(settings, Path(home) / "payloads", quota)
    async with trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        while True:
            torrent = choice.choice(known)
            start = choice.randrange(torrent.files.size_bytes)
            parts = torrents.read(
                torrent, 0, range(start, torrent.files.size_bytes), mirrors=[mirror]
            )
            async with aclosing(parts):
                async for part in parts:
                    print(len(part), flush=True)

trio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def published(tmp_path: Path) -> dict[str, CheckedTorrent]:
    """Write payloads, their torrents and their lists; return the torrents by file name."""
    folder = tmp_path / "files"
    folder.mkdir()
    made = {}
    for number in range(PAYLOADS):
        path = folder / f"{number}.bin"
        path.write_bytes(random.Random(number).randbytes(SIZE_BYTES))
        described = describe(path)
        path.with_suffix(".torrent").write_bytes(described.torrent)
        path.with_suffix(".files").write_bytes(encode_file_list(described.files))
        made[path.name] = open_torrent(described.torrent, described.files)
    return made


async def live_and_be_killed(arguments: list[str], steps: int) -> None:
    """Let a reader read so many parts, then kill it."""
    command = [sys.executable, "-c", READER, *arguments]
    process = await trio.lowlevel.open_process(command, cwd=PROJECT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = 0
    async with process.stdout as output:
        while lines < steps:
            said = await output.receive_some()
            assert said, "the reader ended by itself"
            lines += said.count(b"\n")
        process.send_signal(signal.SIGKILL)
        await process.wait()


def lies(root: Path, folder: Path, published: dict[str, CheckedTorrent]) -> list[str]:
    """Return the pieces that are recorded as held, and whose bytes on the disk are others."""
    found = []
    for name, torrent in published.items():
        directory = PayloadDirectory(root / "payloads", torrent.key)
        whole, state = (folder / name).read_bytes(), directory.state(torrent)
        for piece in (place for place, held in enumerate(state.pieces) if held):
            part = torrent.part(0, piece)
            here = directory.locations(torrent, None)[0].read_bytes()[part.start : part.stop]
            if here != whole[part.start : part.stop]:
                found.append(f"{name} piece {piece}")
    return found


async def test_killed_at_any_moment_it_keeps_no_lie_and_stays_within_its_quota(
    tmp_path: Path, published: dict[str, CheckedTorrent]
) -> None:
    root, folder, choice = tmp_path / "home", tmp_path / "files", random.Random(5)
    await trio.Path(root).mkdir()
    recorded = 0
    with trio.fail_after(SECONDS_MAX):
        async with serve_directory(folder, bytes_per_second=8 * MIB) as mirror:
            for life in range(KILLS):
                arguments = [str(root), str(folder), mirror.url, str(LIMIT_BYTES), str(life)]
                await live_and_be_killed(arguments, choice.randrange(1, STEPS_MAX))
                assert await trio.to_thread.run_sync(lies, root, folder, published) == []
                assert await trio.to_thread.run_sync(occupied_bytes, root) <= LIMIT_BYTES
                recorded += sum(map(bool, (root / "payloads").glob("*/state")))
    assert recorded > KILLS / 2  # something was recorded in most lives: there was something to lie
