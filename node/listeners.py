"""The listeners of the API: the main one, the locked one of test suites, and the one that asks for client certificates.

A shell: it opens sockets and reads certificate files. Invariants
  L1  only the listener for certificates asks for one, so that a stray certificate breaks no other connection; there it
      is needed, and must lead to `api.cert_client_ca_file`. That proves possession; trust is for the login to decide
  L2  a new certificate of the server is taken over while running, or the old one stays
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from .config.document import split_address
from .http.server import HttpServer
from .settings import http_limits, trust_of
from .tls import ask_for_certificates, self_signed, server_context

if TYPE_CHECKING:
    from cluster import Member

    from .config import Config
    from .http.server import AtOnce, Handler
    from .security_log import SecurityLog

log = logging.getLogger("strongroom.node")


class Listeners:
    """Of one node."""

    def __init__(
        self, config: Config, member: Member, handler: Handler, at_once: AtOnce, security: SecurityLog
    ) -> None:
        self._config = config
        self._member = member
        self._handler = handler
        self._at_once = at_once
        self._security = security
        self._contexts: list[tuple[ssl.SSLContext, str, str]] = []
        self.servers: list[HttpServer] = []

    async def start(self) -> None:
        """Every configured address is served. Raises OSError, ssl.SSLError."""
        api = self._config.api
        await self._listen(api.address, "main")
        if api.locked_address:
            await self._listen(api.locked_address, "locked")
        if api.cert_address:
            await self._listen(api.cert_address, "cert", client_ca_file=api.cert_client_ca_file)

    async def stop(self, drain_s: float) -> None:
        """No connection is left."""
        for server in self.servers:
            await server.stop(drain_s)

    def reload(self) -> None:
        """The certificates that the files hold now are those of new connections (L2)."""
        for context, cert_file, key_file in self._contexts:
            try:
                context.load_cert_chain(cert_file, key_file)
            except (OSError, ssl.SSLError) as error:
                log.error("the certificate stays the old one: %s", type(error).__name__)  # noqa: TRY400 - no excerpt

    async def _listen(self, address: str, listener: str, *, client_ca_file: str = "") -> None:
        split = split_address(address)
        assert split is not None
        host, port = split
        context = self._context(host, client_ca_file)
        member = self._member
        server = HttpServer(
            self._handler,
            limits=http_limits(self._config),
            clock=member.clock,
            random=member.random,
            trust=trust_of(self._config),
            ssl_context=context,
            listener=listener,
            on_fatal=lambda error: member.on_fatal(type(error).__name__),
            at_once=self._at_once,
        )
        await server.start(host, port)
        self.servers.append(server)
        self._security.record("listener", address=address, tls=context is not None, listener=listener)

    def _context(self, host: str, client_ca_file: str) -> ssl.SSLContext | None:
        api = self._config.api
        if api.tls != "on":
            assert not client_ca_file  # the check of the configuration has seen to it
            return None
        cert_file, key_file = api.tls_cert_file, api.tls_key_file
        if not cert_file:
            cert_file, key_file = self_signed(Path(self._config.node.data_dir), host)
        context = server_context(cert_file, key_file)
        if client_ca_file:
            ask_for_certificates(context, client_ca_file)
        self._contexts.append((context, cert_file, key_file))
        return context
