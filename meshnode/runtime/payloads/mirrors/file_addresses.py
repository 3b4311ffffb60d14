"""Where a mirror has each file of a payload (protocol/06-payloads.md, P-30 and P-34; BEP 19)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from meshnode.core.filelist import FileList
from meshnode.runtime.payloads.mirrors.range_client import Fault, MirrorError, RangeClient
from meshnode.runtime.payloads.mirrors.repositories import Copy, listed, repository_of


@dataclass(frozen=True, slots=True)
class FileAddresses:
    """The URLs of a payload's files at one mirror.

    `named` are those that a repository gave, by index; None where the mirror's URL says all.
    """

    mirror: str
    files: FileList
    named: Mapping[int, str] | None = None

    def url(self, index: int) -> str:
        """Return the URL of a file; raises MirrorError if the repository does not have it."""
        if self.named is None:
            return file_url(self.mirror, self.files, index)
        if index not in self.named:
            raise MirrorError(Fault.ERROR, f"has no file {self.files.files[index].path!r}")
        return self.named[index]


def file_url(mirror: str, files: FileList, index: int) -> str:
    """Return the URL of file `index` at a mirror whose URL says where it is."""
    path = files.files[index].path
    if not mirror.endswith("/"):
        if len(files.files) == 1 and "/" not in path:
            return mirror
        mirror += "/"
    return mirror + quote(path)


async def addresses_at(client: RangeClient, mirror: str, files: FileList) -> FileAddresses:
    """Find the files of a payload at a mirror, by its repository's listing if it is one.

    Raises:
        MirrorError: the repository cannot be asked, or has none of the files.
    """
    if repository_of(mirror) is None:
        return FileAddresses(mirror, files)
    found = {index: copy.url for index, copy in pair(files, await listed(client, mirror)).items()}
    if not found:
        raise MirrorError(Fault.WRONG, "has none of the payload's files")
    return FileAddresses(mirror, files, found)


def pair(files: FileList, copies: Sequence[Copy]) -> dict[int, Copy]:
    """Pair a payload's files with copies: by path, with or without the payload's folder; else by
    name, if one copy alone has it. A copy of another size is none.
    """
    by_path = {each.path: each for each in copies}
    by_name: dict[str, list[Copy]] = {}
    for each in copies:
        by_name.setdefault(each.path.rpartition("/")[2], []).append(each)
    found: dict[int, Copy] = {}
    for index, file in enumerate(files.files):
        folder, _, inner = file.path.partition("/")
        named = by_name.get(file.path.rpartition("/")[2], [])
        copy: Copy | None = by_path.get(file.path) or by_path.get(inner or folder)
        if copy is None and len(named) == 1:
            copy = named[0]
        if copy is not None and copy.size_bytes in (None, file.size_bytes):
            found[index] = copy
    return found


def simplest(mirror: str, files: FileList, found: Mapping[int, Copy]) -> str:
    """Return the URL that says where the files are with the least knowledge of repositories."""
    if len(files.files) == 1 and "/" not in files.files[0].path:
        return found[0].url
    path = quote(files.files[0].path)
    base = found[0].url.removesuffix(path)
    if base.endswith("/") and all(
        found[index].url == file_url(base, files, index) for index in range(len(files.files))
    ):
        return base
    return mirror
