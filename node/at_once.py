"""Requests that are answered in the turn of the loop in which they came.

A shell without a wait: what needs none is answered here, by the same flow; everything else is left as it came, and
takes the way through `Node.handle`. Invariant: whoever gets None may ask `Node.handle`, because nothing has happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .logs import request_id as current_request_id
from .request import Operation

if TYPE_CHECKING:
    from cluster import Member, State

    from .flow import Flow
    from .hot_reads import HotReads
    from .local import LocalPaths
    from .metrics import Metrics
    from .quotas import Quotas
    from .registry import Registry
    from .request import RawRequest, RawResponse


READ = Operation.READ


class HotRequest(Protocol):
    """A plain GET, as the edge tells it from its bytes."""

    @property
    def path(self) -> str:
        """Below /v1/."""
        ...

    @property
    def token(self) -> str:
        """As sent."""
        ...


class AtOnce:
    """Reads of one node that wait for nothing."""

    def __init__(
        self,
        member: Member,
        registry: Registry,
        local: LocalPaths,
        flow: Flow,
        hot: HotReads,
        metrics: Metrics,
        quotas: Quotas,
    ) -> None:
        self._hot = hot
        self._quotas = quotas
        self._registry = registry
        self._local = local
        self._flow = flow
        self._metrics = metrics
        self._boot_s = member.clock.boot

    def begin(self) -> State | None:
        """What a read of this turn is answered from; None if it must wait for that, or for its audit record, or
        is to be counted.
        """
        return None if self._quotas.active else self._flow.state_now()

    def answer(self, request: RawRequest, state: State) -> RawResponse | None:
        """The answer on what `begin` gave in this turn, counted as `Node.handle` counts; or None."""
        path = request.path
        if path[:1] == "/" or self._local.find(request) is not None:
            return None
        begun_s = self._boot_s()
        token = current_request_id.set(request.id)
        try:
            response = self._flow.read_now(request, state)
        finally:
            current_request_id.reset(token)
        if response is None:
            return None
        spent_s = self._boot_s() - begun_s
        route = self._registry.route_name(state, path)
        self._metrics.answered(route, request.method, response.status, request.operation, spent_s)
        return response

    def read(self, request: HotRequest, request_id: str, address: str, state: State) -> RawResponse | None:
        """The answer `answer` would give to a GET of a secret that is there; None, and nothing has happened, else."""
        begun_s = self._boot_s()
        response = self._hot.read(request.path, request.token, request_id, address, state)
        if response is not None:
            self._metrics.answered("kv", "GET", 200, READ, self._boot_s() - begun_s)
        return response
