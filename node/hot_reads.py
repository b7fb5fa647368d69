"""Reads of single secrets by the shortest way: a plain GET of the newest version on a KV v2 mount.

Pure but for its caches. It asks the same judge, the same engine and the same state as flow.py; it leaves out what
cannot matter here. Invariants
  R1  it answers what the ordinary way would answer, byte for byte but for the request id, or it answers None and
      nothing has happened: every refusal, every doubt and every rarer kind of token, rule or secret is None
  R2  nothing is remembered of a request; what is remembered of a token or rule is the judge's and the registry's
Source: docs/architecture.md, one read; docs/threat-model.md, "HTTP edge".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import StrongroomError

from .engines.base import Caller, Context
from .engines.kv2 import KvV2, current_json
from .http.render import read_envelope
from .request import RawResponse, Refusal

if TYPE_CHECKING:
    from cluster import Member, State

    from .indexes import IndexHeaders
    from .judge import Judge
    from .metrics import Metrics
    from .registry import Registry, Routed

DATA = "data/"
NOBODY = Caller()
"""Engines do not ask who reads: that was judged before."""


class HotReads:
    """See the module's paragraph."""

    def __init__(
        self, member: Member, registry: Registry, judge: Judge, indexes: IndexHeaders, metrics: Metrics
    ) -> None:
        self._member = member
        self._registry = registry
        self._judge = judge
        self._indexes = indexes
        self._metrics = metrics
        self._context: tuple[Routed, State, int, Context] | None = None  # of the mount, state and time asked for last
        registry.on_forget.append(self._forget)

    def _forget(self) -> None:
        self._context = None

    def read(self, path: str, token: str, request_id: str, address: str, state: State) -> RawResponse | None:
        """The answer to GET of `path`, or None."""
        mount = self._registry.lone_mount(state, path[: path.find("/") + 1])
        if mount is None or type(mount.engine) is not KvV2 or not path.startswith(DATA, len(mount.mount_path)):
            return None
        judge = self._judge
        try:
            now_ns = judge.now()
            if not judge.may_read(state, token, path, now_ns, address):
                return None
            data = current_json(self._of(mount, state, now_ns), path[len(mount.mount_path) + len(DATA) :])
            lines = None if data is None else self._indexes.lines(state.applied_index, "readindex")
        except (Refusal, StrongroomError):  # damaged, or sealed: the ordinary way says which
            return None
        if data is None or lines is None:
            return None
        self._metrics.reads["readindex"] += 1
        return RawResponse(200, read_envelope(request_id, data), lines=lines)

    def _of(self, mount: Routed, state: State, now_ns: int) -> Context:
        known = self._context
        if known is not None and known[0] is mount and known[1] is state and known[2] == now_ns:
            return known[3]
        context = self._judge.context(state, mount, now_ns, NOBODY)
        self._context = (mount, state, now_ns, context)
        return context
