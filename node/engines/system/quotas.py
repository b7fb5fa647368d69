"""Rate limits as records: sys/quotas/rate-limit and sys/quotas/config.

Pure. What is stored here is enforced by `node.quotas`, which follows it on every node.
Invariants
  Q1  a stored quota has an interval above zero, lets a request pass in the longest interval, and blocks for no longer
      than BLOCK_S_MAX; no two of them speak of the same path
  Q2  `path` is "" (everything), a mount with its slash, an endpoint below one, or such a beginning with a final `*`
Source: Vault API, "sys/quotas/rate-limit", "sys/quotas/config"; `group_by` is Vault's, its value `token` is ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft

from ...auth.typed_fields import shown, to_names, to_text
from ...request import Answer, RawRequest, Refusal
from .. import entries
from ..base import Context, Plan
from ..fields import parameters, to_bool, to_seconds
from .mount_table import find_mount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..fields import Given
    from .routes import Captures

FIELDS = frozenset({"path", "rate", "interval", "block_interval", "role", "inheritable", "group_by", "name", "type"})
CONFIG_FIELDS = frozenset(
    {"rate_limit_exempt_paths", "enable_rate_limit_audit_logging", "enable_rate_limit_response_headers"}
)
FOLDER = "quotas/"
LIMITS = "quotas/rate-limit/"
CONFIG = "quotas/config"
QUOTAS_MAX = 1000
RATE_MAX = 1e9
INTERVAL_S_MAX = 366 * 86_400
BLOCK_S_MAX = 86_400
GROUPS = frozenset({"ip", "token", "none"})
"""Whose requests share one allowance: those of a client address, of a token, all of them."""
EXEMPT_PATHS = [
    "sys/generate-recovery-token/attempt",
    "sys/generate-recovery-token/update",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/health",
    "sys/seal-status",
    "sys/unseal",
]


class RateLimit(msgspec.Struct, array_like=True):
    """At most `rate` requests an interval, for each of the group. New fields go to the end, with a default."""

    path: str = ""
    rate: float = 1.0
    interval_s: int = 1
    block_s: int = 0  # how long whoever exceeds it gets nothing at all
    inheritable: bool = False
    group_by: str = "ip"


class QuotaConfig(msgspec.Struct, array_like=True):
    """What holds for all quotas. New fields go to the end, with a default."""

    exempt_paths: list[str] = msgspec.field(default_factory=EXEMPT_PATHS.copy)
    audited: bool = False  # whether refusals by a quota are audited
    shown: bool = False  # whether answers say how much is left


def all_limits(context: Context) -> Iterator[tuple[str, entries.Found[RateLimit]]]:
    """(name, quota), sorted by name."""
    return entries.walk(context, LIMITS, RateLimit)


def config_of(context: Context) -> QuotaConfig:
    """What was configured, or what holds without it."""
    found = entries.find(context, CONFIG, QuotaConfig)
    return QuotaConfig() if found is None else found.value


def move(context: Context, draft: Draft, source: str, target: str) -> None:
    """The draft, which moves a mount, moves the quotas on it and below it."""
    for name, found in all_limits(context):
        if found.value.path.startswith(source):
            moved = msgspec.structs.replace(found.value, path=target + found.value.path[len(source) :])
            entries.put(context, draft, LIMITS + name, moved, found)


def remove(context: Context, draft: Draft, path: str) -> None:
    """The draft, which unmounts what is at the path, removes the quotas on it and below it."""
    for name, found in all_limits(context):
        if found.value.path.startswith(path):
            entries.drop(context, draft, LIMITS + name, found)


def read_list(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The names; 404 without any."""
    names = entries.names(context, LIMITS)
    if not names:
        raise Refusal(404)
    return Answer(data={"keys": names})


