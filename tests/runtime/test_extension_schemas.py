"""Extension schemas from a folder: what they refuse, what is missing, that nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshnode.errors import UsageError
from meshnode.runtime.segments.extension_schemas import ExtensionSchemas
from meshnode.runtime.segments.validation import Problem, Severity
from tests.runtime.stac_samples import item

ADDRESS = "https://schemas.example.org/eo/v1.0.0/schema.json"
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "properties": {"properties": {"$ref": "https://schemas.example.org/eo/cover.json#"}},
}
COVER = {"properties": {"eo:cloud_cover": {"type": "number"}}}


def folder(tmp_path: Path, **files: object) -> Path:
    """Write `schema` and `cover` where their addresses say."""
    places = {"schema": "eo/v1.0.0/schema.json", "cover": "eo/cover.json"}
    for name, document in files.items():
        path = tmp_path / "schemas.example.org" / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    return tmp_path


def checked(directory: Path, cover: object, address: str = ADDRESS) -> list[Problem]:
    value = item("a") | {"stac_extensions": [address]}
    value["properties"]["eo:cloud_cover"] = cover
    [checked] = ExtensionSchemas(directory).check_items([value], "towns")
    return checked.problems


def test_a_violated_schema_refuses_and_names_its_place(tmp_path: Path):
    directory = folder(tmp_path, schema=SCHEMA, cover=COVER)
    assert checked(directory, 7.5) == []
    (problem,) = checked(directory, "cloudy")
    assert problem.severity is Severity.REFUSE
    assert problem.reason.startswith("properties.eo:cloud_cover: ")
    assert ADDRESS in problem.reason


@pytest.mark.parametrize(
    "address",
    ["https://schemas.example.org/other.json", "https://../../etc/passwd", "urn:stac:none"],
)
def test_an_extension_without_a_schema_is_a_warning(tmp_path: Path, address: str):
    (problem,) = checked(folder(tmp_path, schema=SCHEMA, cover=COVER), 1, address)
    assert problem.severity is Severity.WARN
    assert "there is no schema of its extension" in problem.reason


def test_what_a_schema_refers_to_is_not_fetched(tmp_path: Path):
    with pytest.raises(UsageError, match=r"cover\.json"):
        checked(folder(tmp_path, schema=SCHEMA), 1)


def test_the_core_rules_come_first(tmp_path: Path):
    value = item("a") | {"stac_version": "0.9", "stac_extensions": [ADDRESS]}
    [found] = ExtensionSchemas(folder(tmp_path, schema=SCHEMA)).check_items([value], "towns")
    assert ["stac_version" in problem.reason for problem in found.problems] == [True]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(UsageError, match="is no folder of schemas"):
        ExtensionSchemas(tmp_path / "nowhere")
