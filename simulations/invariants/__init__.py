"""Independent checkers of the protocol's invariants (protocol design, "Invariants").

They look at disks, indexes, events and effects, and at the ledger of what was really signed; they
decode and verify nothing with the code under test. Safety is checked at every step of every peer,
liveness once after the last heal. One that never sees its subject proves nothing: each says how
often it did.
"""

from simulations.invariants.addresses import check_connection
from simulations.invariants.bounds import Bounds
from simulations.invariants.claims import check_claims
from simulations.invariants.downloads import check_downloads
from simulations.invariants.erasures import check_erased
from simulations.invariants.liveness import check_liveness, is_settled
from simulations.invariants.logs import Logs
from simulations.invariants.roots import Roots
from simulations.invariants.snapshots import Snapshots
from simulations.invariants.times import Newcomer, Propagation, check_quiet
from simulations.invariants.verdicts import TITLES, Verdicts, Violation
from simulations.invariants.visibility import Visibility

__all__ = [
    "TITLES",
    "Bounds",
    "Logs",
    "Newcomer",
    "Propagation",
    "Roots",
    "Snapshots",
    "Verdicts",
    "Violation",
    "Visibility",
    "check_claims",
    "check_connection",
    "check_downloads",
    "check_erased",
    "check_liveness",
    "check_quiet",
    "is_settled",
]
