"""The data directory: its layout, its format number, and the lock that one peer holds on it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from meshnode.core.identifiers import CatalogueId
from meshnode.errors import StorageError
from meshnode.runtime.files import refused_by_disk, sync_directory, write_durably

FORMAT = 1
_FORMAT_LINE = "meshnode data directory, format "


class Home:
    """Paths of one data directory. Opening checks that it is ours and of a format we know."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.toml"
        self.format = root / "format"
        self.lock = root / "lock"
        self.identity = root / "identity.key"
        self.keys = root / "keys"
        self.objects = root / "objects"
        self.incoming = root / "incoming"
        self.log = root / "log.db"
        self.index = root / "index.db"
        self.payloads = root / "payloads"
        self.mirrors = root / "mirrors.json"
        self.traffic = root / "traffic.json"
        self.required_mirrors = root / "required_mirrors.json"
        self.sources = root / "sources.db"
        self.seeds = root / "seeds"
        self.domains = root / "domains.json"
        self.blocked = root / "blocked.json"
        self.budgets = root / "budgets.json"
        self.contacts = root / "peers.json"
        self.control = root / "control.sock"

    def staging(self, catalogue: CatalogueId) -> Path:
        """Return where a publisher puts objects that he is about to submit."""
        return self.incoming / catalogue.hex()

    @property
    def is_made(self) -> bool:
        return self.format.is_file()

    def make(self) -> None:
        """Lay the directory out; doing so again changes nothing.

        Raises:
            StorageError: it is somebody else's, of a newer format, or cannot be written.
        """
        if self.is_made:
            self.check()
            return
        made = [self.root, *(path for path in self.root.parents if not path.exists())]
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            foreign = sorted(path.name for path in self.root.iterdir() if not self._is_begun(path))
            for path in made:
                sync_directory(path.parent)
        except OSError as error:
            raise refused_by_disk(f"cannot use {self.root}", error) from error
        if foreign:
            raise StorageError(
                f"{self.root} is not a meshnode data directory: it holds {', '.join(foreign[:3])}",
                hint="name an empty or a new directory with --home",
            )
        self._make_directories()
        write_durably(self.format, f"{_FORMAT_LINE}{FORMAT}\n".encode())

    def _is_begun(self, path: Path) -> bool:
        """Say whether this is what a `make` leaves that was cut off."""
        folders = (self.keys, self.objects, self.incoming, self.payloads)
        if path.name.startswith(f".{self.format.name}."):
            return path.is_file()
        return path in folders and path.is_dir() and not any(path.iterdir())

    def check(self) -> None:
        """Raise StorageError unless this is a data directory that this version can use."""
        self.check_format()
        self._make_directories()

    def check_format(self) -> None:
        """Do what `check` does, and write nothing."""
        if not self.is_made:
            raise StorageError(
                f"{self.root} is not a meshnode data directory",
                hint=f"meshnode init --home {self.root}",
            )
        number = self._format_number()
        if number > FORMAT:
            raise StorageError(
                f"{self.root} has format {number}; this version knows formats up to {FORMAT}",
                hint="install a newer meshnode",
            )

    def _format_number(self) -> int:
        text = self.format.read_text(encoding="utf-8", errors="replace").strip()
        number = text.removeprefix(_FORMAT_LINE)
        if number == text or not number.isdecimal():
            raise StorageError(f"{self.format} is damaged: {text[:60]!r}")
        return int(number)

    def _make_directories(self) -> None:
        try:
            self.keys.mkdir(mode=0o700, exist_ok=True)
            for path in (self.objects, self.incoming, self.payloads):
                path.mkdir(exist_ok=True)
        except OSError as error:
            raise refused_by_disk(f"cannot write {self.root}", error) from error


class HomeLock:
    """Held by the one process that writes the directory; the system frees it when that ends."""

    def __init__(self, home: Home) -> None:
        self._path = home.lock
        self._descriptor = -1

    def __enter__(self) -> HomeLock:
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise refused_by_disk(f"cannot open {self._path}", error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise StorageError(
                f"{self._path.parent} is in use by another meshnode process"
                + (f" (process {holder})" if holder else ""),
                hint="stop it first, or name another directory with --home",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._descriptor)
