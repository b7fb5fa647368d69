"""TLS of the API's listener: what a dev node makes for itself, and what no client may speak."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from node.http.tls import presented
from node.tls import ask_for_certificates, self_signed, server_context
from tests.node.auth.outside import FOR_CLIENTS, certify


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", None), ("::1", "::1"), ("example.test", "example.test")])
def test_a_self_signed_certificate_is_good_for_its_host(tmp_path: Path, host: str, name: str | None) -> None:
    """And for localhost; both files are the owner's alone."""
    cert_file, key_file = self_signed(tmp_path / "new", host)
    certificate = x509.load_pem_x509_certificate(Path(cert_file).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    said = {str(one.value) for one in names}

    assert said == {"localhost", "127.0.0.1"} | ({name} if name else set())
    assert {stat.S_IMODE(Path(file).stat().st_mode) for file in (cert_file, key_file)} == {0o600}
    assert server_context(cert_file, key_file).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_second_start_keeps_the_certificate(tmp_path: Path) -> None:
    """Whoever trusted it goes on; a lost key makes both anew."""
    cert_file, key_file = self_signed(tmp_path, "localhost")
    first = Path(cert_file).read_bytes()
    self_signed(tmp_path, "localhost")
    kept = Path(cert_file).read_bytes()
    Path(key_file).unlink()
    self_signed(tmp_path, "localhost")

    assert kept == first
    assert Path(cert_file).read_bytes() != first
    server_context(cert_file, key_file)


def test_what_is_served_is_what_the_edge_offers(tmp_path: Path) -> None:
    """Forward secrecy and AEAD alone, by the server's choice, and no renegotiation."""
    files = self_signed(tmp_path, "localhost")
    context = server_context(*files)
    ask_for_certificates(context, files[0])

    assert all("GCM" in one["name"] or "CHACHA20" in one["name"] for one in context.get_ciphers())
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_the_context_asks_for_no_client_certificate(tmp_path: Path) -> None:
    """Certificates of clients belong to the second listener."""
    context = server_context(*self_signed(tmp_path, "localhost"))

    assert context.verify_mode == ssl.CERT_NONE


def test_the_listener_for_certificates_needs_one(tmp_path: Path) -> None:
    """And gives out no ticket: what a client sent along would be missing. Without authorities it does not begin."""
    files = self_signed(tmp_path, "localhost")
    context = server_context(*files)
    ask_for_certificates(context, files[0])

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert (context.num_tickets, bool(context.options & ssl.OP_NO_TICKET)) == (0, True)
    with pytest.raises((OSError, ssl.SSLError)):
        ask_for_certificates(context, str(tmp_path / "nothing.pem"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_whoever_comes_back_shows_all_that_they_showed(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """TLS 1.3 begins anew; what 1.2 resumes is in the memory of the node, with what the client sent along."""
    now = dt.datetime.now(dt.UTC)
    root = certify("root", authority=True, now=now)
    between = certify("between", root, authority=True, now=now)
    client = certify("client", between, extensions=(FOR_CLIENTS,), now=now)
    (tmp_path / "authorities.pem").write_text(root.pem)
    (tmp_path / "client.pem").write_text(client.pem + between.pem + client.key_pem)
    files = self_signed(tmp_path, "localhost")
    serving = server_context(*files)
    ask_for_certificates(serving, str(tmp_path / "authorities.pem"))
    asking = ssl.create_default_context(cafile=files[0])
    asking.load_cert_chain(tmp_path / "client.pem")
    asking.maximum_version = version

    first, session, _ = shaken(asking, serving, None)
    again, _, resumed = shaken(asking, serving, session)
    assert first == again == client.der + between.der
    assert resumed == (version == ssl.TLSVersion.TLSv1_2)


def shaken(
    asking: ssl.SSLContext, serving: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bytes, ssl.SSLSession | None, bool]:
    """(what the client presented, its session, whether that is an earlier one), closed as it should be."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = asking.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    for step in (client.do_handshake, server.do_handshake) * 4:
        with contextlib.suppress(ssl.SSLWantReadError):
            step()
    server.write(b"x")
    assert client.read() == b"x"
    found = presented(server), client.session, bool(server.session_reused)
    for step in (client.unwrap, server.unwrap, client.unwrap):
        with contextlib.suppress(ssl.SSLWantReadError):
            step()
    return found
