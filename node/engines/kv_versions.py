"""Deleting, undeleting and destroying versions of KV v2 paths.

Pure. Deleting and undeleting log metadata only, never a value. Destroying replaces the version by one with an empty
box, so that its creation time stays readable while its data are gone for good. Numbers that do not exist, and
versions that are in the wanted state already, are passed over in silence.
Source: Vault API, KV v2, "Delete secret versions", "Undelete", "Destroy".
"""

from __future__ import annotations

from cluster import Draft, Table, Version, version_key

from ..request import Answer, RawRequest, Refusal
from .base import Context, Plan
from .fields import parameters, to_ints
from .kv_config import config_of
from .kv_values import (
    Found,
    change_secret,
    created_ns,
    find,
    has_version,
    is_deleted,
    is_destroyed,
    secret_key,
)


def delete_current(context: Context, path: str) -> Plan:
    """The newest version is deleted from now on."""
    key = secret_key(context, path)
    found = find(context, key)
    return Plan(Answer()) if found is None else _delete(context, key, found, [found.secret.current])


def delete_versions(context: Context, request: RawRequest, path: str) -> Plan:
    """The named versions are deleted from now on; their data stay and can be brought back."""
    numbers = _numbers(request, "No version number provided")
    key = secret_key(context, path)
    found = find(context, key)
    return Plan(Answer()) if found is None else _delete(context, key, found, numbers)


def undelete_versions(context: Context, request: RawRequest, path: str) -> Plan:
    """The named versions are readable again, for as long as a version made now would be."""
    numbers = _numbers(request, "No version number provided")
    key = secret_key(context, path)
    found = find(context, key)
    if found is None:
        return Plan(Answer())
    secret = found.secret
    deletion_ns = config_of(context.mount).deletion_ns(context.now_ns, secret.delete_after_ns)
    gone = dict(secret.gone or {})
    for number in numbers:
        if not has_version(secret, number) or is_destroyed(gone.get(number)):
            continue
        gone.pop(number, None)
        if deletion_ns:
            gone[number] = deletion_ns
    return _keep(context, key, found, gone)


def destroy_versions(context: Context, request: RawRequest, path: str) -> Plan:
    """The data of the named versions are gone for good; when they were made and deleted stays known."""
    numbers = _numbers(request, "no version number provided")
    key = secret_key(context, path)
    found = find(context, key)
    if found is None:
        return Plan(Answer())
    gone = dict(found.secret.gone or {})
    destroyed = [
        number
        for number in sorted(set(numbers))
        if has_version(found.secret, number) and not is_destroyed(gone.get(number))
    ]
    for number in destroyed:
        gone[number] = -gone.get(number, 0)
    plan = _keep(context, key, found, gone)
    for number in destroyed:
        empty = Version(created_ns=created_ns(context, key, number))
        plan.draft.put(Table.VERSION, version_key(key, number), empty)
    return plan


def _delete(context: Context, key: bytes, found: Found, numbers: list[int]) -> Plan:
    gone = dict(found.secret.gone or {})
    for number in numbers:
        mark = gone.get(number)
        if has_version(found.secret, number) and not is_destroyed(mark) and not is_deleted(mark, context.now_ns):
            gone[number] = context.now_ns
    return _keep(context, key, found, gone)


def _keep(context: Context, key: bytes, found: Found, gone: dict[int, int]) -> Plan:
    if gone == (found.secret.gone or {}):
        return Plan(Answer(), Draft())
    return Plan(Answer(), change_secret(context, key, found, gone=gone or None))


def _numbers(request: RawRequest, missing: str) -> list[int]:
    numbers = to_ints("versions", parameters(request).get("versions"))
    if not numbers:
        raise Refusal(400, missing)
    return numbers
