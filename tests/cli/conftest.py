import shutil
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.yukon import reader, yukon

__all__ = ["reader", "yukon"]


@pytest.fixture
def newcomer(tmp_path: Path) -> CommandLine:
    """Somebody with an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the catalogue `towns`, on any free ports; to be copied."""
    maker = CommandLine(tmp_path_factory.mktemp("maker"))
    assert maker.call("init", "--listen", "/ip4/127.0.0.1/tcp/0").status == 0
    assert maker.call("config", "set", "payload.listen", "127.0.0.1:0").status == 0
    assert maker.call("config", "set", "http.listen", "127.0.0.1:0").status == 0
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    assert maker.call(*create).status == 0
    return maker.home


@pytest.fixture
def publisher(newcomer: CommandLine, made_home: Path) -> CommandLine:
    """Somebody whose data directory has the catalogue `towns`."""
    shutil.copytree(made_home, newcomer.home)
    return newcomer
