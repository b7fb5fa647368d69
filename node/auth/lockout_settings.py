"""When a name is locked out: what a mount says of it, as tuned, as shown and as it takes effect.

Pure. Invariant: what is stored has passed the checks; what a mount does not say is Vault's default.
Source: Vault API, "sys/auth: tune" (user_lockout_config); Vault concepts, "User lockout".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..engines.durations import DurationError
from ..engines.fields import Given, to_bool, to_int, to_object
from ..engines.json_values import object_fields
from ..request import Refusal
from .typed_fields import to_text, to_ttl_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster import Mount

NAME = "user_lockout_config"
TYPES = frozenset({"approle", "ldap", "userpass"})  # auth methods whose names can be locked
THRESHOLD, DURATION_S, COUNTER_RESET_S = 5, 900, 900
THRESHOLD_MAX = 2**31 - 1
DURATION_S_MAX = 315_576_000  # ten years
_SECONDS = ("lockout_duration", "lockout_counter_reset")


@dataclass(frozen=True, slots=True)
class Settings:
    """As they take effect."""

    threshold: int = THRESHOLD
    duration_s: int = DURATION_S
    counter_reset_s: int = COUNTER_RESET_S
    disabled: bool = False


_DEFAULT = Settings()


def settings_of(mount: Mount | None) -> Settings:
    """What the mount says, with the defaults."""
    config = (mount.config if mount is not None else {}).get(NAME)
    if not config:
        return _DEFAULT
    return Settings(
        threshold=config.get("lockout_threshold") or THRESHOLD,
        duration_s=config.get("lockout_duration") or DURATION_S,
        counter_reset_s=config.get("lockout_counter_reset") or COUNTER_RESET_S,
        disabled=bool(config.get("lockout_disable")),
    )


def check_type(type_: str) -> None:
    """Raises Refusal with 400 for a type of mount that has no names to lock."""
    if type_ not in TYPES:
        raise Refusal(400, f'tuning of user lockout configuration for auth type "{type_}" not allowed')


def tuned(config: Mapping[str, Any], given: Given) -> dict[str, Any]:
    """The stored settings with those of the object replaced; 0 is the default. Raises FieldError, Refusal."""
    found = to_object(NAME, given)
    fields = {} if found is None else object_fields(found)
    new = dict(config)
    if "lockout_threshold" in fields:
        threshold = to_int("lockout_threshold", fields["lockout_threshold"])
        if not 0 <= threshold <= THRESHOLD_MAX:
            raise Refusal(400, "invalid lockout threshold")
        new["lockout_threshold"] = threshold
    for name in _SECONDS:
        if name in fields:
            new[name] = _seconds(name, to_text(name, fields[name]))
    if "lockout_disable" in fields:
        new["lockout_disable"] = to_bool("lockout_disable", fields["lockout_disable"])
    return new


def shown(mount: Mount) -> dict[str, Any]:
    """The settings as reads of a mount show them; {} where the mount says nothing."""
    if not mount.config.get(NAME):
        return {}
    settings = settings_of(mount)
    return {
        "user_lockout_counter_reset_duration": settings.counter_reset_s,
        "user_lockout_disable": settings.disabled,
        "user_lockout_duration": settings.duration_s,
        "user_lockout_threshold": settings.threshold,
    }


def _seconds(name: str, text: str) -> int:
    try:
        seconds = to_ttl_s(text)
    except DurationError:
        seconds = -1
    if seconds < 0:
        raise Refusal(400, f"invalid value for {name}")
    return min(seconds, DURATION_S_MAX)
