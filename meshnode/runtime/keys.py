"""Keys as standard files: Ed25519 in PKCS #8 PEM (RFC 8410), private ones for their owner only.

Owns key files and nothing else: what a key may sign is decided by the records of `core`, and how a
passphrase is asked for by whoever asks for the key.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from meshnode.core.identifiers import PublicKey
from meshnode.core.signing import is_admissible, public_key
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import refused_by_disk, write_durably
from meshnode.runtime.pkcs8 import ENCRYPTED_HEADER, encrypted_pem, plain_pem

OWNER_ONLY = 0o600

# Asked with the path of a key that is encrypted, and of no other; may raise UsageError.
Passphrase = Callable[[Path], str]


def create_key(path: Path, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Make a key and write it, mode 0600; an existing file is never overwritten.

    Raises:
        UsageError: the file exists.
        StorageError: it cannot be written.
    """
    if path.exists():
        raise UsageError(f"there is a key at {path} already", hint="choose another name")
    key = Ed25519PrivateKey.generate()
    save_key(path, key, passphrase)
    return key


def save_key(path: Path, key: Ed25519PrivateKey, passphrase: str | None) -> None:
    """Write a key, mode 0600, encrypted if there is a passphrase; what was there is replaced."""
    pem = encrypted_pem(key, passphrase) if passphrase else plain_pem(key)
    write_durably(path, pem, mode=OWNER_ONLY)


def load_key(path: Path, passphrase: Passphrase | None = None) -> Ed25519PrivateKey:
    """Read a key that nobody else can read.

    Raises:
        UsageError: no such file, a wrong or missing passphrase, or not an Ed25519 key.
        StorageError: others may read the file, or it cannot be read.
    """
    pem = _read(path)
    _require_private(path)
    is_encrypted = pem.lstrip().startswith(ENCRYPTED_HEADER)
    if is_encrypted and passphrase is None:
        raise UsageError(f"{path} is protected by a passphrase", hint="set MESHNODE_PASSPHRASE")
    secret = passphrase(path).encode() if is_encrypted and passphrase else None
    try:
        key = load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if is_encrypted:
            raise UsageError(
                f"the passphrase does not open {path}",
                hint="try again; without it the key is lost: meshnode writer close --help",
            ) from error
        raise UsageError(f"{path} is not a private key in PKCS #8 PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an Ed25519 key")
    return key


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """Return the peer's own key, made at the first start."""
    return load_key(path) if path.exists() else create_key(path)


def write_public_key(path: Path, key: PublicKey) -> None:
    """Write a public key as `PUBLIC KEY` PEM (RFC 8410), for everyone to read."""
    pem = Ed25519PublicKey.from_public_bytes(key).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    write_durably(path, pem)


def read_public_key(path: Path) -> PublicKey:
    """Read what `write_public_key` writes.

    Raises:
        UsageError: no such file, not an Ed25519 public key, or one that no root may hold.
        StorageError: the file cannot be read.
    """
    pem = _read(path)
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} is not a public key in PEM", hint=f"meshnode key show PRIVATE --public {path}"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} is not an Ed25519 key")
    raw = PublicKey(key.public_bytes_raw())
    if not is_admissible(raw):
        raise UsageError(f"{path} is a key of low order, which no root may hold")
    return raw


def public_key_of(path: Path, passphrase: Passphrase | None) -> PublicKey:
    """Return the public key of a file, be it private or public; raises as both readers do."""
    if b"PUBLIC KEY" in _read(path):
        return read_public_key(path)
    return public_key(load_key(path, passphrase))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"there is no key at {path}", hint="check the path") from error
    except OSError as error:
        raise refused_by_disk(f"cannot read the key {path}", error) from error


def _require_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise StorageError(
            f"others can read the private key {path} (mode {mode:o})", hint=f"chmod 600 {path}"
        )
