"""Metadata of KV v2 paths: read, written, patched, removed; custom metadata and its limits.

Pure. Invariants: writing data never moves `metadata_version`, each change of metadata moves it by one; lowering
`max_versions` drops nothing until the next put; custom metadata is text to text within the limits below.
Source: Vault API, KV v2, "Create/update metadata"; OpenBao API for `metadata_cas`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster import Draft, Secret, Table, records

from ..request import Answer, RawJson, RawRequest, RawResponse, Refusal
from .base import Context, Plan
from .durations import NS, format_duration
from .fields import FieldError, Given, parameters, to_bool, to_int, to_object, to_seconds, to_texts
from .instants import rfc3339
from .kv_config import KvConfig, config_of, versions_max_of
from .kv_values import (
    Found,
    change_secret,
    created_ns,
    custom_json,
    deletion_text,
    drop_secret,
    find,
    hash_path,
    is_destroyed,
    mark_of,
    secret_key,
)
from .pages import PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = PAGE | {
    "cas_required",
    "custom_metadata",
    "delete_version_after",
    "max_versions",
    "metadata_cas",
    "metadata_cas_required",
}
CUSTOM_KEYS_MAX = 64
CUSTOM_KEY_BYTES_MAX = 128
CUSTOM_VALUE_BYTES_MAX = 512
_CUSTOM = "custom_metadata validation failed"


class Changes(NamedTuple):
    """What a request says of metadata. `custom`: key → text, None = remove the key; `fields` are plain settings."""

    fields: dict[str, int | bool]
    custom: dict[str, str | None] | None
    custom_given: bool
    cas: int | None

    @property
    def empty(self) -> bool:
        """Nothing recognised would change (`metadata_cas` alone changes nothing)."""
        return not self.fields and not self.custom_given


def read_metadata(context: Context, path: str) -> Answer:
    """The metadata of a path with those of its versions; 404 without it."""
    key = secret_key(context, path)
    found = find(context, key)
    if found is None:
        raise Refusal(404)
    return Answer(data=RawJson(metadata_json(context, key, found.secret)))


def metadata_json(context: Context, key: bytes, secret: Secret) -> bytes:
    """Vault's metadata object of one path."""
    versions = []
    for number in range(max(secret.oldest, 1), secret.current + 1):
        mark = mark_of(secret, number)
        versions.append(
            f'"{number}":{{"created_time":"{rfc3339(created_ns(context, key, number))}",'
            f'"deletion_time":"{deletion_text(mark)}","destroyed":{"true" if is_destroyed(mark) else "false"}}}'
        )
    return (
        f'{{"cas_required":{_bool(secret.cas_required)},"created_time":"{rfc3339(secret.created_ns)}",'
        f'"current_metadata_version":{secret.metadata_version},"current_version":{secret.current},'
        f'"custom_metadata":{custom_json(secret.custom)},'
        f'"delete_version_after":"{format_duration(secret.delete_after_ns // NS)}",'
        f'"max_versions":{secret.versions_max},"metadata_cas_required":{_bool(secret.metadata_cas_required)},'
        f'"oldest_version":{secret.oldest},"updated_time":"{rfc3339(secret.updated_ns)}",'
        f'"versions":{{{",".join(versions)}}}}}'
    ).encode()


def write_metadata(context: Context, request: RawRequest, path: str) -> Plan:
    """The named settings change, custom metadata is replaced whole; a path without metadata gets them, no version."""
    if not path:
        raise Refusal(400, "missing path")
    changes = _parse(parameters(request), patch=False)
    if changes.empty:
        return Plan(Answer())
    key = secret_key(context, path)
    found = find(context, key)
    config = config_of(context.mount)
    _check_cas(changes, config, found.secret if found is not None else Secret())
    fields: dict[str, object] = dict(changes.fields)
    if changes.custom_given:
        fields["custom"] = changes.custom or None
    return Plan(Answer(warnings=_mandated(changes, config)), _change(context, key, found, fields))


def patch_metadata(context: Context, request: RawRequest, path: str) -> Plan:
    """As `write_metadata`, but custom metadata are merged, null removes, and a path without metadata is 404."""
    changes = _parse(parameters(request), patch=True)
    key = secret_key(context, path)
    found = find(context, key)
    if found is None:
        return Plan(Answer(raw=RawResponse(404)))
    if changes.empty:
        return Plan(Answer())
    config = config_of(context.mount)
    _check_cas(changes, config, found.secret)
    fields: dict[str, object] = dict(changes.fields)
    if changes.custom_given:
        merged = {**(found.secret.custom or {}), **changes.custom} if changes.custom is not None else {}
        custom = {name: text for name, text in merged.items() if text is not None}
        check_custom(custom)
        fields["custom"] = custom or None
    return Plan(Answer(warnings=_mandated(changes, config)), _change(context, key, found, fields))


