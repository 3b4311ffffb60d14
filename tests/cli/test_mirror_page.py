"""The page about static mirrors, run line by line: what it shows is what a person sees."""

import pytest

from tests.cli.command_line import ROOT, CommandLine
from tests.cli.test_bad_input import town, write_items
from tests.cli.test_tour import run_as_a_person
from tests.cli.transcripts import Shell, matches, steps
from tests.runtime.web import Folder, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PAGE = ROOT / "docs/mirror.md"


def test_the_page_shows_what_its_commands_print(newcomer: CommandLine) -> None:
    newcomer.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    create = ("catalogue", "create", "yukon", "--title", "Yukon", "--no-passphrase")
    assert newcomer.call(*create).status == 0
    write_items(newcomer.folder / "items.ndjson", town("dawson"), town("mayo"))
    reader = {"MESHNODE_HOME": "reader"}
    assert newcomer.call("init", **reader).status == 0
    allow = ("config", "set", "static_mirrors.allow_local_addresses", "true")
    assert newcomer.call(*allow, **reader).status == 0  # the mirror is on this machine
    anywhere = ("config", "set", "http.listen", "127.0.0.1:0")  # other peers run here meanwhile
    assert newcomer.call(*anywhere, **reader).status == 0
    (newcomer.folder / "www").mkdir()
    with serving(Folder(root=newcomer.folder / "www")) as url:
        newcomer.environment["MIRROR"] = f"{url}/"
        with Shell(newcomer) as shell:
            for step in steps(PAGE):
                printed = run_as_a_person(shell, step)
                assert matches(printed, step.shown), f"$ {step.command}\n{printed}"
