"""Moving a mount to another path: sys/remount.

Pure. What a mount stores lies under its uuid, so a move is one transaction: the record has another key. Nothing is
copied, and the move is finished when it is answered.
Invariants
  R1  secrets, entries and accessor of the mount are the same behind the move; no request meets half of it
  R2  a mount moves within its table only, never from or to a path of the system, never onto or into another mount, and
      only to a path that requests can name
  R3  leases under the old path are dead with the move, and swept; tokens of logins before it are void for ever, also
      if the mount comes back to where they were made
Source: Vault API, "sys/remount".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from cluster import Draft, Mount, Table, records, sweeps

from ...auth.typed_fields import shown, to_text
from ...request import Answer, RawRequest, Refusal
from .. import entries
from ..base import Context, Plan
from ..fields import parameters
from . import quotas
from .mount_table import AUTH, mounts
from .mounts import RESERVED

if TYPE_CHECKING:
    from .routes import Captures

FIELDS = frozenset({"from", "to"})
PATH_BYTES_MAX = 1024
SWEEP_KEY_BYTES_MAX = 2047  # below what a key may have
KEPT_MAX = 64
"""Moves that `sys/remount/status` remembers, the newest ones."""
_STORED = "remount"
_QUEUED = (
    "Mount move has been queued. Progress will be reported in Vault's server log, tagged with the returned migration_id"
)


class Move(msgspec.Struct, array_like=True):
    """One move that was made; paths with their slashes."""

    id: str
    source: str
    target: str


class Moves(msgspec.Struct, array_like=True):
    """The newest moves, oldest first."""

    moves: list[Move] = []


def decide_remount(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """The mount is at the other path, with everything in it and every quota on it."""
    given = parameters(request)
    source, target = (to_text(name, given.get(name)).strip("/") for name in ("from", "to"))
    if not source or not target:
        raise Refusal(400, "both 'from' and 'to' path must be specified as a string")
    source, target = f"{source}/", f"{target}/"
    _check_names(source, target)
    _check_table(source, target)
    found = context.view.get(Table.MOUNT, source.encode())
    if found is None:
        raise Refusal(400, f'no matching mount at "{shown(source)}"')
    index, record = found
    auth = source.startswith(AUTH)
    for other, _ in mounts(context.view, auth=auth):
        path = AUTH + other if auth else other
        if target.startswith(path) or path.startswith(target):
            raise Refusal(400, f'path in use at "{path}"')
    draft = Draft()
    draft.expect(Table.MOUNT, source.encode(), index)
    draft.expect(Table.MOUNT, target.encode(), 0)
    draft.drop(Table.MOUNT, source.encode())
    moved = records.change(Mount, record, tokens_void_ns=context.now_ns) if auth else record
    draft.put(Table.MOUNT, target.encode(), moved)
    sweeps.start(context.view, draft, sweeps.LEASE_KIND, source.encode(), time_ns=context.now_ns)
    quotas.move(context, draft, source, target)
    move = Move(str(UUID(bytes=context.random(16), version=4)), source, target)
    known = entries.find(context, _STORED, Moves)
    kept = [] if known is None else known.value.moves[1 - KEPT_MAX :]
    entries.put(context, draft, _STORED, Moves([*kept, move]), known)
    return Plan(Answer(data={"migration_id": move.id}, warnings=[_QUEUED], inject=True), draft)


def read_status(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """A move that was made; 404 for any other, and for one long ago."""
    known = entries.find(context, _STORED, Moves)
    for move in [] if known is None else known.value.moves:
        if move.id == captures["id"]:
            info = {"source_mount": move.source, "target_mount": move.target, "status": "success"}
            return Answer(data={"migration_id": move.id, "migration_info": info})
    raise Refusal(404)


def _check_names(source: str, target: str) -> None:
    """The target is as the edge would have it of a request (node/http/paths.py), and both are keys with room to spare.

    A mount that is at a path which no request can name may leave it.
    """
    path = target[:-1]
    if not path.isprintable() or path != path.strip() or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise Refusal(400, "'to' path must be printable, with no spaces at its ends and no empty, . or .. segments")
    if len(target.encode()) > PATH_BYTES_MAX:
        raise Refusal(400, f"'to' path is longer than {PATH_BYTES_MAX} bytes")
    if len(sweeps.sweep_key(sweeps.LEASE_KIND, source.encode())) > SWEEP_KEY_BYTES_MAX:
        raise Refusal(400, "'from' path is too long")


def _check_table(source: str, target: str) -> None:
    """R2, as far as the paths alone say it."""
    if source.startswith(AUTH) != target.startswith(AUTH):
        raise Refusal(400, f'cannot remount "{shown(source)}": a mount stays among secrets engines or auth methods')
    protected: tuple[str, ...] = RESERVED
    if source.startswith(AUTH):
        protected = ("auth/token/",)
        if AUTH in {source, target}:
            raise Refusal(400, "an auth mount needs a path")
    if source.startswith(protected):
        raise Refusal(400, f'cannot remount "{shown(source)}"')
    if target.startswith(protected):
        raise Refusal(400, f'cannot remount to destination "{shown(target)}"')
