"""A table of routes as an engine: which path of a backend does what, and Vault's words for everything else.

Pure. Invariants: the first route whose pattern matches the whole path decides; an operation stands either among a
route's reads (any node, nothing changes) or among its decisions (the leader); what is in no table is refused with
404 (path) or 405 (operation), never answered.
Source: Vault API, "HTTP errors", "Input types" (the warnings about parameters).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ...request import Answer, Operation, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import FieldError, check_body, parameters, refusal_of

Captures = Mapping[str, str]
Reader = Callable[[Context, RawRequest, Captures], Answer]
Decider = Callable[[Context, RawRequest, Captures], Plan]

_WITH_BODY = frozenset({Operation.CREATE, Operation.UPDATE, Operation.PATCH})


@dataclass(frozen=True, slots=True)
class Route:
    """`pattern` matches the whole path below the mount; its named groups are the captures.

    `fields` are the parameters the route knows; others are named in a warning where there is an answer to warn in.
    `upgrades` decide what a read of the same operation gave up with NeedsDecision.
    """

    pattern: str
    reads: Mapping[Operation, Reader] = field(default_factory=dict)
    decisions: Mapping[Operation, Decider] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()
    help: str = ""
    upgrades: Mapping[Operation, Decider] = field(default_factory=dict)


class Router:
    """An Engine made of routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple((re.compile(route.pattern), route) for route in routes)

    def is_write(self, operation: Operation, path: str) -> bool:
        """Whether the request is decided by the leader; what no route knows is refused where it arrives."""
        found = self._match(path)
        return found is not None and _effective(operation) in found[0].decisions

    def exists(self, context: Context, path: str) -> bool | None:  # noqa: ARG002 - the protocol of all engines
        """No route here has an existence check: POST is always an update."""
        return None

    def read(self, context: Context, request: RawRequest, path: str) -> Answer:
        """The answer of a route that changes nothing; Refusal otherwise."""
        route, captures = self._route(request, path)
        operation = _effective(request.operation)
        if operation is Operation.HELP:
            return _help(route, request.path)
        reader = route.reads.get(operation)
        if reader is None:
            assert operation not in route.decisions, "a decision was asked as a read"
            raise unsupported_operation()
        try:
            answer = reader(context, request, captures)
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
        _warn(answer, request, route, captures)
        return answer

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        """The plan of a route that may change something; a read becomes a plan that proposes nothing."""
        route, captures = self._route(request, path)
        operation = _effective(request.operation)
        decider = route.decisions.get(operation) or route.upgrades.get(operation)
        if decider is None:
            return Plan(self.read(context, request, path))
        try:
            plan = decider(context, request, captures)
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
        _warn(plan.answer, request, route, captures)
        return plan

    def _route(self, request: RawRequest, path: str) -> tuple[Route, Captures]:
        if request.operation in _WITH_BODY and request.path.endswith("/"):
            raise Refusal(400, "cannot write to a path ending in '/'")
        found = self._match(path)
        if found is None:
            raise unsupported_path()
        if request.operation in _WITH_BODY:
            check_body(request)
        return found

    def _match(self, path: str) -> tuple[Route, Captures] | None:
        for pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                return route, match.groupdict()
        return None


def folded(path: str, folders: Iterable[str]) -> str:
    """The path with what stands in one of the folders trimmed and in lower case: see Folding in base.py."""
    folder = next((one for one in folders if path.startswith(one)), path)
    return folder + path[len(folder) :].strip().lower()


def no_handler(path: str) -> Refusal:
    """404 for a path below which nothing is mounted."""
    return Refusal(404, f'no handler for route "{path}". route entry not found.')


def unsupported_path() -> Refusal:
    """404 for a path the mount does not have."""
    return Refusal(404, "unsupported path", wrapped=True)


def unsupported_operation() -> Refusal:
    """405 for an operation the path does not have."""
    return Refusal(405, "unsupported operation", wrapped=True)


def permission_denied() -> Refusal:
    """403 in the form of a token that is good but not allowed."""
    return Refusal(403, "permission denied", wrapped=True)


def _effective(operation: Operation) -> Operation:
    """Without an existence check there is nothing but update."""
    return Operation.UPDATE if operation is Operation.CREATE else operation


def _help(route: Route, path: str) -> Answer:
    methods = {Operation.UPDATE: "post", Operation.READ: "get", Operation.DELETE: "delete", Operation.PATCH: "patch"}
    operations = {*route.reads, *route.decisions}
    openapi = {
        "openapi": "3.0.2",
        "info": {"title": "Strongroom", "version": "1", "description": "HTTP API"},
        "paths": {f"/{path}": {methods[name]: {"summary": route.help} for name in methods if name in operations}},
    }
    return Answer(bare=True, data={"help": route.help, "see_also": None, "openapi": openapi})


def _warn(answer: Answer, request: RawRequest, route: Route, captures: Captures) -> None:
    """An answer without a body stays without one: Vault has nowhere to put the warning then."""
    if answer.empty or answer.bare or answer.raw is not None:
        return
    given = parameters(request)
    unknown = sorted(name for name in given if name not in route.fields and name not in captures)
    replaced = sorted(name for name in given if name in captures)
    warnings = [*(answer.warnings or [])]
    if unknown:
        warnings.append(f"Endpoint ignored these unrecognized parameters: [{' '.join(unknown)}]")
    if replaced:
        warnings.append(
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: "
            f"[{' '.join(replaced)}]"
        )
    answer.warnings = warnings or None
