"""The recorded program: `python -m tests.power.publisher FOLDER` makes a peer and publishes twice.

What the outside has seen is written to FOLDER/marks, a line each, at the moment when it is seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio

from meshnode.control import Control, Message
from meshnode.runtime.maintainer import institutions
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.service import offline
from tests.runtime.homes import follow, made_home, publish

NAME = "towns"
PUBLICATIONS = (("a", "b"), ("c",))


class Marks:
    """Lines of what cannot be taken back any more."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words: str) -> None:
        os.write(self._descriptor, " ".join(words).encode() + b"\n")


class Witness(Control):
    """A control client that marks when a signed head leaves the publisher, and when it is held."""

    def __init__(self, socket: Path, marks: Marks) -> None:
        super().__init__(socket)
        self._marks = marks

    async def follow(self, action: str, **arguments: Any) -> AsyncGenerator[Message, None]:
        if action == "submit":
            self._marks.say("submitted", *arguments["heads"])
        async with aclosing(super().follow(action, **arguments)) as messages:
            async for message in messages:
                if action == "submit" and "adopted" in message.get("event", {}):
                    self._marks.say("adopted", *arguments["heads"])
                yield message


async def main(folder: Path) -> None:
    marks = Marks(folder / "marks")
    home = made_home(folder / "home")
    marks.say("made")
    institution = institutions.create(home, NAME, {"title": NAME}, None)
    marks.say("created", institution.text)
    witness = Witness(home.control, marks)
    publisher = Publisher(home, institution, institution.writer_key(None), witness)
    async with offline(home.root):
        await follow(home, institution)
        marks.say("followed", institution.text)
        for ids in PUBLICATIONS:
            await publish(publisher, folder, *ids)
            marks.say("published", *ids)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
