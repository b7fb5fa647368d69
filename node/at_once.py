"""Requests that are answered in the turn of the loop in which they came.

A shell without a wait: what needs none is answered here, by the same flow; everything else is left as it came, and
takes the way through `Node.handle`. Invariant: whoever gets None may ask `Node.handle`, because nothing has happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster import Member

    from .flow import Flow
    from .local import LocalPaths
    from .metrics import Metrics
    from .registry import Registry
    from .request import RawRequest, RawResponse


class AtOnce:
    """Reads of one node that wait for nothing."""

    def __init__(
        self, member: Member, registry: Registry, local: LocalPaths, flow: Flow, metrics: Metrics
    ) -> None:
        self._member = member
        self._registry = registry
        self._local = local
        self._flow = flow
        self._metrics = metrics
        self._boot_s = member.clock.boot

    def ready(self) -> bool:
        """Whether it is worth a try now."""
        return self._flow.reads_now

    def answer(self, request: RawRequest) -> RawResponse | None:
        """The answer, counted as `Node.handle` counts; or None."""
        path = request.path
        if path[:1] == "/" or self._local.find(request) is not None:
            return None
        begun_s = self._boot_s()
        response = self._flow.read_now(request)
        if response is None:
            return None
        route = self._registry.route_name(self._member.view, path)
        spent_s = self._boot_s() - begun_s
        self._metrics.answered(route, request.method, response.status, request.operation, spent_s)
        return response
