"""Small paths that answer what there is not: replication.

Pure; any node answers. Source: Vault API, "sys/replication/status".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...request import Answer, RawRequest

if TYPE_CHECKING:
    from ..base import Context
    from .routes import Captures


def read_replication_status(_context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """There is no replication between clusters."""
    return Answer(data={"mode": "disabled"})
