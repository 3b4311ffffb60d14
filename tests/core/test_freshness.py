"""Stale is a warning: what is shown as overdue, and when."""

import pytest

from meshnode.core.catalogue import Catalogue
from meshnode.core.freshness import Freshness, freshness
from meshnode.core.overview import describe
from meshnode.core.trust import RootChain
from tests.core.federation import Federation
from tests.core.institutions import ISSUED, Institution, altered, segment


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (100, (Freshness.CURRENT,)),
        (101, (Freshness.STALE,)),
        (200, (Freshness.STALE,)),
        (201, (Freshness.STALE, Freshness.FROZEN)),
    ],
)
def test_a_time_is_overdue_when_it_is_past(now, expected):
    assert freshness(100, [200, 300], now) == expected


def test_a_head_that_is_overdue_shows_while_its_log_is_open():
    institution = Institution("Ville")
    institution.log.publish(segment(1))
    promised = altered(institution.log.heads[0], institution.log.key, next_by=ISSUED + 10)
    institution.log.heads[0] = promised
    world = Federation("ada")
    world.follow(institution.catalogue, institution.raw_root)
    assert world.submit("ada", institution.log) == ""
    overview = world["ada"].node.describe(institution.catalogue)
    assert overview is not None
    assert overview.freshness(ISSUED) == (Freshness.CURRENT,)
    assert overview.freshness(ISSUED + 11) == (Freshness.STALE, Freshness.FROZEN)


def test_a_catalogue_without_a_root_is_neither_current_nor_stale():
    institution = Institution("Ville")
    assert describe(Catalogue(institution.catalogue)).freshness(ISSUED) == ()
    chain = RootChain.begin(institution.raw_root)
    known = describe(Catalogue(institution.catalogue, chain=chain))
    assert known.freshness(ISSUED) == (Freshness.CURRENT,)
