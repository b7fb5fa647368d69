"""The mount table: which mount a path belongs to, and how a mount is described.

Pure. Invariant: a request belongs to the mount with the longest path that is a prefix of it, by whole segments; two
mounts never lie inside each other (`mounts` refuses it), except below `auth/`, which is one table of its own.
Source: Vault API, "sys/mounts", "sys/auth".
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from cluster import Mount, Table, View, look, records

from ...auth import lockout_settings

AUTH = "auth/"
RUNNING_VERSION = "v0.1.0+builtin"
LOGINS_MAKE = "default-service"  # where nothing was set
_NOT_IN_CATALOG = frozenset({"cubbyhole", "identity", "system", "token"})
_SHOWN_LISTS = (
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
)
_AUTH_ACCESSOR = "auth_"


def find_mount(view: View, path: str) -> tuple[str, int, Mount] | None:
    """(mount path with its slash, index, record) for a request path, or None; `foo` belongs to a mount `foo/`."""
    candidate = path if path.endswith("/") else f"{path}/"
    while candidate:
        found = look(view, Table.MOUNT, Mount, candidate.encode())
        if found is not None:
            return candidate, *found
        candidate = candidate[: candidate.rfind("/", 0, -1) + 1]
    return None


def mounts(view: View, *, auth: bool) -> list[tuple[str, Mount]]:
    """Every secrets engine (or auth method) with its path as the API names it ("secret/", "token/"), sorted."""
    found = []
    for key, _, record in view.items(Table.MOUNT):
        path = key.decode()
        if path.startswith(AUTH) == auth:
            found.append((path.removeprefix(AUTH) if auth else path, records.decode(Mount, record)))
    return sorted(found, key=lambda pair: pair[0])


def describe(mount: Mount) -> dict[str, Any]:
    """What lists and reads of mounts say about one."""
    description: dict[str, Any] = {
        "accessor": mount.accessor,
        "config": shown_config(mount),
        "description": mount.description,
        "external_entropy_access": mount.external_entropy_access,
        "local": mount.local,
        "options": mount.options,
        "plugin_version": "",
        "running_plugin_version": RUNNING_VERSION,
        "running_sha256": "",
        "seal_wrap": mount.seal_wrap,
        "type": mount.type,
        "uuid": str(UUID(bytes=mount.uuid)),
    }
    if mount.type not in _NOT_IN_CATALOG:
        description["deprecation_status"] = "supported"
    return description


def shown_config(mount: Mount) -> dict[str, Any]:
    """The mount's configuration as it was set: 0 for a time to live that it does not set itself."""
    config: dict[str, Any] = {
        "default_lease_ttl": int(mount.config.get("default_lease_ttl") or 0),
        "force_no_cache": bool(mount.config.get("force_no_cache")),
        "max_lease_ttl": int(mount.config.get("max_lease_ttl") or 0),
    }
    config.update(shown_settings(mount))
    lockout = lockout_settings.shown(mount)
    return config | ({lockout_settings.NAME: lockout} if lockout else {})


def shown_settings(mount: Mount) -> dict[str, Any]:
    """The settings that are shown only where they are set; what tokens its logins make, every auth method says."""
    shown = {name: mount.config[name] for name in (*_SHOWN_LISTS, "listing_visibility") if mount.config.get(name)}
    if mount.accessor.startswith(_AUTH_ACCESSOR):
        shown["token_type"] = mount.config.get("token_type") or LOGINS_MAKE
    return shown


def new_accessor(type_: str, fresh: bytes, *, auth: bool) -> str:
    """The accessor of a mount, from 4 fresh random bytes: "kv_1a2b3c4d", "auth_token_1a2b3c4d"."""
    return f"{_AUTH_ACCESSOR if auth else ''}{type_}_{fresh.hex()}"
