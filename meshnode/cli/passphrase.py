"""Where a passphrase comes from: a file, a variable, a file descriptor, or the person.

Order: `--passphrase-file`, MESHNODE_PASSPHRASE, MESHNODE_PASSPHRASE_FD, then a prompt if there is a
terminal. Nothing of it is printed, logged, or sent to the peer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from meshnode.errors import UsageError

ENV_PASSPHRASE = "MESHNODE_PASSPHRASE"  # noqa: S105 - the name of a variable
ENV_DESCRIPTOR = "MESHNODE_PASSPHRASE_FD"
PASSPHRASE_BYTES_MAX = 1024
_WAYS = f"run it in a terminal, or give --passphrase-file, {ENV_PASSPHRASE} or {ENV_DESCRIPTOR}"

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File whose first line is the keys' passphrase."),
]
NoPassphraseOption = Annotated[
    bool,
    typer.Option("--no-passphrase", help="Write the private keys without a passphrase."),
]


def asked(file: Path | None) -> Callable[[Path], str]:
    """Return how to learn the passphrase of an existing key; it is asked for only if needed."""

    def passphrase(key: Path) -> str:
        given = _given(file)
        if given is not None:
            return given
        if is_terminal():
            return getpass(f"passphrase of {key}: ")
        raise UsageError(f"{key} is protected by a passphrase", hint=_WAYS)

    return cache(passphrase)


def chosen(file: Path | None, *, none: bool, fresh: bool = False) -> str | None:
    """Return the passphrase for new keys; None only if the person wants none.

    A `fresh` one is not the one of the environment.

    Raises:
        UsageError: it cannot be asked for, or the person typed it in two ways.
    """
    if none:
        return None
    given = _given(file) if file or not fresh else None
    if given is not None:
        return given
    if not is_terminal():
        raise UsageError(
            "a new private key needs a passphrase", hint=f"{_WAYS}; or --no-passphrase"
        )
    first = getpass("passphrase for the new keys: ")
    if not first:
        raise UsageError("the passphrase is empty", hint="choose one, or give --no-passphrase")
    if getpass("once more: ") != first:
        raise UsageError("the two passphrases differ", hint="try again")
    return first


def _given(file: Path | None) -> str | None:
    if file is not None:
        return _first_line(lambda: _beginning(file), str(file))
    if text := os.environ.get(ENV_PASSPHRASE):
        return text
    if number := os.environ.get(ENV_DESCRIPTOR):
        if not number.isdecimal():
            raise UsageError(f"{ENV_DESCRIPTOR} is {number!r}, not the number of a descriptor")
        return _of_descriptor(int(number))
    return None


@cache  # a descriptor can be read once, and one command may open several keys
def _of_descriptor(number: int) -> str:
    return _first_line(
        lambda: _drained(number), f"the file descriptor {number} of {ENV_DESCRIPTOR}"
    )


def _beginning(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(PASSPHRASE_BYTES_MAX)


def _drained(descriptor: int) -> bytes:
    data = b""
    while chunk := os.read(descriptor, PASSPHRASE_BYTES_MAX):
        data += chunk
        if b"\n" in data or len(data) > PASSPHRASE_BYTES_MAX:
            break
    return data


def _first_line(read: Callable[[], bytes], where: str) -> str:
    try:
        line = read().split(b"\n", 1)[0].removesuffix(b"\r").decode()
    except OSError as error:
        raise UsageError(f"cannot read the passphrase from {where}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the passphrase in {where} is not UTF-8") from error
    if not line:
        raise UsageError(f"there is no passphrase in {where}", hint="its first line is taken")
    return line


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
