"""Releases: which entries say the same one, which contradict each other, what follows what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.contents import Contents
from meshnode.core.dois import doi_key, doi_url, is_doi, parse_doi
from meshnode.core.entries import ReleaseAdded, encode_entry
from meshnode.core.identifiers import Digest, Kid, sha256
from meshnode.core.releases import Release, Releases
from meshnode.errors import UsageError
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation
from tests.core.test_closings import last_head, log_of

WRITERS = (Kid(bytes(16)), Kid(b"\1" * 16))
ONE, TWO = sha256(b"one"), sha256(b"two")


def release(clock: int = 1, version: str = "2020", **changes: Any) -> ReleaseAdded:
    made = ReleaseAdded(
        clock=clock,
        collection="ortho",
        version=version,
        doi=None,
        payloads=(ONE,),
        blueprint=None,
        supersedes=None,
    )
    return replace(made, **changes)


def name(entry: ReleaseAdded) -> Digest:
    return sha256(encode_entry(entry))


def releases(*said: tuple[Kid, ReleaseAdded] | ReleaseAdded) -> Releases:
    contents = Contents()
    for each in said:
        writer, entry = (WRITERS[0], each) if isinstance(each, ReleaseAdded) else each
        contents.apply(writer, entry, name(entry))
    return Releases.of(contents.releases)


def versions(found: Iterable[Release]) -> list[str]:
    return [each.entry.version for each in found]


def test_entries_that_differ_in_clock_and_order_of_payloads_say_the_same_release() -> None:
    first, again = release(1, payloads=(ONE, TWO)), release(2, payloads=(TWO, ONE))
    made = releases(first, (WRITERS[1], again))
    (only,) = made.all
    assert (only.entry, only.names, only.name) == (first, (name(first), name(again)), name(first))
    assert only.writer == WRITERS[0]
    assert list(made.conflicts()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"payloads": (TWO,)},
        {"payloads": ()},
        {"doi": "10.5072/a"},
        {"supersedes": sha256(b"former")},
    ],
    ids=str,
)
def test_l_57_two_releases_of_one_version_are_both_kept_and_in_conflict(
    changes: dict[str, Any],
) -> None:
    made = releases(release(1), release(2, **changes), release(3, "2021"))
    one, other, alone = made.all
    assert list(made.conflicts()) == [one, other]
    assert [list(made.rivals(each)) for each in (one, other, alone)] == [[other], [one], []]


def test_l_57_two_releases_with_one_doi_are_in_conflict_whatever_its_case() -> None:
    lower, upper = release(1, doi="10.5072/abc"), release(2, "2021", doi="10.5072/ABC")
    made = releases(lower, upper, release(3, "2022", doi="10.5072/abd"))
    assert versions(made.conflicts()) == ["2020", "2021"]
    assert versions(made.with_doi("10.5072/aBc")) == ["2020", "2021"]


def test_releases_are_found_by_version_and_by_doi() -> None:
    made = releases(release(1, doi="10.5072/One"), release(2, "2021"))
    assert versions(made.with_version("ortho", "2021")) == ["2021"]
    assert versions(made.with_doi("10.5072/oNE")) == ["2020"]
    assert (made.with_version("ortho", "2022"), made.with_version("lidar", "2021")) == ((), ())
    assert made.with_doi("10.5072/two") == ()


def test_one_version_of_two_collections_is_no_conflict() -> None:
    assert list(releases(release(1), release(2, collection="lakes")).conflicts()) == []


def test_what_follows_what_is_found_by_any_entry_of_the_former_release() -> None:
    first, again = release(1), release(2)
    second = release(3, "2021", supersedes=name(again))
    third = release(4, "2022", supersedes=name(second))
    made = releases(third, second, first, again)
    old, middle, new = made.all
    assert (made.predecessor(old), made.predecessor(middle), made.predecessor(new)) == (
        None, old, middle,
    )  # fmt: skip
    assert [list(made.successors(each)) for each in (old, new)] == [[middle], []]
    assert made.said_by(name(again)) == old
    assert versions(made.newest("ortho")) == ["2022"]


def test_a_former_release_that_is_not_here_is_no_predecessor() -> None:
    made = releases(release(1, supersedes=sha256(b"elsewhere")))
    assert made.predecessor(made.all[0]) is None
    assert versions(made.newest("ortho")) == ["2020"]


def test_two_followers_of_one_release_are_both_the_newest() -> None:
    first = release(1)
    follow = (release(n, str(n), supersedes=name(first)) for n in (2, 3))
    assert versions(releases(first, *follow).newest("ortho")) == ["2", "3"]


def test_a_payload_is_superseded_with_the_last_of_its_releases() -> None:
    first = release(1)
    follow = release(2, "2021", payloads=(TWO,), supersedes=name(first))
    assert releases(first, follow).is_superseded("ortho", ONE)
    assert not releases(first, follow).is_superseded("ortho", TWO)
    assert not releases(first, follow).is_superseded("ortho", sha256(b"unreleased"))
    again = release(3, "2022", payloads=(ONE, TWO), supersedes=name(follow))
    assert not releases(first, follow, again).is_superseded("ortho", ONE)


def test_before_it_is_signed_a_release_is_known_to_be_there_or_in_conflict() -> None:
    made = releases(release(1, doi="10.5072/a"))
    assert made.held(release(9, doi="10.5072/a")) == made.all[0]
    assert made.against(release(9, doi="10.5072/a")) == ()
    assert made.held(release(9)) is None
    assert made.against(release(9)) == made.all
    assert made.against(release(9, "2021", doi="10.5072/A")) == made.all
    assert made.against(release(9, "2021")) == ()


# --- Any order, any branch ------------------------------------------------------------------------
SAID = st.tuples(
    st.sampled_from(WRITERS),
    st.builds(
        release,
        st.integers(1, 5),
        st.sampled_from(["1", "2"]),
        doi=st.sampled_from([None, "10.5072/a", "10.5072/A"]),
        payloads=st.sampled_from([(ONE,), (ONE, TWO), (TWO, ONE)]),
        supersedes=st.sampled_from([None, name(release(1, "1")), sha256(b"elsewhere")]),
    ),
)


@given(st.lists(SAID, max_size=8), st.randoms(use_true_random=False))
def test_l_50_order_and_repetition_of_releases_change_nothing(said: Any, random: Any) -> None:
    shuffled = [*said, *said[:2]]
    random.shuffle(shuffled)
    made, again = releases(*said), releases(*shuffled)
    assert made == again
    assert list(made.conflicts()) == list(again.conflicts())


@given(st.lists(SAID, max_size=8))
def test_l_57_every_release_is_kept_and_conflicts_are_those_that_an_oracle_finds(said: Any) -> None:
    made = releases(*said)
    assert {each for one in made.all for each in one.names} == {name(entry) for _, entry in said}

    def contradict(one: ReleaseAdded, other: ReleaseAdded) -> bool:
        same = {**content(one)} == {**content(other)}
        one_doi, other_doi = (one.doi or "").lower(), (other.doi or "").lower()
        return not same and (one.version == other.version or one_doi == other_doi != "")

    expected = {
        name(entry) for _, entry in said if any(contradict(entry, other) for _, other in said)
    }
    assert {each for one in made.conflicts() for each in one.names} == expected


def content(entry: ReleaseAdded) -> dict[str, Any]:
    return {
        "version": entry.version,
        "doi": entry.doi,
        "payloads": set(entry.payloads),
        "supersedes": entry.supersedes,
    }


@given(st.lists(SAID, min_size=1, max_size=8), SAID)
def test_what_would_be_a_conflict_is_one_when_it_is_there(said: Any, late: Any) -> None:
    before, after = releases(*said), releases(*said, late)
    _, entry = late
    arrived = after.held(entry)
    assert arrived is not None
    assert (before.held(entry) is None) == (len(after.all) > len(before.all))
    found = list(after.rivals(arrived))
    assert len(found) == len({each.name for each in found})
    rivals = {each.names[-1] for each in before.against(entry)}
    assert {each.names[-1] for each in after.rivals(arrived)} == rivals


def test_releases_of_two_branches_are_in_conflict_on_every_peer_until_a_root_closes_one() -> None:
    ceremony = Ceremony(Signers(("alice",), threshold=1), ("laptop",))
    ours = log_of(ceremony, "laptop")
    restored = ours.fork()
    ours.publish(release(1))
    restored.publish(release(1, payloads=(TWO,)))
    world = Federation("ada", "ben")
    world.follow(ceremony.catalogue, ceremony.first.raw)
    assert world.submit("ada", ours) == ""
    assert world.submit("ben", restored) == ""
    world.join("ada", "ben")
    world.wait(60)

    assert [payloads_in_conflict(world, ceremony, name) for name in ("ada", "ben")] == [
        {(ONE,), (TWO,)}
    ] * 2
    closing = ceremony.first.closing("laptop", last_head(ours), by=["alice"])
    world.publish_root("ben", ceremony.catalogue, closing.raw)
    world.wait(60)
    assert [payloads_in_conflict(world, ceremony, name) for name in ("ada", "ben")] == [set()] * 2


def payloads_in_conflict(
    world: Federation, ceremony: Ceremony, name: str
) -> set[tuple[Digest, ...]]:
    contents = world[name].node.catalogues[ceremony.catalogue].contents
    return {each.entry.payloads for each in Releases.of(contents.releases).conflicts()}


# --- DOIs -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "10.5072/Example.1",
        "doi:10.5072/Example.1",
        "DOI:10.5072/Example.1",
        "https://doi.org/10.5072/Example.1",
        "http://dx.doi.org/10.5072/Example.1",
    ],
)
def test_a_doi_is_read_as_people_write_it(text: str) -> None:
    assert parse_doi(text) == "10.5072/Example.1"
    assert is_doi(text) is not text.startswith("10.")
    assert doi_url(parse_doi(text)) == "https://doi.org/10.5072/Example.1"


@pytest.mark.parametrize(
    "text", ["", "doi:", "11.5072/a", "10.5072", "10.5072/", "10.5/a", "10.5072/a b", "10.1234/é"]
)
def test_what_is_no_doi_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a DOI"):
        parse_doi(text)
    with pytest.raises(UsageError):
        parse_doi(f"10.5072/{'a' * 255}")


def test_two_dois_are_one_if_they_differ_in_the_case_of_ascii_letters_alone() -> None:
    assert doi_key("10.5072/ABC") == doi_key("10.5072/abc")
    assert doi_key("10.5072/Ä") != doi_key("10.5072/ä")
