"""Ten bugs, each small and each fatal, planted one at a time: a named test sees every one."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from tests.mutants.trial import Verdict, path_of, try_tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS_MAX: Final = 120.0


class Bug(NamedTuple):
    """What `module` has once, what stands there instead, and the test that must fail."""

    name: str
    module: str
    right: str
    wrong: str
    test: str


BUGS: Final = (
    Bug(
        "a number may be written longer than it is",
        "meshnode.core.encoding",
        "if argument < least:",
        "if argument < 0:",
        "protocol/test_encoding_vectors.py::test_an_item_that_breaks_a_rule_is_refused",
    ),
    Bug(
        "a map may hold a key twice",
        "meshnode.core.encoding",
        "if raw[start:at] <= before:",
        "if raw[start:at] < before:",
        "core/test_encoding.py::test_what_is_not_canonical_is_refused_with_its_reason",
    ),
    Bug(
        "a node of the tree is hashed as a leaf",
        "meshnode.core.merkle",
        'hashlib.sha256(b"\\x01" + left + right)',
        'hashlib.sha256(b"\\x00" + left + right)',
        "protocol/test_encoding_vectors.py::test_l_31_the_frontier_gives_the_tree_hash",
    ),
    Bug(
        "any signature holds",
        "meshnode.core.signing",
        "except (InvalidSignature, ValueError):\n        return False",
        "except (InvalidSignature, ValueError):\n        return True",
        "core/test_signing.py::test_a_flipped_bit_in_a_signature_never_verifies",
    ),
    Bug(
        "a key of small order is admitted",
        "meshnode.core.signing",
        "len(key) == PUBLIC_KEY_BYTES and crypto_core_ed25519_is_valid_point(key)",
        "len(key) == PUBLIC_KEY_BYTES",
        "core/test_signing.py::test_keys_of_small_order_are_not_admitted",
    ),
    Bug(
        "a stranger may sign a head beside its writer",
        "meshnode.core.trust",
        "if [signature.kid for signature in signed.signatures] != [head.writer]:",
        "if head.writer not in [signature.kid for signature in signed.signatures]:",
        "protocol/test_record_vectors.py"
        "::test_r_23_a_head_with_a_second_signature_is_not_authentic",
    ),
    Bug(
        "the tree hash of a head is not compared",
        "meshnode.core.log",
        "if frontier.size != head.size or frontier.root() != head.tree:",
        "if frontier.size != head.size:",
        "protocol/test_log_vector.py::test_l_34_entries_that_do_not_give_the_tree_hash_are_refused",
    ),
    Bug(
        "a replaced segment still counts",
        "meshnode.core.contents",
        "self._remove_segment(old, entry.clock)",
        "self._remove_segment(old, 0)",
        "protocol/test_log_vector.py::test_l_52_only_segments_that_were_not_replaced_count",
    ),
    Bug(
        "a dropped mirror stays",
        "meshnode.core.contents",
        "dict.fromkeys(drop, False)",
        "dict.fromkeys(drop, True)",
        "protocol/test_log_vector.py::test_l_56_a_dropped_url_is_no_mirror",
    ),
    Bug(
        "a path of a payload may lead out of its folder",
        "meshnode.core.filelist",
        'name not in ("", ".", "..")',
        'name not in ("", ".")',
        "core/test_filelist.py::test_a_path_that_is_not_plain_is_refused",
    ),
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_named_test_passes_without_the_bug_and_fails_with_it(bug: Bug) -> None:
    source = path_of(bug.module).read_text(encoding="utf-8")
    assert source.count(bug.right) == 1, "the code has changed: plant the bug anew"
    tests = ["-x", f"tests/{bug.test}"]
    honest, said = try_tests(bug.module, source, tests, SECONDS_MAX)
    assert honest is Verdict.PASSED, said
    mutant = source.replace(bug.right, bug.wrong)
    broken, said = try_tests(bug.module, mutant, tests, SECONDS_MAX)
    assert broken is Verdict.FAILED, said


def test_there_are_ten_bugs_in_different_places() -> None:
    assert len({(bug.module, bug.right) for bug in BUGS}) >= 10
