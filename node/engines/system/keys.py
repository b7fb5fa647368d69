"""What can be read and set of key terms: `sys/key-status` and `sys/rotate/config`. Rotating itself is node/rotation.py.

Pure: the keyring's numbers come in. How keys rotate by themselves is a fact in the state, so that every leader does
the same. Invariant: what is not said is the default, and only a change is stored.
Source: Vault API, "sys/key-status", "sys/rotate/config"; docs/threat-model.md, nonces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from cluster import Draft, Fact, Record, Table, look, records

from ...request import Answer, Operation, RawRequest, Refusal
from ..base import Plan
from ..fields import parameters, to_bool, to_int, to_seconds
from ..instants import rfc3339
from .routes import Route

if TYPE_CHECKING:
    from cluster import View

    from ..base import Context
    from .routes import Captures

HOUR_S = 3600
INTERVAL_MIN_S = 24 * HOUR_S
INTERVAL_S = 90 * 24 * HOUR_S
OPERATIONS_MIN = 1_000_000
OPERATIONS_MAX = 3_865_470_566  # nine tenths of 2^32: a salt of our own lives for 2^30 seals of each process
FACT = b"rotate-config"
FIELDS = frozenset({"enabled", "interval", "max_operations"})


class RotateConfig(Record):
    """When keys rotate by themselves. `interval_s` 0: not by time. New fields go to the end, with a default."""

    enabled: bool = True
    interval_s: int = INTERVAL_S
    max_operations: int = OPERATIONS_MAX

    def is_due(self, status: KeyStatus, now_ns: int) -> bool:
        """Whether the active key term has served its time."""
        if not self.enabled:
            return False
        age_s = (now_ns - status.installed_ns) / 1e9
        return 0 < self.interval_s <= age_s or status.encryptions >= self.max_operations


class KeyStatus(NamedTuple):
    """The active key term: its number, when it was made, and how often this process sealed with it."""

    term: int
    installed_ns: int
    encryptions: int


class Keys(Protocol):
    """What the node knows of the keyring in use."""

    def status(self) -> KeyStatus:
        """Of the active key term."""
        ...


def rotate_config(view: View) -> tuple[int, RotateConfig]:
    """(index of the fact, 0 without one; what it says). A fact that cannot be read says nothing."""
    found = look(view, Table.FACT, Fact, FACT)
    if found is None:
        return 0, RotateConfig()
    return found[0], records.readable(RotateConfig, found[1].data) or RotateConfig()


class KeyRoutes:
    """The handlers."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def decide_status(self, _context: Context, _request: RawRequest, _captures: Captures) -> Plan:
        """sys/key-status, of the leader: another node may have applied a rotation and not use it yet."""
        status = self._keys.status()
        data = {
            "term": status.term,
            "install_time": rfc3339(status.installed_ns),
            "encryptions": status.encryptions,
        }
        return Plan(Answer(data=data, inject=True))

    def read_config(self, context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """sys/rotate/config."""
        _, config = rotate_config(context.view)
        return Answer(
            data={
                "enabled": config.enabled,
                "interval": config.interval_s,
                "max_operations": config.max_operations,
            }
        )

    def decide_config(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """What is not given stays. Raises Refusal, FieldError."""
        index, config = rotate_config(context.view)
        given = parameters(request)
        if "enabled" in given:
            config = msgspec.structs.replace(config, enabled=to_bool("enabled", given["enabled"]))
        if "interval" in given:
            interval_s = to_seconds("interval", given["interval"], signed=False)
            if 0 < interval_s < INTERVAL_MIN_S:
                raise Refusal(400, "interval must be greater or equal to 24h0m0s")
            config = msgspec.structs.replace(config, interval_s=interval_s)
        if "max_operations" in given:
            most = to_int("max_operations", given["max_operations"])
            if not OPERATIONS_MIN <= most <= OPERATIONS_MAX:
                raise Refusal(400, f"max_operations must be in the range [{OPERATIONS_MIN}, {OPERATIONS_MAX}]")
            config = msgspec.structs.replace(config, max_operations=most)
        draft = Draft()
        draft.expect(Table.FACT, FACT, index)
        data = records.encode(config)
        draft.put(Table.FACT, FACT, Fact(time_ns=context.now_ns, text="when keys rotate by themselves", data=data))
        return Plan(Answer(), draft)


def key_routes(keys: Keys) -> tuple[Route, ...]:
    """For the table of `sys/`."""
    handlers = KeyRoutes(keys)
    return (
        Route(
            "key-status",
            decisions={Operation.READ: handlers.decide_status},
            help="Number and age of the active key term, and how often it was used.",
        ),
        Route(
            "rotate/config",
            reads={Operation.READ: handlers.read_config},
            decisions={Operation.UPDATE: handlers.decide_config},
            fields=FIELDS,
            help="When the keys rotate by themselves.",
        ),
    )
