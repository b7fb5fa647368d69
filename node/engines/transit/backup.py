"""backup and restore of one key: all its versions in one text, in the clear.

Pure. The text is base64 of JSON, in a form of its own (`format` 1), not Vault's. Invariants: only a key that is
exportable and allows a plaintext backup gives one, and keeps when it last did; a restored key is checked as if an enemy
had written it, in a thread, and its public halves are computed anew; its name is one that a path could have.
Two refusals are 500 as Vault's are, where hvac's tests ask for that status.
Source: Vault API, transit, "Backup key", "Restore key".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from cluster import Draft

from ...auth.typed_fields import to_text
from ...request import Answer, RawRequest, Refusal, StaleLabour
from ..base import Context, Plan
from ..entries import find, put
from ..fields import parameters, to_bool
from .encoding import decode, encode
from .key_types import TYPES, Kind
from .keys import VERSIONS_MAX, Key, drop_versions, find_key, put_key, version_name
from .material import Hidden, Version, checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..system.routes import Captures

FORMAT = 1
FIELDS = frozenset({"backup", "force"})
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
NAME_CHARACTERS_MAX = 512
_SECONDS_MAX = 2**53
_BAD = "the backup is damaged, or not one of this program"


class Backup(Hidden):
    """What the text holds."""

    format: int
    name: str
    key: Key
    versions: dict[int, Version]


_decode_backup = msgspec.json.Decoder(Backup).decode


def decide_backup(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The text, and the key says that there is one."""
    name = captures["name"]
    found = find_key(context, name)
    if found is None:
        raise Refusal(404, f'key "{name}" not found', wrapped=True)
    if not found.value.exportable:
        raise Refusal(500, "exporting is disallowed on the policy", wrapped=True)
    if not found.value.allow_plaintext_backup:
        raise Refusal(500, "plaintext backup is disallowed on the policy", wrapped=True)
    key = msgspec.structs.replace(found.value, backup=(context.now_ns, found.value.latest_version))
    versions = {}
    for number in key.stored:
        version = find(context, version_name(name, number), Version)
        if version is not None:
            versions[number] = version.value
    draft = Draft()
    put_key(context, draft, name, key, found)
    text = encode(msgspec.json.encode(Backup(FORMAT, name, key, versions)))
    return Plan(Answer(data={"backup": text}), draft, secret_answer=True)


def decide_restore(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The key is as it was backed up, under its name or another; one that is there is replaced only by force."""
    given = parameters(request)
    text = to_text("backup", given.get("backup"))
    if not text:
        raise Refusal(400, "'backup' must be supplied")
    name = captures.get("name") or ""
    if "/" in name:
        raise Refusal(400, "key names cannot be paths")
    backup = request.labour
    if isinstance(backup, Refusal):
        raise backup
    if not isinstance(backup, Backup):
        raise StaleLabour
    name = name or backup.name
    if len(name) > NAME_CHARACTERS_MAX or not re.fullmatch(NAME, name):
        raise Refusal(400, "invalid key name")
    found = find_key(context, name)
    if found is not None and not ("force" in given and to_bool("force", given["force"])):
        raise Refusal(500, f'key "{name}" already exists', wrapped=True)
    draft = Draft()
    key = msgspec.structs.replace(backup.key, restored=(context.now_ns, backup.key.latest_version))
    put_key(context, draft, name, key, found)
    kept = key.stored
    for number in kept:
        before = None if found is None else find(context, version_name(name, number), Version)
        put(context, draft, version_name(name, number), backup.versions[number], before)
    if found is not None:
        old = found.value.stored
        drop_versions(context, draft, name, range(old.start, min(old.stop, kept.start)))
        drop_versions(context, draft, name, range(max(old.start, kept.stop), old.stop))
    return Plan(Answer(), draft, secret_answer=True)


def labour(request: RawRequest) -> Callable[[], Backup | Refusal]:
    """The reading and checking of the text that the request holds."""
    text = to_text("backup", parameters(request).get("backup"))
    return lambda: read(text)


def read(text: str) -> Backup | Refusal:
    """What the text holds, checked; or why not, without a word of it."""
    try:
        backup = _decode_backup(decode(text))
    except (Refusal, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Refusal(400, _BAD)
    if backup.format != FORMAT:
        return Refusal(400, "the backup has a format that this version does not read")
    type_ = TYPES.get(backup.key.type)
    if type_ is None or not _is_consistent(backup):
        return Refusal(400, _BAD)
    versions = {}
    for number in backup.key.stored:
        version = checked(type_, backup.versions[number], key_bytes=backup.key.key_bytes)
        if version is None:
            return Refusal(400, _BAD)
        versions[number] = version
    return Backup(FORMAT, backup.name, backup.key, versions)


def _is_consistent(backup: Backup) -> bool:
    """K1 to K4 of keys.py, and what `keys` would not have made."""
    key, type_ = backup.key, TYPES[backup.key.type]
    available, latest = key.min_available_version, key.latest_version
    decryption, encryption = key.min_decryption_version, key.min_encryption_version
    return (
        0 <= available <= decryption
        and 1 <= decryption <= latest <= _SECONDS_MAX
        and (available <= encryption if available else encryption >= 0)
        and (encryption == 0 or decryption <= encryption <= latest)
        and len(key.stored) <= VERSIONS_MAX
        and set(backup.versions) == set(key.stored)
        and (not key.derived or type_.derives)
        and (not key.convergent_encryption or (key.derived and type_.kind is Kind.AEAD))
        and (32 <= key.key_bytes <= 512 if type_.kind is Kind.HMAC else key.key_bytes == 0)
        and (key.auto_rotate_period_s == 0 or 3600 <= key.auto_rotate_period_s <= _SECONDS_MAX)
        and 0 <= key.rotated_ns < 2**62
        and all(0 <= version.created_ns < 2**62 for version in backup.versions.values())
        and all(
            moment is None or (0 <= moment[0] < 2**62 and 0 <= moment[1] <= latest)
            for moment in (key.backup, key.restored)
        )
    )
