"""Mounting, unmounting and tuning of secrets engines and auth methods.

Pure. Invariants
  N1  no mount lies inside another of its table, and none takes a path that is the system's own
  N2  disabling is one small fact however much is stored: the mount record goes, and with it every way to its uuid;
      the sweep removes the rest. A new mount at the same path has a new uuid and sees nothing of the old one
  N3  KV version 1 and 2 share their records: an upgrade is one changed option, effective at once
Source: Vault API, "sys/mounts", "sys/auth".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import Draft, Mount, Table, look, records, sweeps

from ...auth import lockout_settings
from ...auth.token_ttl import SYSTEM_TTL_S, mount_ttls_s
from ...auth.typed_fields import to_pairs, to_text
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import Given, parameters, to_bool, to_object
from ..json_values import object_fields
from . import mount_config, quotas
from .bootstrap import bootstrap_records
from .mount_table import AUTH, describe, mounts, new_accessor, shown_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .routes import Captures

__all__ = ["FIELDS", "TUNE_FIELDS", "MountTypes", "Mounts", "bootstrap_records"]

FIELDS = frozenset(
    {
        "type",
        "description",
        "config",
        "options",
        "local",
        "seal_wrap",
        "external_entropy_access",
        "plugin_name",
        "plugin_version",
    }
)
TUNE_FIELDS = frozenset({"description", "options"}) | mount_config.NAMES
RESERVED = ("audit/", "auth/", "cubbyhole/", "identity/", "strongroom/", "sys/")
_SINGLETONS = frozenset({"cubbyhole", "identity", "system", "token"})
_ALIASES = {"kv-v1": ("kv", "1"), "kv-v2": ("kv", "2"), "generic": ("kv", "")}
_VERSIONS = frozenset({"", "1", "2"})
_UPGRADING = (
    "Upgrading mount from version {} to version {}. This mount will be unavailable for a brief period and will resume "
    "service shortly."
)


@dataclass(frozen=True, slots=True)
class MountTypes:
    """Which types may be mounted: those this node has engines for."""

    secrets: frozenset[str] = frozenset({"kv"})
    auth: frozenset[str] = frozenset()


class Mounts:
    """Handlers of sys/mounts (`auth` false) or sys/auth (true)."""

    def __init__(self, types: frozenset[str], *, auth: bool) -> None:
        self._types = types
        self._auth = auth
        self._prefix = AUTH if auth else ""

    def read_list(self, context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """Every mount by its path."""
        listed = {path: describe(mount) for path, mount in mounts(context.view, auth=self._auth)}
        return Answer(data=listed, inject=True)

    def read_one(self, context: Context, _request: RawRequest, captures: Captures) -> Answer:
        """One mount."""
        path = _slashed(captures["path"])
        found = look(context.view, Table.MOUNT, Mount, (self._prefix + path).encode())
        if found is None or (not self._auth and path.startswith(AUTH)):
            raise Refusal(400, f"No auth engine at {path}" if self._auth else f"No secret engine mount at {path}")
        return Answer(data=describe(found[1]), inject=True)

    def decide_enable(self, context: Context, request: RawRequest, captures: Captures) -> Plan:
        """A new mount, empty and usable at once."""
        given = parameters(request)
        path = _slashed(captures["path"])
        config_given = to_object("config", given["config"]) if "config" in given else None
        config = mount_config.enabled_config(
            {} if config_given is None else object_fields(config_given), auth=self._auth, longest_s=SYSTEM_TTL_S
        )
        type_, options = self._type_and_options(given)
        self._check_path(path)
        if type_ in _SINGLETONS:
            raise Refusal(400, _singleton_text(type_, auth=self._auth))
        if type_ not in self._types:
            raise Refusal(400, f"plugin not found in the catalog: {type_}")
        for other, _ in mounts(context.view, auth=self._auth):
            if path.startswith(other) or other.startswith(path):
                raise Refusal(400, f"path is already in use at {other}")
        mount = Mount(
            uuid=context.random(16),
            type=type_,
            description=to_text("description", given.get("description")),
            accessor=new_accessor(type_, context.random(4), auth=self._auth),
            options=options,
            config=config,
            created_ns=context.now_ns,
        )
        for name in ("local", "seal_wrap", "external_entropy_access"):
            if name in given:
                setattr(mount, name, to_bool(name, given[name]))
        key = (self._prefix + path).encode()
        draft = Draft()
        draft.expect(Table.MOUNT, key, 0)
        draft.put(Table.MOUNT, key, mount)
        return Plan(Answer(), draft)

    def decide_disable(self, context: Context, _request: RawRequest, captures: Captures) -> Plan:
        """The mount is gone, with everything in it; 204 also where there is none."""
        path = _slashed(captures["path"])
        if self._auth and path == "token/":
            raise Refusal(400, "token credential backend cannot be disabled")
        if not self._auth and path.startswith(RESERVED):
            raise Refusal(400, f'cannot unmount "{path}"')
        key = (self._prefix + path).encode()
        found = look(context.view, Table.MOUNT, Mount, key)
        draft = Draft()
        if found is not None:
            index, mount = found
            draft.expect(Table.MOUNT, key, index)
            draft.drop(Table.MOUNT, key)
            sweeps.start(context.view, draft, sweeps.MOUNT_KIND, mount.uuid)
            quotas.remove(context, draft, key.decode())
        return Plan(Answer(), draft)

    def read_tune(self, context: Context, _request: RawRequest, captures: Captures) -> Answer:
        """The settings as they take effect: the system's times to live where the mount has none."""
        path = self._prefix + _slashed(captures["path"])
        found = look(context.view, Table.MOUNT, Mount, path.encode())
        if found is None:
            raise Refusal(400, f'cannot fetch sysview for path "{path}"')
        mount = found[1]
        default_s, max_s = mount_ttls_s(mount)
        data = {
            "default_lease_ttl": default_s,
            "description": mount.description,
            "force_no_cache": bool(mount.config.get("force_no_cache")),
            "max_lease_ttl": max_s,
            **shown_settings(mount),
            **lockout_settings.shown(mount),
        }
        if mount.options:
            data["options"] = mount.options
        return Answer(data=data, inject=True)

    def decide_tune(self, context: Context, request: RawRequest, captures: Captures) -> Plan:
        """The named settings change, the others stay."""
        path = self._prefix + _slashed(captures["path"])
        found = context.view.get(Table.MOUNT, path.encode())
        if found is None:
            raise Refusal(400, f'tune of path "{path}" failed: no mount entry found')
        index, record = found
        mount = records.decode(Mount, record)
        given = parameters(request)
        auth = path.startswith(AUTH)
        if lockout_settings.NAME in given:
            lockout_settings.check_type(mount.type)
        if mount.type == "token" and to_text("token_type", given.get("token_type")):
            raise Refusal(400, "'token_type' cannot be set for 'token' or 'ns_token' auth mounts")
        changes: dict[str, object] = {"config": mount_config.tuned_config(mount.config, given, auth=auth)}
        if "description" in given:
            changes["description"] = to_text("description", given["description"])
        changes["options"], warnings = _tuned_options(mount, to_pairs("options", given.get("options")))
        draft = Draft()
        if any(getattr(mount, name) != value for name, value in changes.items()):
            draft.expect(Table.MOUNT, path.encode(), index)
            draft.put(Table.MOUNT, path.encode(), records.change(Mount, record, **changes))
        return Plan(Answer(warnings=warnings), draft)

    def _type_and_options(self, given: Mapping[str, Given]) -> tuple[str, dict[str, str]]:
        """(type, options) with aliases resolved and values as text."""
        named = to_text("type", given.get("type"))
        options = to_pairs("options", given.get("options"))
        if not named:
            raise Refusal(400, "backend type must be specified as a string")
        if self._auth:
            return named, options
        type_, version = _ALIASES.get(named, (named, ""))
        if type_ != "kv":
            if options.get("version"):
                raise Refusal(400, f'secrets engine "{type_}" does not allow setting a version')
            return type_, options
        if version:
            options["version"] = version
        if options.get("version", "") not in _VERSIONS:
            raise Refusal(400, "invalid version provided: a KV mount has version 1 or 2")
        return type_, options

    def _check_path(self, path: str) -> None:
        if path == "/":
            raise Refusal(400, "a mount needs a path")
        if not self._auth and path.startswith(RESERVED):
            raise Refusal(400, f'cannot mount "{path}"')


def _slashed(path: str) -> str:
    return path.strip("/") + "/"


def _singleton_text(type_: str, *, auth: bool) -> str:
    if auth and type_ == "token":
        return "token credential backend cannot be instantiated"
    return f'mount type of "{type_}" is not mountable'


def _tuned_options(mount: Mount, given: dict[str, str]) -> tuple[dict[str, str] | None, list[str] | None]:
    """(options after the tune, warnings). An option set to nothing goes, except the version, which never falls."""
    if not given:
        return mount.options, None
    options = {**(mount.options or {}), **given}
    warnings = None
    if "version" in given:
        before, after = (mount.options or {}).get("version") or "1", given["version"] or "1"
        if mount.type != "kv":
            raise Refusal(400, f'secrets engine "{mount.type}" does not allow setting a version')
        if after not in _VERSIONS:
            raise Refusal(400, "invalid version provided: a KV mount has version 1 or 2")
        if after < before:
            raise Refusal(400, f"cannot downgrade mount from version {before}")
        if after > before:
            warnings = [_UPGRADING.format(before, after)]
        options["version"] = after
    return {name: value for name, value in options.items() if value}, warnings
