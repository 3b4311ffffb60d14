"""Blueprints: what a manifest says, the same bytes for the same build, and what cannot be one."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.blueprints import BUNDLE, ENVIRONMENT, MANIFEST, repository
from meshnode.runtime.maintainer.blueprints.checking import (
    Verdict,
    check_code,
    check_folder,
    check_outputs,
)
from meshnode.runtime.maintainer.blueprints.creation import (
    Blueprint,
    make_blueprint,
    write_blueprint,
)
from meshnode.runtime.maintainer.blueprints.description import read_description
from meshnode.runtime.maintainer.blueprints.repository import Repository
from meshnode.runtime.maintainer.blueprints.statement import read_statement
from tests.runtime.repositories import BUILD, FILES, git, write_repository

pytestmark = pytest.mark.slow


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return write_repository(tmp_path / "code")


def blueprint_of(code: Path, commit: str | None = None, *outputs: Path) -> Blueprint:
    used = Repository(code)
    description = read_description(code / "build.toml")
    built = outputs or (code / "out/towns.parquet",)
    return make_blueprint(description, code, used, used.commit(commit), built)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_manifest_names_outputs_sources_code_and_environment(code: Path) -> None:
    made = blueprint_of(code)
    statement = json.loads(made.files[MANIFEST])
    commit, tree = git(code, "rev-parse", "HEAD"), git(code, "rev-parse", "HEAD^{tree}")
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [
        {"name": "towns.parquet", "digest": {"sha256": sha256("towns")}}
    ]
    build = statement["predicate"]["buildDefinition"]
    assert build["buildType"] == "urn:x-meshnode:blueprint:1"
    assert build["externalParameters"] == {"resolution": "200mm", "tiles": 12}
    assert statement["predicate"]["runDetails"] == {
        "builder": {"id": "https://example.org/builders/yukon"}
    }
    used, bundle, environment, towns, roads = build["resolvedDependencies"]
    assert used == {
        "name": "code",
        "uri": "git+https://git.example.org/yukon",
        "digest": {"gitCommit": commit, "gitTree": tree},
        "annotations": {"swhid": f"swh:1:rev:{commit}", "directory": f"swh:1:dir:{tree}"},
    }
    assert bundle["digest"]["sha256"] == hashlib.sha256(made.files[BUNDLE]).hexdigest()
    assert environment["annotations"] == {
        name: sha256(FILES[name]) for name in ("Dockerfile", "env/requirements.txt")
    }
    assert towns == {
        "uri": "https://data.example.org/raw/towns.zip",
        "digest": {"sha256": sha256("raw towns")},
    }
    assert roads["digest"] == {"sha256": sha256("test")}


def test_swhids_are_the_hashes_of_what_they_name(code: Path) -> None:
    """SWHID 1.2, sections 5.3 and 5.4: SHA-1 of a header and the serialised commit or directory."""
    commit = blueprint_of(code).commit
    for kind, swhid in (("commit", commit.swhid), ("tree", commit.directory_swhid)):
        raw = Repository(code).git("cat-file", kind, swhid.rpartition(":")[2])
        header = f"{kind} {len(raw)}\0".encode()
        named = hashlib.sha1(header + raw, usedforsecurity=False).hexdigest()
        assert swhid == f"swh:1:{'rev' if kind == 'commit' else 'dir'}:{named}"


def test_the_same_build_gives_the_same_bytes_however_its_repository_is_packed(
    code: Path, tmp_path: Path
) -> None:
    first = blueprint_of(code).files
    git(code, "gc", "-q", "--aggressive", "--prune=now")
    git(code, "config", "pack.window", "0")
    git(code, "config", "core.compression", "9")
    git(code, "tag", "-a", "v1", "-m", "another name")
    assert blueprint_of(code).files == first
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", f"file://{code}", str(clone))
    for name in ("raw/towns.zip", "out/towns.parquet"):
        (clone / name).parent.mkdir()
        (clone / name).write_bytes((code / name).read_bytes())
    assert blueprint_of(clone).files == first


def test_a_bundle_is_a_whole_repository_that_git_clones(code: Path, tmp_path: Path) -> None:
    write_blueprint(blueprint_of(code), tmp_path / "blueprint")
    git(tmp_path, "clone", "-q", str(tmp_path / "blueprint" / BUNDLE), "again")
    again = tmp_path / "again"
    assert git(again, "rev-parse", "HEAD") == git(code, "rev-parse", "HEAD")
    assert git(again, "log", "--format=%s").splitlines() == [
        "Say when it is done",
        "Make the towns",
    ]
    assert git(again, "fsck", "--strict") == ""
    with tarfile.open(tmp_path / "blueprint" / ENVIRONMENT) as tar:
        members = [(each.name, each.mtime, each.uid, each.uname) for each in tar]
    assert members == [("Dockerfile", 0, 0, ""), ("env/requirements.txt", 0, 0, "")]


def test_an_older_commit_can_be_named_whatever_the_work_tree_has(code: Path) -> None:
    (code / "Dockerfile").write_text("FROM elsewhere\n")
    made = blueprint_of(code, "HEAD~1")
    assert made.commit.commit == git(code, "rev-parse", "HEAD~1")
    environment = made.statement.dependency(ENVIRONMENT)
    assert environment is not None
    assert environment.annotations is not None
    assert environment.annotations["Dockerfile"] == sha256(FILES["Dockerfile"])


def refusal(code: Path, commit: str | None = None, *outputs: Path) -> str:
    with pytest.raises(UsageError) as caught:
        blueprint_of(code, commit, *outputs)
    return str(caught.value)


def test_code_that_no_bundle_can_hold_is_refused(code: Path, tmp_path: Path) -> None:
    assert refusal(code, "v9") == f"{code} has no commit v9"
    git(code, "config", "status.showUntrackedFiles", "no")
    (code / "new.py").touch()
    assert refusal(code).endswith("has changes that are in no commit: new.py")
    (code / "new.py").unlink()

    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{code}", "shallow")
    assert "is a shallow clone" in refusal(tmp_path / "shallow")

    git(code, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./", "sub")
    git(code, "commit", "-q", "-m", "Use other code")
    assert refusal(code) == "sub is a submodule: its code would not be in the bundle"

    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="none is no git repository"):
        Repository(tmp_path / "none")
    git(tmp_path / "none", "init", "-q")
    assert "has no commit yet" in refusal_of_empty(tmp_path / "none")


def refusal_of_empty(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        Repository(folder).commit(None)
    return str(caught.value)


def test_without_git_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="git is not installed"):
        Repository(tmp_path)


def test_a_history_that_is_too_large_is_refused(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "BUNDLE_BYTES_MAX", 100)
    assert "more than 100" in refusal(code)


def test_sources_outputs_and_environments_that_are_not_there_are_named(code: Path) -> None:
    out = code / "out"
    assert refusal(code, None, out / "gone") == f"the output {out}/gone is not there"
    (code / "raw/towns.zip").unlink()
    assert refusal(code) == f"the source {code}/raw/towns.zip is not there"
    changed = BUILD.replace('"Dockerfile"', '"Containerfile"')
    (code / "build.toml").write_text(changed)
    assert refusal(code, "HEAD").startswith("'Containerfile' is no file of commit ")


def test_a_source_with_another_hash_than_said_is_named(code: Path) -> None:
    said = f'file = "raw/towns.zip"\nsha256 = "{"0" * 64}"'
    (code / "build.toml").write_text(BUILD.replace('file = "raw/towns.zip"', said))
    found = sha256("raw towns")
    expected = f"the source {code}/raw/towns.zip has the SHA-256 {found}, not {'0' * 64}"
    assert refusal(code, "HEAD") == expected


def test_two_outputs_of_one_name_are_refused_and_folders_keep_them_apart(code: Path) -> None:
    for name in ("a", "b"):
        (code / "out" / name).mkdir()
        (code / "out" / name / "tile").write_text(name)
    out = code / "out"
    assert refusal(code, None, out / "a/tile", out / "b/tile") == "two outputs are called tile"
    made = blueprint_of(code, None, out)
    assert list(made.statement.outputs) == ["out/a/tile", "out/b/tile", "out/towns.parquet"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('builder = "https', 'builder = "nobody, https'), "builder: Value error, it is no URI"),
        (("environment", "environments"), "environment: Field required"),
        (('url = "https:', 'url = "'), "sources.0.url: Value error, it is no absolute address"),
        (("9f86", "9F86"), "sources.1.sha256: Value error, it is not 64 hexadecimal digits"),
        (("builder = ", "builder "), "is no TOML"),
    ],
)
def test_a_description_that_says_something_else_is_told(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    (tmp_path / "build.toml").write_text(BUILD.replace(*change))
    with pytest.raises(UsageError, match=said):
        read_description(tmp_path / "build.toml")


# --- Checking -------------------------------------------------------------------------------------
@pytest.fixture
def folder(code: Path, tmp_path: Path) -> Path:
    write_blueprint(blueprint_of(code), tmp_path / "blueprint")
    return tmp_path / "blueprint"


def test_outputs_are_compared_by_name(code: Path, folder: Path) -> None:
    statement = read_statement(folder / MANIFEST)
    output, other = code / "out/towns.parquet", code / "make.py"
    assert [(c.name, c.verdict) for c in check_outputs(statement, [output, other])] == [
        ("towns.parquet", Verdict.SAME),
        ("make.py", Verdict.UNKNOWN),
    ]
    output.write_text("other towns")
    (changed,) = check_outputs(statement, [output])
    assert (changed.verdict, changed.said, changed.found) == (
        Verdict.DIFFERENT,
        sha256("towns"),
        sha256("other towns"),
    )
    assert [c.verdict for c in check_outputs(statement, [])] == [Verdict.MISSING]


def test_a_blueprints_own_files_are_compared(folder: Path) -> None:
    statement = read_statement(folder / MANIFEST)
    assert {c.verdict for c in check_folder(statement, folder)} == {Verdict.SAME}
    assert check_code(statement, folder / BUNDLE) is None
    (folder / ENVIRONMENT).unlink()
    (folder / BUNDLE).write_bytes((folder / BUNDLE).read_bytes()[:-30])
    assert [c.verdict for c in check_folder(statement, folder)] == [
        Verdict.DIFFERENT,
        Verdict.MISSING,
    ]
    assert "git cannot read the bundle" in str(check_code(statement, folder / BUNDLE))


@pytest.mark.parametrize(
    ("digest", "said"),
    [
        ({"gitCommit": "0" * 40}, f"the bundle does not hold commit {'0' * 40}"),
        ({"gitTree": "0" * 40}, f"not {'0' * 40}"),
        ({"gitCommit": "--help"}, "the manifest names no commit"),
    ],
)
def test_a_manifest_that_names_other_code_than_its_bundle_is_told(
    folder: Path, digest: dict[str, str], said: str
) -> None:
    value: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    value["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] |= digest
    (folder / MANIFEST).write_text(json.dumps(value))
    assert said in str(check_code(read_statement(folder / MANIFEST), folder / BUNDLE))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("", "the manifest: Invalid JSON"),
        ("{}", "_type: Field required"),
        ("provenance/v0.2", "predicateType: Input should be"),
    ],
)
def test_a_file_that_is_no_manifest_is_told(folder: Path, change: str, said: str) -> None:
    manifest = folder / MANIFEST
    text = manifest.read_text().replace("provenance/v1", change) if "/" in change else change
    manifest.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_statement(manifest)
