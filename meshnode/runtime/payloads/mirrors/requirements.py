"""What the operator wants to be at which mirror, and whether it is: `required_mirrors.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from meshnode.core.identifiers import Digest
from meshnode.errors import UsageError
from meshnode.runtime.files import read_kept, write_durably
from meshnode.runtime.payloads.mirror_record import MirrorHealth

REQUIRED_MAX: Final = 1_000  # each is looked at about once a day
DAYS_MAX: Final = 366
DAY_SECONDS: Final = 86_400


class State(Enum):
    """Whether a requirement is met, and if not, what is the matter."""

    MET = "met"
    UNKNOWN_PAYLOAD = "the payload is not known here"
    NOT_NAMED = "no mirror of the payload is there"
    NOT_CHECKED = "not checked yet"
    STALE = "no right byte came from it for too long"
    FAILING = "it fails"


@dataclass(frozen=True, slots=True)
class Requirement:
    """The payload `key` is at a mirror whose URL begins with `mirror`: a verified range came from
    it within `days`. `label` is what the operator calls the payload.
    """

    key: str
    label: str
    mirror: str
    days: int

    @property
    def digest(self) -> Digest:
        return Digest(bytes.fromhex(self.key))

    def matching(self, mirrors: Iterable[str]) -> list[str]:
        return [url for url in mirrors if url.startswith(self.mirror)]

    def state(
        self, mirrors: Iterable[str] | None, health: Callable[[str], MirrorHealth], now: int
    ) -> tuple[State, MirrorHealth | None]:
        """Judge by what is known of the payload's mirrors; None: the payload is not known."""
        if mirrors is None:
            return State.UNKNOWN_PAYLOAD, None
        found = [health(url) for url in self.matching(mirrors)]
        if not found:
            return State.NOT_NAMED, None
        best = max(found, key=lambda each: (self._is_met(each, now), each.proven, each.url))
        if self._is_met(best, now):
            return State.MET, best
        if best.last_failure > best.proven:
            return State.FAILING, best
        return (State.STALE if best.proven else State.NOT_CHECKED), best

    def _is_met(self, health: MirrorHealth, now: int) -> bool:
        is_recent = health.proven and now - health.proven <= self.days * DAY_SECONDS
        return bool(is_recent) and health.last_failure <= health.proven


class Requirements:
    """All of them. A change blocks: call it in a worker thread; one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        nothing: dict[tuple[str, str], Requirement] = {}
        self._all = read_kept(path, _parsed, nothing, "remove it, and require the mirrors again")

    def all(self) -> list[Requirement]:
        return list(self._all.values())

    def add(self, new: Iterable[Requirement]) -> None:
        """Require these; one of the same payload and mirror is replaced.

        Raises:
            UsageError: there are too many.
            StorageError: the disk refused; nothing changes.
        """
        changed = self._all | {(each.key, each.mirror): each for each in new}
        if len(changed) > REQUIRED_MAX:
            raise UsageError(
                f"more than {REQUIRED_MAX} mirrors cannot be required",
                hint="drop some: meshnode mirrors require --drop",
            )
        self._write(changed)

    def drop(self, keys: Iterable[str], mirror: str) -> int:
        """Require these no more; return how many there were. Raises StorageError."""
        gone = {(key, mirror) for key in keys}
        kept = {name: each for name, each in self._all.items() if name not in gone}
        count = len(self._all) - len(kept)
        if count:
            self._write(kept)
        return count

    def _write(self, changed: dict[tuple[str, str], Requirement]) -> None:
        said = [asdict(each) for each in changed.values()]
        write_durably(self._path, json.dumps(said, indent=1).encode())
        self._all = changed


def _parsed(raw: bytes) -> dict[tuple[str, str], Requirement]:
    found = [
        Requirement(
            bytes.fromhex(each["key"]).hex(),
            str(each["label"]),
            str(each["mirror"]),
            int(each["days"]),
        )
        for each in list(json.loads(raw))
    ]
    return {(each.key, each.mirror): each for each in found}
