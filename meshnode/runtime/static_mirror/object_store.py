"""A static mirror in an object store that speaks S3: AWS, MinIO, Ceph, R2, Swift and others.

The store gives each file at once and as a whole to its readers, which is all that N-85 needs.
Credentials come from the environment (AWS_ACCESS_KEY_ID, …) and are neither kept nor shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from meshnode.core.identifiers import Digest
from meshnode.core.static_mirror import POINTER_NAME, object_path
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.static_mirror.places import Source

if TYPE_CHECKING:
    from obstore.store import S3Store

AT_ONCE: Final = 8  # uploads: of many small files each waits for an answer
REMOVED_AT_ONCE: Final = 1000  # in one request of the protocol
FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
NEWEST: Final = {"Cache-Control": "no-cache"}
CONNECT_TIMEOUT: Final = timedelta(seconds=10)
RETRIES_MAX: Final = 4
RETRY_TIMEOUT: Final = timedelta(seconds=60)
_NAME: Final = re.compile(r"objects/(?P<folder>[0-9a-f]{2})/(?P<name>(?P=folder)[0-9a-f]{62})")


class ObjectStore:
    """The files below one prefix of a bucket."""

    at_once = AT_ONCE

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def held(self) -> dict[Digest, int]:
        """Return which files named by a hash are there, with their sizes in bytes.

        Raises:
            StorageError: the store refuses, or holds other files here and no mirror.
        """
        import obstore

        found: dict[Digest, int] = {}
        foreign = 0
        with _refusals("cannot list the bucket"):
            for page in obstore.list(self._store, chunk_size=1000):
                for each in page:
                    name = _NAME.fullmatch(each["path"])
                    if name is not None:
                        found[Digest(bytes.fromhex(name["name"]))] = each["size"]
                    foreign += name is None
        if foreign and not found and self.read(POINTER_NAME) is None:
            raise UsageError(
                f"there are {foreign} other files and no mirror", hint="name an empty prefix"
            )
        return found

    def read(self, name: str) -> bytes | None:
        import obstore

        with _refusals(f"cannot read {name}"):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def add(self, digest: Digest, source: Source) -> None:
        """Upload a file, 64 MiB at most, in one piece: so nothing of it is there if it fails."""
        self._put(object_path(digest), b"".join(source.chunks()), FOR_EVER)

    def replace(self, name: str, raw: bytes) -> None:
        self._put(name, raw, NEWEST)

    def remove(self, digests: Iterable[Digest]) -> None:
        import obstore

        paths = [object_path(digest) for digest in digests]
        with _refusals("cannot remove from the bucket"):
            for start in range(0, len(paths), REMOVED_AT_ONCE):
                obstore.delete(self._store, paths[start : start + REMOVED_AT_ONCE])

    def _put(self, name: str, raw: bytes, attributes: dict[str, str]) -> None:
        import obstore

        with _refusals(f"cannot write {name}"):
            obstore.put(self._store, name, raw, attributes=attributes, use_multipart=False)


def open_object_store(url: str, endpoint: str | None) -> ObjectStore:
    """Open s3://bucket/prefix, at AWS or at the endpoint of another store.

    Raises:
        UsageError: no such address, or the extra `s3` is not installed.
    """
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise UsageError(
            "what speaks to object stores is not installed", hint="pip install 'meshnode[s3]'"
        ) from error
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"{url[:200]!r} is not the address of an object store", hint="s3://bucket/prefix"
        )
    is_plain = endpoint is not None and endpoint.startswith("http://")
    with _refusals(f"cannot open {url}"):
        return ObjectStore(
            S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                config={"endpoint": endpoint} if endpoint else {},
                client_options={"allow_http": is_plain, "connect_timeout": CONNECT_TIMEOUT},
                retry_config={"max_retries": RETRIES_MAX, "retry_timeout": RETRY_TIMEOUT},
            )
        )


@contextmanager
def _refusals(doing: str) -> Iterator[None]:
    """Raise what the store refuses as StorageError; that a file is not there stays as it is."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError) as error:
        raise StorageError(
            f"{doing}: {_first_line(error)}",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of one who may write there",
        ) from error
    except exceptions.BaseError as error:
        raise StorageError(
            f"{doing}: {_first_line(error)}",
            hint="check the address, --endpoint and the network, then do it again",
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
