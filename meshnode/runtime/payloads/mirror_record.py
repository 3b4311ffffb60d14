"""What this peer saw of each mirror: bytes, speed, proofs, failures, and until when it rests.

A mirror that failed is left alone for a while, longer after each failure in a row, and never for
ever (protocol/06-payloads.md, P-32). One that sent wrong bytes proves itself with verified ranges
before it gives in bulk again, and is not asked for the pieces that were wrong while another has
them. Times are unix seconds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from meshnode.core.identifiers import Digest
from meshnode.runtime.files import refused_by_disk, write_durably

MIRRORS_KNOWN_MAX: Final = 4096  # the one that was asked least lately is forgotten
REST_SECONDS_MIN: Final = 60  # after the first failure that counts
REST_SECONDS_MAX: Final = 86_400
JITTER_PERMILLE: Final = 250  # so much longer at most: many peers do not come back at once
ERRORS_BORNE: Final = 2  # in a row, without a rest: servers restart
PROVEN_SECONDS: Final = 3600  # a verified range of that age still speaks for a mirror
PROOFS_OWED_MAX: Final = 4  # verified ranges before a mirror that sent wrong bytes is trusted again
QUARANTINED_MAX: Final = 16  # pieces of one mirror; it is not worth more
_SMOOTHING: Final = 0.2  # weight of the newest sample of a speed or a delay
_CORRUPT: Final = "sent corrupt bytes"
_FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class MirrorHealth:
    """`failures` are those since the last byte that came; `reason` is that of the last one.

    `proven` is when it last gave a verified range, of which there were `proofs`; it owes `owed`
    more before it gives in bulk. `delay_ms` is until the first byte. `quarantine` are pieces, by
    payload, that were wrong when they came from here.
    """

    url: str
    sent_bytes: int = 0
    bytes_per_second: int = 0
    last_success: int = 0
    last_failure: int = 0
    failures: int = 0
    reason: str = ""
    rests_until: int = 0
    proven: int = 0
    proofs: int = 0
    wrong: int = 0
    owed: int = 1
    delay_ms: int = 0
    gives_ranges: bool = True
    quarantine: tuple[tuple[str, int], ...] = ()

    def is_proven(self, now: int) -> bool:
        """Say whether it may give in bulk without a further verified range."""
        return not self.owed and now - self.proven <= PROVEN_SECONDS

    def quarantined(self, key: Digest) -> frozenset[int]:
        """Return the pieces of a payload that it is not asked for."""
        return frozenset(piece for name, piece in self.quarantine if name == key.hex())


class MirrorRecord:
    """Invariant: at most MIRRORS_KNOWN_MAX mirrors, in the order in which they were heard of last.

    `path` None: nothing is kept beyond this process. `rng` makes rests differ between peers.
    """

    def __init__(
        self, path: Path | None, now: Callable[[], int], rng: random.Random | None = None
    ) -> None:
        self._path = path
        self._now = now
        self._rng = rng
        self._known = {each.url: each for each in _read(path)}
        self._changes = self._saved_changes = 0

    def now(self) -> int:
        """Return the unix second by which rests and proofs are measured."""
        return self._now()

    def known(self) -> list[MirrorHealth]:
        return list(self._known.values())

    def of(self, url: str) -> MirrorHealth:
        """Return what is known of a mirror, which may be nothing."""
        return self._known.get(url, MirrorHealth(url))

    def rests(self, url: str) -> MirrorHealth | None:
        """Return what is known of a mirror that is to be left alone now, None of any other."""
        health = self._known.get(url)
        return health if health is not None and health.rests_until > self._now() else None

    def note_bytes(self, url: str, count: int, seconds: float) -> None:
        """Bytes came within so many seconds; whether they were right shows later."""
        health = self.of(url)
        if health.reason != _CORRUPT:
            health = replace(health, failures=0)
        self._put(
            replace(
                health,
                sent_bytes=health.sent_bytes + count,
                bytes_per_second=_smoothed(health.bytes_per_second, count / max(seconds, 1e-3)),
                last_success=self._now(),
            )
        )

    def note_proof(
        self, url: str, key: Digest, piece: int, count: int, delay_seconds: float, seconds: float
    ) -> None:
        """A piece, or bytes of one, came from it, and was right."""
        self.note_bytes(url, count, seconds)
        health = self.of(url)
        owed = max(health.owed - 1, 0)
        if not owed:
            health = replace(health, failures=0, reason="")
        self._put(
            replace(
                health,
                owed=owed,
                proven=self._now(),
                proofs=health.proofs + 1,
                delay_ms=_smoothed(health.delay_ms, 1000 * delay_seconds),
                rests_until=0,
                quarantine=tuple(each for each in health.quarantine if each != (key.hex(), piece)),
            )
        )

    def note_verified(self, url: str) -> None:
        """All pieces that it helped with were right: its failures are forgiven."""
        if (health := self._known.get(url)) is not None:
            now = self._now()
            forgiven = replace(health, failures=0, reason="", rests_until=0, owed=0, proven=now)
            self._put(forgiven)

    def note_corruption(
        self, url: str, key: Digest | None = None, piece: int | None = None
    ) -> None:
        """It sent bytes that were not those of the payload: it rests at once."""
        health = self.of(url)
        owed = min(health.wrong + 1, PROOFS_OWED_MAX)
        self._put(replace(health, wrong=health.wrong + 1, owed=owed))
        self._fail(url, _CORRUPT, borne=0)
        if key is not None and piece is not None:
            self.quarantine(url, key, piece)

    def quarantine(self, url: str, key: Digest, piece: int) -> None:
        """Do not ask it for this piece while another has it."""
        health, named = self.of(url), (key.hex(), piece)
        others = tuple(each for each in health.quarantine if each != named)
        self._put(replace(health, quarantine=(*others, named)[-QUARANTINED_MAX:]))

    def note_error(
        self, url: str, reason: str = "answered with an error", pause_seconds: float = 0.0
    ) -> None:
        """It answered with an error; it may have said for how long it wants to be left alone."""
        self._fail(url, reason, borne=ERRORS_BORNE)
        health, until = self.of(url), self._now() + round(pause_seconds)
        if until > health.rests_until and pause_seconds:
            self._put(replace(health, rests_until=until))

    def note_ranges(self, url: str, *, given: bool) -> None:
        """It gives ranges, or whole files alone."""
        if (health := self.of(url)).gives_ranges != given:
            self._put(replace(health, gives_ranges=given))

    def save(self) -> None:
        """Write the record if it changed. Blocks; raises StorageError."""
        changes = self._changes
        if self._path is None or changes == self._saved_changes:
            return
        said = {"format": _FORMAT, "mirrors": [asdict(each) for each in self.known()]}
        write_durably(self._path, json.dumps(said).encode())
        self._saved_changes = changes  # after it, so that a disk that refuses is asked again

    def _fail(self, url: str, reason: str, *, borne: int) -> None:
        health, now = self.of(url), self._now()
        failures = health.failures + 1
        counted = failures - borne
        rest = min(REST_SECONDS_MIN << min(counted - 1, 16), REST_SECONDS_MAX) if counted > 0 else 0
        if self._rng is not None:
            rest += rest * self._rng.randint(0, JITTER_PERMILLE) // 1000
        self._put(
            replace(
                health, failures=failures, last_failure=now, reason=reason, rests_until=now + rest
            )
        )

    def _put(self, health: MirrorHealth) -> None:
        self._known.pop(health.url, None)
        self._known[health.url] = health
        self._changes += 1
        while len(self._known) > MIRRORS_KNOWN_MAX:
            del self._known[next(iter(self._known))]


def _smoothed(before: int, sample: float) -> int:
    return round(_SMOOTHING * sample + (1 - _SMOOTHING) * before if before else sample)


def _read(path: Path | None) -> list[MirrorHealth]:
    """Read the record; one that is missing or damaged is begun anew: it is only experience."""
    if path is None:
        return []
    try:
        said = json.loads(path.read_bytes())
        if said["format"] not in (1, _FORMAT):
            return []
        return [_health(each) for each in said["mirrors"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refused_by_disk(f"cannot read {path}", error) from error
    except (ValueError, KeyError, TypeError):
        return []


def _health(said: dict[str, Any]) -> MirrorHealth:
    """Read one mirror; format 1 says nothing of proofs."""
    quarantine = tuple((str(key), int(piece)) for key, piece in said.get("quarantine", ()))
    return MirrorHealth(**said | {"quarantine": quarantine})
