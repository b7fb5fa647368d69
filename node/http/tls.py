"""The API's TLS: what a listener offers.

Touches certificate files. Invariants: TLS 1.2 or newer, no compression, no renegotiation, no client certificate
asked (certificates for logins have a listener of their own), the server never picks a weaker cipher than it could.
Source: docs/threat-model.md, "HTTP edge"; RFC 9325.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CIPHERS_TLS12 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and AEAD only. TLS 1.3 has nothing weaker."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for the API. Raises OSError or ssl.SSLError if the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_TLS12)
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, key)
    return context
