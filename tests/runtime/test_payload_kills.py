"""A peer that fetches, gives up pieces and scrubs, and is killed at any moment, keeps no lie and

stays within its quota. MESHNODE_PAYLOAD_KILLS says how often it is killed.
"""

from __future__ import annotations

import os
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

PROJECT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
PAYLOADS = 4
SIZE_BYTES = 3 * MIB + 50
LIMIT_BYTES = 9 * MIB  # two payloads and a bit: every third one needs the room of another
KILLS = int(os.environ.get("MESHNODE_PAYLOAD_KILLS", "8"))
STEPS_MAX = 30  # things that a life does at most before it ends
LIFE_SECONDS_MAX = 60

READER = """
import random, sys, trio
from contextlib import aclosing, suppress
from pathlib import Path
from meshnode.core.filelist import decode_file_list
from meshnode.errors import UsageError
from meshnode.runtime.payloads.torrent_check import open_torrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.quota import Quota, QuotaError

async def read(torrents, torrent, whole, start, mirror):
    parts = torrents.read(torrent, 0, range(start, len(whole)), mirrors=[mirror])
    async with aclosing(parts):
        async for part in parts:
            right = part == whole[start : start + len(part)]
            print("read" if right else "WRONG BYTES", flush=True)
            start += len(part)

async def hold(torrents, torrent, piece, mirror):
    async with aclosing(torrents.hold(torrent, [piece], mirrors=[mirror])) as steps:
        async for step in steps:
            print("held", flush=True)

async def scrub(torrents, torrent):
    async with aclosing(torrents.scrub(torrent.key, 0)) as steps:
        async for step in steps:
            print("ROT" if step.rotten else "scrubbed", flush=True)

async def main(home, folder, mirror, limit, seed):
    choice = random.Random(seed)
    known = []
    for path in sorted(Path(folder).glob("*.torrent")):
        files = decode_file_list(path.with_suffix(".files").read_bytes())
        whole = path.with_suffix(".bin").read_bytes()
        known.append((open_torrent(path.read_bytes(), files), whole))
    quota = Quota(Path(home), int(limit))
    settings = TorrentSettings(allow_local_addresses=True)
    torrents = Torrents(settings, Path(home) / "payloads", quota)
    async with trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        while True:
            torrent, whole = choice.choice(known)
            piece = choice.randrange(torrent.piece_count)
            match choice.randrange(5):
                case 0 | 1:
                    with suppress(QuotaError):  # what is held may leave no room
                        await read(torrents, torrent, whole, choice.randrange(len(whole)), mirror)
                case 2:
                    with suppress(QuotaError):
                        await hold(torrents, torrent, piece, mirror)
                case 3:
                    with suppress(UsageError):
                        await torrents.release(torrent.key, range(piece + 1))
                    print("released", flush=True)
                case 4:
                    await scrub(torrents, torrent)

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
    """Let a peer do so many things, then kill it."""
    command = [sys.executable, "-c", READER, *arguments]
    process = await trio.lowlevel.open_process(command, cwd=PROJECT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = 0
    async with process.stdout as output:
        while lines < steps:
            said = await output.receive_some()
            assert said, "the peer ended by itself"
            assert b"WRONG" not in said
            assert b"ROT" not in said
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


@pytest.mark.slow
@pytest.mark.timeout(60 + 30 * KILLS)
async def test_killed_at_any_moment_it_keeps_no_lie_and_stays_within_its_quota(
    tmp_path: Path, published: dict[str, CheckedTorrent]
) -> None:
    root, folder, choice = tmp_path / "home", tmp_path / "files", random.Random(5)
    await trio.Path(root).mkdir()
    recorded = 0
    async with serve_directory(folder, bytes_per_second=8 * MIB) as mirror:
        for life in range(KILLS):
            arguments = [str(root), str(folder), mirror.url, str(LIMIT_BYTES), str(life)]
            with trio.fail_after(LIFE_SECONDS_MAX):
                await live_and_be_killed(arguments, choice.randrange(1, STEPS_MAX))
            assert await trio.to_thread.run_sync(lies, root, folder, published) == []
            assert await trio.to_thread.run_sync(occupied_bytes, root) <= LIMIT_BYTES
            recorded += sum(map(bool, (root / "payloads").glob("*/state")))
    assert recorded > KILLS / 2  # something was recorded in most lives: there was something to lie
