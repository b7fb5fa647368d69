"""TLS between members: 1.3 both ways, the other certificate required and checked against the node CA."""

from __future__ import annotations

import hashlib
import math
import ssl
from dataclasses import dataclass
from pathlib import Path

from .certs import certificate_expiry


@dataclass(slots=True)
class Tls:
    """Contexts for both directions, the SHA-256 of our certificate, and when it ends (ns since the epoch)."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    fingerprint: bytes
    ends_ns: float = math.inf


def refusal(tls: Tls, error: Exception | None, wall_ns: int) -> str | None:
    """Why a dial that ended in `error` was refused, for the log; None if it was not TLS that ended it.

    `error` None: the other end hung up before its hello. The sentences hold nothing that was received.
    """
    if wall_ns > tls.ends_ns:
        return "the certificate of this node has ended; replace it and start the node again"
    if isinstance(error, ssl.SSLError):
        return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__)
    if error is None:
        return "the other end hung up before its hello; it may have refused the certificate of this node"
    return None


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
    ends_ns = certificate_expiry(Path(cert_file)).timestamp() * 1e9
    return Tls(contexts[0], contexts[1], hashlib.sha256(der).digest(), ends_ns)


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    return pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]
