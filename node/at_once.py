"""Requests that are answered in the turn of the loop in which they came.

A shell without a wait: what needs none is answered here, by the same flow; everything else is left as it came, and
takes the way through `Node.handle`. Invariant: whoever gets None may ask `Node.handle`, because nothing has happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .logs import request_id

if TYPE_CHECKING:
    from cluster import Member, State

    from .flow import Flow
    from .local import LocalPaths
    from .metrics import Metrics
    from .registry import Registry
    from .request import RawRequest, RawResponse


class AtOnce:
    """Reads of one node that wait for nothing."""

    def __init__(self, member: Member, registry: Registry, local: LocalPaths, flow: Flow, metrics: Metrics) -> None:
        self._registry = registry
        self._local = local
        self._flow = flow
        self._metrics = metrics
        self._boot_s = member.clock.boot

    def begin(self) -> State | None:
        """What a read of this turn is answered from; None if it must wait for that, or for its audit record."""
        return self._flow.state_now()

    def answer(self, request: RawRequest, state: State) -> RawResponse | None:
        """The answer on what `begin` gave in this turn, counted as `Node.handle` counts; or None."""
        path = request.path
        if path[:1] == "/" or self._local.find(request) is not None:
            return None
        begun_s = self._boot_s()
        token = request_id.set(request.id)
        try:
            response = self._flow.read_now(request, state)
        finally:
            request_id.reset(token)
        if response is None:
            return None
        spent_s = self._boot_s() - begun_s
        route = self._registry.route_name(state, path)
        self._metrics.answered(route, request.method, response.status, request.operation, spent_s)
        return response
