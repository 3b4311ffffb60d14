"""Writes `docs/commands.md` from the command tree: `python -m tests.cli.generate_commands`."""

import inspect
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from typer.main import get_command

from meshnode.cli import app
from tests.cli.command_line import ROOT

VALUES = {bool: "", str: "TEXT", int: "NUMBER", Path: "PATH"}
PAGE = ROOT / "docs/commands.md"
HEAD = """\
# Commands

This page is made from the program, by `python -m tests.cli.generate_commands`. Each command says
the same with `--help`. A walk through the commands is in [tour.md](tour.md).

All commands that touch a data directory take `--home DIR`, or the environment variable
`MESHNODE_HOME`. While a peer runs on it they ask that peer; otherwise they start the same peer
without a network until they are done. `payload add` of files and `get` need a peer
that runs.

With `--json` standard output is one JSON document and nothing else (`status --watch` prints one a
line), and an error is one JSON line on standard error. Progress is shown on a terminal only, on
standard error. The environment variable `NO_COLOR` turns colours off.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | an error; the message says what, where, and what to do next |
| 2 | the command is not written right |
| 130 | ended by Ctrl-C |
| 141 | the program that read the output went away, as `head` does; no message |

A private key asks for its passphrase on the terminal. Programs give it with `--passphrase-file`, in
`MESHNODE_PASSPHRASE`, or as an open file descriptor in `MESHNODE_PASSPHRASE_FD`.
`meshnode --install-completion` teaches the shell to complete the commands.
"""


def page() -> str:
    """Return the whole page."""
    sections = [HEAD]
    sections += [section(path, command) for path, command in commands(get_command(app), ())]
    return "\n".join(sections)


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from commands(children[name], (*path, name))


def section(path: tuple[str, ...], command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join(("meshnode", *path, *map(metavar, arguments), "[OPTIONS]"))
    text, _, examples = inspect.cleandoc(command.callback.__doc__).partition("\nExample")
    lines = [f"## meshnode {' '.join(path)}", "", text.strip(), "", "```", usage, "```", ""]
    rows = [f"| `{metavar(each)}` | {each.help} |" for each in arguments]
    rows += [f"| `{flag(each)}` | {each.help} |" for each in options if each.name != "help"]
    lines += ["| | |", "|---|---|", *rows, "", "```console"]
    lines += [f"$ {each}" for each in examples_of(examples)]
    return "\n".join((*lines, "```", ""))


def metavar(argument: Any) -> str:
    name = str(argument.name).upper()
    return f"{name}..." if argument.nargs == -1 else name


def flag(option: Any) -> str:
    kind = option.type_descriptor.annotation
    kind = next(iter(get_args(kind)), kind)  # list[Path] is a Path given several times
    value = "\\|".join(kind) if issubclass(kind, StrEnum) else VALUES[kind]
    return f"{option.opts[0]} {value}".strip()


def examples_of(text: str) -> list[str]:
    """Return one command a line, joined where the help folds it."""
    paragraphs = text.partition("\n")[2].strip().split("\n\n")
    return [" ".join(each.split()) for each in paragraphs]


def main() -> None:
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
