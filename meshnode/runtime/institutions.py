"""The catalogues whose keys lie in this data directory: who may sign here, and under which name.

One folder a catalogue under `keys/`: the signed root, the root key, the writer key, and the journal
of what was signed but is not acknowledged yet. Only the command line reads it, never the daemon.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.authoring import first_root
from meshnode.core.identifiers import CatalogueId, Kid, PublicKey, catalogue_text, key_id
from meshnode.core.roots import encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from meshnode.core.trust import RootChain
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.files import sync_directory, write_durably
from meshnode.runtime.home import Home
from meshnode.runtime.keys import create_key, load_key

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
REVIEW_SECONDS = 2 * 365 * 86_400  # a maintainer should look at the root at least this often


@dataclass(frozen=True, slots=True)
class Institution:
    """A catalogue that can be published from here. `root` is the signed first root."""

    name: str
    directory: Path
    catalogue: CatalogueId
    root: bytes

    @property
    def journal(self) -> Path:
        return self.directory / "journal.cbor"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def text(self) -> str:
        """The catalogue's id as people see it."""
        return catalogue_text(self.catalogue)

    def title(self) -> str:
        return str(RootChain.begin(self.root).current.meta.get("title", self.name))

    def writer_key(self, passphrase: str | None) -> Ed25519PrivateKey:
        return load_key(self.directory / "writer.key", passphrase)


def create(
    home: Home, name: str, meta: dict[str, str | int], passphrase: str | None
) -> Institution:
    """Make a catalogue of one root key and one writer key.

    Raises:
        UsageError: the name is taken or not a name.
        StorageError: the directory cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for a catalogue",
            hint="use small letters, digits, '.', '_' and '-', at most 64",
        )
    directory = home.keys / name
    if directory.exists():
        raise UsageError(f"there is a catalogue {name!r} here already", hint="choose another name")
    unfinished = home.keys / f".{name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(mode=0o700)
        _lay_out(unfinished, meta, passphrase)
        unfinished.rename(directory)
        sync_directory(home.keys)
    except OSError as error:
        raise StorageError(f"cannot write {home.keys}: {error.strerror}") from error
    return _open(directory)


def all_of(home: Home) -> list[Institution]:
    """Return the catalogues that can be published from here, by name."""
    if not home.keys.is_dir():
        return []
    folders = sorted(path for path in home.keys.iterdir() if NAME.fullmatch(path.name))
    return [_open(path) for path in folders]


def choose(home: Home, name: str | None) -> Institution:
    """Return the named catalogue, or the only one.

    Raises:
        UsageError: there is none of that name, or several and none was named.
    """
    known = all_of(home)
    named = [institution for institution in known if name in (None, institution.name)]
    if len(named) == 1:
        return named[0]
    names = ", ".join(institution.name for institution in known)
    if not known:
        raise UsageError(
            "no catalogue can be published from here: this data directory holds no keys",
            hint='meshnode catalogue create NAME --title "…"',
        )
    if name is None:
        raise UsageError(
            "several catalogues can be published from here", hint=f"--catalogue: {names}"
        )
    raise UsageError(f"no catalogue {name!r} can be published from here", hint=f"known: {names}")


def writer_of(key: Ed25519PrivateKey) -> Kid:
    return key_id(PublicKey(key.public_key().public_bytes_raw()))


def _lay_out(directory: Path, meta: dict[str, str | int], passphrase: str | None) -> None:
    root_key = create_key(directory / "root.key", passphrase)
    writer_key = create_key(directory / "writer.key", passphrase)
    now = unix_now()
    root = first_root(
        root_key=PublicKey(root_key.public_key().public_bytes_raw()),
        writers=[(PublicKey(writer_key.public_key().public_bytes_raw()), "first writer")],
        meta=meta,
        issued=now,
        review_by=now + REVIEW_SECONDS,
    )
    signed = sign("root", encode_root(root), [root_key])
    write_durably(directory / "root.cbor", encode_signed(signed))


def _open(directory: Path) -> Institution:
    try:
        root = (directory / "root.cbor").read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {directory / 'root.cbor'}: {error.strerror}") from error
    return Institution(directory.name, directory, RootChain.begin(root).catalogue, root)
