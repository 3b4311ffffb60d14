"""One pair of peers for all attacks of a module: what one left behind must not help the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.victims import Victims, victims_in


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    with victims_in(tmp_path_factory.mktemp("attacks")) as victims:
        yield victims
