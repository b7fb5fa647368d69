"""TLS between members: 1.3 both ways, the other certificate required and checked against the node CA."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass


@dataclass(slots=True)
class Tls:
    """Contexts for both directions, and the SHA-256 of our certificate."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    fingerprint: bytes


def tls_contexts(cert_file: str, key_file: str, ca_file: str) -> Tls:
    """TLS 1.3 both ways, the peer's certificate required and checked against the node CA."""
    contexts = []
    for purpose in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(cert_file, key_file)
        context.load_verify_locations(ca_file)
        context.check_hostname = False  # identity is the URI, checked after the handshake
        context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    with open(cert_file, encoding="ascii") as file:  # noqa: PTH123 - a path as configured
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(file.read()))
    return Tls(contexts[0], contexts[1], hashlib.sha256(der).digest())


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    return pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]
