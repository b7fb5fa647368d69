"""The settings of a mount as requests give them, for enabling and for tuning.

Pure. Invariants: a time to live is never negative; a setting that is not named does not change.
Source: Vault API, "sys/mounts: config", "sys/mounts/:path/tune".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...auth import lockout_settings
from ...auth.typed_fields import shown, to_names, to_text, to_ttl_s
from ...request import Refusal
from ..durations import DurationError
from ..fields import to_bool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..fields import Given

LISTS = (
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
)
NAMES = frozenset(
    {
        "default_lease_ttl",
        "max_lease_ttl",
        "force_no_cache",
        "listing_visibility",
        "token_type",
        "plugin_version",
        lockout_settings.NAME,
        *LISTS,
    }
)
_VISIBILITIES = frozenset({"", "hidden", "unauth"})
_TOKEN_TYPES = frozenset({"batch", "service", "default-batch", "default-service"})
_SYSTEM = "system"


def ttl_s(text: str) -> int:
    """Seconds; "" and "system" are 0, the system's own. Raises DurationError."""
    seconds = 0 if text == _SYSTEM else to_ttl_s(text)
    if seconds < 0:
        raise DurationError("a lease TTL cannot be negative")
    return seconds


def enabled_config(given: Mapping[str, Given], *, auth: bool, longest_s: int) -> dict[str, Any]:
    """A new mount's configuration; `longest_s` is the system's maximum. Raises FieldError, and Refusal with 400."""
    config: dict[str, Any] = {}
    for name, word in (("default_lease_ttl", "default"), ("max_lease_ttl", "max")):
        text = to_text(name, given.get(name))
        try:
            config[name] = ttl_s(text)
        except DurationError as error:
            raise Refusal(400, f"unable to parse {word} TTL of {shown(text)}: {error}") from None
    default_s, max_s = config["default_lease_ttl"], config["max_lease_ttl"]
    if max_s and default_s > max_s:
        raise Refusal(400, "given default lease TTL greater than given max lease TTL")
    if not max_s and default_s > longest_s:
        raise Refusal(400, f"given default lease TTL greater than system max lease TTL of {longest_s}")
    if "force_no_cache" in given:
        config["force_no_cache"] = to_bool("force_no_cache", given["force_no_cache"])
    config.update(settings(given, auth=auth))
    return config


def tuned_config(config: Mapping[str, Any], given: Mapping[str, Given], *, auth: bool) -> dict[str, Any]:
    """The configuration after a tune. Raises FieldError, and Refusal with 400."""
    tuned = dict(config)
    for name in ("default_lease_ttl", "max_lease_ttl"):
        text = to_text(name, given.get(name))
        if text:
            try:
                tuned[name] = ttl_s(text)
            except DurationError as error:
                raise Refusal(400, str(error)) from None
    default_s, max_s = int(tuned.get("default_lease_ttl") or 0), int(tuned.get("max_lease_ttl") or 0)
    if max_s and default_s > max_s:
        raise Refusal(
            400,
            f"backend max lease TTL of {max_s} would be less than backend default lease TTL of {default_s}",
        )
    tuned.update(settings(given, auth=auth))
    if lockout_settings.NAME in given:
        lockout = lockout_settings.tuned(tuned.get(lockout_settings.NAME) or {}, given[lockout_settings.NAME])
        tuned[lockout_settings.NAME] = lockout
    return tuned


def settings(given: Mapping[str, Given], *, auth: bool) -> dict[str, Any]:
    """The named settings beside the times to live. Raises FieldError, and Refusal with 400."""
    named: dict[str, Any] = {name: to_names(name, given[name]) for name in LISTS if name in given}
    if "listing_visibility" in given:
        visibility = to_text("listing_visibility", given["listing_visibility"])
        if visibility not in _VISIBILITIES:
            raise Refusal(400, f"invalid listing_visibility {shown(visibility)}")
        named["listing_visibility"] = visibility
    token_type = to_text("token_type", given.get("token_type"))
    if token_type:
        if not auth:
            raise Refusal(400, "'token_type' can only be modified on auth mounts")
        if token_type not in _TOKEN_TYPES:
            raise Refusal(400, f"invalid value for 'token_type': {shown(token_type)}")
        named["token_type"] = token_type
    return named
