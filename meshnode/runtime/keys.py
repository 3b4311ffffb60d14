"""Private keys as standard files: Ed25519 in PKCS #8 PEM (RFC 8410), readable by their owner only.

Owns key files and nothing else: what a key may sign is decided by the records of `core`.
"""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import write_durably

OWNER_ONLY = 0o600


def create_key(path: Path, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Make a key and write it, mode 0600; an existing file is never overwritten.

    Raises:
        UsageError: the file exists.
        StorageError: it cannot be written.
    """
    if path.exists():
        raise UsageError(f"there is a key at {path} already", hint="choose another name")
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    write_durably(path, pem, mode=OWNER_ONLY)
    return key


def load_key(path: Path, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Read a key that nobody else can read.

    Raises:
        UsageError: no such file, a wrong or missing passphrase, or not an Ed25519 key.
        StorageError: others may read the file, or it cannot be read.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        pem = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"there is no key at {path}") from error
    except OSError as error:
        raise StorageError(f"cannot read the key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise StorageError(
            f"others can read the private key {path} (mode {mode:o})", hint=f"chmod 600 {path}"
        )
    try:
        key = load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except TypeError as error:
        raise UsageError(
            f"{path} is {'not ' if passphrase else ''}protected by a passphrase",
            hint="" if passphrase else "set MESHNODE_PASSPHRASE",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} is no key, or the passphrase is wrong") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an Ed25519 key")
    return key


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """Return the peer's own key, made at the first start."""
    return load_key(path) if path.exists() else create_key(path)