def delete_metadata(context: Context, path: str) -> Plan:
    """The path is gone with all its versions; the next put is version 1 of a new life."""
    key = secret_key(context, path)
    found = find(context, key)
    return Plan(Answer()) if found is None else Plan(Answer(), drop_secret(context, key, found))


def _parse(given: Mapping[str, Given], *, patch: bool) -> Changes:
    """Every field is checked before anything is decided. Raises FieldError, Refusal."""
    fields: dict[str, int | bool] = {}
    if "max_versions" in given:
        fields["versions_max"] = versions_max_of(to_int("max_versions", given["max_versions"]))
    for name in ("cas_required", "metadata_cas_required"):
        if name in given:
            fields[name] = to_bool(name, given[name])
    if "delete_version_after" in given:
        fields["delete_after_ns"] = to_seconds("delete_version_after", given["delete_version_after"], signed=False) * NS
    cas = to_int("metadata_cas", given["metadata_cas"]) if "metadata_cas" in given else None
    custom: dict[str, str | None] | None = None
    if "custom_metadata" in given:
        custom = _parse_custom(to_object("custom_metadata", given["custom_metadata"]), patch=patch)
    return Changes(fields, custom, "custom_metadata" in given, cas)


def _parse_custom(given: bytes | None, *, patch: bool) -> dict[str, str | None] | None:
    if given is None:
        return None
    try:
        texts = to_texts("custom_metadata", given)
    except FieldError as error:
        raise Refusal(400, f"{_CUSTOM}: {str(error).split(': ', 1)[1]}") from None
    if not patch:
        texts = {name: text or "" for name, text in texts.items()}
    check_custom({name: text for name, text in texts.items() if text is not None})
    return texts


def check_custom(custom: dict[str, str]) -> None:
    """Refused with 400 beyond the limits, naming all of what is wrong (keys, never values)."""
    problems = []
    if len(custom) > CUSTOM_KEYS_MAX:
        problems.append(f"payload must contain at most {CUSTOM_KEYS_MAX} keys, provided {len(custom)}")
    else:
        for name, text in custom.items():
            problems += _custom_problems(name, text)
    if problems:
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        raise Refusal(400, f"{count} occurred:\n" + "".join(f"\t* {_CUSTOM}: {text}\n" for text in problems) + "\n")


def _custom_problems(name: str, text: str) -> list[str]:
    problems = []
    shown = '"' + name[:CUSTOM_KEY_BYTES_MAX].encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
    name_bytes, text_bytes = len(name.encode()), len(text.encode())
    if not 0 < name_bytes <= CUSTOM_KEY_BYTES_MAX:
        problems.append(f"length of key {shown} is {name_bytes} but must be 0 < len(key) <= {CUSTOM_KEY_BYTES_MAX}")
    if not 0 < text_bytes <= CUSTOM_VALUE_BYTES_MAX:
        problems.append(
            f"length of value for key {shown} is {text_bytes} but must be 0 < len(value) <= {CUSTOM_VALUE_BYTES_MAX}"
        )
    if not name.isprintable():
        problems.append(f"key {shown} contains unprintable characters")
    if not text.isprintable():
        problems.append(f"value for key {shown} contains unprintable characters")
    return problems


def _check_cas(changes: Changes, config: KvConfig, secret: Secret) -> None:
    if changes.cas is None:
        if config.metadata_cas_required or secret.metadata_cas_required:
            raise Refusal(400, "metadata check-and-set parameter required for this call")
    elif changes.cas != secret.metadata_version:
        raise Refusal(400, "metadata check-and-set parameter does not match the current version")


def _mandated(changes: Changes, config: KvConfig) -> list[str] | None:
    """Warnings for a key that says false where the mount says true."""
    named = [
        name
        for name, mandated in (
            ("cas_required", config.cas_required),
            ("metadata_cas_required", config.metadata_cas_required),
        )
        if mandated and changes.fields.get(name) is False
    ]
    return [
        f'"{name}" set to false, but is mandated by backend config. This value will be ignored.' for name in named
    ] or None


def _change(context: Context, key: bytes, found: Found | None, fields: dict[str, object]) -> Draft:
    if found is not None:
        return change_secret(context, key, found, **fields, metadata_version=found.secret.metadata_version + 1)
    now_ns = context.now_ns
    made = Secret(created_ns=now_ns, updated_ns=now_ns, rid=context.random(32)[24:], metadata_version=1)
    draft = Draft()
    draft.expect(Table.SECRET, key, 0)
    draft.put(Table.SECRET, key, records.change(Secret, records.encode(made), **fields))
    hash_path(context, draft, key)
    return draft


def _bool(flag: bool) -> str:
    return "true" if flag else "false"
