"""The listeners of the API: the main one, the locked one of test suites, and the one that asks for client certificates.

A shell: it opens sockets and reads certificate files. Invariants
  L1  only the listener for certificates asks for one, so that a stray certificate breaks no other connection; there it
      is needed, and must lead to `api.cert_client_ca_file`. That proves possession; trust is for the login to decide
  L2  what the files hold now is taken over as a whole while running, or everything stays as it was
  L3  each listener, each change of what it shows or trusts, and each refusal to change is a security event
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import certificate_der

from .config.document import split_address
from .http.server import HttpServer
from .settings import http_limits, trust_of
from .tls import ask_for_certificates, self_signed, server_context

if TYPE_CHECKING:
    import ssl

    from cluster import Member

    from .config import Api, Config
    from .http.server import AtOnce, Handler, Limiting
    from .security_log import SecurityLog

log = logging.getLogger("strongroom.node")


@dataclass(slots=True)
class _Listening:
    """A listener, and the SHA-256 of what it shows (its certificate, DER) and trusts (its authorities' file)."""

    name: str
    host: str
    server: HttpServer
    shows: dict[str, str]
    client_ca_file: str


class Listeners:
    """Of one node."""

    def __init__(
        self, config: Config, member: Member, handler: Handler, at_once: AtOnce, security: SecurityLog,
        limited: Limiting,
    ) -> None:  # fmt: skip
        self._config = config
        self._member = member
        self._handler = handler
        self._at_once = at_once
        self._security = security
        self._limited = limited
        self._secure: list[_Listening] = []
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

    def reload(self, api: Api) -> None:
        """What the files that `api` names hold now is that of new connections (L2)."""
        if api.tls != "on":
            api = self._config.api  # whether there is TLS is settled at the start
        for one in self._secure:
            try:
                context, shows = self._context(api, one.host, one.client_ca_file)
            except (OSError, ValueError) as error:  # an SSLError is an OSError
                why = type(error).__name__
                log.error("the certificate stays the old one: %s", why)  # noqa: TRY400 - no excerpt
                self._security.record("certificate refused", listener=one.name, why=why)
                continue
            one.server.use(context)
            if shows != one.shows:
                former = one.shows["certificate"]
                one.shows = shows
                self._security.record("certificate changed", listener=one.name, former=former, **shows)

    async def _listen(self, address: str, listener: str, *, client_ca_file: str = "") -> None:
        split = split_address(address)
        assert split is not None
        host, port = split
        api = self._config.api
        assert api.tls == "on" or not client_ca_file  # the check of the configuration has seen to it
        context, shows = self._context(api, host, client_ca_file) if api.tls == "on" else (None, {})
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
            on_limited=self._limited,
        )
        await server.start(host, port)
        self.servers.append(server)
        if context is not None:
            self._secure.append(_Listening(listener, host, server, shows, client_ca_file))
        self._security.record("listener", address=address, tls=context is not None, listener=listener, **shows)

    def _context(self, api: Api, host: str, client_ca_file: str) -> tuple[ssl.SSLContext, dict[str, str]]:
        """What the files hold now, and what an event says of it. Raises OSError, ValueError."""
        cert_file, key_file = api.tls_cert_file, api.tls_key_file
        if not cert_file:
            cert_file, key_file = self_signed(Path(self._config.node.data_dir), host)
        context = server_context(cert_file, key_file)
        shows = {"certificate": hashlib.sha256(certificate_der(Path(cert_file))).hexdigest()}
        if client_ca_file:
            ask_for_certificates(context, client_ca_file)
            shows["client_ca"] = hashlib.sha256(Path(client_ca_file).read_bytes()).hexdigest()
        return context, shows
