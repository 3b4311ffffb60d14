"""`blueprint`: from what a dataset was built, kept with the data and checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.terminal import (
    JsonOption,
    counted,
    out,
    print_json,
    print_table,
    size_text,
)
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.maintainer.blueprints.checking import Checked
    from meshnode.runtime.maintainer.blueprints.creation import Blueprint
    from meshnode.runtime.maintainer.blueprints.statement import Statement

app = typer.Typer(help="Say from what a dataset was built, and check it.", no_args_is_help=True)

BlueprintArgument = Annotated[
    Path, typer.Argument(help="The blueprint's folder, or its manifest blueprint.json.")
]


@app.callback()
def blueprint() -> None:
    """Say from what a dataset was built, and check it."""


@app.command()
def create(
    description: Annotated[Path, typer.Argument(help="What was built from what (TOML).")],
    outputs: Annotated[list[Path], typer.Argument(help="The files or folders that were built.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to make.")],
    code: Annotated[
        Path | None,
        typer.Option(help="The git repository of the code; by default where the description is."),
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(help="The commit that was built; by default the one that is checked out."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the blueprint of what was built: its manifest, its code and its environment.

    The manifest is an in-toto Statement with SLSA Provenance. The same build gives the same bytes.
    `meshnode payload add FOLDER` publishes it like the data.

    Example:

      meshnode blueprint create build.toml yukon.parquet --to yukon-blueprint
    """
    from meshnode.runtime.maintainer.blueprints.creation import make_blueprint, write_blueprint
    from meshnode.runtime.maintainer.blueprints.description import read_description
    from meshnode.runtime.maintainer.blueprints.repository import Repository

    said = read_description(description)
    repository = Repository(code or description.absolute().parent)
    built = repository.commit(commit)
    made = make_blueprint(said, description.parent, repository, built, outputs)
    write_blueprint(made, to)
    summary = _summary(made, to)
    if as_json:
        print_json(summary)
        return
    number = len(made.statement.subject)
    size = size_text(sum(len(raw) for raw in made.files.values()))
    out.print(Text(f"blueprint of {counted(number, 'output')} in {to}, {size}"))
    out.print(f"commit    {made.commit.swhid}\ndirectory {made.commit.directory_swhid}")
    out.print(f"payload   {summary['payload']}")
    out.print(Text(f"next: meshnode payload add {to} --collection …"))


@app.command()
def verify(
    blueprint: BlueprintArgument,
    outputs: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders to check, by their names.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check outputs against a blueprint, and the blueprint's own files.

    Of a folder the code is unpacked by git, which computes every name anew; nothing of it is run.

    Examples:

      meshnode blueprint verify yukon-blueprint yukon.parquet

      meshnode blueprint verify yukon-blueprint/blueprint.json yukon.parquet --json
    """
    from meshnode.runtime.maintainer.blueprints import BUNDLE
    from meshnode.runtime.maintainer.blueprints.checking import (
        Verdict,
        check_code,
        check_folder,
        check_outputs,
        manifest_of,
    )
    from meshnode.runtime.maintainer.blueprints.statement import read_statement

    statement = read_statement(manifest_of(blueprint))
    checked = check_outputs(statement, outputs or [])
    bad = [each for each in checked if each.verdict in (Verdict.DIFFERENT, Verdict.UNKNOWN)]
    code = None
    if blueprint.is_dir():
        own = check_folder(statement, blueprint)
        bad += [each for each in own if each.verdict is not Verdict.SAME]
        checked += own
        if not any(each.name == BUNDLE for each in bad):
            code = check_code(statement, blueprint / BUNDLE)
    if as_json:
        print_json({"files": [_said(each) for each in checked], "code": code})
    else:
        print_table(("file", "verdict"), ((each.name, each.verdict.value) for each in checked))
    _require_good(bad, code)


@app.command()
def show(blueprint: BlueprintArgument, as_json: JsonOption = False) -> None:
    """Show from what a dataset was built.

    Example:

      meshnode blueprint show yukon-blueprint
    """
    from meshnode.runtime.maintainer.blueprints.checking import manifest_of
    from meshnode.runtime.maintainer.blueprints.statement import read_statement

    statement = read_statement(manifest_of(blueprint))
    if as_json:
        print_json(statement.model_dump(by_alias=True, exclude_none=True))
        return
    _print_statement(statement)


def _summary(made: Blueprint, to: Path) -> Message:
    """Return what a release says of a blueprint: its objects, and the key of its payload."""
    from meshnode.core.identifiers import sha256
    from meshnode.runtime.payloads.creation import describe

    return {
        "folder": str(to),
        "commit": made.commit.swhid,
        "directory": made.commit.directory_swhid,
        "payload": describe(to).key.hex(),
        "files": {
            name: {"sha256": sha256(raw).hex(), "size_bytes": len(raw)}
            for name, raw in made.files.items()
        },
        "outputs": made.statement.outputs,
    }


def _said(each: Checked) -> Message:
    return {
        "name": each.name,
        "verdict": each.verdict.value,
        "sha256": each.found,
        "manifest_sha256": each.said,
    }


def _require_good(bad: Sequence[Checked], code: str | None) -> None:
    if bad:
        names = ", ".join(f"{each.name} is {each.verdict.value}" for each in bad)
        raise UsageError(
            f"the blueprint does not hold: {names}",
            hint="it was built from something else, or changed since",
        )
    if code is not None:
        raise UsageError(
            f"the blueprint does not hold: {code}", hint="get the blueprint anew, and check again"
        )


def _print_statement(statement: Statement) -> None:
    from meshnode.runtime.maintainer.blueprints.statement import CODE

    build = statement.predicate.build_definition
    for name, sha256 in statement.outputs.items():
        out.print(Text(f"output       {name}\n{'':13}sha256 {sha256}"))
    out.print(Text(f"built by     {statement.predicate.run_details.builder.id}"))
    for each in build.resolved_dependencies:
        if each.name == CODE:
            swhids = each.annotations or {}
            out.print(Text(f"code         {swhids.get('swhid', each.digest)}"))
            if each.uri:
                out.print(Text(f"{'':13}{each.uri}"))
        elif each.uri:
            out.print(Text(f"source       {each.uri}\n{'':13}sha256 {each.digest.get('sha256')}"))
        else:
            contents = ", ".join(each.annotations or {})
            out.print(Text(f"kept         {each.name}{f': {contents}' if contents else ''}"))
    for name, value in build.external_parameters.items():
        out.print(Text(f"parameter    {name} = {value}"))
