"""Chains of roots: which are in force (L-3, L-13), and roots and purges that every peer refuses.

Expectations are written by hand from the rules, not computed.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.protocol import examples
from tests.protocol.examples import CATALOGUE, ROOT, ROOT_KEY, START, WRITER, Record, digest
from tests.protocol.plain import Key, encode, sha256, signed

ALICE, BOB, CAROL = Key("alice"), Key("bob"), Key("carol")
DORA, SPARE, THIEF = Key("dora"), Key("spare"), Key("thief")
BOARD = ([ALICE, BOB, CAROL], 2)
LOW_ORDER = bytes(32)
GOOD, EARLIER = [5, digest("head 5")], [3, digest("head 3")]

Role = tuple[list[Key], int]


class Chain:
    """Roots by name, each signed by the keys given; the first names the catalogue."""

    def __init__(self, role: Role, commit: Role | None = None) -> None:
        self.payloads: dict[str, Record] = {}
        self.raws: dict[str, bytes] = {}
        first = examples.root()
        self._keep("first", _with_role(first, role, commit), role[0])

    @property
    def catalogue(self) -> bytes:
        return sha256(encode(self.payloads["first"]))

    def add(
        self,
        name: str,
        after: str,
        by: list[Key],
        role: Role | None = None,
        commit: Role | None = None,
        **fields: Any,
    ) -> Chain:
        record = deepcopy(self.payloads[after])
        record[2:4] = [record[2] + 1, sha256(encode(record))]
        record[4] = START + record[2]
        if role is not None:
            record = _with_role(record, role, commit)
        for field, value in fields.items():
            record[_FIELDS[field]] = value
        self._keep(name, record, by)
        return self

    def closing(self, name: str, after: str, closed: object, by: list[Key]) -> Chain:
        """Close the first writer."""
        writers = deepcopy(self.payloads[after][9])
        writers[0][3] = closed
        return self.add(name, after, by, writers=writers)

    def _keep(self, name: str, record: Record, by: list[Key]) -> None:
        self.payloads[name] = record
        self.raws[name] = encode(signed("root", encode(record), *by))


_FIELDS = {"version": 2, "prev": 3, "keys": 6, "role": 7, "next": 8, "writers": 9, "delegates": 10}
_FIELDS["meta"] = 11


def _with_role(record: Record, role: Role, commit: Role | None) -> Record:
    keys, threshold = role
    record = deepcopy(record)
    record[6] = [[1, key.public] for key in keys]
    record[7] = [threshold, list(range(len(keys)))]
    record[8] = None
    if commit is not None:
        record[8] = [commit[1], [sha256(key.public) for key in commit[0]]]
    return record


def _title(text: str) -> dict[str, str]:
    return {"title": text}


def _in_force() -> list[dict[str, Any]]:
    both, two = [ALICE, BOB], [ALICE, CAROL]
    rotation = Chain(BOARD).add("second", "first", [*both, DORA], ([DORA], 1))
    rotation.add("third", "second", [DORA], meta=_title("Ville nouvelle"))
    kept = Chain(BOARD, ([SPARE], 1)).add("second", "first", two, meta=_title("kept"))
    closings = Chain(BOARD).closing("good", "first", GOOD, both)
    closings.closing("earlier", "good", EARLIER, two).closing("nothing", "earlier", False, both)
    rivals = Chain(BOARD).add("mine", "first", both, meta=_title("mine"))
    rivals.add("yours", "first", [BOB, CAROL], meta=_title("yours"))
    rivals.add("after mine", "mine", both, meta=_title("after mine"))
    rescue = Chain(BOARD, ([SPARE], 1)).add("stolen", "first", both, meta=_title("stolen"))
    rescue.add("rescue", "first", [*both, SPARE], ([SPARE], 1))
    rescue.add("after stolen", "stolen", both, meta=_title("after stolen"))
    rescue.add("after rescue", "rescue", [SPARE], meta=_title("after rescue"))
    takers = Chain(BOARD, ([SPARE], 1))
    for name in ("one", "other"):
        takers.add(name, "first", [*both, SPARE], ([SPARE], 1), meta=_title(name))
    gap = Chain(BOARD).add("second", "first", both).add("third", "second", both)
    del gap.raws["second"]
    return [
        _case("rotation", "L-2", rotation, ["first", "second", "third"]),
        _case("the-root-role-is-kept-and-nothing-taken", "L-12", kept, ["first", "second"]),
        _case("closings-move-back", "L-4", closings, ["first", "good", "earlier", "nothing"]),
        _case("rivals-void-each-other-and-what-follows", "L-13", rivals, ["first"]),
        _case("committed-keys-recover", "L-13", rescue, ["first", "rescue", "after rescue"]),
        _case("two-that-take-the-committed-keys", "L-13", takers, ["first"]),
        _case("what-follows-a-root-not-held", "L-11", gap, ["first"]),
    ]


def _case(name: str, rule: str, chain: Chain, in_force: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "rule": rule,
        "catalogue": chain.catalogue.hex(),
        "roots": [{"name": n, "hex": raw.hex()} for n, raw in chain.raws.items()],
        "in_force": in_force,
    }


def _refused() -> list[dict[str, Any]]:
    both = [ALICE, BOB]
    to_dora, new_writer = ([DORA], 1), [LOW_ORDER, "nobody", None, None]
    open_, good = Chain(BOARD), Chain(BOARD).closing("good", "first", GOOD, both)
    none = Chain(BOARD).closing("none", "first", False, both)
    committed = Chain(BOARD, ([SPARE, DORA], 2))
    first, laptop = open_.payloads["first"], open_.payloads["first"][9][0]
    stranger = encode(signed("root", ROOT, ROOT_KEY))
    own = [["census", open_.catalogue]]
    title = _title("x")
    as_head = Chain(BOARD).add("it", "first", both, meta=title)
    as_head.raws["it"] = encode(signed("head", encode(as_head.payloads["it"]), *both))
    return [
        _bad("signed-by-the-old-role-alone", "L-2", open_.add("a", "first", both, to_dora)),
        _bad("signed-by-the-new-role-alone", "L-2", open_.add("b", "first", [DORA], to_dora)),
        _bad("below-the-old-threshold", "L-2", open_.add("c", "first", [ALICE, DORA], to_dora)),
        _bad(
            "signed-by-a-stranger-too", "L-2", open_.add("d", "first", [ALICE, THIEF], meta=title)
        ),
        _bad("signed-as-a-head", "E-31", as_head),
        _bad("version-not-risen", "L-2", open_.add("e", "first", both, version=3)),
        _bad(
            "with-a-key-of-low-order",
            "E-35",
            open_.add("f", "first", both, writers=[*first[9], new_writer]),
        ),
        _bad("writer-dropped", "L-4", open_.add("g", "first", both, writers=first[9][1:])),
        _bad("writer-opened-again", "L-4", good.closing("a", "good", None, both)),
        _bad("closing-moved-forward", "L-4", good.closing("b", "good", [6, digest("6")], both)),
        _bad("closing-moved-aside", "L-4", good.closing("c", "good", [5, digest("x")], both)),
        _bad("closing-with-nothing-undone", "L-4", none.closing("a", "none", GOOD, both)),
        _bad("commitment-withdrawn", "L-12", committed.add("a", "first", both, next=None)),
        _bad(
            "role-neither-kept-nor-committed",
            "L-12",
            committed.add("b", "first", [*both, THIEF], ([THIEF], 1)),
        ),
        _bad(
            "committed-keys-below-their-threshold",
            "L-12",
            committed.add("c", "first", [*both, SPARE], ([SPARE, DORA], 1)),
        ),
        _bad(
            "one-of-the-committed-keys",
            "L-12",
            committed.add("d", "first", [*both, SPARE], ([SPARE], 1)),
        ),
        _bad("delegation-to-itself", "L-22", open_.add("h", "first", both, delegates=own)),
        {**_bad("first-root-of-another-catalogue", "L-1", open_), "hex": stranger.hex()},
        {
            **_bad("first-root-that-closes", "L-60", Chain(BOARD)),
            "held": [],
            "hex": encode(
                signed("root", encode([*first[:9], [[*laptop[:3], False]], *first[10:]]), *both)
            ).hex(),
        },
    ]


def _bad(name: str, rule: str, chain: Chain) -> dict[str, Any]:
    """The last root of a chain is refused by whoever holds the ones it was made after."""
    *_, (last, record) = chain.payloads.items()
    raw, before = chain.raws[last], record[3]
    held = [chain.raws["first"]]
    held += [
        chain.raws[n]
        for n, r in chain.payloads.items()
        if n != "first" and sha256(encode(r)) == before
    ]
    return {"name": name, "rule": rule, "held": [one.hex() for one in held], "hex": raw.hex()}


def _purges() -> list[dict[str, Any]]:
    chain = Chain(BOARD).add("second", "first", [ALICE, BOB, DORA], ([DORA], 1))

    def purge(by: list[Key], version: int, catalogue: bytes = chain.catalogue) -> str:
        record = [*examples.PURGE[:2], catalogue, version, *examples.PURGE[4:]]
        return encode(signed("purge", encode(record), *by)).hex()

    held = [raw.hex() for raw in chain.raws.values()]
    cases = [
        ("of-the-newest-root", "counts", purge([DORA], 2)),
        ("of-an-older-root", "kept", purge([ALICE, CAROL], 1)),
        ("of-a-root-not-held", "passed over", purge([DORA], 3)),
        ("below-the-threshold", "refused", purge([ALICE, THIEF], 1)),
        ("by-keys-of-another-root", "refused", purge([ALICE, BOB], 2)),
        ("of-another-catalogue", "refused", purge([DORA], 2, CATALOGUE)),
        ("by-a-writer", "refused", purge([WRITER], 2)),
    ]
    return [
        {"name": name, "rule": "L-65", "held": held, "hex": raw, "expected": expected}
        for name, expected, raw in cases
    ]


def roots() -> dict[str, Any]:
    return {"in_force": _in_force(), "refused": _refused(), "purges": _purges()}
