"""Cross-origin requests: off, and not to be switched on.

Pure; any node answers. A browser on another site is nobody's client here: sys/config/cors says so, in Vault's shape.
Source: Vault API, "sys/config/cors"; docs/threat-model.md, "HTTP edge".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...request import Answer, RawRequest, Refusal

if TYPE_CHECKING:
    from ..base import Context
    from .routes import Captures

FIELDS = frozenset({"enable", "allowed_origins", "allowed_headers"})


def read_cors(_context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """They are off."""
    return Answer(data={"enabled": False}, inject=True)


def refuse_cors(_context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """Switching them on is refused, for one origin as for all."""
    raise Refusal(
        400, "cross-origin requests are not supported, for no origin: a site of its own needs a server of its own"
    )


def remove_cors(_context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """They are off already."""
    return Answer()
