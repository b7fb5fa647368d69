"""The facts every cluster begins with: the mounts that are always there, and the default policy.

Pure. Invariant: what is built here is what disabling refuses to remove.
Source: Vault API, "sys/mounts", "sys/auth", "Built-in policies".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import Mount, Policy, Record, Table

from ...policy import builtin
from .mount_table import new_accessor

if TYPE_CHECKING:
    from collections.abc import Callable

_BUILTIN: dict[str, dict[str, Any]] = {
    "cubbyhole/": {"type": "cubbyhole", "description": "per-token private secret storage", "local": True},
    "identity/": {
        "type": "identity",
        "description": "identity store",
        "config": {"passthrough_request_headers": ["Authorization"]},
    },
    "sys/": {
        "type": "system",
        "description": "system endpoints used for control, policy and debugging",
        "seal_wrap": True,
        "config": {"passthrough_request_headers": ["Accept"]},
    },
    "auth/token/": {
        "type": "token",
        "description": "token based credentials",
        "config": {"token_type": "default-service"},
    },
}
_DEV = {
    "secret/": {"type": "kv", "description": "key/value secret storage", "options": {"version": "2"}},
}


def bootstrap_records(
    now_ns: int, random: Callable[[int], bytes], *, dev: bool = False
) -> list[tuple[Table, bytes, Record]]:
    """(table, key, record) of every fact a new cluster needs; `dev` also mounts KV v2 at secret/."""
    facts: list[tuple[Table, bytes, Record]] = []
    for path, fields in (_BUILTIN | (_DEV if dev else {})).items():
        accessor = new_accessor(fields["type"], random(4), auth=path.startswith("auth/"))
        mount = Mount(uuid=random(16), accessor=accessor, created_ns=now_ns, **fields)
        facts.append((Table.MOUNT, path.encode(), mount))
    default = Policy(text=builtin.DEFAULT_TEXT, modified_ns=now_ns)
    facts.append((Table.POLICY, builtin.DEFAULT.encode(), default))
    return facts
