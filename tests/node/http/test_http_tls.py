"""The TLS edge: what is offered, how handshakes are bounded."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from node.http import server_context

from .conftest import HOST, Serve, Site, until

GET = b"GET /v1/a HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificate and key of localhost."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def client_context(files, **versions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files[0])
    for name, value in versions.items():
        setattr(context, name, value)
    return context


async def secure(serve: Serve, files, **options) -> Site:
    return await serve(ssl_context=server_context(*files), **options)


async def test_a_request_over_tls_is_answered(serve: Serve, files):
    """With transport security, and 1.3 by default."""
    site = await secure(serve, files)
    client = await site.connect(ssl=client_context(files), server_hostname="localhost")

    reply = await client.send(GET).reply()

    assert (reply.status, "strict-transport-security" in reply.headers) == (200, True)
    assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_tls_1_2_is_the_oldest(serve: Serve, files):
    """1.2 works, 1.1 does not."""
    site = await secure(serve, files)
    new = client_context(files, maximum_version=ssl.TLSVersion.TLSv1_2)
    client = await site.connect(ssl=new, server_hostname="localhost")
    assert (await client.send(GET).reply()).status == 200

    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old = client_context(files, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await site.connect(ssl=old, server_hostname="localhost")


def test_no_client_certificate_is_asked(files):
    """Certificate logins have a listener of their own."""
    context = server_context(*files)

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert all("GCM" in c["name"] or "CHACHA20" in c["name"] for c in context.get_ciphers())


async def test_a_silent_connection_ends_with_its_handshake_time(serve: Serve, files):
    """It holds no place in the queue of handshakes meanwhile."""
    site = await secure(serve, files, handshakes_per_turn=1)
    silent = [await site.connect() for _ in range(5)]
    client = await site.connect(ssl=client_context(files), server_hostname="localhost")
    assert (await client.send(GET).reply()).status == 200
    site.clock.now += 11
    site.server.sweep()

    assert [await one.closed() for one in silent] == [b""] * 5
    assert site.server.acceptor.counts["127.0.0.1"] == 1


@pytest.mark.parametrize(
    "junk", [b"GET /v1/a HTTP/1.1\r\nX-Vault-Token: hvs.PLANTED\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00"]
)
async def test_a_failed_handshake_gives_its_place_back(serve: Serve, files, junk, caplog):
    """And leaves no trace of what was sent."""
    site = await secure(serve, files)
    client = await site.connect()
    with caplog.at_level(logging.DEBUG):
        client.send(junk)
        client.writer.write_eof()
        answer = await client.closed()
        await until(lambda: not site.server.acceptor.counts)

    assert (b"PLANTED" in answer, "PLANTED" in caplog.text, site.server.acceptor.handshakes_failed) == (False, False, 1)


async def test_a_storm_of_handshakes_is_worked_off_in_turns(serve: Serve, files):
    """Each turn begins no more than its bound, and all are served."""
    site = await secure(serve, files, handshakes_per_turn=1)
    begun: list[int] = []
    acceptor = site.server.acceptor
    turn, start = acceptor._turn, acceptor._start

    def counted_turn() -> None:
        begun.append(0)
        turn()

    def counted_start(*args) -> None:
        begun[-1] += 1
        start(*args)

    acceptor._turn, acceptor._start = counted_turn, counted_start  # type: ignore[method-assign]

    async def one() -> int:
        client = await site.connect(ssl=client_context(files), server_hostname="localhost")
        return (await client.send(GET).reply()).status

    assert await asyncio.gather(*(one() for _ in range(20))) == [200] * 20
    assert (max(begun), sum(begun)) == (1, 20)


async def test_stopping_closes_connections_that_never_spoke(serve: Serve, files):
    """None is left half open."""
    site = await secure(serve, files)
    silent = await site.connect()
    await until(lambda: bool(site.server.acceptor.counts))

    await site.server.stop(1)

    assert (await silent.closed(), site.server.acceptor.counts) == (b"", {})
