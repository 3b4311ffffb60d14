"""Topics of gossip, the checks that a record passes, and the three-way verdict on a message."""

from __future__ import annotations

from enum import Enum


class Topic(Enum):
    """The topics of gossip; what a message is its first bytes say.

    Peers of version 1 know no signed statements: these have a topic of their own.
    """

    HEADS = "/meshnode/heads/1"
    STATEMENTS = "/meshnode/statements/1"
    CLAIMS = "/meshnode/statements/2"


class Check(Enum):
    """The checks of protocol/04-log-and-trust.md, "Order of checks": every refusal names one."""

    FRAME = "frame"  # length, byte budget, shape of a frame
    ENCODING = "encoding"  # strict decoding, schema, limits
    ROOT = "root chain"
    SIGNATURE = "signature"
    CHAIN = "head chain"  # prev links, seq, monotone root version
    TREE = "tree hash"
    CLOCK = "clock"
    CONTENT_HASH = "content hash"
    SEGMENT = "segment content"


class Verdict(Enum):
    """The three-way answer to gossip: only REJECT counts against the forwarder."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"
