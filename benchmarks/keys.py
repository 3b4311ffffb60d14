"""Private keys: what it costs to open one, beside its key derivation alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from benchmarks.measuring import Case, Work
from meshnode.runtime.keys import create_key, load_key
from meshnode.runtime.pkcs8 import SCRYPT_N, SCRYPT_P, SCRYPT_R

PASSPHRASE: Final = "correct horse battery staple"  # noqa: S105 - of a key that signs nothing


def _open_key(folder: Path) -> Work:
    path = folder / "writer.key"
    create_key(path, PASSPHRASE)

    def work() -> int:
        load_key(path, lambda _: PASSPHRASE)
        return 1

    return work


def _derive(_: Path) -> Work:
    def work() -> int:
        hashlib.scrypt(
            PASSPHRASE.encode(), salt=bytes(16), n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, maxmem=1 << 26
        )
        return 1

    return work


CASES: Final = (
    Case("key", "a private key opened by its passphrase", "key", _open_key, {"scrypt": _derive}),
)
