"""py-libp2p's gossipsub, made to keep the promises of protocol/05-sync.md.

Owns what has to be overridden in version 0.8.1: a message's id is the SHA-256 of its data, the
verdict has three ways, nothing that a peer sends ends the service, and control messages reach only
the peer they are meant for.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import libp2p.pubsub.pubsub as pubsub_module
import structlog
import trio
from libp2p.abc import IHost, INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.score import ScoreParams, TopicScoreParams
from libp2p.pubsub.validators import signature_validator

from meshnode.core.limits import ANNOUNCEMENT_BYTES_MAX, NOTICE_BYTES_MAX, STATEMENT_BYTES_MAX
from meshnode.core.statements import is_statement
from meshnode.core.verdicts import Topic, Verdict
from meshnode.runtime.network.budget import Budgets
from meshnode.runtime.network.rpcs import RPC_BYTES_MAX, RpcError, parts_of, read_rpcs

HEADS_TOPIC: Final = Topic.HEADS.value
TOPICS: Final = tuple(topic.value for topic in Topic)
MESSAGE_BYTES_MAX: Final = {
    Topic.HEADS.value: ANNOUNCEMENT_BYTES_MAX,
    Topic.STATEMENTS.value: NOTICE_BYTES_MAX,
    Topic.CLAIMS.value: STATEMENT_BYTES_MAX,
}
MESSAGES_PER_SECOND: Final = 20.0  # of one forwarder; a mesh of 10,000 peers sees one a second
MESSAGES_BURST: Final = 200.0  # what a peer forwards at once after a partition heals
PARTS_PER_SECOND: Final = 500.0  # of its RPCs; an honest peer sends some ten a heartbeat
PARTS_BURST: Final = 10_000.0  # beyond that it is disconnected
QUEUED_RPCS_MAX: Final = 1024  # for one peer; at the library's 32 a burst is lost
TOLD_AT_ONCE_MAX: Final = 256  # messages waiting for the node; more are dropped, sync repairs it
REJECTED_WEIGHT: Final = 1.0
REJECTED_MAX: Final = 5.0  # more than this from one peer, and it is not listened to for a while
REJECTED_DECAY: Final = 0.99  # a heartbeat: half is forgotten in about 70 s

_DEGREE, _DEGREE_LOW, _DEGREE_HIGH = 6, 4, 10

_log = structlog.get_logger()

Judge = Callable[[bytes], Verdict]
Hear = Callable[[ID, bytes], Awaitable[None]]

# The queue's size is no argument of anything: Pubsub makes its queues by this name.
pubsub_module.RpcQueue = functools.partial(  # type: ignore[attr-defined, assignment]
    RpcQueue, max_size=QUEUED_RPCS_MAX
)


@dataclass(slots=True)
class Heard:
    """Gossip that others sent since the start: messages passed on, and further copies of them."""

    messages: int = 0
    duplicates: int = 0


def message_id(message: rpc_pb2.Message) -> bytes:
    return hashlib.sha256(message.data).digest()


class Gossip(Pubsub):
    """Pubsub on our topics with a three-way verdict.

    ACCEPT: heard, and forwarded. IGNORE: nothing happens, and the same bytes are judged anew when
    they come again. REJECT: heard, so that the node blames the forwarder; scored, not forwarded.
    """

    def __init__(self, host: IHost, router: Router, judge: Judge, hear: Hear, heard: Heard) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            msg_id_constructor=message_id,
            max_inbound_rpc_size=RPC_BYTES_MAX,
            allowed_topics=set(TOPICS),
        )
        # The library counts from the second of its start: after a quick restart it would repeat
        # the numbers of messages that others remember.
        self.counter = time.time_ns()
        self._router = router
        self._judge = judge
        self._hear = hear
        self._heard = heard
        self._telling = 0
        self._budgets: Budgets[ID] = Budgets(MESSAGES_PER_SECOND, MESSAGES_BURST)
        self._floods: Budgets[ID] = Budgets(PARTS_PER_SECOND, PARTS_BURST)

    async def stream_handler(self, stream: INetStream) -> None:
        """Read a peer's gossip; one that sends what is no gossip, or a flood, is disconnected."""
        peer = stream.muxed_conn.peer_id
        try:
            async with aclosing(read_rpcs(stream)) as rpcs:
                async for rpc in rpcs:
                    await self._take(peer, rpc)
        except Exception as error:
            _log.info("malformed gossip", peer=str(peer), reason=repr(error))
            await self.host.disconnect(peer)

    async def _take(self, peer: ID, rpc: rpc_pb2.RPC) -> None:
        """See to one RPC. In turn, so that a peer that is faster than we are has to wait."""
        if not self._floods.spend(peer, 1 + parts_of(rpc), trio.current_time()):
            raise RpcError("more gossip than a peer may send")
        for message in rpc.publish:
            await self.push_msg(peer, message)
        for subscription in rpc.subscriptions:
            self.handle_subscription(peer, subscription)
        if rpc.HasField("control"):
            await self._router.handle_rpc(rpc_pb2.RPC(control=rpc.control), peer)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        try:
            await self._push(msg_forwarder, msg)
        except Exception:
            _log.exception("a message could not be handled", peer=str(msg_forwarder))

    def notify_subscriptions(self, publish_message: rpc_pb2.Message) -> None:
        """Do nothing: messages are heard as they are judged, no queue may overflow."""

    def renew(self, peer: ID) -> None:
        """See to a peer that has lost a connection but not its last one.

        If its stream went with the lost one, upstream notices when a write fails: never, in a
        quiet mesh, and until then the two do not hear each other.
        """
        stream = self.peers.get(peer)
        if stream is not None and stream.muxed_conn.is_closed:
            self._handle_dead_peer(peer)

    def _handle_dead_peer(self, peer_id: ID) -> None:
        """Keep what a connected peer subscribed to: it has said so on another stream."""
        topics = [topic for topic, peers in self.peer_topics.items() if peer_id in peers]
        super()._handle_dead_peer(peer_id)
        if self._peer_is_connected(peer_id):
            for topic in topics:
                subscription = rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic)
                self.handle_subscription(peer_id, subscription)

    async def _push(self, forwarder: ID, message: rpc_pb2.Message) -> None:
        if self._is_msg_seen(message):
            self._heard.duplicates += forwarder != self.my_id
            return
        if forwarder != self.my_id and not self._is_listened_to(forwarder):
            return
        match self._verdict(forwarder, message):
            case Verdict.ACCEPT:
                self._mark_msg_seen(message)
                self._heard.messages += forwarder != self.my_id
                await self._tell(forwarder, message)
                await self._router.publish(forwarder, message)
            case Verdict.REJECT:
                self._router.scorer_of_peers.on_invalid_message(forwarder, message.topicIDs[0])
                await self._tell(forwarder, message)
            case Verdict.IGNORE:
                pass

    def _verdict(self, forwarder: ID, message: rpc_pb2.Message) -> Verdict:
        if forwarder == self.my_id:
            return Verdict.ACCEPT
        [topic] = message.topicIDs if len(message.topicIDs) == 1 else [""]
        if topic not in TOPICS or message.from_id == self.my_id.to_bytes():
            return Verdict.IGNORE
        if len(message.data) > MESSAGE_BYTES_MAX[topic] or not signature_validator(message):
            return Verdict.REJECT
        if is_statement(message.data) is not (topic == Topic.CLAIMS.value):
            return Verdict.IGNORE  # peers of version 1 would blame us, who know no statements
        return self._judge(message.data)

    def _is_listened_to(self, forwarder: ID) -> bool:
        if not self._router.scorer_of_peers.allow_publish(forwarder, list(TOPICS)):
            return False
        return self._budgets.spend(forwarder, 1, trio.current_time())

    async def _tell(self, forwarder: ID, message: rpc_pb2.Message) -> None:
        if forwarder == self.my_id:
            return
        if self._telling >= TOLD_AT_ONCE_MAX:
            _log.warning("too much gossip at once: a message is dropped", peer=str(forwarder))
            return
        self._telling += 1
        try:
            await self._hear(forwarder, message.data)
        finally:
            self._telling -= 1