def read_limit(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """One quota."""
    name = captures["name"]
    found = entries.find(context, LIMITS + name, RateLimit)
    if found is None:
        raise Refusal(404)
    quota = found.value
    data: dict[str, Any] = {
        "block_interval": quota.block_s,
        "inheritable": quota.inheritable,
        "interval": quota.interval_s,
        "name": name,
        "path": quota.path,
        "rate": int(quota.rate) if quota.rate.is_integer() else quota.rate,
        "role": "",
        "type": "rate-limit",
    }
    if quota.group_by != "ip":
        data["group_by"] = quota.group_by
    return Answer(data=data)


def decide_limit(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The quota holds, on every node; what is not given is as in a new one."""
    quota, name = _quota(context, parameters(request)), captures["name"]
    others = [(other, found) for other, found in all_limits(context) if other != name]
    for other, found in others:
        if found.value.path == quota.path:
            raise Refusal(400, f'quota rule with similar properties exists under the name "{other}"')
    if len(others) >= QUOTAS_MAX:
        raise Refusal(400, f"there are {QUOTAS_MAX} quotas, more than can be looked at for each request")
    draft = Draft()
    entries.put(context, draft, LIMITS + name, quota, entries.find(context, LIMITS + name, RateLimit))
    return Plan(Answer(), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The quota is gone; 204 also where there is none."""
    draft = Draft()
    found = entries.find(context, LIMITS + captures["name"], RateLimit)
    if found is not None:
        entries.drop(context, draft, LIMITS + captures["name"], found)
    return Plan(Answer(), draft)


def read_config(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """What holds for all quotas."""
    config = config_of(context)
    data = {
        "absolute_rate_limit_exempt_paths": [],
        "enable_rate_limit_audit_logging": config.audited,
        "enable_rate_limit_response_headers": config.shown,
        "rate_limit_exempt_paths": config.exempt_paths,
    }
    return Answer(data=data)


def decide_config(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """What is named has changed, the rest stays; the list of exempt paths is replaced."""
    given = parameters(request)
    found = entries.find(context, CONFIG, QuotaConfig)
    config = QuotaConfig() if found is None else found.value
    if "rate_limit_exempt_paths" in given:
        names = to_names("rate_limit_exempt_paths", given["rate_limit_exempt_paths"])
        config.exempt_paths = sorted({name.lstrip("/") for name in names} - {""})
    for name, field in (
        ("enable_rate_limit_audit_logging", "audited"),
        ("enable_rate_limit_response_headers", "shown"),
    ):
        if name in given:
            setattr(config, field, to_bool(name, given[name]))
    draft = Draft()
    entries.put(context, draft, CONFIG, config, found)
    return Plan(Answer(), draft)


def _quota(context: Context, given: Mapping[str, Given]) -> RateLimit:
    """Q1, Q2. Raises FieldError, and Refusal with Vault's texts."""
    rate = _rate(to_text("rate", given.get("rate")))
    interval_s = to_seconds("interval", given.get("interval", "0"), signed=True) or 1
    block_s = to_seconds("block_interval", given.get("block_interval", "0"), signed=True)
    if not 0 < interval_s <= INTERVAL_S_MAX:
        raise Refusal(400, "'interval' is invalid")
    if rate * INTERVAL_S_MAX < interval_s:  # less than one request in the longest interval
        raise Refusal(400, "'rate' is invalid")
    if not 0 <= block_s <= BLOCK_S_MAX:
        raise Refusal(400, "'block' is invalid")
    if to_text("role", given.get("role")):
        raise Refusal(400, "quotas on the logins of one role are not supported")
    group_by = to_text("group_by", given.get("group_by")) or "ip"
    if group_by not in GROUPS:
        raise Refusal(400, "'group_by' must be ip, token or none")
    path = _path(context, to_text("path", given.get("path")))
    inheritable = to_bool("inheritable", given["inheritable"]) if "inheritable" in given else not path
    if inheritable and path:
        raise Refusal(400, "only namespace quotas can be configured as inheritable")
    return RateLimit(path, rate, interval_s, block_s, inheritable, group_by)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not (math.isfinite(rate) and 0 < rate <= RATE_MAX):
        raise Refusal(400, "'rate' is invalid")
    return rate


def _path(context: Context, given: str) -> str:
    path = given.strip("/")
    if not path:
        return ""
    found = find_mount(context.view, path)
    if found is None:
        raise Refusal(400, f'invalid mount path "{shown(path + "/")}"')
    below = path[len(found[0]) :]
    if "*" in below[:-1]:
        raise Refusal(400, "a * stands at the end of a path only")
    return found[0] + below
