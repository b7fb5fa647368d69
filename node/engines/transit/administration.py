"""keys: made, read, listed, configured, rotated, trimmed, deleted.

Pure. Invariants: what was allowed once for a key's material (`exportable`, `allow_plaintext_backup`) is never taken
back, because it may have been used; a key whose period is over is rotated by the next write that concerns it (its
configuration, a second creation, an `encrypt`): nothing here happens by itself.
Source: Vault API, transit, "Create key" to "Trim key".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft

from ...auth.typed_fields import to_text
from ...request import Answer, Refusal
from ..base import Context, Plan
from ..entries import drop
from ..fields import Given, parameters, to_bool, to_int, to_seconds
from ..instants import rfc3339
from ..pages import listed
from .encoding import decode
from .key_types import DEFAULT, KeyType, Kind, Work, key_type
from .keys import (
    FOLDER,
    NS,
    Key,
    NamedKey,
    create,
    drop_versions,
    find_key,
    put_key,
    rotate,
    rotation_is_due,
)
from .material import RsaDraw, shown_public
from .signing import derived_public

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...request import RawRequest
    from ..system.routes import Captures
    from .material import Version

CREATE_FIELDS = frozenset(
    {
        "type",
        "derived",
        "convergent_encryption",
        "exportable",
        "allow_plaintext_backup",
        "auto_rotate_period",
        "key_size",
        "context",
    }
)
CONFIG_FIELDS = frozenset(
    {
        "min_decryption_version",
        "min_encryption_version",
        "deletion_allowed",
        "exportable",
        "allow_plaintext_backup",
        "auto_rotate_period",
    }
)
TRIM_FIELDS = frozenset({"min_available_version"})
_PERIOD_S_MIN = 3600
_HMAC_BYTES_MIN, _HMAC_BYTES_MAX = 32, 512
_FROM_ONE = "since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1"


def read_list(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The names of all keys; 404 without."""
    return listed(context, request, FOLDER)


