"""A command that works offline starts fast: it imports nothing of the network."""

import subprocess
import sys

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from meshnode.core.identifiers import PublicKey, peer_id

PROBE = """
import sys
import meshnode.cli
import meshnode.runtime.service
print([name for name in ("libp2p", "multiaddr", "aioquic", "matplotlib") if name in sys.modules])
"""


def test_the_offline_peer_does_not_import_the_mesh() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_the_peer_id_is_the_one_of_libp2p() -> None:
    for seed in (bytes(32), bytes(range(32)), b"\xff" * 32):
        public = create_new_key_pair(seed).public_key
        assert peer_id(PublicKey(public.to_bytes())) == str(ID.from_pubkey(public))
