"""The paths below auth/token/: one table, every handler in its own file.

Pure. Invariant: no path carries a token (paths are written to the audit log in the clear).
Source: Vault API, "Token auth method".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engines.base import Context, Plan
from ..engines.system.routes import Captures, Route, Router
from ..request import Answer, Operation, RawRequest
from . import token_create, token_lookup, token_renew, token_revoke, token_roles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .login import Renewer

_TIDY_WARNING = (
    "Tidy operation successfully started. Any information from the operation will be printed to Strongroom's server "
    "logs."
)


def _decide_tidy(_context: Context, _request: RawRequest, _captures: Captures) -> Plan:
    """Nothing to decide: what a revocation or an expiry left behind is swept whether or not anybody asks."""
    return Plan(Answer(status=202, warnings=[_TIDY_WARNING]))


_UPDATE, _READ = Operation.UPDATE, Operation.READ

ROUTES = (
    Route(
        "create",
        decisions={_UPDATE: token_create.decide_create},
        fields=token_create.FIELDS,
        help="The token create path is used to create new tokens.",
    ),
    Route(
        "create-orphan",
        decisions={_UPDATE: token_create.decide_create_orphan},
        fields=token_create.FIELDS,
        help="The token create path is used to create new orphan tokens.",
    ),
    Route(
        f"create/(?P<role_name>{token_roles.NAME})",
        decisions={_UPDATE: token_create.decide_create_by_role},
        fields=token_create.FIELDS,
        help="This token create path is used to create new tokens adhering to the given role.",
    ),
    Route("roles/?", reads={Operation.LIST: token_roles.read_list}, help="This endpoint lists configured roles."),
    Route(
        f"roles/(?P<role_name>{token_roles.NAME})",
        reads={_READ: token_roles.read_role},
        decisions={_UPDATE: token_roles.decide_write, Operation.DELETE: token_roles.decide_delete},
        fields=token_roles.FIELDS,
        help="This endpoint allows creating, reading, and deleting roles.",
    ),
    Route(
        "lookup",
        reads={_UPDATE: token_lookup.read_lookup, _READ: token_lookup.read_lookup},
        fields=token_revoke.FIELDS_TOKEN,
        help="This endpoint will lookup a token and its properties.",
    ),
    Route(
        "lookup-self",
        reads={_UPDATE: token_lookup.read_lookup_self, _READ: token_lookup.read_lookup_self},
        fields=token_revoke.FIELDS_TOKEN,
        help="This endpoint will lookup the token it is called with.",
    ),
    Route(
        "lookup-accessor",
        reads={_UPDATE: token_lookup.read_lookup_accessor},
        fields=token_revoke.FIELDS_ACCESSOR,
        help="This endpoint will lookup a token associated with the given accessor and its properties.",
    ),
    Route(
        "revoke",
        decisions={_UPDATE: token_revoke.decide_revoke},
        fields=token_revoke.FIELDS_TOKEN,
        help="This endpoint will delete the given token and all of its child tokens.",
    ),
    Route(
        "revoke-self",
        decisions={_UPDATE: token_revoke.decide_revoke_self},
        help="This endpoint will delete the token used to call it and all of its child tokens.",
    ),
    Route(
        "revoke-orphan",
        decisions={_UPDATE: token_revoke.decide_revoke_orphan},
        fields=token_revoke.FIELDS_TOKEN,
        help="This endpoint will delete the token and orphan its child tokens.",
    ),
    Route(
        "revoke-batch-tokens",
        decisions={_UPDATE: token_revoke.decide_revoke_batch_tokens},
        help="This endpoint will make every batch token void that was created until now.",
    ),
    Route(
        "revoke-accessor",
        decisions={_UPDATE: token_revoke.decide_revoke_accessor},
        fields=token_revoke.FIELDS_ACCESSOR,
        help="This endpoint will delete a token associated with the given accessor and all of its child tokens.",
    ),
    Route(
        "accessors/?",
        reads={Operation.LIST: token_lookup.read_accessors},
        help="List token accessors, which can then be used to iterate and discover their properties or revoke them.",
    ),
    Route(
        "tidy",
        decisions={_UPDATE: _decide_tidy},
        help="This endpoint performs cleanup tasks that can be run if certain error conditions have occurred.",
    ),
)


def _renew_routes(renewal: token_renew.Renewal) -> tuple[Route, ...]:
    return (
        Route(
            "renew",
            decisions={_UPDATE: renewal.decide_renew},
            fields=token_renew.FIELDS_TOKEN,
            help="This endpoint will renew the given token and prevent expiration.",
        ),
        Route(
            "renew-self",
            decisions={_UPDATE: renewal.decide_renew_self},
            fields=token_renew.FIELDS_SELF,
            help="This endpoint will renew the token used to call it and prevent expiration.",
        ),
        Route(
            "renew-accessor",
            decisions={_UPDATE: renewal.decide_renew_accessor},
            fields=token_renew.FIELDS_ACCESSOR,
            help="This endpoint will renew a token associated with the given accessor.",
        ),
    )


class TokenEngine(Router):
    """The engine of the auth method `token`. `renewers`: type of auth method → what its tokens are renewed by."""

    def __init__(self, renewers: Mapping[str, Renewer] | None = None) -> None:
        super().__init__((*_renew_routes(token_renew.Renewal(renewers or {})), *ROUTES))

    def exists(self, context: Context, path: str) -> bool | None:
        """Of a role: whether it is there. No other path has an existence check."""
        folder, _, name = path.partition("/")
        return token_roles.find_role(context, name) is not None if folder == "roles" and name else None
