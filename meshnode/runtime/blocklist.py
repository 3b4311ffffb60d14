"""The peers that the operator has nothing to do with: `blocked.json`.

A blocked peer is not called, and hung up on as soon as it has proved who it is. A new id is cheap:
this is for peers that are a nuisance, not for attackers. Catalogues are denied instead
(`meshnode.core.denials`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from meshnode.core.identifiers import PeerId
from meshnode.errors import UsageError
from meshnode.runtime.files import read_kept, write_durably

BLOCKED_MAX: Final = 10_000  # the whole file is written at each change
PEER_ID_CHARS_MAX: Final = 64


def parse_peer_id(text: str) -> PeerId:
    """Read a peer id.

    Raises:
        UsageError: it is none.
    """
    if not text.startswith("12D3Koo") or not text.isalnum() or len(text) > PEER_ID_CHARS_MAX:
        raise UsageError(
            f"{text[:80]!r} is not a peer id", hint="it begins with 12D3Koo: meshnode peers --json"
        )
    return PeerId(text)


class Blocklist:
    """Ids of peers. A change blocks: call it in a worker thread; one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peers = dict.fromkeys(self._read())

    def __contains__(self, peer: object) -> bool:
        return peer in self._peers

    @property
    def peers(self) -> tuple[PeerId, ...]:
        return tuple(self._peers)

    def change(self, add: Iterable[PeerId] = (), remove: Iterable[PeerId] = ()) -> None:
        """Block and unblock peers.

        Raises:
            UsageError: there are too many, or one is not blocked.
            StorageError: the disk refused; nothing changes.
        """
        peers = self._peers | dict.fromkeys(add)
        for peer in remove:
            if peer not in peers:
                raise UsageError(f"{peer} is not blocked", hint="meshnode peers lists who is")
            del peers[peer]
        if len(peers) > BLOCKED_MAX:
            raise UsageError(f"more than {BLOCKED_MAX} peers cannot be blocked")
        write_durably(self._path, json.dumps(list(peers), indent=1).encode())
        self._peers = peers

    def _read(self) -> list[PeerId]:
        return read_kept(self._path, _parsed, [], "remove it, and block the peers again")


def _parsed(raw: bytes) -> list[PeerId]:
    return [parse_peer_id(str(text)) for text in list(json.loads(raw))]
