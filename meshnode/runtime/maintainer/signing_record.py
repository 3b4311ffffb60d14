"""What this data directory itself has signed last, so that a restored or copied one is noticed.

Beside the keys lies the name of the last acknowledged head, with the number that the file system
gives the folder. A backup that is restored, or a copy, is another folder: it may lack heads that
its original has signed since, and would sign their places in the log a second time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from meshnode.core.identifiers import Digest, Kid
from meshnode.core.names import HeadName
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import write_durably

NAME = "signed.json"


@dataclass(frozen=True, slots=True)
class SigningRecord:
    """`head`: the last one signed here, None if none; `is_original`: no copy and no backup."""

    head: HeadName | None
    is_original: bool

    @property
    def seq(self) -> int:
        return self.head.seq if self.head else 0


def remember(directory: Path, writer: Kid, head: HeadName) -> None:
    """Keep what was acknowledged, before its journal is removed."""
    record = {
        "writer": writer.hex(),
        "seq": head.seq,
        "head": head.digest.hex(),
        "folder": directory.stat().st_ino,
    }
    write_durably(directory / NAME, json.dumps(record).encode() + b"\n")


def recall(directory: Path, writer: Kid) -> SigningRecord:
    """Return what `remember` kept of this writer.

    Raises:
        StorageError: the file is damaged.
    """
    path = directory / NAME
    try:
        record = json.loads(path.read_bytes())
        if record["writer"] != writer.hex():
            return SigningRecord(None, is_original=False)
        head = HeadName(int(record["seq"]), Digest(bytes.fromhex(record["head"])))
        return SigningRecord(head, record["folder"] == directory.stat().st_ino)
    except FileNotFoundError:
        return SigningRecord(None, is_original=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged: {error}",
            hint="remove it; the next publish then asks whether the heads of the log are yours",
        ) from error


def require_own(
    directory: Path,
    writer: Kid,
    held: HeadName | None,
    answered: int,
    *,
    offline: bool,
    restored: bool,
) -> None:
    """Refuse to sign after heads that this data directory may not know, or never signed.

    Args:
        directory: where the writer's key lies.
        writer: who is about to sign.
        held: the log's newest head, after catching up and recovering.
        answered: how many peers were asked for newer heads.
        offline: the operator knows that no other copy of the key has signed since.
        restored: the operator knows that the heads from elsewhere are his own.

    Raises:
        UsageError: that is so, and the operator has not said that it is right.
    """
    record = recall(directory, writer)
    seq = held.seq if held else 0
    if seq < record.seq:
        raise UsageError(
            f"head {record.seq} of the log was signed in this data directory, which holds "
            f"{f'heads up to {seq}' if seq else 'none'} now",
            hint="let it meet a peer that holds the log (meshnode run), and try again. If none "
            "does, another key has to go on: meshnode writer close --help",
        )
    if held is None:
        return
    if not record.is_original and not answered and not (offline or restored):
        raise UsageError(
            "this data directory is not the one that signed last (a restored backup, or a "
            "copy), and no peer can be asked for newer heads",
            hint="let it meet a peer first (meshnode run); or --offline, if you know that no "
            "other copy of the key has signed since",
        )
    if held != record.head and not restored and not (offline and not record.is_original):
        raise UsageError(
            f"the log has heads {min(record.seq + 1, seq)} to {seq}, which were not signed in "
            "this data directory: a restored backup, or the key is used elsewhere too",
            hint="look at them: meshnode log. If they are yours: --restored. If they are not, "
            "somebody has your key: meshnode writer close --help",
        )
    remember(directory, writer, held)
