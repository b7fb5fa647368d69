"""The paths of a cert mount: one table, every handler in its own file.

Pure. Source: Vault API, "TLS certificates".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...engines.fields import FieldError, refusal_of
from ...engines.pages import PAGE
from ...engines.system.routes import Route, Router, folded
from ...request import Operation, RawRequest
from ..role_paths import NAME
from . import config, crls, login, roles

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...engines.base import Context
    from .login import Chains

_READ, _LIST, _UPDATE, _DELETE = Operation.READ, Operation.LIST, Operation.UPDATE, Operation.DELETE
_BODIES = frozenset({Operation.CREATE, Operation.UPDATE})


class CertEngine(Router):
    """The engine of auth methods of type cert."""

    def canonical(self, path: str) -> str:
        """Names are lower-cased."""
        return folded(path, ("certs/", "crls/"))

    def __init__(self) -> None:
        super().__init__(
            (
                Route(
                    "login",
                    decisions={_UPDATE: login.decide_login},
                    fields=login.FIELDS,
                    help="Log in with the client certificate of the connection.",
                ),
                Route(
                    "config",
                    reads={_READ: config.read_config},
                    decisions={_UPDATE: config.decide_config},
                    fields=config.FIELDS,
                    help="Configure the method.",
                ),
                *roles.ROLES.routes(
                    "Lists the roles of the mount.", "Manage trusted certificates used for authentication."
                ),
                Route("crls/?", reads={_LIST: crls.read_list}, fields=PAGE, help="Lists the CRLs of the mount."),
                Route(
                    "crls/" + NAME,
                    reads={_READ: crls.read_crl},
                    decisions={_UPDATE: crls.decide_write, _DELETE: crls.decide_delete},
                    fields=crls.FIELDS,
                    help="Manage Certificate Revocation Lists checked during authentication.",
                ),
            )
        )

    def exists(self, context: Context, path: str) -> bool | None:
        """A role that is written is created where there is none."""
        return roles.ROLES.exists(context, path)

    def labour(self, context: Context, request: RawRequest, path: str) -> Callable[[], Chains] | None:
        """Building chains, before a login. Raises Refusal."""
        if path != "login" or request.operation not in _BODIES:
            return None
        try:
            return login.labour(context, request)
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
