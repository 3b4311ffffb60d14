"""What loss costs on a stream: TCP sends a lost segment again, so loss is a delay, and no gap.

After RFC 5681 (fast retransmit) and RFC 6298 (the timer), as coarse as a message can be: its
segments are sent at once, and the unluckiest decides. If three others follow it, as in a long
transfer, the first loss costs a round trip; else, and whenever the segment sent again is lost too,
the timer runs out, and doubles. Left out: what the loss of a window's last segments adds, slow
start after it, and other messages of the connection that wait behind the gap.
"""

from __future__ import annotations

import math

SEGMENT_BYTES = 1400  # an Ethernet frame without headers
DUPLICATES_MIN = 3  # later segments that arrive before one counts as lost (RFC 5681 §3.2)
TIMEOUT_SECONDS_MIN = 1.0  # RFC 6298 §2.4
STALL_SECONDS_MAX = 30.0  # whoever waits for the next bytes gives up then, as in the runtime


def resends(luck: float, size_bytes: int, loss: float) -> int:
    """Return how often the unluckiest segment of a message has to be sent again.

    `luck` is drawn evenly from [0, 1), the larger the worse; `loss` is the share of segments lost,
    each for itself. None of n needs more than k resends with probability (1 - loss^(k+1))^n.
    """
    segments = 1 + size_bytes // SEGMENT_BYTES
    if luck <= (1.0 - loss) ** segments:
        return 0
    unlucky = -math.expm1(math.log(luck) / segments)  # of one segment, so that all have `luck`
    return max(1, math.ceil(math.log(unlucky) / math.log(loss)) - 1)


def stall_seconds(resends: int, size_bytes: int, round_trip_seconds: float) -> float:
    """Return how much later a message arrives whose unluckiest segment was sent again so often."""
    # The timer after the first measured round trip R: R + 4 * R/2 (RFC 6298 §2.2).
    timeout = max(TIMEOUT_SECONDS_MIN, 3.0 * round_trip_seconds)
    if resends and size_bytes > DUPLICATES_MIN * SEGMENT_BYTES:
        return round_trip_seconds + timeout * (2.0 ** (resends - 1) - 1.0)
    return timeout * (2.0**resends - 1.0)
