"""I7: adopted roots and purges have their signatures, by a reading of the records of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from meshnode.core.durable import AdoptRoot, Durable
from meshnode.core.identifiers import CatalogueId
from simulations.invariants.verdicts import Verdicts
from simulations.machine import Machine

PROTECTED: Final = b"\xa1\x01\x32"  # {1: -19}
KIND, VERSION, KEYS, ROLE = 0, 2, 6, 7  # places in a root (protocol/records.cddl)
ROOT_VERSION = 3  # in a purge


class Roots:
    """Checks each root once, whoever adopts it."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._judged: dict[bytes, bool] = {}
        self._roles: dict[tuple[CatalogueId, int], list[tuple[int, list[bytes]]]] = {}

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        for effect in durable:
            if isinstance(effect, AdoptRoot):
                good = self._is_good(effect)
                said = f"root {effect.version} lacks signatures"
                self._verdicts.hold("I7", machine, good, said)

    def _is_good(self, effect: AdoptRoot) -> bool:
        if effect.raw not in self._judged:
            self._judged[effect.raw] = self._judge(effect.catalogue, effect.raw)
        return self._judged[effect.raw]

    def _judge(self, catalogue: CatalogueId, raw: bytes) -> bool:
        """Demand the threshold of its own role, and that of a root before it.

        A purge has none of its own, and needs that of the root which it names.
        """
        payload, signatures = cbor2.loads(raw)
        root = cbor2.loads(payload)
        if root[KIND] == "purge":
            roles = self._roles.get((catalogue, root[ROOT_VERSION]), [])
            made = [bytes(signature) for _, signature in signatures]
            return any(_is_met(role, payload, made, b"purge") for role in roles)
        own = _role(root)
        self._roles.setdefault((catalogue, root[VERSION]), []).append(own)
        before = self._roles.get((catalogue, root[VERSION] - 1), [])
        given = [bytes(signature) for _, signature in signatures]
        chained = root[VERSION] == 1 or any(_is_met(role, payload, given) for role in before)
        return chained and _is_met(own, payload, given)


def _role(root: list[Any]) -> tuple[int, list[bytes]]:
    threshold, places = root[ROLE]
    return threshold, [bytes(root[KEYS][place][1]) for place in places]


def _is_met(
    role: tuple[int, list[bytes]], payload: bytes, given: list[bytes], record: bytes = b"root"
) -> bool:
    threshold, keys = role
    message = cbor2.dumps(["Signature1", PROTECTED, b"meshnode/%s/1" % record, payload])
    return sum(any(_holds(key, s, message) for s in given) for key in keys) >= threshold


def _holds(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
