"""Where a mirror has each file of a payload (protocol/06-payloads.md, P-30; BEP 19)."""

from __future__ import annotations

from urllib.parse import quote

from meshnode.core.filelist import FileList


def file_url(mirror: str, files: FileList, index: int) -> str:
    """Return the URL of file `index` at a mirror."""
    path = files.files[index].path
    if not mirror.endswith("/"):
        if len(files.files) == 1 and "/" not in path:
            return mirror
        mirror += "/"
    return mirror + quote(path)
