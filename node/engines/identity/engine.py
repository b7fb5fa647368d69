"""The paths below identity/: one table, every handler in its own file.

Pure. What identity has in Vault beside these (OpenID Connect, MFA) is in no route: 404.
Source: Vault API, "Identity".
"""

from __future__ import annotations

from ...request import Operation
from ..pages import PAGE
from ..system.routes import Route, Router
from . import alias_paths, entity_paths, group_alias_paths, group_paths, listing, lookup, merging

_UPDATE, _READ, _DELETE, _LIST = Operation.UPDATE, Operation.READ, Operation.DELETE, Operation.LIST
_ID = r"(?P<id>\w(?:[\w.-]*\w)?)"
_NAME = "(?P<name>.+)"
_NAMED = ("entity/name/", "group/name/")


def _entity_routes() -> tuple[Route, ...]:
    by_key = tuple(
        Route(
            f"entity/{how}",
            reads={_READ: entity_paths.read_entity},
            decisions={_UPDATE: entity_paths.decide_entity, _DELETE: entity_paths.decide_delete},
            fields=entity_paths.FIELDS,
            help="Update, read or delete an entity.",
        )
        for how in (f"id/{_ID}", f"name/{_NAME}")
    )
    return (
        Route(
            "entity",
            decisions={_UPDATE: entity_paths.decide_entity},
            fields=entity_paths.FIELDS,
            help="Create a new entity.",
        ),
        Route(
            "entity/id/?",
            reads={_LIST: listing.list_entities(by_name=False)},
            fields=PAGE,
            help="List all the entity IDs.",
        ),
        Route(
            "entity/name/?",
            reads={_LIST: listing.list_entities(by_name=True)},
            fields=PAGE,
            help="List all the entity names.",
        ),
        Route(
            "entity/batch-delete",
            decisions={_UPDATE: entity_paths.decide_batch_delete},
            fields=entity_paths.BATCH_FIELDS,
            help="Delete all of the entities provided.",
        ),
        Route(
            "entity/merge/?",
            decisions={_UPDATE: merging.decide_merge},
            fields=merging.FIELDS,
            help="Merge two or more entities together.",
        ),
        *by_key,
    )


def _entity_alias_routes() -> tuple[Route, ...]:
    return (
        Route(
            "entity-alias",
            decisions={_UPDATE: alias_paths.decide_alias},
            fields=alias_paths.FIELDS,
            help="Create a new alias.",
        ),
        Route(
            "entity-alias/id/?",
            reads={_LIST: listing.list_entity_aliases()},
            fields=PAGE,
            help="List all the alias IDs.",
        ),
        Route(
            f"entity-alias/id/{_ID}",
            reads={_READ: alias_paths.read_alias},
            decisions={_UPDATE: alias_paths.decide_alias, _DELETE: alias_paths.decide_delete},
            fields=alias_paths.FIELDS,
            help="Update, read or delete an alias ID.",
        ),
    )


def _group_routes() -> tuple[Route, ...]:
    by_key = tuple(
        Route(
            f"group/{how}",
            reads={_READ: group_paths.read_group},
            decisions={_UPDATE: group_paths.decide_group, _DELETE: group_paths.decide_delete},
            fields=group_paths.FIELDS,
            help="Update, read or delete an existing group.",
        )
        for how in (f"id/{_ID}", f"name/{_NAME}")
    )
    return (
        Route(
            "group",
            decisions={_UPDATE: group_paths.decide_group},
            fields=group_paths.FIELDS,
            help="Create a new group.",
        ),
        Route(
            "group/id/?",
            reads={_LIST: listing.list_groups(by_name=False)},
            fields=PAGE,
            help="List all the group IDs.",
        ),
        Route(
            "group/name/?",
            reads={_LIST: listing.list_groups(by_name=True)},
            fields=PAGE,
            help="List all the group names.",
        ),
        *by_key,
    )


def _group_alias_routes() -> tuple[Route, ...]:
    return (
        Route(
            "group-alias",
            decisions={_UPDATE: group_alias_paths.decide_alias},
            fields=group_alias_paths.FIELDS,
            help="Creates a new group alias, or updates an existing one.",
        ),
        Route(
            "group-alias/id/?",
            reads={_LIST: listing.list_group_aliases()},
            fields=PAGE,
            help="List all the group alias IDs.",
        ),
        Route(
            f"group-alias/id/{_ID}",
            reads={_READ: group_alias_paths.read_alias},
            decisions={_UPDATE: group_alias_paths.decide_alias, _DELETE: group_alias_paths.decide_delete},
            fields=group_alias_paths.FIELDS,
            help="Update, read or delete a group alias using ID.",
        ),
    )


def _lookup_routes() -> tuple[Route, ...]:
    return (
        Route(
            "lookup/entity/?",
            reads={_UPDATE: lookup.read_entity},
            fields=lookup.FIELDS,
            help="Query entities based on various properties.",
        ),
        Route(
            "lookup/group/?",
            reads={_UPDATE: lookup.read_group},
            fields=lookup.FIELDS,
            help="Query groups based on various properties.",
        ),
    )


class IdentityEngine(Router):
    """The engine of the mount identity/."""

    def __init__(self) -> None:
        super().__init__(
            (
                *_entity_routes(),
                *_entity_alias_routes(),
                *_group_routes(),
                *_group_alias_routes(),
                *_lookup_routes(),
            )
        )

    def canonical(self, path: str) -> str:
        """Names of entities and groups are compared in lower case."""
        folder = next((folder for folder in _NAMED if path.startswith(folder)), path)
        return folder + path[len(folder) :].lower()
