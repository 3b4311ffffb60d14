"""`config set`: one setting changed, checked, and written so that it is read back."""

import pytest

from meshnode.cli.config import with_setting
from meshnode.config import Config, parse, to_toml
from meshnode.errors import ConfigError
from tests.cli.command_line import CommandLine

SEED = "/dns4/seed.example.org/tcp/4001/p2p/12D3KooWExample"


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("network.seeds", [SEED, SEED], (SEED, SEED)),
        ("network.seeds", [""], ()),
        ("network.discover", ["false"], False),
        ("payload.upload_bytes_per_second", ["1000"], 1000),
        ("log.level", ["debug"], "debug"),
    ],
)
def test_a_setting_is_changed_and_survives_the_file(
    key: str, values: list[str], expected: object
) -> None:
    changed = with_setting(Config(), key, values)
    section, name = key.split(".")
    assert getattr(getattr(changed, section), name) == expected
    assert parse(to_toml(changed), "the file") == changed


@pytest.mark.parametrize("key", ["nothing", "network", "network.nothing", "", "network.listen.0"])
def test_an_unknown_setting_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no setting '{key}'") as caught:
        with_setting(Config(), key, ["1"])
    assert caught.value.hint == "meshnode config show prints them all"


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("log.level", ["loud"], "log.level = 'loud': input should be 'debug'"),
        ("log.level", ["debug", "info"], "log.level takes one value, not 2"),
        ("network.discover", ["perhaps"], "network.discover = 'perhaps'"),
        ("payload.upload_bytes_per_second", ["-5"], "= -5: input should be greater than or equal"),
        ("network.listen", ["192.0.2.1:80"], "should match pattern"),
        ("payload.listen", ['"\n[log]'], "should match pattern"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(key: str, values: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_setting(Config(), key, values)
    assert message in str(caught.value)


@pytest.mark.slow
def test_a_refused_value_leaves_the_file_as_it_was(publisher: CommandLine) -> None:
    before = (publisher.home / "config.toml").read_bytes()
    assert publisher.run("config", "set", "log.level", "loud").status == 1
    assert (publisher.home / "config.toml").read_bytes() == before


@pytest.mark.slow
def test_a_setting_that_was_set_is_in_force(publisher: CommandLine) -> None:
    said = publisher.run("config", "set", "log.level", "error")
    assert (said.status, said.out) == (0, 'log.level = "error"\n')
    assert publisher.run("config", "show", "--json").json["log"]["level"] == "error"
    assert publisher.run("config", "check").status == 0
