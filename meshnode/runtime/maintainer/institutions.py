"""The catalogues whose keys lie in this data directory: who may sign here, and under which name.

One folder a catalogue under `keys/`: the signed root, the root key, the writer key, and the journal
of what was signed but is not acknowledged yet. Only the command line reads it, never the daemon.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.amendments import set_root_role
from meshnode.core.authoring import first_root
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId, Kid, PublicKey, catalogue_text, key_id
from meshnode.core.limits import SIGNED_ROOT_BYTES_MAX
from meshnode.core.proposals import Proposal
from meshnode.core.roots import Root, decode_root, encode_root
from meshnode.core.signed import decode_signed, encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.trust import RootChain
from meshnode.errors import UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.files import refused_by_disk, sync_directory, write_durably
from meshnode.runtime.home import Home
from meshnode.runtime.keys import Passphrase, create_key, load_key, write_public_key

ROOT_KEY, WRITER_KEY, SIGNED_ROOT = "root.key", "writer.key", "root.cbor"
NEW_ROOT_KEY = "root.key.new"  # until the root that names it is in force
UNSIGNED_ROOT = "root.unsigned"  # of a catalogue whose root keys have not signed yet
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

    def writer_key(self, passphrase: Passphrase | None) -> Ed25519PrivateKey:
        return load_key(self.directory / WRITER_KEY, passphrase)

    @property
    def root_key(self) -> Path:
        """Where the root key lies, if it has not been carried away."""
        return self.directory / ROOT_KEY


def create(
    home: Home, name: str, meta: dict[str, str | int], passphrase: str | None
) -> Institution:
    """Make a catalogue of one root key and one writer key.

    Raises:
        UsageError: the name is taken or not a name.
        StorageError: the directory cannot be written.
    """
    with _new_directory(home, name) as directory:
        root_key = create_key(directory / ROOT_KEY, passphrase)
        writer_key = create_key(directory / WRITER_KEY, passphrase)
        root = _first_root([public_key(root_key)], 1, public_key(writer_key), meta)
        signed = sign("root", encode_root(root), [root_key])
        write_durably(directory / SIGNED_ROOT, encode_signed(signed))
    return _open(home.keys / name)


def propose(
    home: Home,
    name: str,
    meta: dict[str, str | int],
    passphrase: str | None,
    root_keys: Sequence[PublicKey],
    threshold: int,
) -> Proposal:
    """Make the writer key of a catalogue whose root keys are other people's; return what these
    have to sign. It can be published from here once `finish` has the signed root.

    Raises:
        UsageError: the name is taken or not a name, or such a root breaks the rules.
        StorageError: the directory cannot be written.
    """
    with _new_directory(home, name, to=_pending(home, name)) as directory:
        writer_key = create_key(directory / WRITER_KEY, passphrase)
        payload = encode_root(_first_root(root_keys, threshold, public_key(writer_key), meta))
        try:
            decode_root(payload)
        except MalformedRecordError as error:
            raise UsageError(f"such a root breaks the rules: {error}") from error
        write_durably(directory / UNSIGNED_ROOT, payload)
    return Proposal("root", payload, (), ())


def finish(home: Home, signed_root: bytes) -> Institution | None:
    """Put the signed first root beside the writer key that waits for it; None if none does."""
    payload = decode_signed(signed_root, SIGNED_ROOT_BYTES_MAX).payload
    for pending in sorted(home.keys.glob(".*.pending")):
        if (pending / UNSIGNED_ROOT).read_bytes() == payload:
            directory = home.keys / pending.name[1 : -len(".pending")]
            write_durably(pending / SIGNED_ROOT, signed_root)
            pending.rename(directory)
            sync_directory(home.keys)
            return _open(directory)
    return None


def join(home: Home, name: str, first_root: bytes, passphrase: str | None) -> Institution:
    """Make a writer key for somebody else's catalogue; its root has to list the key first.

    Raises:
        UsageError: the name is taken or not a name.
        StorageError: the directory cannot be written.
    """
    with _new_directory(home, name) as directory:
        key = create_key(directory / WRITER_KEY, passphrase)
        write_public_key(directory / f"{WRITER_KEY}.pub", public_key(key))
        write_durably(directory / SIGNED_ROOT, first_root)
    return _open(home.keys / name)


def new_root_key(
    institution: Institution, passphrase: str | None, asked: Passphrase
) -> tuple[PublicKey, Path]:
    """Make the root key that is to come; the one of an earlier attempt is taken again."""
    path = institution.directory / NEW_ROOT_KEY
    key = load_key(path, asked) if path.exists() else create_key(path, passphrase)
    return public_key(key), path


def take_new_root_key(institution: Institution) -> None:
    """Give the new root key the place of the old one, which stays beside it."""
    old = institution.root_key
    number = 1 + len(list(old.parent.glob(f"{ROOT_KEY}.old-*")))
    old.rename(old.with_name(f"{ROOT_KEY}.old-{number}"))
    (institution.directory / NEW_ROOT_KEY).rename(old)
    sync_directory(old.parent)


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
    return key_id(public_key(key))


@contextmanager
def _new_directory(home: Home, name: str, to: Path | None = None) -> Iterator[Path]:
    """Give a folder that gets its name only when the block has filled it."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for a catalogue",
            hint="use small letters, digits, '.', '_' and '-', at most 64",
        )
    if (home.keys / name).exists():
        raise UsageError(f"there is a catalogue {name!r} here already", hint="choose another name")
    if _pending(home, name).exists():
        raise UsageError(
            f"the catalogue {name!r} waits here for its signatures",
            hint=f"choose another name, or remove {_pending(home, name)}, its only writer key",
        )
    unfinished = home.keys / f".{name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(mode=0o700)
        yield unfinished
        unfinished.rename(to or home.keys / name)
        sync_directory(home.keys)
    except OSError as error:
        raise refused_by_disk(f"cannot write {home.keys}", error) from error


def _pending(home: Home, name: str) -> Path:
    return home.keys / f".{name}.pending"


def _first_root(
    root_keys: Sequence[PublicKey], threshold: int, writer: PublicKey, meta: dict[str, str | int]
) -> Root:
    now = unix_now()
    root = first_root(
        root_key=root_keys[0],
        writers=[(writer, "first writer")],
        meta=meta,
        issued=now,
        review_by=now + REVIEW_SECONDS,
    )
    return set_root_role(root_keys, threshold)(root)


def _open(directory: Path) -> Institution:
    try:
        root = (directory / SIGNED_ROOT).read_bytes()
    except OSError as error:
        raise refused_by_disk(f"cannot read {directory / SIGNED_ROOT}", error) from error
    return Institution(directory.name, directory, RootChain.begin(root).catalogue, root)
