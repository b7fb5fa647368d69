"""The paths of a jwt or oidc mount: one table, every handler in its own file.

Pure but for the keys that are remembered and the sign-ins under way. Source: Vault API, "JWT/OIDC".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...engines.fields import FieldError, refusal_of
from ...engines.system.routes import Route, Router
from ...request import Operation, RawRequest
from . import config, roles, sign_in
from .keys import KeyCache
from .login import FIELDS as LOGIN_FIELDS
from .login import LoginPath
from .sign_in import SignIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...engines.base import Context

_READ, _UPDATE = Operation.READ, Operation.UPDATE
_BODIES = frozenset({Operation.CREATE, Operation.UPDATE})


class JwtEngine(Router):
    """The engine of auth methods of type jwt and oidc."""

    def __init__(self) -> None:
        cache = KeyCache()
        self._login = LoginPath(cache)
        self._sign_in = SignIn(cache)
        super().__init__(self._table())

    def _table(self) -> tuple[Route, ...]:
        callback = self._sign_in.decide_callback
        return (
            Route(
                "login",
                decisions={_UPDATE: self._login.decide},
                fields=LOGIN_FIELDS,
                help="Authenticates to the store with a JWT.",
            ),
            Route(
                "config",
                reads={_READ: config.read_config},
                decisions={_UPDATE: config.decide_config},
                fields=config.FIELDS,
                help="Configures the JWT authentication backend.",
            ),
            *roles.ROLES.routes(
                "Lists all the roles registered with the backend.", "Register a role with the backend."
            ),
            Route(
                "oidc/auth_url",
                decisions={_UPDATE: self._sign_in.decide_url},
                fields=sign_in.URL_FIELDS,
                help="Request an authorization URL to start an OIDC login flow.",
            ),
            Route(
                "oidc/callback",
                decisions={_READ: callback, _UPDATE: callback},
                fields=sign_in.CALLBACK_FIELDS,
                help="Callback endpoint to complete an OIDC login.",
            ),
        )

    def exists(self, context: Context, path: str) -> bool | None:
        """A role that is written is created where there is none."""
        return roles.ROLES.exists(context, path)

    def labour(self, context: Context, request: RawRequest, path: str) -> Callable[[], Any] | None:
        """What is asked of others, and signatures: before a login, and before another source of keys is written."""
        is_write = request.operation in _BODIES
        try:
            if path == "login" and is_write:
                return self._login.labour(context, request)
            if path == "config" and is_write:
                return config.asking(request)
            if path == "oidc/auth_url" and is_write:
                return self._sign_in.labour_url(context, request)
            if path == "oidc/callback" and (is_write or request.operation is _READ):
                return self._sign_in.labour_callback(context, request)
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
        return None
