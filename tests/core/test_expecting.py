"""What a node says of objects that are on their way to it (protocol/05-sync.md, N-49)."""

from meshnode.core.effects import FetchObject
from meshnode.core.events import PeerConnected, RequestFailed
from meshnode.core.identifiers import PeerId, sha256
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation, named
from tests.core.institutions import content, segment
from tests.core.test_closings import log_of

ONE = sha256(content("one"))


def test_an_object_is_expected_while_it_is_fetched() -> None:
    ceremony, world = (
        Ceremony(Signers(("alice",), threshold=1), ("laptop",)),
        Federation("ada", "ben"),
    )
    world.follow(ceremony.catalogue, ceremony.first.raw)
    world.join("ada", "ben")
    laptop = log_of(ceremony, "laptop")
    laptop.publish(segment(1, named("one")))
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    node = world["ben"].node
    assert not node.expects(ONE)  # ada does not have it, and ben waits before he asks again
    effects = node.handle([PeerConnected(PeerId("cyd"))], world.now())
    [fetch] = [effect for effect in effects if isinstance(effect, FetchObject)]
    assert node.expects(ONE)
    node.handle([RequestFailed(fetch, "not held")], world.now())
    assert not node.expects(ONE)
