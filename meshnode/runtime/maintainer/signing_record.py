"""What this data directory itself has signed last, so that a restored or copied one is noticed.

Beside the keys lies the name of the last acknowledged head, with the number that the file system
gives the folder. A backup that is restored, or a copy, is another folder: it may lack heads that
its original has signed since, and would sign their places in the log a second time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from meshnode.core.events import HeadName
from meshnode.core.identifiers import Digest, Kid
from meshnode.errors import StorageError
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
