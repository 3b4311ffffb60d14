"""What this peer saw of each mirror: bytes, speed, failures in a row, and until when it rests.

A mirror that failed is left alone for a while, longer after each failure in a row, and never for
ever (protocol/06-payloads.md, P-32). Times are unix seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from meshnode.errors import StorageError
from meshnode.runtime.files import write_durably

MIRRORS_KNOWN_MAX: Final = 4096  # the one that was asked least lately is forgotten
REST_SECONDS_MIN: Final = 60  # after the first failure that counts
REST_SECONDS_MAX: Final = 86_400
ERRORS_BORNE: Final = 2  # in a row, without a rest: servers restart
_SMOOTHING: Final = 0.2  # weight of the newest sample of the speed
_CORRUPT: Final = "sent corrupt bytes"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class MirrorHealth:
    """`failures` are those since the last byte that came; `reason` is that of the last one."""

    url: str
    sent_bytes: int = 0
    bytes_per_second: int = 0
    last_success: int = 0
    last_failure: int = 0
    failures: int = 0
    reason: str = ""
    rests_until: int = 0


class MirrorRecord:
    """Invariant: at most MIRRORS_KNOWN_MAX mirrors, in the order in which they were heard of last.

    `path` None: nothing is kept beyond this process.
    """

    def __init__(self, path: Path | None, now: Callable[[], int]) -> None:
        self._path = path
        self._now = now
        self._known = {each.url: each for each in _read(path)}
        self._is_saved = True

    def known(self) -> list[MirrorHealth]:
        return list(self._known.values())

    def rests(self, url: str) -> MirrorHealth | None:
        """Return what is known of a mirror that is to be left alone now, None of any other."""
        health = self._known.get(url)
        return health if health is not None and health.rests_until > self._now() else None

    def note_bytes(self, url: str, count: int, seconds: float) -> None:
        """Bytes came within so many seconds; whether they were right shows later."""
        health = self._of(url)
        if health.reason != _CORRUPT:
            health = replace(health, failures=0)
        speed = count / seconds
        if health.bytes_per_second:
            speed = _SMOOTHING * speed + (1 - _SMOOTHING) * health.bytes_per_second
        self._put(
            replace(
                health,
                sent_bytes=health.sent_bytes + count,
                bytes_per_second=round(speed),
                last_success=self._now(),
            )
        )

    def note_verified(self, url: str) -> None:
        """Pieces that it helped with were right: its failures are forgiven."""
        if (health := self._known.get(url)) is not None and health.failures:
            self._put(replace(health, failures=0, reason="", rests_until=0))

    def note_corruption(self, url: str) -> None:
        """It sent bytes that were not those of the payload: it rests at once."""
        self._fail(url, _CORRUPT, borne=0)

    def note_error(self, url: str) -> None:
        """It answered with an error."""
        self._fail(url, "answered with an error", borne=ERRORS_BORNE)

    def save(self) -> None:
        """Write the record if it changed. Blocks; raises StorageError."""
        if self._path is None or self._is_saved:
            return
        self._is_saved = True
        said = {"format": _FORMAT, "mirrors": [asdict(each) for each in self.known()]}
        write_durably(self._path, json.dumps(said).encode())

    def _fail(self, url: str, reason: str, *, borne: int) -> None:
        health, now = self._of(url), self._now()
        failures = health.failures + 1
        counted = failures - borne
        rest = min(REST_SECONDS_MIN << min(counted - 1, 16), REST_SECONDS_MAX) if counted > 0 else 0
        self._put(
            replace(
                health, failures=failures, last_failure=now, reason=reason, rests_until=now + rest
            )
        )

    def _of(self, url: str) -> MirrorHealth:
        return self._known.get(url, MirrorHealth(url))

    def _put(self, health: MirrorHealth) -> None:
        self._known.pop(health.url, None)
        self._known[health.url] = health
        self._is_saved = False
        while len(self._known) > MIRRORS_KNOWN_MAX:
            del self._known[next(iter(self._known))]


def _read(path: Path | None) -> list[MirrorHealth]:
    """Read the record; one that is missing or damaged is begun anew: it is only experience."""
    if path is None:
        return []
    try:
        said = json.loads(path.read_bytes())
        if said["format"] != _FORMAT:
            return []
        return [MirrorHealth(**each) for each in said["mirrors"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        return []
