"""File names of Data for Canada: their parts, and what lint says of them."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.runtime.index.dguids import parse_dguid
from meshnode.runtime.maintainer.inventories.names import UnfitNameError, lint, parse_name
from meshnode.runtime.segments.validation import Severity

GOOD = "ca-ab_city-of-edmonton-2023A00054811061_d4c-datapkg-orthoimagery_2023_075mm_v1.2.0.tif"

WORD = st.text(string.ascii_lowercase, min_size=1, max_size=8)
REGION = st.sampled_from(["ca", "ca-yt", "ca-bc", "us"])
SOURCE = st.lists(WORD, min_size=1, max_size=3).map("-".join)
DGUID = st.sampled_from(["2021A000011124", "2022A00055915022", "2021S0503505"])
PACKAGE = SOURCE.map(lambda words: f"d4c-datapkg-{words}")
DATE = st.sampled_from(["2021", "2021-02", "2021-02-28", "20210228", "2026-02-11T19:50:58"])
VARIANT = st.sampled_from(["075mm", "30cm", "1m"])
VERSION = st.sampled_from(["v0.0.1", "v12.0.3", "v0.1.0-beta"])
EXTENSION = st.sampled_from(["tif", "parquet", "pmtiles", "tar.gz", "pmtiles.torrent"])


def reasons(name: str) -> list[str]:
    return [problem.reason for problem in lint(name)]


def test_a_name_by_the_convention_has_nothing_wrong_and_says_its_parts() -> None:
    assert lint(GOOD) == []
    assert parse_name(GOOD).parts() == {
        "region": "ca-ab",
        "source": "city-of-edmonton",
        "dguid": "2023A00054811061",
        "package": "d4c-datapkg-orthoimagery",
        "date": "2023",
        "variant": "075mm",
        "version": "v1.2.0",
        "extension": "tif",
    }


@given(st.tuples(REGION, SOURCE, DGUID, PACKAGE, DATE, VARIANT, VERSION, EXTENSION))
def test_a_name_made_of_parts_says_these_parts(parts: tuple[str, ...]) -> None:
    region, source, dguid, package, date, variant, version, extension = parts
    name = f"{region}_{source}-{dguid}_{package}_{date}_{variant}_{version}.{extension}"
    assert tuple(parse_name(name).parts().values()) == parts
    assert lint(name) == []


@given(st.tuples(REGION, SOURCE, PACKAGE, DATE, EXTENSION))
def test_what_may_be_missing_is_missing(parts: tuple[str, ...]) -> None:
    region, source, package, date, extension = parts
    parsed = parse_name(f"{region}_{source}_{package}_{date}.{extension}")
    assert tuple(parsed.parts().values()) == parts
    assert (parsed.dguid, parsed.variant, parsed.version) == (None, None, None)


@given(st.text(string.ascii_letters + string.digits + "_-.: é/", max_size=60))
def test_any_text_is_parsed_or_refused_with_a_reason(text: str) -> None:
    try:
        assert parse_name(text).parts()["date"]
    except UnfitNameError as error:
        assert [(p.severity, p.reason) for p in lint(text)] == [(Severity.REFUSE, str(error))]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("edmonton.tif", "'edmonton' at its start is no region, such as ca or ca-yt"),
        ("ca_nrcan_land_2020", "it has no extension"),
        ("ca_nrcan.tif", "it has no source and package after its region"),
        ("ca_nrcan_land.tif", "it has no date, such as 2023, 2023-06 or 2023-06-01"),
        ("ca_nrcan_2020.tif", "it has no package before its date 2020"),
        ("ca_nrcan_d4c-datapkg-x_2023-02-30.tif", "'2023-02-30' is no date: "),
        ("ca nrcan_x_2023.tif", "it has characters other than letters, digits and - _ . : +"),
    ],
)
def test_a_name_whose_parts_cannot_be_told_apart_is_refused(name: str, reason: str) -> None:
    (problem,) = lint(name)
    assert problem.severity is Severity.REFUSE
    assert problem.reason.startswith(reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("city-of", "city_of"), "its source 'city_of-edmonton' has an underscore: write a hyphen"),
        (("-2023A", "_2023A"), "an underscore stands before its DGUID: write a hyphen"),
        (("d4c-datapkg-", ""), "its package 'orthoimagery' does not begin with d4c-datapkg-"),
        (("city", "City"), "only the letter of a DGUID is a capital"),
        (("075mm", "epsg3857"), "its variant names a projection, epsg3857: the file says that it"),
        (("v1.2.0", "2026-03-09"), "its version '2026-03-09' is a date: write v1.0.0"),
        (("A0005", "a0005"), "the DGUID 2023a00054811061 has the type 'a', not one of A, C, S, Z"),
        (
            ("A00054811061", "A000548110611"),
            "the DGUID 2023A000548110611 has a code of 8 characters; level A0005 has 7",
        ),
    ],
)
def test_a_name_that_strays_from_the_convention_is_a_warning(
    change: tuple[str, str], reason: str
) -> None:
    (problem,) = lint(GOOD.replace(*change))
    assert problem.severity is Severity.WARN
    assert problem.reason.startswith(reason)


@pytest.mark.parametrize(
    ("date", "first", "last"),
    [
        ("2023", "2023-01-01T00:00:00", "2023-12-31T23:59:59"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
        ("2023-12", "2023-12-01T00:00:00", "2023-12-31T23:59:59"),
        ("20231231", "2023-12-31T00:00:00", "2023-12-31T23:59:59"),
        ("2026-02-11T19:50:58", "2026-02-11T19:50:58", "2026-02-11T19:50:58"),
    ],
)
def test_a_date_spans_what_it_does_not_say(date: str, first: str, last: str) -> None:
    span = parse_name(f"ca_statcan_d4c-datapkg-statistical_{date}.parquet").span
    assert [each.isoformat() for each in span] == [f"{first}+00:00", f"{last}+00:00"]


def test_the_names_of_real_datasets_are_parsed(shared: Path) -> None:
    torrents = sorted(path.stem for path in (shared / "data/torrents").glob("*.torrent"))
    parsed = {name: parse_name(name) for name in torrents}
    assert len(parsed) == 9
    assert [
        (each.source, each.dguid.place) for each in parsed.values() if each.dguid is not None
    ] == [
        ("edmonton", "A00054811061"),
        ("red_deer", "A00054808011"),
        ("red_deer", "A00054808011"),
        ("burnaby", "A00055915025"),
        ("vancouver", "A00055915022"),
        ("winnipeg", "A00054611040"),
        ("whitehorse", "A000556001009"),
    ]
    (whitehorse,) = (name for name in torrents if "whitehorse" in name)
    assert "the DGUID 2019A000556001009 has a code of 8 characters; level A0005 has 7" in reasons(
        whitehorse
    )


@pytest.mark.parametrize("text", ["", "2021", "2021A0005", "21A00054811061", "2021AA0054811061"])
def test_other_texts_are_no_dguid(text: str) -> None:
    assert parse_dguid(text) is None
