"""A decoder under fire: what it is given, and what it may answer.

A case has a name, `target/seed/number`, from which its bytes follow: whoever has the name has the
case. A decoder takes the bytes or refuses them with an error that it declares; anything else that
it raises, a broken promise included, is a failure.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.fuzz.mutation import FORMS, Mutator

SHOWN_BYTES_MAX: Final = 4_096  # of a failing case; its name gives them all


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder. `form` names the format of its examples (None: bytes and nothing more).

    `take` returns when the bytes are taken and all that is promised of them holds.
    """

    name: str
    form: str | None
    examples: tuple[bytes, ...]
    take: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many cases were taken and how many refused: both should be many."""

    taken: int
    refused: int


class FuzzFailureError(Exception):
    """An undeclared error; the message has the case, its bytes and where it was raised."""


def case_bytes(target: Target, seed: int, number: int) -> bytes:
    """Return the bytes of one case; number 0 and up to the examples' are the examples."""
    if number < len(target.examples):
        return target.examples[number]
    rng = random.Random(f"{target.name}/{seed}/{number}")
    form = FORMS[target.form] if target.form is not None else None
    return Mutator(rng, form).case(target.examples)


def is_taken(target: Target, seed: int, number: int) -> bool:
    """Run one case; say whether the decoder took it.

    Raises:
        FuzzFailureError: it raised what it does not declare.
    """
    raw = case_bytes(target, seed, number)
    try:
        target.take(raw)
    except target.refusals:
        return False
    except Exception as error:
        shown = raw[:SHOWN_BYTES_MAX].hex() + ("…" if len(raw) > SHOWN_BYTES_MAX else "")
        raise FuzzFailureError(
            f"{target.name} raised {type(error).__name__}: {error}\n"
            f"case:  {target.name}/{seed}/{number}\n"
            f"again: python -m tests.fuzz --case {target.name}/{seed}/{number}\n"
            f"bytes: {len(raw)}: {shown}\n{traceback.format_exc()}"
        ) from error
    return True


def run(target: Target, seed: int, numbers: range) -> Tally:
    """Run these cases; raises FuzzFailureError at the first that fails."""
    taken = sum(is_taken(target, seed, number) for number in numbers)
    return Tally(taken, len(numbers) - taken)
