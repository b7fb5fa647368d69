"""TLS of the API's listener: what a dev node makes for itself, and what no client may speak."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from node.tls import ask_for_certificates, self_signed, server_context


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


def test_the_context_asks_for_no_client_certificate(tmp_path: Path) -> None:
    """Certificates of clients belong to the second listener."""
    context = server_context(*self_signed(tmp_path, "localhost"))

    assert context.verify_mode == ssl.CERT_NONE


def test_the_listener_for_certificates_needs_one(tmp_path: Path) -> None:
    """And resumes no session: what a client sent along would be missing. Without authorities it does not begin."""
    files = self_signed(tmp_path, "localhost")
    context = server_context(*files)
    ask_for_certificates(context, files[0])

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert (context.num_tickets, bool(context.options & ssl.OP_NO_TICKET)) == (0, True)
    with pytest.raises((OSError, ssl.SSLError)):
        ask_for_certificates(context, str(tmp_path / "nothing.pem"))
