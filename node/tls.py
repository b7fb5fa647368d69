"""TLS of the API's listeners: the configured certificate, or a self-signed one that a dev node makes for itself."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from pathlib import Path

from .http import tls as edge


def server_context(cert_file: str, key_file: str) -> ssl.SSLContext:
    """What the HTTP edge offers (http/tls.py); no client certificate is asked for. Raises OSError, ssl.SSLError."""
    return edge.server_context(Path(cert_file), Path(key_file))


def ask_for_certificates(context: ssl.SSLContext, client_ca_file: str) -> None:
    """Clients need a certificate of one of these authorities, or one that stands in the file itself.

    No ticket is given out: what a client sent along would be missing in what it resumes. A session of TLS 1.2 is in our
    own memory, with all of it. Raises OSError, ssl.SSLError.
    """
    context.load_verify_locations(client_ca_file)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def self_signed(folder: Path, host: str) -> tuple[str, str]:
    """Files `api.pem` and `api.key` of the folder, made if they are not there; good for loopback only."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    cert_file, key_file = folder / "api.pem", folder / "api.key"
    if cert_file.exists() and key_file.exists():
        return str(cert_file), str(key_file)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "strongroom dev")])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    try:
        address = ipaddress.ip_address(host)
        if str(address) != "127.0.0.1":
            names.append(x509.IPAddress(address))
    except ValueError:
        if host != "localhost":
            names.append(x509.DNSName(host))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(cert_file, certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key_file, pem)
    return str(cert_file), str(key_file)


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
