"""Broken input from valid input: edits of bytes, and edits of the values that the bytes encode.

Edits of bytes find what a decoder does with what is not its format. Edits of values keep the format
and reach the checks behind it; byte strings that are themselves encoded values are edited inside.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cbor2
import msgpack

from tests.protocol import plain

EDITS_MAX: Final = 4
BYTES_MAX: Final = 1 << 20  # a case stays below, whatever its edits repeat
# Around every limit of an encoding or of a record.
INTEGERS: Final = (
    *(0, 1, -1, 23, 24, 255, 256, 65_535, 65_536),
    *(2**31 - 1, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**64 - 1, -(2**53), -(2**63), -(2**64)),
)
LENGTHS: Final = (0, 1, 15, 16, 17, 31, 32, 33, 64, 255, 256, 1_024, 1_025, 5_000)
TEXTS: Final = ("", ".", "..", "/", "a/../b", "\x00", "\n", "\u202e", "é" * 128, "%s", "-1", "NaN")

# What says that a format cannot hold a value, or that bytes are none of the format.
UNFIT: Final = (
    *(ValueError, TypeError, OverflowError, RecursionError, EOFError),
    *(cbor2.CBORError, msgpack.UnpackException),
)


@dataclass(frozen=True, slots=True)
class Form:
    """How bytes of one format become values and values bytes; both may raise UNFIT."""

    load: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]


FORMS: Final = {
    "cbor": Form(cbor2.loads, plain.encode),
    "msgpack": Form(msgpack.unpackb, msgpack.packb),
    "json": Form(json.loads, lambda value: json.dumps(value).encode()),
}


@dataclass(frozen=True, slots=True)
class Mutator:
    """Makes one case from examples. Everything it does follows from `rng`."""

    rng: random.Random
    form: Form | None  # None: only bytes are edited

    def case(self, examples: Sequence[bytes]) -> bytes:
        raw = self.rng.choice(examples)
        if self.form is not None and self.rng.random() < 0.6:
            raw = self._edited_value(raw, self.form)
            if self.rng.random() < 0.8:
                return raw[:BYTES_MAX]
        for _ in range(self.rng.randint(1, EDITS_MAX)):
            raw = self._edited_bytes(raw, examples)[:BYTES_MAX]
        return raw

    # --- Values -----------------------------------------------------------------------------------
    def _edited_value(self, raw: bytes, form: Form) -> bytes:
        try:
            value = form.load(raw)
            for _ in range(self.rng.randint(1, EDITS_MAX)):
                value = self.edited(value)
            return form.dump(value)
        except UNFIT:
            return raw

    def edited(self, value: object) -> object:
        """Return the value with one node of it changed; the value itself stays."""
        if isinstance(value, list) and value and self.rng.random() < 0.8:
            return self._edited_list(value)
        if isinstance(value, dict) and value and self.rng.random() < 0.8:
            return self._edited_dict(value)
        if isinstance(value, bytes) and self.rng.random() < 0.5:
            return self._edited_inside(value)
        return self._replacement(value)

    def _edited_list(self, value: list[Any]) -> list[Any]:
        at, copy = self.rng.randrange(len(value)), list(value)
        match self.rng.randrange(8):
            case 0:
                del copy[at]
            case 1:
                copy.insert(at, copy[at])
            case 2:
                copy = copy * self.rng.choice((2, 9, 40))
            case 3:
                self.rng.shuffle(copy)
            case _:
                copy[at] = self.edited(copy[at])
        return copy

    def _edited_dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        key, copy = self.rng.choice(list(value)), dict(value)
        match self.rng.randrange(5):
            case 0:
                del copy[key]
            case 1:
                copy[self.rng.choice(TEXTS)] = copy[key]
            case _:
                copy[key] = self.edited(copy[key])
        return copy

    def _edited_inside(self, value: bytes) -> bytes:
        try:
            return plain.encode(self.edited(cbor2.loads(value)))
        except UNFIT:
            return self._edited_bytes(value, [value])

    def _replacement(self, value: object) -> object:
        choices: list[Callable[[], object]] = [
            lambda: self.rng.choice(INTEGERS),
            lambda: self.rng.choice(TEXTS),
            lambda: self.rng.randbytes(self.rng.choice(LENGTHS)),
            lambda: "x" * self.rng.choice(LENGTHS),
            lambda: self.rng.choice((None, True, False, [], {}, [[[[[[[[[]]]]]]]]])),
            lambda: self.rng.choice((0.0, -0.0, 1.5, 1e308, float("inf"), float("nan"))),
            lambda: [value],
        ]
        if type(value) is int:
            step = self.rng.choice((-1, 1))
            return self.rng.choice([value + step, -value, value * 10**7, choices[0]()])
        return self.rng.choice(choices)()

    # --- Bytes ------------------------------------------------------------------------------------
    def _edited_bytes(self, raw: bytes, examples: Sequence[bytes]) -> bytes:
        start, end = sorted(self.rng.randint(0, len(raw)) for _ in range(2))
        match self.rng.randrange(8):
            case 0:
                return raw[:start]
            case 1:
                return raw[:start] + raw[end:]
            case 2:
                return raw[:end] + raw[start:]
            case 3:
                return raw[:start] + self.rng.randbytes(self.rng.choice((1, 2, 4, 8))) + raw[start:]
            case 4:
                other = self.rng.choice(examples)
                return raw[:start] + other[self.rng.randint(0, len(other)) :]
            case 5:
                width = self.rng.choice((1, 2, 4, 8))
                number = self.rng.choice(INTEGERS) % (1 << (8 * width))
                return raw[:start] + number.to_bytes(width, "big") + raw[start + width :]
            case _:
                return self._flipped(raw)

    def _flipped(self, raw: bytes) -> bytes:
        if not raw:
            return self.rng.randbytes(1)
        edited = bytearray(raw)
        for _ in range(self.rng.choice((1, 1, 1, 8))):
            edited[self.rng.randrange(len(raw))] ^= 1 << self.rng.randrange(8)
        return bytes(edited)
