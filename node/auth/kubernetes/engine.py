"""The paths of a kubernetes mount: one table, every handler in its own file.

Pure. Source: Vault API, "Kubernetes".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cluster import Table

from ...engines.fields import FieldError, refusal_of
from ...engines.system.routes import Route, Router, folded
from ...request import Operation, RawRequest
from . import config, login, roles

if TYPE_CHECKING:
    from ...engines.base import Context, Errand

_READ, _LIST, _UPDATE, _DELETE = Operation.READ, Operation.LIST, Operation.UPDATE, Operation.DELETE
_NAME = r"(?P<name>\w(?:[\w.-]*\w)?)"
_ROLE = re.compile("role/" + _NAME)
_BODIES = frozenset({Operation.CREATE, Operation.UPDATE})


class KubernetesEngine(Router):
    """The engine of auth methods of type kubernetes."""

    def canonical(self, path: str) -> str:
        """Names are lower-cased."""
        return folded(path, ("role/",))

    def __init__(self) -> None:
        super().__init__(
            (
                Route(
                    "login",
                    decisions={_UPDATE: login.decide_login},
                    fields=login.FIELDS,
                    help="Authenticates Kubernetes service accounts.",
                ),
                Route(
                    "config",
                    reads={_READ: config.read_config},
                    decisions={_UPDATE: config.decide_config},
                    fields=config.FIELDS,
                    help="Configures the JWT Public Key and Kubernetes API information.",
                ),
                Route(
                    "role/?",
                    reads={_LIST: roles.read_list},
                    fields=frozenset({"after", "limit"}),
                    help="Lists all the roles registered with the backend.",
                ),
                Route(
                    "role/" + _NAME,
                    reads={_READ: roles.read_role},
                    decisions={_UPDATE: roles.decide_write, _DELETE: roles.decide_delete},
                    fields=roles.FIELDS,
                    help="Register a role with the backend.",
                ),
            )
        )

    def exists(self, context: Context, path: str) -> bool | None:
        """A role that is written is created where there is none."""
        match = _ROLE.fullmatch(path)
        if match is None:
            return None
        assert context.mount is not None  # the flow gives every engine its mount
        key = context.mount.uuid + (roles.FOLDER + roles.name_of(match.groupdict())).encode()
        return context.view.get(Table.ENTRY, key) is not None

    def labour(self, context: Context, request: RawRequest, path: str) -> Errand | None:
        """A review of the token by its cluster, before a login. Raises Refusal."""
        if path != "login" or request.operation not in _BODIES:
            return None
        try:
            return login.labour(context, request)
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
