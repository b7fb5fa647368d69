"""The HTTP edge: everything between a socket and a checked RawRequest, and back from a RawResponse.

May import aiohttp (nothing else in the node may, but auth methods as clients) and node.request. Knows no route, no
token, no policy: one handler gets every request. docs/threat-model.md, "HTTP edge", lists what it must refuse.
"""

from __future__ import annotations

from .limits import HttpLimits
from .render import envelope, errors_body, refused, respond
from .server import HttpServer
from .tls import server_context

__all__ = ["HttpLimits", "HttpServer", "envelope", "errors_body", "refused", "respond", "server_context"]
