"""entity/merge: several entities become one.

Pure. Invariant: of two aliases of one mount none goes unless the request says which; all or nothing is merged.
Source: Vault API, "Identity: merge entities"; OpenBao, mergeEntity (without its MFA secrets).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cluster import Draft

from ...auth.typed_fields import to_text
from ...identity import entities
from ...identity.changes import Changes
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import parameters
from . import given as givens
from . import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster import Alias, Entity

    from ..system.routes import Captures

FIELDS = frozenset({"from_entity_ids", "to_entity_id", "conflicting_alias_ids_to_keep", "force"})
_CLASH = (
    "toEntity and at least one fromEntity have aliases with the same mount accessor, repeat the merge request "
    "specifying exactly one fromEntity, clashes: "
)


def decide_merge(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """The entities of `from_entity_ids` are part of that of `to_entity_id`. Raises Refusal."""
    given = parameters(request)
    to_id = to_text("to_entity_id", given.get("to_entity_id"))
    if not to_id:
        raise Refusal(400, "missing entity id to merge to")
    from_ids = givens.ids("from_entity_ids", given["from_entity_ids"]) if "from_entity_ids" in given else []
    if not from_ids:
        raise Refusal(400, "missing entity ids to merge from")
    name = "conflicting_alias_ids_to_keep"
    keep = givens.ids(name, given[name]) if name in given else []
    changes = Changes(context.view)
    into = entities.by_id(changes, to_id)
    if into is None:
        raise Refusal(400, "entity id to merge to is invalid")
    if len(from_ids) > 1 and len(keep) > 1:
        raise Refusal(
            400,
            "aliases conflicts cannot be resolved with multiple from entity ids - merge one entity at a time",
        )
    merged = [_merged(changes, from_id, into) for from_id in from_ids]
    if not keep:
        _check_clashes(changes, into, merged)
    entities.merge(changes, into, merged, keep, context.now_ns)
    if len(into.policies) > givens.POLICIES_MAX:
        raise Refusal(400, f"policies cannot contain more than {givens.POLICIES_MAX} names")
    return Plan(Answer(), changes.into(Draft()))


def _merged(changes: Changes, from_id: str, into: Entity) -> Entity:
    if from_id == into.id:
        raise Refusal(400, "to_entity_id should not be present in from_entity_ids")
    entity = entities.by_id(changes, from_id)
    if entity is None:
        raise Refusal(400, "entity id to merge from is invalid")
    return entity


def _check_clashes(changes: Changes, into: Entity, merged: Sequence[Entity]) -> None:
    """Every clash is in the refusal's text and data: whoever asks says then which aliases stay."""
    own = {alias.mount_accessor: alias for alias in into.aliases}
    seen: set[str] = set()
    clashes: list[tuple[Entity, Alias, Alias]] = []
    for entity in merged:
        for alias in entity.aliases:
            if alias.mount_accessor in seen:
                raise Refusal(
                    400,
                    f"mount accessor {alias.mount_accessor} found in multiple fromEntities, merge should be done with "
                    "one fromEntity at a time",
                )
            seen.add(alias.mount_accessor)
            if alias.mount_accessor in own:
                clashes.append((entity, own[alias.mount_accessor], alias))
    if clashes:
        raise _clashing(changes, into, clashes)


def _clashing(changes: Changes, into: Entity, clashes: list[tuple[Entity, Alias, Alias]]) -> Refusal:
    mounts = shown.mounts_by_accessor(changes.view)
    lines, data = [_CLASH], []
    for entity, kept, other in clashes:
        lines.append(
            f"mountAccessor: {kept.mount_accessor}, toEntity ID: {into.id}, fromEntity ID: {entity.id}, conflicting "
            f"toEntity alias ID: {kept.id}, conflicting fromEntity alias ID: {other.id}"
        )
        for owner, alias in ((into, kept), (entity, other)):
            where = shown.mount(alias, mounts)
            data.append(
                {
                    "alias": alias.name,
                    "entity": owner.name,
                    "entity_id": owner.id,
                    "mount": where.get("mount_type", ""),
                    "mount_path": where.get("mount_path", ""),
                }
            )
    text = f"{len(lines)} errors occurred:\n" + "".join(f"\t* {line}\n" for line in lines) + "\n"
    return Refusal(400, text, data=msgspec.json.encode(data))
