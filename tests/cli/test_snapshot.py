"""`meshnode snapshot`, as a writer types it."""

from __future__ import annotations

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import town, write_items

pytestmark = pytest.mark.slow


def test_a_snapshot_is_shown_signed_and_not_signed_twice(publisher: CommandLine) -> None:
    said = publisher.call("snapshot")
    assert (said.status, said.out) == (
        0,
        "nothing to do: the log has no entry after its newest snapshot\n",
    )
    for number in ("one", "two"):
        write_items(publisher.folder / "items.ndjson", town(number))
        assert publisher.call("publish", "items.ndjson").status == 0

    would = publisher.call("snapshot", "--dry-run", "--json").json
    assert (would["dry_run"], would["signed"], would["listed"]) == (True, False, would["index"])
    assert publisher.call("snapshot", "--dry-run").out.startswith(
        f"a snapshot would be signed: 3 entries of 3, {would['size_bytes']} B\nits object is …"
    )
    signed = publisher.call("snapshot", "--json").json
    assert signed == would | {"dry_run": False, "signed": True}
    again = publisher.call("snapshot", "--json").json
    assert (again["signed"], again["newest"]) == (False, 3)

    steps = publisher.call("log", "towns").out
    assert "    begins the snapshot of the first 3 entries\n" in steps
    logs = publisher.call("status", "--json").json["catalogues"][0]["logs"]
    assert [log["snapshot_lies_since"] for log in logs] == [None]
    assert publisher.call("verify").status == 0
