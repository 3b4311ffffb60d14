"""Work for many things at once, given in their order: bounded in requests and in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

AT_ONCE: Final = 4  # requests to one server: more is no politeness
AHEAD_MAX: Final = 32  # results that wait to be taken; bounds the memory

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Thing], Result], things: Iterable[Thing]
) -> Iterator[tuple[Thing, Result]]:
    """Yield each thing with the result of its work, in order, while the next ones are under way."""
    running: deque[tuple[Thing, Future[Result]]] = deque()
    for thing in things:
        running.append((thing, pool.submit(work, thing)))
        if len(running) == AHEAD_MAX:
            first, future = running.popleft()
            yield first, future.result()
    for first, future in running:
        yield first, future.result()
