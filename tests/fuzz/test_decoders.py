"""A fixed number of cases for every decoder; `make fuzz` gives them minutes."""

from __future__ import annotations

import os

import pytest

from meshnode.core.encoding import MalformedRecordError
from tests.fuzz.mutation import FORMS
from tests.fuzz.target import FuzzFailureError, Tally, Target, case_bytes, is_taken, run
from tests.fuzz.targets import every

CASES = int(os.environ.get("MESHNODE_FUZZ_CASES", "150"))
SEED = 1


@pytest.mark.slow
@pytest.mark.parametrize("name", every())
def test_any_input_is_taken_or_refused_with_a_declared_error(name: str) -> None:
    target = every()[name]
    tally = run(target, SEED, range(CASES))
    assert tally.taken > 0
    assert tally.refused > 0 or not target.refusals


def test_the_examples_are_the_first_cases_and_are_taken() -> None:
    refused = [
        (target.name, number)
        for target in every().values()
        for number in range(len(target.examples))
        if not is_taken(target, SEED, number)
    ]
    assert refused == []


def test_a_case_follows_from_its_name() -> None:
    target = every()["entry"]
    cases = [case_bytes(target, SEED, number) for number in range(100, 200)]
    assert [case_bytes(target, SEED, number) for number in range(100, 200)] == cases
    assert len(set(cases)) > 90


def take_short(raw: bytes) -> None:
    if len(raw) > 5:
        raise MalformedRecordError("too long")
    raw.decode()  # the planted bug: UnicodeDecodeError is not declared


def test_an_undeclared_error_names_the_case_and_its_bytes() -> None:
    target = Target("planted", None, (b"short",), take_short, (MalformedRecordError,))
    with pytest.raises(FuzzFailureError) as caught:
        run(target, SEED, range(1_000))
    named = next(line for line in str(caught.value).splitlines() if line.startswith("case:"))
    number = int(named.rpartition("/")[2])
    assert case_bytes(target, SEED, number).hex() in str(caught.value)
    assert "UnicodeDecodeError" in str(caught.value)
    assert run(target, SEED, range(number)) == Tally(*counted(target, number))


def counted(target: Target, number: int) -> tuple[int, int]:
    taken = [is_taken(target, SEED, each) for each in range(number)]
    return taken.count(True), taken.count(False)


@pytest.mark.parametrize("form", FORMS)
def test_many_mutants_keep_their_format_and_are_refused_for_their_content(form: str) -> None:
    target = next(target for target in every().values() if target.form == form)
    kept = 0
    for number in range(len(target.examples), 300):
        try:
            FORMS[form].load(case_bytes(target, SEED, number))
            kept += 1
        except Exception:
            continue
    assert kept > 75
