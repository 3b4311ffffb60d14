"""Settings: read, refused with a sentence, and written so that they read back the same."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.config import (
    OFF,
    Config,
    NetworkSettings,
    PayloadSettings,
    load,
    parse,
    schema,
    to_toml,
)
from meshnode.errors import ConfigError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_without_a_file_every_setting_has_its_default(tmp_path: Path):
    assert load(tmp_path / "config.toml") == Config()


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot read .*config\.toml"):
        load(path)


def test_what_is_not_toml_is_refused_with_its_reason():
    with pytest.raises(ConfigError, match=r"x\.toml is not TOML: Expected"):
        parse("[network", "x.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[network]\nlisten = ['tcp:4001']", r"network\.listen\.0 = 'tcp:4001'"),
        ("[network]\nport = 1", r"there is no setting network\.port"),
        ("[payload]\nlisten = '0.0.0.0:70000'", r"payload\.listen = .* there is no port 70000"),
        ("[payload]\nlisten = '1.2.3:80'", r"payload\.listen"),
        ("[payload]\nlisten = '[1.2.3.4]:80'", r"payload\.listen"),
        ("[payload]\nupload_bytes_per_second = -1", r"payload\.upload_bytes_per_second = -1"),
        ("[log]\nlevel = 'loud'", r"log\.level = 'loud'"),
    ],
)
def test_a_value_out_of_bounds_is_named(text: str, problem: str):
    with pytest.raises(ConfigError, match=problem) as caught:
        parse(text, "x.toml")
    assert "config schema" in caught.value.hint


def test_a_payload_engine_that_does_not_listen_is_a_setting():
    assert parse("[payload]\nlisten = 'off'", "x").payload.listen == OFF


def test_an_ipv6_address_is_written_in_brackets():
    assert parse("[payload]\nlisten = '[::1]:6881'", "x").payload.listen == "[::1]:6881"


@given(st.lists(TEXT, max_size=3), st.integers(0, 10**11), st.booleans())
def test_settings_written_as_toml_read_back_the_same(seeds, rate, local):
    config = Config(
        network=NetworkSettings(seeds=tuple(f"/dns4/{seed}" for seed in seeds), discover=local),
        payload=PayloadSettings(upload_bytes_per_second=rate, allow_local_addresses=local),
    )
    assert parse(to_toml(config), "x") == config


def test_the_schema_names_every_setting():
    named = {
        f"{section}.{key}"
        for section, each in schema()["$defs"].items()
        for key in each["properties"]
    }
    assert named >= {"NetworkSettings.seeds", "PayloadSettings.listen", "LogSettings.level"}
