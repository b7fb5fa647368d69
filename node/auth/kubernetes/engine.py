"""The paths of a kubernetes mount: one table, every handler in its own file.

Pure. Source: Vault API, "Kubernetes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...engines.fields import FieldError, refusal_of
from ...engines.system.routes import Route, Router, folded
from ...request import Operation, RawRequest
from . import config, login, roles

if TYPE_CHECKING:
    from ...engines.base import Context, Errand

_READ, _UPDATE = Operation.READ, Operation.UPDATE
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
                *roles.ROLES.routes(
                    "Lists all the roles registered with the backend.", "Register a role with the backend."
                ),
            )
        )

    def exists(self, context: Context, path: str) -> bool | None:
        """A role that is written is created where there is none."""
        return roles.ROLES.exists(context, path)

    def labour(self, context: Context, request: RawRequest, path: str) -> Errand | None:
        """A review of the token by its cluster, before a login. Raises Refusal."""
        if path != "login" or request.operation not in _BODIES:
            return None
        try:
            return login.labour(context, request)
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