def read_key(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """What holds for the key, and the public half of each version."""
    found = find_key(context, captures["name"])
    if found is None:
        raise Refusal(404)
    try:
        derivation = decode(to_text("context", parameters(request).get("context")))
    except Refusal:
        raise Refusal(400, "failed to base64-decode context") from None
    named = NamedKey(context, captures["name"], found.value)
    most = named.type.items_max(Work.PRIVATE)
    if derivation and named.key.derived and named.type.signs and len(named.key.usable) > most:
        raise Refusal(400, f"the key has more than {most} versions, the most whose public keys are derived at once")
    return _shown(named, derivation)


def decide_create(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """A new key; one that is there stays as it is."""
    name = captures["name"]
    draft = Draft()
    found = find_key(context, name)
    if found is None:
        return Plan(_shown(create(context, request, draft, name, _wanted(parameters(request)))), draft)
    _wanted(parameters(request))
    named = NamedKey(context, name, found.value)
    if rotation_is_due(found.value, context.now_ns):
        named = rotate(context, request, draft, name, found)
    answer = _shown(named)
    answer.warnings = [f"key {name} already existed"]
    return Plan(answer, draft)


def decide_rotate(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """One version more, which is the latest."""
    found = find_key(context, captures["name"])
    if found is None:
        raise Refusal(400, "key not found")
    draft = Draft()
    return Plan(_shown(rotate(context, request, draft, captures["name"], found)), draft)


def decide_config(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The key as configured."""
    name = captures["name"]
    found = find_key(context, name)
    if found is None:
        raise Refusal(400, f"no existing key named {name} could be found")
    given = parameters(request)
    key = _configured(found.value, given)
    draft = Draft()
    if rotation_is_due(key, context.now_ns):
        named = rotate(context, request, draft, name, found, key)
    else:
        named = NamedKey(context, name, key)
        if key != found.value:
            put_key(context, draft, name, key, found)
    answer = _shown(named)
    if "min_decryption_version" in given and not to_int("min_decryption_version", given["min_decryption_version"]):
        answer.warnings = [_FROM_ONE]
    return Plan(answer, draft)


def decide_trim(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The versions below the given one are gone for ever."""
    name = captures["name"]
    found = find_key(context, name)
    if found is None:
        raise Refusal(400, "invalid key name")
    given = parameters(request)
    if "min_available_version" not in given:
        raise Refusal(400, "missing min_available_version")
    lowest = to_int("min_available_version", given["min_available_version"])
    _check_trim(found.value, lowest)
    key = msgspec.structs.replace(found.value, min_available_version=lowest)
    draft = Draft()
    put_key(context, draft, name, key, found)
    drop_versions(context, draft, name, range(found.value.stored.start, lowest))
    return Plan(_shown(NamedKey(context, name, key)), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The key is gone, with all that only it can open."""
    name = captures["name"]
    found = find_key(context, name)
    if found is None:
        raise Refusal(400, f"error deleting policy {name}: could not delete key; not found")
    if not found.value.deletion_allowed:
        raise Refusal(400, f"error deleting policy {name}: deletion is not allowed for this key")
    draft = Draft()
    drop(context, draft, FOLDER + name, found)
    drop_versions(context, draft, name, found.value.stored)
    return Plan(Answer(), draft)


def labour(context: Context, request: RawRequest, name: str, action: str) -> Callable[[], RsaDraw] | None:
    """The drawing of an RSA key, where the write needs one; `decide` refuses what is wrong with it."""
    found = find_key(context, name)
    type_ = None if found is None else key_type(found.value.type)
    if found is None and action == "create":
        type_ = _wanted_type(parameters(request))
    elif found is not None and action != "rotate":
        key = found.value
        if action == "config":
            key = _configured(key, parameters(request))
        type_ = type_ if rotation_is_due(key, context.now_ns) else None
    if type_ is None or type_.kind is not Kind.RSA:
        return None
    bits = type_.bits
    return lambda: RsaDraw(bits)


def _wanted_type(given: Mapping[str, Given]) -> KeyType:
    return key_type(to_text("type", given.get("type")) or DEFAULT)


def _wanted(given: Mapping[str, Given]) -> Key:
    """The key that the parameters of its making ask for. Raises Refusal and FieldError."""
    type_ = _wanted_type(given)
    derived, convergent = _flag(given, "derived"), _flag(given, "convergent_encryption")
    if convergent and not derived:
        raise Refusal(400, "convergent encryption requires derivation to be enabled")
    if derived and not type_.derives:
        text = f"key derivation and convergent encryption not supported for keys of type {type_}"
        raise Refusal(400, text)
    if convergent and type_.kind is not Kind.AEAD:
        raise Refusal(400, f"convergent encryption not supported for keys of type {type_}")
    size = to_int("key_size", given.get("key_size"))
    if size and type_.kind is not Kind.HMAC:
        raise Refusal(400, f"key_size is not valid for algorithm {type_}")
    if size and not _HMAC_BYTES_MIN <= size <= _HMAC_BYTES_MAX:
        raise Refusal(400, f"invalid key_size {size}")
    return Key(
        type=type_.name,
        derived=derived,
        convergent_encryption=convergent,
        exportable=_flag(given, "exportable"),
        allow_plaintext_backup=_flag(given, "allow_plaintext_backup"),
        auto_rotate_period_s=_period_s(given),
        key_bytes=(size or _HMAC_BYTES_MIN) if type_.kind is Kind.HMAC else 0,
    )


def _configured(key: Key, given: Mapping[str, Given]) -> Key:
    """The key with what the parameters change. Raises Refusal and FieldError."""
    decryption, encryption = key.min_decryption_version, key.min_encryption_version
    if "min_decryption_version" in given:
        decryption = _minimum(key, given, "decryption") or 1
    if "min_encryption_version" in given:
        encryption = _minimum(key, given, "encryption")
    if 0 < encryption < decryption:
        raise Refusal(
            400,
            f"cannot set min encryption/decryption values; min encryption version of {encryption} must be greater "
            f"than or equal to min decryption version of {decryption}",
        )
    if key.min_available_version > encryption:
        raise Refusal(400, "min encryption version should not be less than min available version")
    if key.min_available_version > decryption:
        raise Refusal(400, "min decryption version should not be less then min available version")
    deletion = _flag(given, "deletion_allowed") if "deletion_allowed" in given else key.deletion_allowed
    return msgspec.structs.replace(
        key,
        min_decryption_version=decryption,
        min_encryption_version=encryption,
        deletion_allowed=deletion,
        exportable=key.exportable or _flag(given, "exportable"),
        allow_plaintext_backup=key.allow_plaintext_backup or _flag(given, "allow_plaintext_backup"),
        auto_rotate_period_s=_period_s(given) if "auto_rotate_period" in given else key.auto_rotate_period_s,
    )


def _minimum(key: Key, given: Mapping[str, Given], purpose: str) -> int:
    version = to_int(f"min_{purpose}_version", given[f"min_{purpose}_version"])
    if version < 0:
        raise Refusal(400, f"min {purpose} version cannot be negative")
    if version > key.latest_version:
        latest = key.latest_version
        raise Refusal(400, f"cannot set min {purpose} version of {version}, latest key version is {latest}")
    return version


def _check_trim(key: Key, lowest: int) -> None:
    """Raises Refusal."""
    if lowest < key.min_available_version:
        raise Refusal(400, "minimum available version cannot be decremented")
    for purpose, minimum in (("encryption", key.min_encryption_version), ("decryption", key.min_decryption_version)):
        if not minimum:
            text = f"minimum available version cannot be set when minimum {purpose} version is not set"
            raise Refusal(400, text)
    if lowest > key.min_encryption_version:
        raise Refusal(400, "minimum available version cannot be greater than minmum encryption version")
    if lowest > key.min_decryption_version:
        raise Refusal(400, "minimum available version cannot be greater than minimum decryption version")
    if lowest == 0:
        raise Refusal(400, "minimum available version should be positive")


def _flag(given: Mapping[str, Given], name: str) -> bool:
    return name in given and to_bool(name, given[name])


def _period_s(given: Mapping[str, Given]) -> int:
    if "auto_rotate_period" not in given:
        return 0
    period_s = to_seconds("auto_rotate_period", given["auto_rotate_period"], signed=False)
    if 0 < period_s < _PERIOD_S_MIN:
        raise Refusal(400, "auto rotate period must be 0 to disable or at least an hour")
    return period_s


# ---- showing
def _shown(named: NamedKey, derivation: bytes = b"") -> Answer:
    key, type_ = named.key, named.type
    data: dict[str, Any] = {
        "name": named.name,
        "type": type_.name,
        "derived": key.derived,
        "deletion_allowed": key.deletion_allowed,
        "min_available_version": key.min_available_version,
        "min_decryption_version": key.min_decryption_version,
        "min_encryption_version": key.min_encryption_version,
        "latest_version": key.latest_version,
        "exportable": key.exportable,
        "allow_plaintext_backup": key.allow_plaintext_backup,
        "supports_encryption": type_.encrypts,
        "supports_decryption": type_.encrypts,
        "supports_signing": type_.signs,
        "supports_derivation": type_.derives,
        "auto_rotate_period": key.auto_rotate_period_s,
        "imported_key": False,
        "keys": {str(number): _shown_version(named, one, derivation) for number, one in named.usable()},
    }
    if type_.kind is Kind.HMAC:
        data["key_size"] = key.key_bytes
    for label, event in (("backup_info", key.backup), ("restore_info", key.restored)):
        if event is not None:
            data[label] = {"time": rfc3339(event[0]), "version": event[1]}
    if key.derived:
        data |= {"kdf": "hkdf_sha256", "convergent_encryption": key.convergent_encryption}
        if key.convergent_encryption:
            data["convergent_encryption_version"] = -1
    return Answer(data=data)


def _shown_version(named: NamedKey, version: Version, derivation: bytes) -> object:
    if not named.type.is_asymmetric:
        return version.created_ns // NS
    if named.type.kind is Kind.ED25519 and named.key.derived:
        public = derived_public(version, derivation) if derivation else ""
    else:
        public = shown_public(named.type, version)
    return {
        "name": named.type.curve,
        "public_key": public,
        "certificate_chain": "",
        "creation_time": rfc3339(version.created_ns),
    }
