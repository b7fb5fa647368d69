"""A connection to PostgreSQL that is what it was asked to be: encrypted and verified, and authenticated with SCRAM.

A shell around asyncpg. `asyncpg.connect` takes whatever is missing from the environment and from files, and answers a
server that asks for the password in clear text or as MD5 with the password. So the connection is made here from
explicit parts (names of asyncpg that are private; its minor version is pinned), and a guard before asyncpg's protocol
looks at every message until the server has let us in.

Invariants
  N1  beyond this machine nothing is sent before the server's certificate has proved its name
  N2  with a password, or beyond this machine: the server lets us in only by a whole exchange of SCRAM, in which it
      proves that it knows the password too; it never gets the password, nor what would do instead of it
  N3  nothing comes from the environment, from a password file or from a service file
Source: PostgreSQL documentation, "Message Flow", "Message Formats"; asyncpg 0.32, connect_utils.py; CVE-2021-23222.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import Any, NamedTuple

import asyncpg
from asyncpg import connect_utils, protocol

from .base import SinkError, SinkRefusedError
from .loopback import is_loopback

PORT = 5432
_SSL_REQUEST = struct.pack(">II", 8, 80877103)
_HEAD = struct.Struct(">cI")
_MESSAGE_BYTES_MAX = 1 << 16

_OK, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 10, 11, 12
_STEPS = {(0, _SASL), (_SASL, _SASL_CONTINUE), (_SASL_CONTINUE, _SASL_FINAL), (_SASL_FINAL, _OK)}
"""Requests of the server in their only order; before the first one stands 0."""
_ASKED = {2: "Kerberos", 3: "the password in clear text", 5: "the password as MD5", 7: "GSSAPI", 9: "SSPI"}


class Target(NamedTuple):
    """Where a server is. `host` is a name, an address, or the absolute path of the folder of its socket."""

    host: str
    port: int
    user: str
    database: str
    schema: str = "strongroom"
    tls: bool = True
    ca_file: str = ""

    @property
    def is_beyond(self) -> bool:
        """Whether the way to it leaves this machine."""
        return not self.host.startswith("/") and not is_loopback(self.host)


async def connect(target: Target, password: str | None) -> asyncpg.Connection[asyncpg.Record]:
    """A connection that was let in (N1, N2). Raises SinkRefusedError, OSError, errors of asyncpg."""
    if target.is_beyond and not target.tls:
        raise SinkRefusedError("postgresql: beyond this machine sslmode must be verify-full")
    if target.is_beyond and not password:
        raise SinkRefusedError("postgresql: beyond this machine a password is needed")
    loop = asyncio.get_running_loop()
    unix = target.host.startswith("/")
    context = None if unix or not target.tls else _context(target.ca_file)
    params = connect_utils._ConnectionParameters(
        user=target.user, password=password or "", database=target.database, ssl=context or False,
        sslmode=connect_utils.SSLMode.verify_full if context else connect_utils.SSLMode.disable,
        ssl_negotiation=connect_utils.SSLNegotiation.postgres, server_settings={"application_name": "strongroom"},
        target_session_attrs=connect_utils.SessionAttribute.any, krbsrvname=None, gsslib="gssapi",
    )  # fmt: skip
    config = connect_utils._ClientConfiguration(
        command_timeout=None, statement_cache_size=0, max_cached_statement_lifetime=0, max_cacheable_statement_size=0
    )
    let_in = loop.create_future()
    address: Any = f"{target.host}/.s.PGSQL.{target.port}" if unix else (target.host, target.port)

    def guarded() -> Guarded:
        return Guarded(address, let_in, params, loop, needs_scram=bool(password) or target.is_beyond)

    if unix:
        transport, proto = await loop.create_unix_connection(guarded, address)
    else:
        sock = await _connected(target.host, target.port)
        try:
            if context is not None:
                await _ask_for_tls(sock)
            name = target.host if context is not None else None
            transport, proto = await loop.create_connection(guarded, sock=sock, ssl=context, server_hostname=name)
        except ssl.SSLCertVerificationError:
            sock.close()
            raise SinkRefusedError("postgresql: the server's certificate does not prove its name") from None
        except BaseException:
            sock.close()
            raise
    try:
        await let_in
    except asyncpg.ProtocolViolationError:
        transport.abort()
        if not proto.is_asked:
            raise
        # PgBouncer answers a wrong password like that.
        raise SinkRefusedError("postgresql: the pooler before the server refuses the user or its password") from None
    except BaseException:
        transport.abort()
        raise
    found: asyncpg.Connection[asyncpg.Record] = asyncpg.Connection(
        proto, transport, loop, address, config, params._replace(password="")
    )
    proto.set_connection(found)
    return found


def _context(ca_file: str) -> ssl.SSLContext:
    """Verifies the server's certificate and name. Raises SinkRefusedError."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError):
        raise SinkRefusedError("postgresql: the file of sslrootcert cannot be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])
    return context


async def _connected(host: str, port: int) -> socket.socket:
    """A socket to the first address of the host that answers. Raises OSError."""
    loop = asyncio.get_running_loop()
    last = OSError("no address")
    for family, kind, number, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last


async def _ask_for_tls(sock: socket.socket) -> None:
    """The next byte in both directions is TLS. One byte is read, so that nothing sent in clear counts as more."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _SSL_REQUEST)
    answer = await loop.sock_recv(sock, 1)
    if answer == b"":
        raise SinkError("postgresql: the server closed the connection")
    if answer != b"S":
        raise SinkRefusedError("postgresql: the server does not speak TLS")


class Guarded(protocol.Protocol):
    """asyncpg's protocol behind a guard (N2)."""

    def __init__(
        self, address: Any, let_in: asyncio.Future[Any], params: Any, loop: asyncio.AbstractEventLoop, *,
        needs_scram: bool,
    ) -> None:  # fmt: skip
        super().__init__(address, let_in, params, asyncpg.Record, loop)
        self._let_in = let_in
        self._needs_scram = needs_scram
        self._step = 0
        self._held = bytearray()
        self._is_let_in = False
        self._to_server: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        self._to_server = transport
        super().connection_made(transport)

    @property
    def is_asked(self) -> bool:
        """The server has asked for the password, and not let us in yet."""
        return self._step != 0 and not self._is_let_in

    def data_received(self, data: Any) -> None:
        """Whole messages go on once each of them is one that may come now."""
        if self._is_let_in:
            super().data_received(data)
        else:
            self._held += data
            self._take()

    def _take(self) -> None:
        end, why = 0, ""
        while not why and not self._is_let_in and len(self._held) - end >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._held, end)
            if not 4 <= length <= _MESSAGE_BYTES_MAX:
                why = "sends a message that makes no sense"
            elif len(self._held) - end < 1 + length:
                break
            else:
                why = self._judge(kind, bytes(self._held[end + _HEAD.size : end + 1 + length]))
                end += 1 + length
        if why:
            self._refuse(why)
            return
        if self._is_let_in:
            end = len(self._held)
        whole, self._held = bytes(self._held[:end]), self._held[end:]
        if whole:
            super().data_received(whole)

    def _judge(self, kind: bytes, body: bytes) -> str:
        """Why this message must not come now, or nothing."""
        if kind in {b"E", b"N"}:
            return ""
        if kind != b"R" or len(body) < 4:
            return "sends a message that makes no sense"
        asked = int.from_bytes(body[:4], "big")
        if asked == _OK and self._step == 0:
            self._is_let_in = not self._needs_scram
            return "" if self._is_let_in else "lets us in without asking for the password: SCRAM is needed"
        if (self._step, asked) not in _STEPS:
            return f"asks for {_ASKED.get(asked, 'another authentication')}: only SCRAM is answered"
        self._step = asked
        self._is_let_in = asked == _OK
        return ""

    def _refuse(self, why: str) -> None:
        if not self._let_in.done():
            self._let_in.set_exception(SinkRefusedError(f"postgresql: the server {why}"))
        if self._to_server is not None:
            self._to_server.abort()  # asyncpg's own abort first says something, and cannot before we are let in
