"""EIO and ENOSPC on every kind of file of a peer that runs, and of a command that signs.

The peer says why it takes nothing more, and goes on with what it has. Nothing is half visible, and
the next start goes on where the disk ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from meshnode.demo.processes import MESHNODE, PeerProcess
from meshnode.errors import MeshnodeError
from meshnode.runtime.home import Home
from tests.cli.test_bad_input import town, write_items
from tests.e2e.pairs import Pair, publisher_and_reader
from tests.faults.refusing import Refusal, reason_not_to_refuse, refusing, run_refused
from tests.runtime.homes import made_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ITEMS = 30
NOTICED_SECONDS_MAX = 60.0
WRITES = "write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate"
SYNCS = "fsync,fdatasync"
ERRORS = {"EIO": "Input/output error|disk I/O error", "ENOSPC": "No space left|full|I/O error"}
PAYLOAD_BYTES = 3 << 20
REFUSED_CALLS = (1, 2, 3, 5, 8, 13, 21, 34)  # the last is beyond what one command makes


def database(home: Path, name: str) -> tuple[Path, ...]:
    return tuple(home / f"{name}{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))


def log_written(home: Path, error: str) -> Refusal:
    return Refusal(WRITES, error, database(home, "log.db"))


def log_synced(home: Path, error: str) -> Refusal:
    return Refusal(SYNCS, error, database(home, "log.db"))


def index_written(home: Path, error: str) -> Refusal:
    return Refusal(WRITES, error, database(home, "index.db"))


def object_synced(home: Path, error: str) -> Refusal:
    return Refusal("fsync", error)  # the databases are synced by fdatasync


def object_named(home: Path, error: str) -> Refusal:
    return Refusal("rename,renameat,renameat2", error)


Fault = Callable[[Path, str], Refusal]
FAULTS = (log_written, log_synced, index_written, object_synced, object_named)


@pytest.fixture(scope="module", autouse=True)
def tracer() -> None:
    if reason := reason_not_to_refuse():
        if os.environ.get("MESHNODE_REQUIRE_STRACE") == "1":
            pytest.fail(f"{reason}, and MESHNODE_REQUIRE_STRACE is set")
        pytest.skip(reason)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One pair for all faults: what one left behind must not spoil what follows."""
    with publisher_and_reader(tmp_path_factory.mktemp("faults")) as pair:
        yield pair


@pytest.mark.parametrize("error", list(ERRORS))
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_that_refuses_makes_the_peer_read_only_and_hides_nothing(
    tmp_path: Path, pair: Pair, fault: Fault, error: str
) -> None:
    items = tmp_path / "items.ndjson"
    write_items(items, *(town(f"{fault.__name__} {error} {n}") for n in range(ITEMS)))
    await pair.start_again()
    await pair.synchronised()
    reader = pair.reader
    before = await count(reader)
    assert reader.pid is not None

    async with refusing(reader.pid, fault(reader.home, error)):
        await pair.publisher.command("publish", str(items))
        status = await reader.until(lambda said: bool(said["read_only"]), NOTICED_SECONDS_MAX)
        assert "\n" not in status["read_only"]
        assert matches(status["read_only"], error)
        assert await count(reader) == before
        with pytest.raises(MeshnodeError, match="read-only") as refused:
            await reader.command("unfollow", pair.catalogue)
        assert refused.value.hint

    reader.kill()
    await pair.start_again()
    await pair.synchronised()
    assert await count(reader) == before + ITEMS
    assert "Traceback" not in reader.log.read_text()


@pytest.mark.parametrize("error", list(ERRORS))
async def test_a_payload_that_the_disk_refuses_is_given_up_with_a_sentence_and_fetched_later(
    tmp_path: Path, pair: Pair, error: str
) -> None:
    content = random.Random(error).randbytes(PAYLOAD_BYTES)
    file, items, item = tmp_path / "data.bin", tmp_path / "items.ndjson", f"payload {error}"
    write_items(items, town(item, assets={"data": {"href": "https://data.example.org/d"}}))
    await trio.Path(file).write_bytes(content)
    await pair.start_again()
    await pair.publisher.command("publish", str(items))
    bound = ("--collection", "towns", "--bind", f"{item}:data")
    await pair.publisher.command("payload", "add", str(file), *bound)
    await pair.synchronised()
    reader = pair.reader
    assert reader.pid is not None
    await reader.until(lambda status: status["connections"] > 0, NOTICED_SECONDS_MAX)

    async with refusing(reader.pid, Refusal("pwrite64,pwritev,pwritev2,fallocate", error)):
        with pytest.raises(MeshnodeError) as refused:
            await reader.command("get", item, "--to", str(tmp_path))
    assert matches(str(refused.value), error)
    assert refused.value.hint

    (tmp_path / "out").mkdir()
    await pair.start_again()
    got = await reader.command("get", item, "--to", str(tmp_path / "out"))
    [delivered] = got["files"]
    assert delivered["sha256"] == hashlib.sha256(content).hexdigest()
    assert "Traceback" not in reader.log.read_text()


@pytest.mark.parametrize(
    ("calls", "error"),
    [("fsync", "ENOSPC"), ("fdatasync", "EIO"), ("rename,renameat,renameat2", "EIO")],
)
def test_a_command_that_signs_fails_with_a_sentence_wherever_it_is_refused_and_is_repeated(
    tmp_path: Path, calls: str, error: str
) -> None:
    """Without a peer that runs: the command itself writes the journal, the log and the objects."""
    home, items = made_home(tmp_path / "home"), tmp_path / "items.ndjson"
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    run(home, *create)
    write_items(items, town("one"))
    publish = [*MESHNODE, "publish", str(items)]
    for nth in REFUSED_CALLS:
        status, said = run_refused(publish, Refusal(calls, error), nth, home.root)
        errors = [line for line in said.splitlines() if line.startswith("error")]
        assert "Traceback" not in said
        assert (status == 0) == (errors == [])
        assert (status == 0) == ("next:" not in said)
        if status == 0:
            break
    assert (status, nth > REFUSED_CALLS[0]) == (0, True)
    assert json.loads(run(home, "search", "--count", "--json"))["count"] == 1


def run(home: Home, *arguments: str) -> bytes:
    """Run a command that nothing hinders; return what it prints."""
    environment = os.environ | {"MESHNODE_HOME": str(home.root)}
    command = [*MESHNODE, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


async def count(peer: PeerProcess) -> int:
    return int((await peer.command("search", "--count"))["count"])


def matches(said: str, error: str) -> bool:
    return any(part in said for part in ERRORS[error].split("|"))
