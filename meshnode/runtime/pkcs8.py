"""PKCS #8 key files under a passphrase: PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914).

`openssl pkcs8 -topk8 -scrypt` writes the same, and openssl reads what is written here. Written by
hand because the library's own choice, PBKDF2 of 2,048 rounds, tries a passphrase in 0.4 ms; this
one takes 16 MiB and about 0.4 s, more than what OWASP asks of scrypt.
"""

from __future__ import annotations

import base64
import os
import textwrap
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ENCRYPTED_HEADER: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
SCRYPT_N: Final = 1 << 14  # 16 MiB: the most that the openssl command takes as it is built
SCRYPT_R: Final = 8
SCRYPT_P: Final = 8

_SEQUENCE, _INTEGER, _OCTETS, _NAME = 0x30, 0x02, 0x04, 0x06  # ASN.1 tags
_PBES2: Final = bytes.fromhex("2a864886f70d01050d")
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC: Final = bytes.fromhex("60864801650304012a")
_KEY_BYTES: Final = 32


def plain_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def encrypted_pem(key: Ed25519PrivateKey, passphrase: str) -> bytes:
    """Return the key as `ENCRYPTED PRIVATE KEY`, with a new salt."""
    salt, initial = os.urandom(16), os.urandom(16)
    secret = Scrypt(salt, _KEY_BYTES, SCRYPT_N, SCRYPT_R, SCRYPT_P).derive(passphrase.encode())
    padder = PKCS7(AES.block_size).padder()
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(AES(secret), CBC(initial)).encryptor()
    costs = b"".join(_integer(cost) for cost in (SCRYPT_N, SCRYPT_R, SCRYPT_P))
    derivation = _algorithm(_SCRYPT, _der(_SEQUENCE, _der(_OCTETS, salt) + costs))
    cipher = _algorithm(_AES_256_CBC, _der(_OCTETS, initial))
    scheme = _algorithm(_PBES2, _der(_SEQUENCE, derivation + cipher))
    sealed = encryptor.update(padded) + encryptor.finalize()
    return _pem(_der(_SEQUENCE, scheme + _der(_OCTETS, sealed)))


def _algorithm(name: bytes, parameters: bytes) -> bytes:
    return _der(_SEQUENCE, _der(_NAME, name) + parameters)


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    assert length < 256
    return bytes([tag, length] if length < 128 else [tag, 0x81, length]) + content


def _pem(der: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    end = ENCRYPTED_HEADER.decode().replace("BEGIN", "END")
    return "\n".join([ENCRYPTED_HEADER.decode(), *lines, end, ""]).encode()
