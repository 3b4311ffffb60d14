"""Rows come in at a pace that leaves searches their speed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshnode.runtime.index.index import Index
from meshnode.runtime.index.pace import GIVE_WAY, PAUSE_SECONDS_MAX, Pace
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.reader import UNBOUNDED
from meshnode.runtime.index.readers import Readers
from tests.runtime.test_index import add, ref, row


class Clock:
    """Time as numbers: what the clock says, and for how long reads have run."""

    def __init__(self) -> None:
        self.now, self.read, self.pauses = 0.0, 0.0, list[float]()

    def pace(self) -> Pace:
        return Pace(lambda: self.read, lambda: self.now, self.pauses.append)


@pytest.mark.parametrize(
    ("write_seconds", "read_seconds", "pauses"),
    [
        (0.1, 0.0, []),
        (0.1, 0.01, [GIVE_WAY * 0.01]),
        (0.1, 0.4, [GIVE_WAY * 0.1]),  # four at once
        (9.0, 9.0, [PAUSE_SECONDS_MAX]),
    ],
)
def test_a_write_is_followed_by_a_pause_for_the_searches_that_ran_beside_it(
    write_seconds: float, read_seconds: float, pauses: list[float]
) -> None:
    clock = Clock()
    with clock.pace().step():
        clock.now += write_seconds
        clock.read += read_seconds
    assert clock.pauses == pytest.approx(pauses)


def test_a_write_that_fails_is_followed_by_no_pause() -> None:
    clock = Clock()

    def failing() -> Iterator[None]:
        with clock.pace().step():
            clock.now, clock.read = 1.0, 1.0
            yield
            raise OSError

    steps = failing()
    next(steps)
    with pytest.raises(OSError):
        next(steps)
    assert clock.pauses == []


def test_a_read_counts_while_it_runs_and_after(tmp_path: Path) -> None:
    index = Index.open(tmp_path / "index.db")
    add(index, ref("s", 1), row("a"))
    readers = Readers(tmp_path / "index.db")
    assert readers.seconds() == 0
    with readers.one(UNBOUNDED) as reader:
        assert [found.id for found in reader.page(Query())] == ["a"]
        running = readers.seconds()
        assert 0 < running < readers.seconds()
    ended = readers.seconds()
    assert ended > running
    assert readers.seconds() == ended
    readers.close()
    index.close()


def test_rows_come_in_while_others_search_without_end(tmp_path: Path) -> None:
    index = Index.open(tmp_path / "index.db")
    add(index, ref("s", 1), row("a"))
    is_over = threading.Event()

    def search() -> None:
        while not is_over.is_set():
            index.search(Query())

    searching = threading.Thread(target=search)
    searching.start()
    with index.adding(ref("t", 2)) as adding:
        for number in range(20):
            adding.add([row(f"b{number:02}")])
    is_over.set()
    searching.join()
    assert index.count(Query()) == 21
    index.close()
