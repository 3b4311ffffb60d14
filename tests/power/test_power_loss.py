"""A peer's home after a power failure at any moment: all that was said still holds, and it starts.

One real run is recorded, system call by system call; then the power fails after every step of it,
with what was not synced lost or torn.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest

from meshnode.control import Control
from meshnode.core.events import Now
from meshnode.core.identifiers import sha256
from meshnode.core.node import Node
from meshnode.errors import MeshnodeError
from meshnode.runtime.home import Home
from meshnode.runtime.index.index import Index
from meshnode.runtime.maintainer import institutions
from meshnode.runtime.maintainer.institutions import Institution
from meshnode.runtime.service import offline
from meshnode.runtime.store import Store
from tests.power.disk import Disk, Fate
from tests.power.publisher import NAME, PUBLICATIONS
from tests.power.recording import Make, Step, Sync, Write, reason_not_to_record, record
from tests.runtime.homes import follow, ids_found, publish, publisher_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TORN_SEEDS = range(int(os.environ.get("MESHNODE_POWER_SEEDS", "1")))
STARTS_MAX = int(os.environ.get("MESHNODE_POWER_STARTS", "16"))
NOW = Now(0.0, 4_000_000_000)


@dataclass(frozen=True)
class Recording:
    """`folder` is what the run really left; `steps` are how it came about."""

    folder: Path
    steps: list[Step]


@dataclass
class Said:
    """What the outside had seen before the power failed."""

    made: bool = False
    created: str = ""
    followed: str = ""
    submitted: list[bytes] = field(default_factory=list)  # signed heads
    adopted: list[bytes] = field(default_factory=list)
    published: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        match line.split():
            case ["made"]:
                self.made = True
            case ["created", name]:
                self.created = name
            case ["followed", name]:
                self.followed = name
            case ["submitted", head]:
                self.submitted.append(bytes.fromhex(head))
            case ["adopted", head]:
                self.adopted.append(bytes.fromhex(head))
            case ["published", *ids]:
                self.published += ids
            case _:
                raise AssertionError(f"no mark: {line}")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    if reason := reason_not_to_record():
        if os.environ.get("MESHNODE_REQUIRE_STRACE") == "1":
            pytest.fail(f"{reason}, and MESHNODE_REQUIRE_STRACE is set")
        pytest.skip(reason)
    place = tmp_path_factory.mktemp("recorded")
    folder = place / "run"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.power.publisher", str(folder)]
    return Recording(folder, record(command, folder, place / "trace"))


def failures(recording: Recording) -> Iterator[tuple[int, Disk, Said]]:
    """Yield the disk before the first step and after each, with what had been said by then."""
    disk, said = Disk(str(recording.folder)), Said()
    marks = str(recording.folder / "marks")
    yield 0, disk, said
    for number, step in enumerate(recording.steps):
        disk.play(number, step)
        if isinstance(step, Write) and step.path == marks:
            said.hear(step.data.decode())
        yield number + 1, disk, said


def images(disk: Disk, number: int, target: Path) -> Iterator[tuple[str, Home]]:
    """Yield homes that a failure now may leave; each is gone when the next is made."""
    fates = [(Fate.LOST, 0), *((Fate.TORN, seed) for seed in TORN_SEEDS)]
    for fate, seed in fates:
        shutil.rmtree(target, ignore_errors=True)
        disk.image(target, fate, random.Random(f"{number} {seed}"))
        yield f"step {number}, {fate.value} {seed}", Home(target / "home")


def test_the_recording_is_all_that_happened(recording: Recording, tmp_path: Path) -> None:
    """Played to its end, with everything kept, it gives the very files that the run left."""
    _, disk, said = list(failures(recording))[-1]
    disk.image(tmp_path / "image", Fate.KEPT, random.Random(1))
    assert files_of(tmp_path / "image") == files_of(recording.folder)
    assert said.published == [item for ids in PUBLICATIONS for item in ids]
    assert len(said.submitted) == len(said.adopted) == len(PUBLICATIONS)


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_what_was_said_is_on_the_disk_whenever_the_power_fails(
    recording: Recording, tmp_path: Path
) -> None:
    broken = []
    for number, disk, said in failures(recording):
        for name, home in images(disk, number, tmp_path / "image"):
            broken += [f"{name}: {problem}" for problem in problems_of(home, said)]
    assert broken == []


def problems_of(home: Home, said: Said) -> list[str]:
    """Return which promises the files break; an error of our own ends the test."""
    if not home.is_made:
        return ["the home is gone"] * said.made
    home.check()
    known = {each.text: each for each in institutions.all_of(home)}
    if said.created and said.created not in known:
        return ["the catalogue's keys are gone"]
    with closing(Store(home)) as store, closing(Index.open(home.index)):
        restored = store.restored()
        Node(random.Random(1)).restore(restored, NOW)
        heads = [head for log in restored.logs for head in log.heads]
        objects = [(digest, store.read_object(digest)) for digest in restored.objects]
    found = [f"object {d.hex()} is torn" for d, data in objects if sha256(data or b"") != d]
    found += ["an adopted head is gone"] * (not set(said.adopted) <= set(heads))
    journalled = heads_in_journal(known[said.created]) if said.created else []
    found += ["a head may be signed twice"] * (not set(said.submitted) <= {*heads, *journalled})
    followed = {each.text for each in known.values() if each.catalogue in restored.followed}
    found += ["what was followed is not"] * (bool(said.followed) and not followed)
    return found


def heads_in_journal(institution: Institution) -> list[bytes]:
    """Return the signed heads that the next publication submits before it signs another."""
    institution.writer_key(None)
    if not institution.journal.exists():
        return []
    return [
        bytes.fromhex(head) for head in msgpack.unpackb(institution.journal.read_bytes())["heads"]
    ]


async def test_a_peer_starts_and_goes_on_wherever_the_power_failed(
    recording: Recording, tmp_path: Path
) -> None:
    """The person makes again what was not made, follows and publishes as before."""
    chosen = starts(recording)
    for number, disk, said in failures(recording):
        if number in chosen:
            shutil.rmtree(tmp_path / "image", ignore_errors=True)
            disk.image(tmp_path / "image", Fate.TORN, random.Random(number))
            await go_on(Home(tmp_path / "image" / "home"), said, tmp_path, f"step {number}")


def starts(recording: Recording) -> set[int]:
    """Return the steps, spread over the run, just before and after something was synced."""
    near = [
        number + side
        for number, step in enumerate(recording.steps)
        for side in (0, 1)
        if isinstance(step, Sync)
    ]
    return set(random.Random(1).sample(near, min(STARTS_MAX, len(near))))


async def go_on(home: Home, said: Said, folder: Path, name: str) -> None:
    try:
        home.make()
        institution, publisher = publisher_of(home, NAME)
        async with offline(home.root):
            await follow(home, institution)
            await publish(publisher, folder, "later")
            found = await ids_found(home)
            status = await Control(home.control).ask("status")
    except MeshnodeError as error:
        raise AssertionError(f"{name}: {error} ({error.hint})") from error
    assert {*said.published, "later"} <= set(found), name
    assert not any(log["disputed"] for each in status["catalogues"] for log in each["logs"]), name
    with closing(Store(home)) as store:
        heads = [head for log in store.restored().logs for head in log.heads]
    assert set(said.submitted) <= set(heads), name


def test_the_disk_forgets_what_was_not_synced(tmp_path: Path) -> None:
    """The model itself: bytes that have no name yet, and a write over bytes that are durable."""
    disk = Disk("/disk")
    steps: list[Step] = [
        Make("/disk/named", is_folder=False, mode=0o644),
        Write("/disk/named", 0, b"durable"),
        Sync("/disk/named", 2),
        Sync("/disk", 3),
        Make("/disk/unnamed", is_folder=False, mode=0o644),
        Write("/disk/unnamed", 0, b"durable"),
        Sync("/disk/unnamed", 6),
        Write("/disk/named", 0, b"over"),
    ]
    for number, step in enumerate(steps):
        disk.play(number, step)
    disk.image(tmp_path / "lost", Fate.LOST, random.Random(1))
    disk.image(tmp_path / "kept", Fate.KEPT, random.Random(1))
    assert files_of(tmp_path / "lost") == {"named": b"durable"}
    assert files_of(tmp_path / "kept") == {"named": b"overble", "unnamed": b"durable"}
