"""What all commands that sign as a writer share: whose key, which peer, and a log up to date."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.access import reach
from meshnode.cli.passphrase import asked
from meshnode.cli.terminal import progress
from meshnode.control import Control, Message

if TYPE_CHECKING:
    from meshnode.core.identifiers import Digest
    from meshnode.runtime.maintainer.difference import Difference
    from meshnode.runtime.maintainer.publishing import Draft, Publisher

NEXT_WITHIN_DAYS_MAX = 366
_DAY_S = 86_400

CatalogueOption = Annotated[
    str | None,
    typer.Option("--catalogue", help="Which of the catalogues made here; needed if several."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be signed, sign nothing.")
]
OfflineOption = Annotated[
    bool,
    typer.Option("--offline", help="Ask no peer for newer heads: no other copy has signed since."),
]
RestoredOption = Annotated[
    bool,
    typer.Option("--restored", help="Heads that were not signed in this data directory are mine."),
]
NextWithinOption = Annotated[
    int | None,
    typer.Option(
        "--next-within",
        metavar="DAYS",
        min=0,
        max=NEXT_WITHIN_DAYS_MAX,
        help="Promise to sign again within so many days, also if nothing changes: peers that hear "
        "of nothing by then show the catalogue as possibly frozen. 0: no promise any more.",
    ),
]


@dataclass(frozen=True, slots=True)
class Session:
    """A publisher at work, alone, and the peer that he speaks to."""

    signing: Signing
    control: Control
    publisher: Publisher

    async def state(self) -> Message:
        """Bring the log up to date and return how it stands; as `own_state`."""
        how = self.signing
        return await own_state(
            self.publisher, offline=how.offline, restored=how.restored, signs=not how.dry_run
        )

    async def published(self) -> Difference:
        """Return what is published, as the peer holds it, for items to be compared with."""
        from meshnode.core.identifiers import Digest
        from meshnode.runtime.maintainer.difference import Difference

        difference = Difference()
        answers = self.control.follow("published", catalogue=self.signing.institution.text)
        with progress() as bar:
            task = bar.add_task("comparing with what is published", total=None)
            async with aclosing(answers) as messages:
                async for message in messages:
                    rows = message.get("event", {}).get("published", ())
                    difference.hold((c, id_, Digest(bytes.fromhex(d))) for c, id_, d in rows)
                    bar.advance(task, len(rows))
        return difference

    async def payloads(self, collection: str | None = None) -> list[Message]:
        """Return the payloads of the own catalogue, or of one of its collections."""
        wanted: Message = {"catalogues": [self.signing.institution.text]}
        wanted |= {"collection": collection} if collection is not None else {}
        return list((await self.control.ask("payloads", **wanted))["payloads"])

    async def publish(
        self, state: Message, drafts: Sequence[Draft], staged: Sequence[Digest] = ()
    ) -> Message:
        """Sign and submit these entries, and show how far the peer is; return its result."""
        within_s = self.signing.next_within_s
        return await follow_messages(self.publisher.publish(state, drafts, staged, within_s))

    async def begin_snapshot(self, state: Message, made: Message) -> Message:
        """Sign and submit a head that begins this snapshot; return the peer's result."""
        return await follow_messages(self.publisher.begin_snapshot(state, made))


class Signing:
    """The writer of a catalogue made here, his key, and how he wants to sign.

    Raises:
        UsageError: no such catalogue, or the key cannot be opened.
    """

    def __init__(
        self,
        home: Path,
        catalogue: str | None,
        passphrase_file: Path | None,
        *,
        offline: bool,
        restored: bool,
        dry_run: bool,
        next_within_days: int | None = None,
    ) -> None:
        from meshnode.runtime.home import Home
        from meshnode.runtime.maintainer.institutions import choose

        self.layout = Home(home)
        self.layout.check()
        self.institution = choose(self.layout, catalogue)
        self._key = self.institution.writer_key(asked(passphrase_file))
        self.offline, self.restored, self.dry_run = offline, restored, dry_run
        self.next_within_s = None if next_within_days is None else next_within_days * _DAY_S

    @property
    def renews_promise(self) -> bool:
        """Say whether a head is to be signed even if it adds nothing."""
        return self.next_within_s is not None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Reach the peer and hold the catalogue's lock.

        Raises:
            StorageError: the peer cannot be reached.
            UsageError: another publisher is at work.
        """
        from meshnode.runtime.maintainer.publishing import Publisher

        async with reach(self.layout.root) as control:
            publisher = Publisher(self.layout, self.institution, self._key, control)
            with publisher.session():
                yield Session(self, control, publisher)


async def own_state(
    publisher: Publisher, *, offline: bool, restored: bool, signs: bool = True
) -> Message:
    """Bring the log up to date, finish what an earlier run began, and return how it stands.

    Raises:
        UsageError: signing now would risk a fork, or go on after heads of somebody else.
    """
    answered = 0 if offline else await publisher.catch_up()
    await follow_messages(publisher.recover())
    state = await publisher.state()
    if signs:
        publisher.require_own(state, answered, offline=offline, restored=restored)
    return state


async def follow_messages(messages: AsyncGenerator[Message, None]) -> Message:
    """Show how far the peer is with a submission; return its result."""
    result: Message = {}
    with progress() as bar:
        task = bar.add_task("indexing", total=None)
        async with aclosing(messages):
            async for message in messages:
                event = message.get("event", {})
                if "segments" in event:
                    done = event["segments"] - event["to_index"]
                    bar.update(task, total=event["segments"], completed=done)
                result = message.get("result", result)
    return result
