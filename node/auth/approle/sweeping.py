"""Removing what is left of secret-ids that are of no more use: those that expired, and those of roles that are gone.

Pure. None of it can log in, so nothing here is urgent; it is done a bounded number at a time, because a transaction is
bounded and the loop is not to wait. Three occasions:
  a deletion of a role takes some of its secret-ids along
  one in SAMPLED creations of a secret-id looks at a few others, of that role and of one other, from a random place on:
  however many are made, those that expired stay a fraction of those that have not
  tidy/secret-id looks at more, from a random role on
Source: Vault API, "AppRole: tidy tokens".
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from ...engines.entries import find, names
from .role_fields import Role
from .secret_ids import Place, accessors, drop_unread, find_secret_id, place_of_accessor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import Draft

    from ...engines.base import Context

SAMPLED = 16
SAMPLE = 64  # secret-ids looked at then: four for each one that is made
DELETED_MAX = 200  # removed with their role: two records each
TIDIED_MAX = 250  # removed by one tidy
LOOKED_AT_MAX = 500  # by one tidy: three boxes are opened for each, some 30 us of the loop
_ACCESSORS = "accessor/"


def drop_some(context: Context, draft: Draft, uid: str) -> None:
    """The draft removes some of a role's secret-ids."""
    for accessor in names(context, accessors(uid), limit=DELETED_MAX):
        _drop(context, draft, uid, accessor, place_of_accessor(context, uid, accessor))


def sample(context: Context, draft: Draft, made: Place) -> None:
    """The draft, which makes a secret-id, removes what is of no more use among a few others, now and then."""
    fresh = context.random(17)
    if fresh[0] % SAMPLED:
        return
    start = fresh[1:].hex()
    others = names(context, _ACCESSORS, after=start, limit=1)
    for uid in {made.uid, *(other.rstrip("/") for other in others)}:
        for accessor in names(context, accessors(uid), after=start, limit=SAMPLE):
            place = place_of_accessor(context, uid, accessor)
            if place != made and _is_useless(context, place):
                _drop(context, draft, uid, accessor, place)


def tidy(context: Context, draft: Draft) -> bool:
    """The draft removes what is of no more use; whether everything was looked at, and nothing left."""
    looked_at = removed = 0
    start = context.random(16).hex()
    for uid in _from(names(context, _ACCESSORS), start):
        for accessor in _from(names(context, accessors(uid)), start):
            if looked_at == LOOKED_AT_MAX or removed == TIDIED_MAX:
                return False
            looked_at += 1
            place = place_of_accessor(context, uid, accessor)
            if _is_useless(context, place):
                removed += 1
                _drop(context, draft, uid, accessor, place)
    return True


def _from(listed: list[str], start: str) -> Iterator[str]:
    """The names from a place on and around, folders without their slash."""
    at = bisect_right(listed, start)
    return (name.rstrip("/") for name in (*listed[at:], *listed[:at]))


def _is_useless(context: Context, place: Place | None) -> bool:
    found = None if place is None else find_secret_id(context, place)
    if place is None or found is None:
        return True
    role = find(context, f"role/{found.value.role}", Role)
    return role is None or role.value.uid != place.uid


def _drop(context: Context, draft: Draft, uid: str, accessor: str, place: Place | None) -> None:
    if place is not None:
        drop_unread(context, draft, place.name)
    drop_unread(context, draft, accessors(uid) + accessor)
