"""The rules of a node that leads, and which devices it has opened for whom.

No I/O: whoever opens a device says so here, and whoever decides that it is enabled asks. Invariants: a device counts as
opened for the request that named it, by path, type and options; what is not remembered was not opened, and only the
newest REMEMBERED_MAX are.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ..request import StaleLabour
from .options import Rules

if TYPE_CHECKING:
    from collections.abc import Mapping

REMEMBERED_MAX = 64


class ProbedRules(Rules):
    """See the module's paragraph."""

    def __init__(self, directory: str, *, production: bool) -> None:
        super().__init__(directory, production=production)
        self._opened: OrderedDict[str, tuple[str, str, dict[str, str]]] = OrderedDict()

    def opened(self, request_id: str, path: str, type_: str, options: Mapping[str, str]) -> None:
        """Such a device was opened here for this request, and closed again."""
        self._opened[request_id] = (path, type_, dict(options))
        self._opened.move_to_end(request_id)
        if len(self._opened) > REMEMBERED_MAX:
            self._opened.popitem(last=False)

    def check_opened(self, request_id: str, path: str, type_: str, options: Mapping[str, str]) -> None:
        """Raises StaleLabour unless this very device was opened for this request: then that is done first."""
        if self._opened.get(request_id) != (path, type_, dict(options)):
            raise StaleLabour
