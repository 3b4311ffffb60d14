"""Citations: who made it, when, what and where, in the four forms that readers need."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from meshnode.runtime.datasets.citation import Cited, bibtex, csl, datacite, day_of, text
from meshnode.runtime.datasets.collection import CollectionDocument, is_listed, understood
from meshnode.runtime.datasets.version_links import (
    SCIENTIFIC_EXTENSION,
    VERSION_EXTENSION,
    version_members,
    with_release,
)

DOI = "10.5072/yukon_2021"
NAME = "bafkrei" + "a" * 52


def document(**changes: Any) -> CollectionDocument:
    said = {
        "title": "Towns",
        "title_fr": "Villes",
        "language": {"code": "en"},
        "description": "Three towns",
        "license": "OGL-Canada-2.0",
        "providers": [
            {"name": "Geomatics Yukon", "roles": ["producer"]},
            {"name": "Government of Yukon", "roles": ["licensor", "host"]},
        ],
        "keywords": ["census"],
        "extent": {
            "spatial": {"bbox": [[-140, 60, -135, 65]]},
            "temporal": {"interval": [["2019-01-01T00:00:00Z", None]]},
        },
    }
    return understood(to_json(said | changes), "towns")


CITED = Cited(
    document=document(),
    title="Towns",
    publisher="Yukon",
    version="2021",
    doi=DOI,
    released=date(2021, 12, 31),
    name=NAME,
    size_bytes=1234,
    former=("10.5072/2020",),
    later=("10.5072/2022",),
)
BARE = replace(
    CITED,
    document=understood(b"", "towns"),
    doi=None,
    released=None,
    size_bytes=0,
    former=(),
    later=(),
)


def test_the_text_is_what_datacite_recommends() -> None:
    assert text(CITED) == (
        f"Geomatics Yukon (2021): Towns. Version 2021. Yukon. Dataset. https://doi.org/{DOI}"
    )
    assert text(BARE) == f"Yukon: Towns. Version 2021. Yukon. Dataset. release:{NAME}"


def test_the_publishers_own_words_are_used_for_the_very_doi_that_they_are_about() -> None:
    own = {"sci:citation": "Yukon (2021):\n  Our towns.", "sci:doi": DOI.upper()}
    assert text(replace(CITED, document=document(**own))) == "Yukon (2021): Our towns."
    other = document(**own | {"sci:doi": "10.5072/other"})
    assert "Our towns" not in text(replace(CITED, document=other))
    assert "Our towns" not in text(replace(CITED, document=other, doi=None))


def test_the_creators_are_the_producers_or_who_comes_next_to_them() -> None:
    def creators(*roles: list[str]) -> tuple[str, ...]:
        providers = [{"name": f"P{n}", "roles": each} for n, each in enumerate(roles)]
        return replace(CITED, document=document(providers=providers)).creators

    assert creators(["producer"], ["licensor"], ["producer"]) == ("P0", "P2")
    assert creators(["host"], ["processor"], ["licensor"]) == ("P1",)
    assert creators(["host"], ["licensor"]) == ("P1",)
    assert creators(["host"]) == ("Yukon",)


def test_bibtex_keeps_names_whole_and_escapes_what_latex_reads() -> None:
    made = replace(CITED, title="Towns & lakes: 100% {real} \\o/ ~^#$_")
    assert bibtex(made).splitlines() == [
        "@misc{towns-2021,",
        "  author = {{Geomatics Yukon}},",
        r"  title = {{Towns \& lakes: 100\% \{real\} \textbackslash{}o/ "
        r"\textasciitilde{}\textasciicircum{}\#\$\_}},",
        "  year = {2021},",
        "  publisher = {{Yukon}},",
        "  version = {2021},",
        f"  doi = {{{DOI}}},",
        f"  url = {{https://doi.org/{DOI}}},",
        "  copyright = {OGL-Canada-2.0}",
        "}",
    ]
    assert f"  note = {{Dataset, release:{NAME}}}\n}}" in bibtex(BARE)


@pytest.mark.parametrize(
    ("collection", "version", "key"),
    [("towns", "2021 (b)", "towns-2021-b"), ("villes é", "1,2", "villes-1-2")],
)
def test_a_key_has_the_letters_that_every_program_reads(
    collection: str, version: str, key: str
) -> None:
    made = replace(CITED, document=understood(b"", collection), version=version)
    assert bibtex(made).startswith(f"@misc{{{key},\n")
    assert csl(made)["id"] == key


def test_braces_of_a_doi_do_not_end_a_field() -> None:
    made = bibtex(replace(CITED, doi="10.5072/a}b{c\\"))
    assert "  doi = {10.5072/a%7Db%7Bc%5C},\n" in made


def test_csl_names_institutions_as_they_are() -> None:
    made = csl(CITED)
    assert (made["type"], made["author"]) == ("dataset", [{"literal": "Geomatics Yukon"}])
    assert made["issued"] == {"date-parts": [[2021, 12, 31]]}
    assert (made["DOI"], made["URL"]) == (DOI, f"https://doi.org/{DOI}")
    assert csl(BARE).keys() == {"id", "type", "title", "author", "publisher", "version", "note"}


def test_datacite_gets_all_that_it_requires_and_what_follows_what() -> None:
    made = datacite(CITED)
    required = {"creators", "titles", "publisher", "publicationYear", "types", "schemaVersion"}
    assert required <= made.keys()
    assert made["doi"] == DOI
    assert [(each["relationType"], each["relatedIdentifier"]) for each in
            made["relatedIdentifiers"]] == [
        ("IsNewVersionOf", "10.5072/2020"),
        ("IsPreviousVersionOf", "10.5072/2022"),
    ]  # fmt: skip
    assert [each["contributorType"] for each in made["contributors"]] == [
        "RightsHolder", "HostingInstitution",
    ]  # fmt: skip
    assert made["titles"][1] == {"title": "Villes", "lang": "fr", "titleType": "TranslatedTitle"}
    assert made["rightsList"][0]["rightsIdentifier"] == "OGL-Canada-2.0"
    assert made["geoLocations"][0]["geoLocationBox"]["northBoundLatitude"] == 65
    assert made["sizes"] == ["1234 bytes"]


def test_a_licence_outside_spdx_goes_by_its_link() -> None:
    link = {"rel": "license", "href": "https://example.org/licence"}
    made = datacite(replace(CITED, document=document(license="other", links=[link])))
    assert made["rightsList"] == [{"rights": "other", "rightsUri": link["href"]}]
    assert is_listed("OGL-Canada-2.0")
    for other in ("other", "ogl-canada-2.0", "MIT OR ISC", "LicenseRef-Yukon", ""):
        assert not is_listed(other)


def test_what_is_not_known_is_left_out_of_the_metadata() -> None:
    assert datacite(BARE).keys() == {
        "schemaVersion", "types", "creators", "titles", "publisher", "version",
        "alternateIdentifiers",
    }  # fmt: skip
    assert (day_of(None), day_of(0)) == (None, date(1970, 1, 1))


def test_stac_links_lead_to_the_versions_that_have_an_address() -> None:
    old, new = {"version": "2020", "doi": "10.5072/2020"}, {"version": "2022", "doi": None}
    release = {
        "version": "2021", "doi": DOI, "is_newest": False, "predecessor": old,
        "successors": [new],
    }  # fmt: skip
    made = version_members(release)
    assert made["stac_extensions"] == [VERSION_EXTENSION, SCIENTIFIC_EXTENSION]
    assert made["properties"] == {"version": "2021", "sci:doi": DOI, "deprecated": True}
    assert [(link["rel"], link["href"]) for link in made["links"]] == [
        ("cite-as", f"https://doi.org/{DOI}"),
        ("predecessor-version", "https://doi.org/10.5072/2020"),
    ]
    item = {
        "id": "a", "stac_extensions": [VERSION_EXTENSION], "properties": {"version": "mine"},
        "links": [made["links"][0]],
    }  # fmt: skip
    copy = from_json(with_release(to_json(item), release))
    assert copy["properties"] == {"version": "mine", "sci:doi": DOI, "deprecated": True}
    assert copy["stac_extensions"] == [VERSION_EXTENSION, SCIENTIFIC_EXTENSION]
    assert copy["links"] == made["links"]
    alone = {**release, "doi": None, "is_newest": True, "predecessor": None, "successors": []}
    assert version_members(alone) == {
        "stac_extensions": [VERSION_EXTENSION],
        "properties": {"version": "2021"},
        "links": [],
    }
