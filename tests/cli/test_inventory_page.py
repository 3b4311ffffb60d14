"""The page about files without STAC, run line by line: what it shows is what a person sees."""

from pathlib import Path

import pytest

from tests.cli.command_line import ROOT, CommandLine
from tests.cli.transcripts import Shell, matches, steps
from tests.runtime.data_files import write_flatgeobuf, write_geotiff, write_pmtiles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PAGE = ROOT / "docs/inventory.md"
ORTHO = "ca-yt_whitehorse-2019A00056001009_d4c-datapkg-orthoimagery_2019_200mm_v1.0.0"
ROADS = "ca-yt_government-of-yukon_d4c-datapkg-foundation_2021-06_roads_v0.1.0"
D4C = """\
collection = "d4c"
base = "https://data.example.org/d4c/"
names = "d4c"

[properties]
license = "OGL-Canada-2.0"
"""
ROADS_MAPPING = """\
collection = "roads"

[columns]
url = "link"
size = "bytes"

[item]
datetime = "{year}"
"""
TABLE = "link,bytes,etag,year\nhttps://data.example.org/roads.fgb,1234,a41f,2021\n"


def test_the_page_shows_what_its_commands_print(newcomer: CommandLine) -> None:
    write_files(newcomer.folder)
    with Shell(newcomer) as shell:
        for step in steps(PAGE):
            printed = shell.run(step.command)
            assert matches(printed, step.shown), f"$ {step.command}\n{printed}"


def write_files(folder: Path) -> None:
    """Write what the page publishes."""
    (folder / "data").mkdir()
    write_geotiff(folder / f"data/{ORTHO}.tif")
    write_pmtiles(folder / f"data/{ORTHO}.pmtiles")
    write_flatgeobuf(folder / f"data/{ROADS}.fgb")
    (folder / "d4c.toml").write_text(D4C)
    (folder / "roads.toml").write_text(ROADS_MAPPING)
    (folder / "files.csv").write_text(TABLE)
