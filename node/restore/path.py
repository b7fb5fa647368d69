"""One KV path out of a backup: its newest value, or every version there is. Nothing is written here.

A shell around a restore into memory. Invariant: values are in what is returned, and nowhere else.
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import Restore, RestoreError, Salt, Sealer, SystemRandom, Table, ValueSealing, checked, records

from ..engines.base import Caller, Context
from ..engines.kv_values import find, has_version, is_destroyed, mark_of, open_version, secret_key
from ..engines.system.mount_table import find_mount
from ..status import rfc3339, uuid_of
from .jobs import silent
from .places import all_found, furthest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster import Secret, State, Unsealed

    from .jobs import Asked, OnProgress
    from .keys import Keys
    from .places import Place


async def path_read(
    places: Sequence[Place], asked: Asked, keys: Keys, kv_path: str, on_progress: OnProgress = silent
) -> dict[str, Any]:
    """Every version of the path at the point. Raises RestoreError if there is none, and as `drilled`."""
    random = SystemRandom()
    async with all_found(places) as found:
        chosen, survey = furthest(found, asked.generation, unled=True)
        restore = Restore(chosen.sink, survey.generation, checked(chosen.sink, keys.open, random), random, on_progress)
        try:
            await restore.open()
            state = await restore.replay(asked.point)
            assert restore.unsealed is not None
            history = read_history(state, restore.unsealed, kv_path)
        finally:
            restore.wipe()
    return {
        "path": kv_path,
        "generation": uuid_of(survey.generation.generation),
        "index": state.applied_index,
        "time": rfc3339(state.time_ns),
        **history,
    }


def read_history(state: State, unsealed: Unsealed, kv_path: str) -> dict[str, Any]:
    """{"current", "custom_metadata", "versions": [...]} of a path; data are JSON text, as it came.

    Raises RestoreError, DamagedError.
    """
    mounted = find_mount(state, kv_path)
    if mounted is None or mounted[2].type != "kv":
        raise RestoreError("there was no KV engine mounted at that path")
    context = Context(
        state, state.time_ns, lambda _count: b"", _sealing(state, unsealed), Caller(), mounted[0], mounted[2]
    )
    key = secret_key(context, kv_path.removeprefix(mounted[0]))
    found = find(context, key)
    if found is None:
        raise RestoreError("there was nothing at that path")
    secret = found.secret
    numbers = [number for number in range(max(secret.oldest, 1), secret.current + 1) if has_version(secret, number)]
    return {
        "current": secret.current,
        "custom_metadata": secret.custom,
        "versions": [_version(context, key, secret, number) for number in numbers],
    }


def _version(context: Context, key: bytes, secret: Secret, number: int) -> dict[str, Any]:
    mark = mark_of(secret, number)
    shown: dict[str, Any] = {"version": number, "destroyed": is_destroyed(mark), "deleted": None, "data": None}
    if mark is not None and mark > 0:
        shown["deleted"] = rfc3339(mark)
    if not is_destroyed(mark):
        created_ns, plaintext = open_version(context, key, secret, number)
        shown |= {"created": rfc3339(created_ns), "data": plaintext.decode()}
    return shown


def _sealing(state: State, unsealed: Unsealed) -> ValueSealing:
    """What opens values: with the salts that the state knows."""
    sealer = Sealer(unsealed.keyring, SystemRandom(), b"")
    for key, _, record in state.items(Table.SALT):
        salt = records.decode(Salt, record)
        sealer.learn_salt(int.from_bytes(key, "big"), salt.key_term, salt.salt)
    return ValueSealing(sealer)
