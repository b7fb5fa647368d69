"""The API's TLS: what a listener offers.

Touches certificate files. Invariants: TLS 1.2 or newer, no compression, no renegotiation, no client certificate
asked (certificates for logins have a listener of their own), the server never picks a weaker cipher than it could.
Source: docs/threat-model.md, "HTTP edge"; RFC 9325.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

CIPHERS_TLS12 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and AEAD only. TLS 1.3 has nothing weaker."""
PRESENTED_BYTES_MAX = 65_536
_ENCODING_DER = 2  # of OpenSSL, as the ssl module's own certificates take it


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


def presented(ssl_object: Any) -> bytes:
    """DER of the client's certificate and of those it sent along, one behind the other; empty without one.

    The list has a public name from Python 3.13 on; before, it is where it was.
    """
    own: bytes = (ssl_object.getpeercert(binary_form=True) or b"") if isinstance(ssl_object, ssl.SSLObject) else b""
    if not own:
        return b""
    listed = getattr(ssl_object, "get_unverified_chain", None) or getattr(
        getattr(ssl_object, "_sslobj", None), "get_unverified_chain", None
    )
    found = [] if listed is None else [_der(one) for one in listed() or ()]
    whole = own + b"".join(one for one in found if one != own)
    return whole if len(whole) <= PRESENTED_BYTES_MAX else own


def _der(certificate: Any) -> bytes:
    data: bytes = certificate if isinstance(certificate, bytes) else certificate.public_bytes(_ENCODING_DER)
    return data
