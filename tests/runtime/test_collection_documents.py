"""Collection documents: what a publisher is told to mend, and what is read of a stranger's."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json
from stac_pydantic import Collection

from meshnode.errors import PeerError, UsageError
from meshnode.runtime.datasets.collection import (
    DOCUMENT_BYTES_MAX,
    Provider,
    checked,
    licence_problem,
    minimal_collection,
    read_document,
    understood,
)
from meshnode.runtime.maintainer.sources.documents import Documents
from meshnode.runtime.segments.validation import Severity

LICENCE_LINK = {"rel": "license", "href": "https://example.org/licence"}


def document(**changes: Any) -> dict[str, Any]:
    minimal: dict[str, Any] = json.loads(minimal_collection("towns"))
    return minimal | {"license": "OGL-Canada-2.0"} | changes


def is_warned(value: dict[str, Any]) -> bool:
    problem = licence_problem(value)
    return problem is not None and problem.severity is Severity.WARN and "no link" in problem.reason


def written(folder: Path, value: Any) -> Path:
    path = folder / "collection.json"
    path.write_bytes(to_json(value))
    return path


def test_a_document_is_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "collection.json"
    path.write_text(json.dumps(document(), indent=3))
    assert read_document(path) == ("towns", path.read_bytes())


def test_a_minimal_collection_is_a_valid_one_of_which_no_licence_is_known() -> None:
    raw = minimal_collection("towns")
    assert Collection.model_validate_json(raw).id == "towns"
    assert is_warned(checked(raw))


@pytest.mark.parametrize(
    "licence",
    ["OGL-Canada-2.0", "cc-by-4.0", "CC-BY-4.0 OR ODbL-1.0", "LicenseRef-Yukon", "GPL-3.0+"],
)
def test_an_spdx_expression_is_a_licence(licence: str) -> None:
    assert licence_problem(document(license=licence)) is None


@pytest.mark.parametrize("licence", ["CC-BY", "my licence", "CC-BY-4.0 OR", "public domain"])
def test_another_licence_is_refused_with_the_way_out(tmp_path: Path, licence: str) -> None:
    with pytest.raises(UsageError, match="is no SPDX expression") as refused:
        read_document(written(tmp_path, document(license=licence)))
    assert "'other' with a link" in refused.value.hint


@pytest.mark.parametrize("licence", ["other", "proprietary", "various"])
def test_a_licence_outside_spdx_is_doubtful_without_a_link_to_it(
    tmp_path: Path, licence: str
) -> None:
    assert is_warned(document(license=licence))
    assert read_document(written(tmp_path, document(license=licence)))[0] == "towns"
    assert licence_problem(document(license=licence, links=[LICENCE_LINK])) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "Catalog"}, "type"),
        ({"extent": None}, "extent"),
        ({"id": "x" * 256}, "1 to 255 bytes"),
        ({"id": ""}, "id: "),
        ({"providers": [{"roles": ["producer"]}]}, "providers.0.name"),
        ({"links": [{"rel": "about", "href": "javascript:alert(1)"}]}, "links.0.href"),
        ({"assets": {"a": {"href": "file:///etc/passwd"}}}, "assets.a.href"),
        (
            {"providers": [{"name": "Yukon", "url": "JavaScript:alert(1)"}]},
            "providers.0.url",
        ),
    ],
    ids=str,
)
def test_what_is_no_good_document_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        read_document(written(tmp_path, document(**changes)))


def test_an_extent_that_no_map_has_is_refused() -> None:
    extent = document()["extent"]
    for box in ([0, 50, 1, 40], [0, -91, 1, 0], [0, 0, 0, 1, 95, 1]):
        raw = to_json(document(extent=extent | {"spatial": {"bbox": [box]}}))
        with pytest.raises(PeerError, match="extent"):
            checked(raw)
    checked(to_json(document(extent=extent | {"spatial": {"bbox": [[170, 50, -170, 60]]}})))


def test_what_is_no_json_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "collection.json"
    for text in ("[]", "{", '{"id": "a", "id": "b"}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="is not a STAC Collection"):
            read_document(path)
    with pytest.raises(UsageError, match="cannot read"):
        read_document(tmp_path / "none.json")


def test_titles_are_read_in_each_language_that_is_given() -> None:
    raw = to_json(
        document(
            title="Towns", title_fr="Villes", language={"code": "en"}, **{"title:iu": "Nunaliit"}
        )
    )
    read = understood(raw, "towns")
    assert read.titles == {"en": "Towns", "fr": "Villes", "iu": "Nunaliit"}
    assert (read.title("fr"), read.title("de"), read.title()) == ("Villes", "Towns", "Towns")
    assert understood(to_json(document(title="Towns")), "towns").titles == {"": "Towns"}


def test_what_a_reader_takes_from_a_document() -> None:
    raw = to_json(
        document(
            license="other",
            links=[LICENCE_LINK],
            keywords=["north"],
            providers=[
                {"name": "Yukon", "roles": ["producer", "licensor"]},
                {"name": "Host", "roles": ["host"]},
                {"name": "Yukon", "roles": ["processor"]},
            ],
            **{"sci:doi": "10.5072/towns", "sci:citation": "Yukon (2021): Towns."},
        )
    )
    read = understood(raw, "towns")
    assert (read.licence, read.licence_url) == ("other", "https://example.org/licence")
    assert read.providers[1] == Provider("Host", ("host",))
    assert read.providers_with("producer", "processor") == ("Yukon",)
    assert read.keywords == ("north",)
    assert (read.bbox, read.interval) == ((-180, -90, 180, 90), (None, None))
    assert (read.doi, read.citation) == ("10.5072/towns", "Yukon (2021): Towns.")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"[]",
        to_json({"title": 1, "license": [], "providers": {"name": "x"}, "keywords": "x"}),
        to_json({"extent": {"spatial": {"bbox": [["a"] * 4]}, "temporal": {"interval": [[1, 2]]}}}),
        to_json({"links": [{"rel": "license", "href": "javascript:alert(1)"}], "language": "en"}),
    ],
)
def test_a_strangers_document_is_read_as_far_as_it_can_be_understood(raw: bytes) -> None:
    read = understood(raw, "towns")
    assert (read.id, read.titles, read.licence_url) == ("towns", {}, "")
    assert (read.providers, read.keywords, read.bbox) == ((), (), ())


def test_a_document_that_would_hold_up_every_search_is_refused_and_not_read() -> None:
    raw = to_json(document(title="Towns", description="x" * DOCUMENT_BYTES_MAX))
    with pytest.raises(PeerError, match=f"the limit is {DOCUMENT_BYTES_MAX}"):
        checked(raw)
    assert understood(raw, "towns").titles == {}


def test_a_source_keeps_a_document_with_a_doubtful_licence_and_says_so() -> None:
    documents = Documents()
    raw = to_json(document(license="CC-BY"))
    documents.take(raw, "here")
    documents.take(b"{}", "there")
    assert documents.by_id == {"towns": raw}
    doubtful, refused = documents.problems
    assert doubtful.startswith("here: its licence is no SPDX expression")
    assert refused.startswith("there: no valid STAC Collection: ")
