"""`inventory`: what a data steward sees who has files and no STAC."""

from __future__ import annotations

from tests.cli.command_line import CommandLine

GOOD = "ca-yt_whitehorse-2019A00056001009_d4c-datapkg-orthoimagery_2019_200mm.tif"
OLD = "ca_nrcan_land_cover_2020_30m.pmtiles"


def test_lint_names_each_problem_and_counts(newcomer: CommandLine) -> None:
    said = newcomer.call("inventory", "lint", GOOD, f"https://data.example.org/x/{OLD}")
    assert (said.status, said.out) == (0, "2 names: 0 refused, 1 with warnings\n")
    assert said.err == (
        f"warning {OLD}: its package 'land_cover' does not begin with d4c-datapkg-\n"
    )


def test_lint_of_a_folder_fails_if_a_name_below_it_is_refused(newcomer: CommandLine) -> None:
    folder = newcomer.folder / "data/2019"
    folder.mkdir(parents=True)
    for name in (GOOD, "map.tif"):
        (folder / name).touch()
    said = newcomer.call("inventory", "lint", "data")
    assert (said.status, said.out) == (1, "2 names: 1 refused, 0 with warnings\n")
    assert said.err.splitlines() == [
        "refused map.tif: 'map' at its start is no region, such as ca or ca-yt",
        "error: 1 name does not follow the convention",
        "next:  rename to [region]_[source]-[DGUID]_[package]_[date]_[variant]_[version]"
        ".[extension]",
    ]


def test_lint_reads_names_from_standard_input_and_tells_programs_the_parts(
    newcomer: CommandLine,
) -> None:
    said = newcomer.shell(f"printf '%s\\n\\n' {GOOD} | meshnode inventory lint - --json")
    (name,) = said.json["names"]
    assert (name["name"], name["problems"]) == (GOOD, [])
    assert name["parts"]["dguid"] == "2019A00056001009"
