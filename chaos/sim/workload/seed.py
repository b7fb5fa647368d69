"""What a simulated cluster begins with: mounts, policies, tokens, and how they are called.

Every name, token and value that clients use contains MARKER, so that one can be found where it must not be.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING

from cluster.state import records
from cluster.state.tables import Table
from cluster.values import ValueSealing
from node.auth.tokens import new_secret, root_token_records
from node.engines.system.bootstrap import bootstrap_records

from ..checks import MARKER as EVERYWHERE
from ..world import SimRandom

if TYPE_CHECKING:
    from cluster.keyring.sealing import Sealer
    from cluster.state.transaction import Draft

MARKER = EVERYWHERE.decode()
EPOCH_NS = 1_700_000_000_000_000_000  # where the world's wall clocks begin
ROOT = f"hvs.{MARKER}-root"
FIRST_TOKENS = {f"hvs.{MARKER}-app-{number}": "app" for number in range(3)} | {f"hvs.{MARKER}-reader": "reader"}
POLICIES = {
    "app": f"""
path "secret/data/{MARKER}*" {{ capabilities = ["create", "read", "update", "patch", "delete"] }}
path "secret/metadata/*" {{ capabilities = ["create", "read", "update", "delete", "list"] }}
path "secret/delete/*" {{ capabilities = ["update"] }}
path "secret/undelete/*" {{ capabilities = ["update"] }}
path "secret/destroy/*" {{ capabilities = ["update"] }}
path "auth/token/create" {{ capabilities = ["update"] }}
""",
    "reader": """
path "secret/data/*" { capabilities = ["read"] }
path "secret/metadata/*" { capabilities = ["read", "list"] }
path "auth/token/create" { capabilities = ["update"] }
""",
}


@lru_cache(maxsize=1)
def facts(seed: int) -> list[tuple[Table, bytes, records.Record]]:
    """Mounts, policies and their texts, the same for every member of a run."""
    source = SimRandom(random.Random(f"facts {seed}"))
    found = bootstrap_records(EPOCH_NS, source.bytes, dev=True)
    found += [
        (Table.POLICY, name.encode(), records.Policy(text=text, modified_ns=EPOCH_NS))
        for name, text in POLICIES.items()
    ]
    return found


def add_facts(seed: int, sealer: Sealer, draft: Draft) -> int:
    """The draft of entry 1 says what the workload needs; its time is where the world's wall clocks begin."""
    source = SimRandom(random.Random(f"tokens {seed}"))
    sealing = ValueSealing(sealer)
    for table, key, record in facts(seed):
        draft.put(table, key, record)
    for table, key, record in root_token_records(ROOT, sealing, EPOCH_NS, source.bytes):
        draft.put(table, key, record)
    for raw, policy in FIRST_TOKENS.items():
        accessor = new_secret(source.bytes).encode()
        key = sealing.token_hash(raw)
        token = records.Token(accessor=accessor, policies=sorted([policy, "default"]), created_ns=EPOCH_NS)
        draft.put(Table.TOKEN, key, token)
        draft.put(Table.ACCESSOR, accessor, records.Accessor(token=key))
    return EPOCH_NS


def mount_uuid(seed: int) -> bytes:
    """Of `secret/`."""
    mounts = {key: record for table, key, record in facts(seed) if table == Table.MOUNT}
    mount = mounts[b"secret/"]
    assert isinstance(mount, records.Mount)
    return mount.uuid
