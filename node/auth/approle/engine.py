"""The paths of an approle mount: one table, every handler in its own file.

Pure. Invariant: no path carries a secret-id (paths are written to the audit log in the clear).
Source: Vault API, "AppRole".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cluster import Table

from ...engines.pages import PAGE
from ...engines.system.routes import Route, Router
from ...request import Operation
from . import role_fields, roles, secret_id_paths
from .login import FIELDS as LOGIN_FIELDS
from .login import LoginPath

if TYPE_CHECKING:
    from ...engines.base import Context
    from ..lockout import Lockout

_READ, _LIST, _UPDATE, _DELETE = Operation.READ, Operation.LIST, Operation.UPDATE, Operation.DELETE
_NAME = r"(?P<name>\w(?:[\w.-]*\w)?)"
_ROLE = re.compile("role/" + _NAME)


class ApproleEngine(Router):
    """The engine of auth methods of type approle."""

    def __init__(self, lockout: Lockout) -> None:
        login = Route(
            "login",
            decisions={_UPDATE: LoginPath(lockout).decide},
            fields=LOGIN_FIELDS,
            help="Issue a token based on the credentials supplied.",
        )
        super().__init__((login, *_role_routes(), *_part_routes(), *_secret_id_routes()))

    def exists(self, context: Context, path: str) -> bool | None:
        """A role that is written is created where it is not there."""
        match = _ROLE.fullmatch(path)
        if match is None:
            return None
        assert context.mount is not None  # the flow gives every engine its mount
        key = context.mount.uuid + f"role/{roles.name_of(match.groupdict())}".encode()
        return context.view.get(Table.ENTRY, key) is not None

    def canonical(self, path: str) -> str:
        """Names of roles are lower-cased."""
        folder, slash, rest = path.partition("/")
        name, below, part = rest.partition("/")
        return f"{folder}{slash}{name.lower()}{below}{part}" if folder == "role" else path


def _role_routes() -> tuple[Route, ...]:
    return (
        Route("role/?", reads={_LIST: roles.read_list}, fields=PAGE, help="Lists all the roles of the mount."),
        Route(
            "role/" + _NAME,
            reads={_READ: roles.read_role},
            decisions={_UPDATE: roles.decide_write, _DELETE: roles.decide_delete},
            fields=role_fields.FIELDS,
            help="Register a role.",
        ),
        Route(
            f"role/{_NAME}/role-id",
            reads={_READ: roles.read_role_id},
            decisions={_UPDATE: roles.decide_role_id},
            fields=frozenset({"role_id"}),
            help="The role_id of a role.",
        ),
        Route(
            f"role/{_NAME}/local-secret-ids",
            reads={_READ: roles.read_local_secret_ids},
            help="Whether the secret IDs of a role are local to the cluster.",
        ),
    )


def _part_routes() -> tuple[Route, ...]:
    routes = []
    for part in role_fields.PARTS:
        paths = roles.PartPaths(part)
        routes.append(
            Route(
                f"role/{_NAME}/{part.path}",
                reads={_READ: paths.read},
                decisions={_UPDATE: paths.decide, _DELETE: paths.decide_default},
                fields=frozenset({part.field, part.old} - {""}),
                help=f"The field {part.field} of a role.",
            )
        )
    return tuple(routes)


def _secret_id_routes() -> tuple[Route, ...]:
    destroy, destroy_accessor = secret_id_paths.decide_destroy, secret_id_paths.decide_accessor_destroy
    return (
        Route(
            f"role/{_NAME}/secret-id/?",
            reads={_LIST: secret_id_paths.read_list},
            decisions={_UPDATE: secret_id_paths.decide_generate},
            fields=secret_id_paths.FIELDS | PAGE,
            help="Generate a secret ID, or list the accessors of all secret IDs of a role.",
        ),
        Route(
            f"role/{_NAME}/custom-secret-id",
            decisions={_UPDATE: secret_id_paths.decide_custom},
            fields=secret_id_paths.CUSTOM_FIELDS,
            help="Assign a secret ID of one's own choice to a role.",
        ),
        Route(
            f"role/{_NAME}/secret-id/lookup",
            reads={_UPDATE: secret_id_paths.read_lookup},
            fields=secret_id_paths.SECRET_FIELDS,
            help="Read the properties of a secret ID.",
        ),
        Route(
            f"role/{_NAME}/secret-id/destroy",
            decisions={_UPDATE: destroy, _DELETE: destroy},
            fields=secret_id_paths.SECRET_FIELDS,
            help="Destroy a secret ID.",
        ),
        Route(
            f"role/{_NAME}/secret-id-accessor/lookup",
            reads={_UPDATE: secret_id_paths.read_accessor_lookup},
            fields=secret_id_paths.ACCESSOR_FIELDS,
            help="Read the properties of a secret ID by its accessor.",
        ),
        Route(
            f"role/{_NAME}/secret-id-accessor/destroy",
            decisions={_UPDATE: destroy_accessor, _DELETE: destroy_accessor},
            fields=secret_id_paths.ACCESSOR_FIELDS,
            help="Destroy a secret ID by its accessor.",
        ),
        Route(
            "tidy/secret-id",
            decisions={_UPDATE: secret_id_paths.decide_tidy},
            help="Remove secret IDs that have expired.",
        ),
    )
