"""How much of other people's catalogues a peer holds, as its operator sees it."""

import shutil
from pathlib import Path

import pytest

from meshnode.cli.catalogue import size_of
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.budget_file import read_budgets
from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import town, write_items


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("1B", 1), ("1kB", 1000), ("500MB", 500_000_000), ("1.5 GB", 1_500_000_000)],
)
def test_a_size_is_written_in_decimal_units(text: str, size_bytes: int) -> None:
    assert size_of(text) == size_bytes


@pytest.mark.parametrize("text", ["", "1", "-1MB", "1GiB", "MB", "1e3MB", "1 000MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        size_of(text)


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}', '{"bafy": "much"}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "budgets.json").write_text(text)
    with pytest.raises(StorageError, match=r"budgets\.json is damaged"):
        read_budgets(tmp_path / "budgets.json")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_is_over_budget_is_said_and_comes_when_there_is_room(
    made_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "publisher").mkdir()
    (tmp_path / "reader").mkdir()
    publisher, reader = CommandLine(tmp_path / "publisher"), CommandLine(tmp_path / "reader")
    shutil.copytree(made_home, publisher.home)
    write_items(publisher.folder / "items.ndjson", town("dawson"))
    assert publisher.call("publish", "items.ndjson").status == 0
    reader.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    for setting in ("payload.listen=127.0.0.1:0", "catalogues.budget_bytes=100"):
        assert reader.call("config", "set", *setting.split("=")).status == 0
    with publisher.running_peer():
        stands = publisher.call("status", "--json").json
        name = stands["catalogues"][0]["id"]
        assert stands["catalogues"][0]["bytes"] > 100
        reader.call("config", "set", "network.seeds", stands["addresses"][0])
        with reader.running_peer():
            assert reader.call("follow", name).status == 0
            while not (held := reader.call("status", "--json").json["catalogues"][0])["logs"]:
                reader.run("version")  # some work, so that it is not asked all the time
            while not held["over_budget"]["objects"]:
                held = reader.call("status", "--json").json["catalogues"][0]
            assert held["budget_bytes"] == 100
            assert reader.call("search", "--count").out == "0\n"
            said = reader.call("status").out
            assert "over budget Towns: 2 objects of" in said
            assert "are not fetched, since its budget of 100 bytes is full" in said
            assert f"meshnode follow {name} --budget SIZE" in said
            assert reader.call("follow", name, "--budget", "1MB").status == 0
            while reader.call("search", "--count").out != "1\n":
                reader.run("version")
        [after] = reader.call("status", "--json").json["catalogues"]
    assert (after["budget_bytes"], after["over_budget"]["objects"]) == (1_000_000, 0)
    assert after["bytes"] == stands["catalogues"][0]["bytes"]
    assert reader.call("follow", name, "--budget", "0").status == 0
    assert reader.call("status", "--json").json["catalogues"][0]["budget_bytes"] == 100
