"""Help that fits any terminal: lines of a docstring's paragraph are one paragraph on the screen."""

from __future__ import annotations

import inspect

import typer


def reflow_help(app: typer.Typer) -> None:
    """Join the lines of each paragraph of every command's docstring; examples stay as they are."""
    for command in app.registered_commands:
        if command.help is None and command.callback is not None:
            command.help = reflowed(inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            reflow_help(group.typer_instance)


def reflowed(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        each if _is_laid_out(each) else each.replace("\n", " ") for each in paragraphs
    )


def _is_laid_out(paragraph: str) -> bool:
    """Say whether lines are examples or a list, and not the author's line breaks."""
    return any(line.startswith((" ", "- ")) for line in paragraph.splitlines())
