"""What a token may do on given paths: sys/capabilities and its two sisters.

Pure; any node answers. Invariants
  C1  the answer comes from the same compiled list that judges requests, and says of each operation what the judge says
      of a request for that path: it promises nothing that a policy then refuses. Conditions of a rule (parameters,
      wrapping) are a matter of the request, and sudo, where a path needs it, has to stand in the answer beside the rest
  C2  a path is taken as the edge takes one: slashes at its beginning, and doubled ones, are none; what the edge takes
      from nobody is denied to everybody. Nothing is decoded, and `v1/` is a part of the path like any other
  C3  what a rule says of the spelling that counts (engines/base.py, Folding) is said of all
Source: Vault API, "sys/capabilities".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...auth.access import acl_of_token
from ...auth.tokens import find_by_accessor, find_raw
from ...auth.typed_fields import to_names, to_text
from ...request import Answer, Operation, RawRequest, Refusal
from ..fields import parameters
from .mount_table import find_mount
from .routes import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cluster import Mount, View

    from ..base import Context
    from .routes import Captures

FIELDS = frozenset({"token", "accessor", "paths", "path"})
PATHS_MAX = 1_000
_SLASHES = re.compile("//+")
_HELP = "Fetches the capabilities of a token on the given paths."


class Capabilities:
    """The three paths. `engine_for` gives the engine of a mount, None where it has none."""

    def __init__(self, engine_for: Callable[[Mount], Any]) -> None:
        self._engine_for = engine_for

    @property
    def routes(self) -> tuple[Route, ...]:
        """Their rows of the table."""
        readers = {
            "capabilities": self._read,
            "capabilities-self": self._read_self,
            "capabilities-accessor": self._read_accessor,
        }
        return tuple(
            Route(name, reads={Operation.UPDATE: reader}, fields=FIELDS, help=_HELP) for name, reader in readers.items()
        )

    def _read(self, context: Context, request: RawRequest, _captures: Captures) -> Answer:
        """Of the token in the request."""
        paths = _paths(request)
        raw_token = to_text("token", parameters(request).get("token"))
        if not raw_token:
            raise Refusal(400, "missing token", wrapped=True)
        token = find_raw(context.view, context.sealing, raw_token, context.now_ns)
        if token is None:
            raise Refusal(400, "invalid token", wrapped=True)
        return self._answer(context, token.record.policies, token.record.entity_id, paths)

    def _read_self(self, context: Context, request: RawRequest, _captures: Captures) -> Answer:
        """Of the caller."""
        return self._answer(context, context.caller.policies, context.caller.entity_id, _paths(request))

    def _read_accessor(self, context: Context, request: RawRequest, _captures: Captures) -> Answer:
        """Of the token with the accessor in the request."""
        accessor = to_text("accessor", parameters(request).get("accessor"))
        if not accessor:
            raise Refusal(400, "missing accessor")
        paths = _paths(request)
        token = find_by_accessor(context.view, accessor, context.now_ns)
        if token is None:
            raise Refusal(400, "invalid accessor", wrapped=True)
        return self._answer(context, token.record.policies, token.record.entity_id, paths)

    def _answer(self, context: Context, policies: Iterable[str], entity_id: str, paths: list[str]) -> Answer:
        acl = acl_of_token(context.view, policies, entity_id)
        data: dict[str, Any] = {}
        for path in paths:
            asked = as_asked(path)
            counts = None if asked is None else self._spelling(context.view, asked)
            data[path] = ["deny"] if asked is None else acl.capabilities(asked, counts)
        if len(paths) == 1:
            data["capabilities"] = data[paths[0]]
        return Answer(data=data, inject=True)

    def _spelling(self, view: View, path: str) -> str:
        """The spelling of the path that counts (C3)."""
        found = find_mount(view, path)
        canonical = None if found is None else getattr(self._engine_for(found[2]), "canonical", None)
        if found is None or canonical is None:
            return path
        below = path[len(found[0]) :]
        folded = canonical(below)
        return path if folded == below else found[0] + folded


def as_asked(path: str) -> str | None:
    """The path that a request with this text behind /v1/ would be about; None: no request can be (C2)."""
    if not path.isprintable():
        return None
    path = _SLASHES.sub("/", path).removeprefix("/")
    return None if any(segment in {".", ".."} for segment in path.split("/")) else path


def _paths(request: RawRequest) -> list[str]:
    given = parameters(request)
    paths = to_names("paths", given.get("paths")) or to_names("path", given.get("path"))
    if not paths:
        raise Refusal(400, "paths must be supplied")
    if len(paths) > PATHS_MAX:
        raise Refusal(400, f"at most {PATHS_MAX} paths can be asked about at once")
    return paths
