"""The paths of roles, as most auth methods have them: listed, read, written field by field, deleted.

Pure. What a role is, what of it may be given and what is shown of it, is the method's own. Invariants
  R1  a write changes what is given of the role, as it stood in this very view, or nothing is written
  R2  where names are lower-cased, they are here, whoever asks: paths, logins, renewals
Source: Vault API, the roles of "TLS certificates", "JWT/OIDC" and "Kubernetes".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from cluster import Draft, Table

from ..engines.base import Context, Plan
from ..engines.entries import Found, drop, find, put
from ..engines.fields import parameters
from ..engines.pages import PAGE, listed
from ..engines.system.routes import Route
from ..request import Answer, Operation, RawRequest, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..engines.fields import Given
    from ..engines.system.routes import Captures

R = TypeVar("R", bound=msgspec.Struct)

NAME = r"(?P<name>\w(?:[\w.-]*\w)?)"


class RolePaths(Generic[R]):
    """Of one type of auth method: at `segment` below the mount, stored below `folder`."""

    def __init__(
        self, kind: type[R], segment: str, folder: str, *, fields: frozenset[str], fresh: Callable[[str], R],
        changed: Callable[[R, Mapping[str, Given]], R], shown: Callable[[R], dict[str, Any]], folds: bool = True,
    ) -> None:  # fmt: skip
        """`fresh` is the role of a name before anything was given of it; `changed` raises FieldError and Refusal."""
        self._kind = kind
        self._segment = segment
        self._folder = folder
        self._fields = fields
        self._fresh = fresh
        self._changed = changed
        self._shown = shown
        self._folds = folds
        self._path = re.compile(segment + NAME)

    def find(self, context: Context, name: str) -> Found[R] | None:
        """The role, or None."""
        return find(context, self._stored(name), self._kind)

    def exists(self, context: Context, path: str) -> bool | None:
        """Whether the role of this path is there; None: it is no path of a role."""
        match = self._path.fullmatch(path)
        if match is None:
            return None
        assert context.mount is not None  # the flow gives every engine its mount
        return context.view.get(Table.ENTRY, context.mount.uuid + self._stored(match["name"]).encode()) is not None

    def routes(self, help_all: str, help_one: str) -> tuple[Route, Route]:
        """The list, and one role."""
        decisions = {Operation.UPDATE: self.decide_write, Operation.DELETE: self.decide_delete}
        return (
            Route(self._segment + "?", reads={Operation.LIST: self.read_list}, fields=PAGE, help=help_all),
            Route(
                self._segment + NAME, reads={Operation.READ: self.read}, decisions=decisions, fields=self._fields,
                help=help_one,
            ),
        )  # fmt: skip

    def read_list(self, context: Context, request: RawRequest, _captures: Captures) -> Answer:
        """The names of all roles; 404 without one."""
        return listed(context, request, self._folder)

    def read(self, context: Context, _request: RawRequest, captures: Captures) -> Answer:
        """The role; 404 without one."""
        found = self.find(context, captures["name"])
        if found is None:
            raise Refusal(404)
        return Answer(data=self._shown(found.value))

    def decide_write(self, context: Context, request: RawRequest, captures: Captures) -> Plan:
        """The role is made, or what is given of it changes (R1)."""
        name = self._named(captures["name"])
        before = self.find(context, name)
        role = self._changed(self._fresh(name) if before is None else before.value, parameters(request))
        draft = Draft()
        if before is None or before.value != role:
            put(context, draft, self._stored(name), role, before)
        return Plan(Answer(), draft)

    def decide_delete(self, context: Context, _request: RawRequest, captures: Captures) -> Plan:
        """The role is gone, if it was there; tokens live on and are not renewed."""
        found = self.find(context, captures["name"])
        draft = Draft()
        if found is not None:
            drop(context, draft, self._stored(captures["name"]), found)
        return Plan(Answer(), draft)

    def _named(self, name: str) -> str:
        return name.lower() if self._folds else name

    def _stored(self, name: str) -> str:
        return self._folder + self._named(name)
