"""Big removals, and what has expired: transactions that whoever leads decides from state alone.

Pure. An unmount of 100,000 secrets is one small fact that makes them unreachable at once (the mount is gone; a token
is valid only while every ancestor is; a lease issued before its prefix was revoked is dead), and a Sweep record.
From then on each step removes up to `limit` records, until the last one removes the Sweep record too.

Kinds, and their targets
  mount   a mount uuid; its secrets and its entries go
  token   a token's key, whose record is gone; its descendants and their accessors go
  lease   a folder of lease ids (ends in "/", or is empty for all); leases issued until the sweep's `time_ns` go

Invariants
  W1  a step is decided only on a Sweep record that is applied and that nothing pending changes: so everything
      proposed before the removal is in the state, and one step of a sweep is in flight at a time
  W2  nothing reachable is removed: a target that is alive ends its sweep
  W3  descendants go before their parents, or the path to those left would be lost
  W4  every record that had to be read is expected at the index at which it was read
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from . import records
from .indexes import LEASE, TOKEN
from .removal import Removal
from .slots import METADATA
from .tables import RECORDS_MAX, VERSION_BYTES, Table, version_key
from .view import View, look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .machine import State
    from .transaction import Draft

MOUNT_KIND = "mount"
TOKEN_KIND = "token"  # noqa: S105 - the name of a kind of sweep
LEASE_KIND = "lease"
LIMIT = RECORDS_MAX - 1
LEASES_PASSED_MAX = 2_000  # living leases that one step looks at: a step is a few milliseconds
