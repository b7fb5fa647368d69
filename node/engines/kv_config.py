"""Configuration of a KV v2 mount: how many versions stay, whether check-and-set is required, when versions end.

Pure. It lives in the mount record's `config` under "kv", so that a put neither looks up nor opens anything for it.
Invariant: fields of the mount's configuration that are not ours are kept.
Source: Vault API, KV v2, "Configure the KV engine".
"""

from __future__ import annotations

import msgspec

from cluster import Draft, Mount, Table, records

from ..request import Answer, RawRequest, Refusal
from .base import Context, Plan
from .durations import NS, format_duration
from .fields import parameters, to_bool, to_int, to_seconds
from .kv_values import INSTANT_NS_MAX, VERSIONS_KEPT_MAX

KEY = "kv"  # in Mount.config
VERSIONS_DEFAULT = 10
NEVER_S = -1  # delete_version_after: off for the whole mount, whatever a key says


class KvConfig(msgspec.Struct, frozen=True, gc=False):
    """0 = not set."""

    max_versions: int = 0
    cas_required: bool = False
    metadata_cas_required: bool = False
    delete_version_after_s: int = 0

    def versions_kept(self, key_max: int, default: int = VERSIONS_DEFAULT) -> int:
        """How many versions of a key stay: the larger of the key's and the mount's number."""
        return min(max(key_max, self.max_versions) or default, VERSIONS_KEPT_MAX)

    def deletion_ns(self, now_ns: int, key_after_ns: int) -> int:
        """When a version made now is deleted, 0 = never: the smaller of the two durations that are set."""
        mount_after_ns = self.delete_version_after_s * NS
        if mount_after_ns < 0:
            return 0
        after_ns = min(key_after_ns or mount_after_ns, mount_after_ns or key_after_ns)
        return min(now_ns + after_ns, INSTANT_NS_MAX) if after_ns else 0


_DEFAULT = KvConfig()


def config_of(mount: Mount | None) -> KvConfig:
    """The configuration that stands in the mount record."""
    stored = mount.config.get(KEY) if mount is not None else None
    return KvConfig(**stored) if stored else _DEFAULT


def versions_max_of(number: int) -> int:
    """`max_versions` as it is kept: negative means as many as there may be (Vault's unsigned reading of -1)."""
    if number > VERSIONS_KEPT_MAX:
        raise Refusal(400, f"max_versions must be at most {VERSIONS_KEPT_MAX}")
    return VERSIONS_KEPT_MAX if number < 0 else number


def read_config(context: Context) -> Answer:
    """The answer to a read of the configuration."""
    config = config_of(context.mount)
    return Answer(
        data={
            "cas_required": config.cas_required,
            "delete_version_after": format_duration(config.delete_version_after_s),
            "max_versions": config.max_versions,
            "metadata_cas_required": config.metadata_cas_required,
        }
    )


def write_config(context: Context, request: RawRequest) -> Plan:
    """The named settings change, the others stay; naming none changes nothing. Raises FieldError."""
    given = parameters(request)
    changes: dict[str, int | bool] = {}
    if "max_versions" in given:
        changes["max_versions"] = versions_max_of(to_int("max_versions", given["max_versions"]))
    for name in ("cas_required", "metadata_cas_required"):
        if name in given:
            changes[name] = to_bool(name, given[name])
    if "delete_version_after" in given:
        after_s = to_seconds("delete_version_after", given["delete_version_after"], signed=True)
        changes["delete_version_after_s"] = max(after_s, NEVER_S)
    if not changes:
        return Plan(Answer())
    key = context.mount_path.encode()
    found = context.view.get(Table.MOUNT, key)
    assert found is not None  # the flow found the mount in this very view
    mount = records.decode(Mount, found[1])
    kept = {**(mount.config.get(KEY) or {}), **changes}
    draft = Draft()
    draft.expect(Table.MOUNT, key, found[0])
    draft.put(Table.MOUNT, key, records.change(Mount, found[1], config={**mount.config, KEY: kept}))
    return Plan(Answer(), draft)
