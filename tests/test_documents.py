"""The pages say only what is there: links, paths, functions, commands, settings."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from meshnode.cli import app as meshnode
from meshnode.config import Config
from simulations.cli import app as meshsim

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "protocol/**/*.md")
    for path in ROOT.glob(pattern)
)
TREES = {
    "meshnode": typer.main.get_command(meshnode),
    "meshsim": typer.main.get_command(meshsim),
}
WIDTH_MAX = 120
FENCE = re.compile(
    r"^(?P<marks>`{3,})(?P<kind>\w*)[^\n]*\n(?P<body>.*?)^(?P=marks)$", re.MULTILINE | re.DOTALL
)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FUNCTION = re.compile(r"`([\w/]+\.py)`(?::|,)?\s+`([A-Z_a-z][\w.]*)`")
PROJECT_PATH = re.compile(
    r"(meshnode|simulations|protocol|tests|docs|\.ci)/[\w./-]*|[A-Za-z_-]+\.(md|toml|lock)"
)
# Files of a data directory or of the reader's own, which look like ours.
NOT_OURS = {"config.toml", "cut.toml"}
# Pages link to what stays. A registry, a mirror or a machine of ours is none of it.
HOSTS = re.compile(r"(.+\.)?example\.(org|com)|127\.0\.0\.1|keepachangelog\.com|semver\.org")
# Absolute paths: where an operator puts things, and names on the wire.
PLACES = ("opt", "etc", "var", "usr", "run", "srv", "data", "bin", "home", "dns4", "ip4", "p2p")
WIRE = ("meshnode", "meshsub", "noise", "yamux", "ipfs", "payload", "stac", "vsicurl")
REPOSITORIES = ("api", "record", "records", "details", "metadata", "download")


def every_page(*, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    pages = [page for page in PAGES if not page.as_posix().startswith(without)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.as_posix())


@cache
def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Return the page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


def spans_of(page: Path) -> list[str]:
    """Return what stands between backticks; one that is broken over two lines is one span."""
    return [" ".join(span.split()) for span in SPAN.findall(prose_of(page))]


def anchors_of(page: Path) -> set[str]:
    """Return the names that headings have, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


def command_lines_of(page: Path) -> Iterator[str]:
    """Yield what a reader would type: prompts of consoles, lines of scripts, spans."""
    for fence in FENCE.finditer(text_of(page)):
        lines = re.sub(r"\\\n\s*", "", fence["body"]).splitlines()
        if fence["kind"] == "console":
            yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))
        elif fence["kind"] in ("sh", "bash", "ini"):
            yield from lines
    yield from (span for span in spans_of(page) if span.startswith(tuple(f"{n} " for n in TREES)))


def calls_in(line: str) -> Iterator[list[str]]:
    """Yield the words of each call of our programs, its name first."""
    for part in re.split(r"&&|\|", line):
        words = shlex.split(part, comments=True)
        places = [i for i, word in enumerate(words) if word.rpartition("/")[2] in TREES]
        if places:
            yield [words[places[-1]].rpartition("/")[2], *words[places[-1] + 1 :]]


def problem_with(call: list[str]) -> str | None:
    """Walk down the tree of commands; return what is not there."""
    command, words = TREES[call[0]], call[1:]
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name.isupper():
            return None  # a placeholder
        if name not in command.commands:
            return f"no command {name!r}"
        command = command.commands[name]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    missing = [option for option in given if option not in known | {"--help"}]
    return f"no option {missing[0]!r}" if missing else None


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the functions, classes and methods of a module, methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
            found |= {
                f"{node.name}.{inner.name}"
                for inner in getattr(node, "body", ())
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return frozenset(found)


@every_page()
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page.parent / path).resolve() if path else ROOT / page
        has_anchor = not anchor or anchor in anchors_of(file.relative_to(ROOT))
        if not file.exists() or not has_anchor:
            broken.append(target)
    assert broken == []


@every_page()
def test_every_path_of_the_project_that_is_named_exists(page: Path) -> None:
    named = {span for span in spans_of(page) if PROJECT_PATH.fullmatch(span)} - NOT_OURS
    near = (ROOT, ROOT / page.parent)
    missing = [name for name in named if not any((folder / name).exists() for folder in near)]
    assert missing == []


@every_page()
def test_every_function_named_beside_its_file_is_there(page: Path) -> None:
    named = FUNCTION.findall(prose_of(page))
    assert [(path, name) for path, name in named if name not in names_in(path)] == []


@every_page(without=("protocol/",))
def test_every_command_and_option_exists(page: Path) -> None:
    calls = [call for line in command_lines_of(page) for call in calls_in(line)]
    problems = [(" ".join(call), problem_with(call)) for call in calls]
    assert [problem for problem in problems if problem[1]] == []


@every_page(without=("protocol/",))
def test_every_setting_that_is_named_exists(page: Path) -> None:
    sections = Config.model_fields
    named = re.findall(rf"`({'|'.join(sections)})\.(\w+)(?: = [^`]+)?`", prose_of(page))
    known = {
        (section, name)
        for section, field in sections.items()
        for name in getattr(field.annotation, "model_fields", {})
    }
    files = {("log", "db")}
    assert [setting for setting in named if setting not in known | files] == []


@every_page()
def test_no_page_names_a_registry_or_a_place_of_this_machine(page: Path) -> None:
    text = text_of(page)
    hosts = re.findall(r"https?://([\w.-]+)", text)
    paths = re.findall(r"(?:^|[\s`\"=(])/([a-z][\w.-]*)/", text)
    assert [host for host in hosts if not HOSTS.fullmatch(host)] == []
    assert [path for path in paths if path not in (*PLACES, *WIRE, *REPOSITORIES)] == []
    assert str(ROOT) not in text


@every_page(without=("docs/decisions/", "protocol/", "docs/commands.md"))
def test_lines_are_short_but_for_tables(page: Path) -> None:
    long = [line for line in text_of(page).splitlines() if len(line) > WIDTH_MAX]
    assert [line for line in long if not line.startswith("|")] == []


def test_the_two_commands_stand_first_in_the_readme() -> None:
    prompts = [line for line in text_of(Path("README.md")).splitlines() if line.startswith("$ ")]
    assert [prompt.split("#")[0].strip() for prompt in prompts[:2]] == [
        "$ make demo",
        "$ make test",
    ]


def test_every_target_of_make_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of(Path("Makefile")), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:^\$ |`)make ([a-z]+)", text_of(page), re.MULTILINE)
    }
    assert named - targets == set()
