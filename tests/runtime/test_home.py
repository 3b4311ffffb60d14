"""The data directory: ours or not, of a format we know, held by one process at a time."""

from pathlib import Path

import pytest

from meshnode.errors import StorageError
from meshnode.runtime.files import publish_file, write_durably
from meshnode.runtime.home import Home, HomeLock
from tests.runtime.homes import made_home


def test_making_a_home_twice_changes_nothing(tmp_path: Path):
    home = made_home(tmp_path / "home")
    (home.keys / "x").touch()
    home.make()
    assert home.is_made
    assert (home.keys / "x").exists()
    assert home.keys.stat().st_mode & 0o777 == 0o700


def test_somebody_elses_directory_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(StorageError, match=r"is not a meshnode data directory.*thesis\.doc"):
        Home(tmp_path).make()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_home_whose_making_was_cut_off_is_made_whole(tmp_path: Path):
    root = tmp_path / "home"
    (root / "keys").mkdir(parents=True)
    (root / ".format.0a1b2c3d").write_bytes(b"mesh")
    Home(root).make()
    Home(root).check()


def test_a_folder_of_our_name_that_holds_something_is_somebody_elses(tmp_path: Path):
    (tmp_path / "keys" / "house").mkdir(parents=True)
    with pytest.raises(StorageError, match="it holds keys"):
        Home(tmp_path).make()


def test_a_directory_that_was_never_made_is_refused_with_the_next_step(tmp_path: Path):
    with pytest.raises(StorageError) as caught:
        Home(tmp_path / "none").check()
    assert caught.value.hint.startswith("meshnode init")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("meshnode data directory, format 2\n", "has format 2; this version knows formats up to 1"),
        ("something else", "is damaged: 'something else'"),
        ("", "is damaged"),
    ],
)
def test_a_format_that_is_newer_or_none_is_refused(tmp_path: Path, line: str, problem: str):
    home = made_home(tmp_path / "home")
    home.format.write_text(line)
    with pytest.raises(StorageError, match=problem):
        home.check()


def test_a_home_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot use"):
        Home(tmp_path / "file" / "home").make()


def test_a_locked_home_names_the_process_that_holds_it(tmp_path: Path):
    home = made_home(tmp_path / "home")
    with HomeLock(home), pytest.raises(StorageError, match=r"in use .*\(process \d+\)"):
        HomeLock(home).__enter__()
    with HomeLock(home):
        pass


def test_a_lock_that_cannot_be_made_is_an_error_of_the_machine(tmp_path: Path):
    with pytest.raises(StorageError, match="cannot open"):
        HomeLock(Home(tmp_path / "none")).__enter__()


def test_writing_replaces_whole_files_and_leaves_nothing_beside(tmp_path: Path):
    path = tmp_path / "deep" / "file"
    write_durably(path, b"old")
    write_durably(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_write_below_a_file_is_an_error_of_the_machine(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        write_durably(tmp_path / "file" / "x", b"")


def test_publishing_a_file_gives_it_its_name_in_a_new_folder(tmp_path: Path):
    (tmp_path / "part").write_bytes(b"whole")
    publish_file(tmp_path / "part", tmp_path / "ab" / "name")
    assert (tmp_path / "ab" / "name").read_bytes() == b"whole"
    assert not (tmp_path / "part").exists()
