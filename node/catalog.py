"""Every type of mount that there is: its engine, and whether it can be mounted.

A table. A type stands here once; what is mountable and has no engine answers 404 below its mount, as clients expect of
types that they may mount and that this program does not have.
Source: Vault API, "sys/mounts", "sys/auth"; docs/api.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .auth.token_engine import TokenEngine
from .engines.kv1 import KvV1
from .engines.kv2 import KvV2
from .engines.system.mounts import MountTypes

if TYPE_CHECKING:
    from .config import Limits
    from .engines.base import Engine

MOUNT_TYPES = MountTypes(
    secrets=frozenset({"kv"}),
    auth=frozenset(),
)


def engines(limits: Limits) -> dict[str, Engine]:
    """The engine of each type but `system`; of `kv` one a version."""
    return {
        "token": TokenEngine(),
        "kv1": KvV1(value_bytes_max=limits.value_bytes),
        "kv2": KvV2(versions_max=limits.versions_max, value_bytes_max=limits.value_bytes),
    }
