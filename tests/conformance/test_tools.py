"""What the API claims, asked by the tools of others: each class that it names, and no 5xx."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from meshnode.runtime.api.conformance import CLASSES
from tests.api.serving import Api, serving_towns
from tests.cli.command_line import CommandLine
from tests.cli.yukon import TOWNS
from tests.conformance.tools import HERE, output_of, tools_python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AREA = {
    "type": "Polygon",
    "coordinates": [[[-151, -61], [-100, -61], [-100, 0], [-151, 0], [-151, -61]]],
}
# Class of the validator, and the class of the API that it checks.
VALIDATED = {
    "core": "/core",
    "collections": "/collections",
    "features": "/ogcapi-features",
    "item-search": "/item-search",
    "filter": "/item-search#filter",
    "item-search#sort": "/item-search#sort",
    "item-search#fields": "/item-search#fields",
    "features#sort": "/ogcapi-features#sort",
    "features#fields": "/ogcapi-features#fields",
}
EXAMPLES_MAX = "20"


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tools_python(tmp_path_factory.mktemp("tools"))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_towns(tmp_path) as served:
        yield served


async def test_stac_api_validator_finds_no_error(api: Api, python: Path, tmp_path: Path) -> None:
    classes = [part for name in VALIDATED for part in ("--conformance", name)]
    said = await output_of(
        python,
        HERE / "offline_validator.py",
        *("--root-url", f"{api.url}/", "--collection", "towns", "--geometry", json.dumps(AREA)),
        *classes,
        *("--fields-nested-property", "properties.gsd"),
        folder=tmp_path,
    )
    assert "Errors: none" in said
    for claimed in VALIDATED.values():
        assert any(each.endswith(claimed) for each in CLASSES)


async def test_pystac_client_finds_what_there_is(api: Api, python: Path, tmp_path: Path) -> None:
    await output_of(python, HERE / "client.py", f"{api.url}/", folder=tmp_path)


async def test_schemathesis_finds_no_answer_of_5xx(api: Api, python: Path, tmp_path: Path) -> None:
    said = await output_of(
        python.with_name("schemathesis"),
        *("run", f"{api.url}/api", "--url", api.url, "--checks", "not_a_server_error"),
        *("--max-examples", EXAMPLES_MAX, "--phases", "examples,coverage,fuzzing"),
        *("--seed", "7", "--no-color"),
        folder=tmp_path,
    )
    assert "passed" in said
    assert "failed" not in said


async def test_pystac_validates_a_static_catalogue(
    reader: CommandLine, python: Path, tmp_path: Path
) -> None:
    written = await trio.to_thread.run_sync(
        partial(reader.call, "export", "--format", "stac", "--to", "stac")
    )
    assert written.status == 0
    catalogue = reader.folder / "stac/catalog.json"
    said = await output_of(python, HERE / "static_catalogue.py", catalogue, folder=tmp_path)
    assert said.split() == ["3", *sorted(TOWNS)]
