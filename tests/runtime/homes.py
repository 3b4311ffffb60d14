"""Whole peers on loopback: data directories, catalogues of our own, what is published in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio

from meshnode.config import Config, parse
from meshnode.control import Control, Message
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer import institutions
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.institutions import Institution
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.service import offline
from tests.runtime.stac_samples import item

# Where a file is synced at once, for tests that make hundreds; None: the system's usual place.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
WITHIN_SECONDS = 60.0  # far more than it takes: only a hang reaches it


def made_home(root: Path) -> Home:
    home = Home(root)
    home.make()
    return home


def loopback(*seeds: str) -> Config:
    """Settings of a peer on loopback alone, on ports of the system's choice."""
    return parse(
        f"""
        [network]
        listen = ["/ip4/127.0.0.1/tcp/0"]
        seeds = {json.dumps(seeds)}
        [payload]
        listen = "127.0.0.1:0"
        allow_local_addresses = true
        [http]
        listen = "127.0.0.1:0"
        """,
        "the test",
    )


def publisher_of(home: Home, name: str = "towns") -> tuple[Institution, Publisher]:
    """Return the institution of that name, made at the first call, and its publisher."""
    known = [each for each in institutions.all_of(home) if each.name == name]
    institution = known[0] if known else institutions.create(home, name, {"title": name}, None)
    key = institution.writer_key(None)
    return institution, Publisher(home, institution, key, Control(home.control))


def published_home(directory: Path, *batches: Sequence[str]) -> Home:
    """Return a data directory with the catalogue `towns` and items of these ids, a head a batch."""
    home = made_home(directory / "home")
    institution, publisher = publisher_of(home)

    async def main() -> None:
        async with offline(home.root):
            await follow(home, institution)
            for ids in batches:
                await publish(publisher, directory, *ids)

    trio.run(main)
    return home


def copy_of(home: Home, root: Path) -> Home:
    shutil.copytree(home.root, root)
    return Home(root)


async def follow(home: Home, institution: Institution) -> None:
    await Control(home.control).ask(
        "follow", catalogue=institution.text, roots=[institution.root.hex()]
    )


def items_file(path: Path, values: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


async def publish(publisher: Publisher, directory: Path, *ids: str) -> Message:
    """Publish small items of these ids, as the command line does; return the peer's result."""
    path = items_file(directory / "items.ndjson", [item(item_id) for item_id in ids])
    with publisher.session():
        await result_of(publisher.recover())
        state = await publisher.state()
        batch = Batch(publisher.staging, None, publisher.documents(state))
        batch.read([path], lambda count: None)
        drafts = batch.drafts(state["collections"])
        return await result_of(publisher.publish(state, drafts, batch.staged))


async def result_of(messages: AsyncGenerator[Message, None]) -> Message:
    result: Message = {}
    async with aclosing(messages):
        async for message in messages:
            result = message.get("result", result)
    return result


async def ids_found(home: Home, **query: Any) -> list[str]:
    found: list[str] = []
    async with aclosing(Control(home.control).follow("search", **query)) as messages:
        async for message in messages:
            found += [each["id"] for each in message.get("event", {}).get("found", [])]
    return sorted(found)