class Router(GossipSub):
    """Gossipsub v1.1 with the settings that work, and its control messages to the right peers."""

    def __init__(self, heartbeat_seconds: float) -> None:
        super().__init__(
            protocols=[PROTOCOL_ID_V11, PROTOCOL_ID],  # v1.2 costs more CPU here than it saves
            degree=_DEGREE,
            degree_low=_DEGREE_LOW,
            degree_high=_DEGREE_HIGH,
            heartbeat_interval=heartbeat_seconds,  # type: ignore[arg-type] # it only sleeps that long
            score_params=_score_params(),
            adaptive_gossip_enabled=False,  # slows the heartbeat when the mesh needs it most
            spam_protection_enabled=False,  # limits our own messages too; `Gossip` has budgets
            eclipse_protection_enabled=False,  # expects several IPs, which a test bed has not
        )
        assert self.scorer is not None
        self.scorer_of_peers = self.scorer
        self.mcache = _MessagesById(self.mcache.window_size, self.mcache.history_size)
        self._wishes: Budgets[ID] = Budgets(MESSAGES_PER_SECOND, MESSAGES_BURST)

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()  # only adaptive gossip would ever shorten it

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        """Send each message that is wanted and here once, however often it is named."""
        wanted = [name for name in dict.fromkeys(iwant_msg.messageIDs) if name in self.mcache.msgs]
        if wanted and self._wishes.spend(sender_peer_id, len(wanted), trio.current_time()):
            wish = rpc_pb2.ControlIWant(messageIDs=wanted)
            await super().handle_iwant(wish, sender_peer_id)

    async def _emit_control_msgs(
        self,
        peers_to_graft: dict[ID, list[str]],
        peers_to_prune: dict[ID, list[str]],
        peers_to_gossip: dict[ID, dict[str, list[bytes]]],
    ) -> None:
        """Send each peer what is meant for it; upstream's lists grow from peer to peer."""
        for peer, topics in peers_to_prune.items():
            for topic in topics:
                self._add_back_off(peer, topic, False)
                await self.emit_prune(topic, peer, self.do_px, False)
        for peer in [*peers_to_graft, *(p for p in peers_to_gossip if p not in peers_to_graft)]:
            grafts = [rpc_pb2.ControlGraft(topicID=t) for t in peers_to_graft.get(peer, ())]
            offers = [
                rpc_pb2.ControlIHave(topicID=topic, messageIDs=ids)
                for topic, ids in peers_to_gossip.get(peer, {}).items()
            ]
            await self.emit_control_message(self.pack_control_msgs(offers, grafts, None), peer)


class _MessagesById(MessageCache):
    """Upstream's cache names messages by (sender, number) whatever id the service uses, so that
    every offer of a message looks like news.
    """

    def put(self, msg: rpc_pb2.Message) -> None:
        name = message_id(msg)
        if name not in self.msgs:
            self.msgs[name] = msg
            self.history[0].append(CacheEntry(name, msg.topicIDs))


def _score_params() -> ScoreParams:
    # Upstream subtracts weight times count, so that the weight is positive, unlike the paper's.
    rejected = TopicScoreParams(weight=REJECTED_WEIGHT, cap=100.0, decay=REJECTED_DECAY)
    threshold = -REJECTED_WEIGHT * REJECTED_MAX
    return ScoreParams(
        p4_invalid_messages=rejected,
        publish_threshold=threshold,
        gossip_threshold=threshold,
        graylist_threshold=threshold,
    )
