"""`config`: the settings file, its check, its schema, and changes to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from meshnode import config as configuration
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json
from meshnode.config import Config
from meshnode.errors import ConfigError

app = typer.Typer(help="Show, check, change and describe the settings.", no_args_is_help=True)


@app.command()
def show(home: HomeOption, as_json: JsonOption = False) -> None:
    """Print the settings in force, as TOML that can be saved as the file.

    Example:

      meshnode config show > config.toml
    """
    settings = configuration.load(home / configuration.FILE_NAME)
    if as_json:
        print_json(settings.model_dump(mode="json"))
    else:
        typer.echo(configuration.to_toml(settings), nl=False)


@app.command("set")
def set_(
    home: HomeOption,
    key: Annotated[str, typer.Argument(help="The setting, for example network.listen.")],
    values: Annotated[
        list[str], typer.Argument(help="Its value; several for a list, '' for an empty one.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Change one setting; a running peer takes it at its next start.

    The file is written anew, with every setting and its description: notes of your own in it are
    not kept.

    Examples:

      meshnode config set payload.listen 0.0.0.0:6900

      meshnode config set network.seeds /dns4/seed.example.org/tcp/4001/p2p/12D3KooW…
    """
    from meshnode.runtime.files import write_durably
    from meshnode.runtime.home import Home

    layout = Home(home)
    layout.check()
    changed = with_setting(configuration.load(layout.config), key, values)
    write_durably(layout.config, configuration.to_toml(changed).encode())
    section, _, name = key.partition(".")
    value = changed.model_dump(mode="json")[section][name]
    if as_json:
        print_json({"path": str(layout.config), "key": key, "value": value})
    else:
        out.print(f"{key} = {json.dumps(value, ensure_ascii=False)}", markup=False)


@app.command()
def check(home: HomeOption, as_json: JsonOption = False) -> None:
    """Say whether the file is right; if not, which field, which value, which bounds.

    Example:

      meshnode config check --home /srv/mesh
    """
    path = home / configuration.FILE_NAME
    configuration.load(path)
    state = "is valid" if path.exists() else "does not exist: all defaults are in force"
    if as_json:
        print_json({"path": str(path), "exists": path.exists(), "valid": True})
    else:
        out.print(f"{path} {state}")


@app.command()
def schema(
    as_json: Annotated[bool, typer.Option("--json", help="It is JSON anyway.")] = False,
) -> None:
    """Print the JSON schema: every field with its unit, bounds and default.

    Example:

      meshnode config schema > meshnode.schema.json
    """
    print_json(configuration.schema())


def with_setting(settings: Config, key: str, values: Sequence[str]) -> Config:
    """Return the settings with one changed, checked as the file is checked.

    Raises:
        ConfigError: no such setting, several values for one, or a value out of its bounds.
    """
    current = settings.model_dump(mode="json")
    section, _, name = key.partition(".")
    if not isinstance(current.get(section), dict) or name not in current[section]:
        raise ConfigError(
            f"there is no setting {key!r}", hint="meshnode config show prints them all"
        )
    is_list = isinstance(current[section][name], list)
    if len(values) != 1 and not is_list:
        raise ConfigError(f"{key} takes one value, not {len(values)}")
    # As TOML text, so that the rules and the sentences are those of the file.
    current[section][name] = [each for each in values if each] if is_list else _typed(values[0])
    lines = (
        f"[{part}]\n" + "".join(f"{each} = {_toml(value)}\n" for each, value in fields.items())
        for part, fields in current.items()
    )
    return configuration.parse("\n".join(lines), "the new value")


def _typed(text: str) -> bool | int | str:
    """Read a value as TOML would: true and false, whole numbers, anything else is text."""
    if text in ("true", "false"):
        return text == "true"
    is_number = text.isascii() and text.removeprefix("-").isdecimal()
    return int(text) if is_number else text


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # the same text for all that settings can be
