"""Certificates of the nodes: making them, and reading an identity out of one.

The node CA is its own and never the API's client CA. A node's certificate carries the URI
strongroom://<cluster name>/<node id>, both extended key usages, and its host names. Files are written with mode 0600
and never over an existing one.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import ipaddress
import os
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

from ..errors import DamagedError, StrongroomError
from .handshake import HandshakeError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    CaKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    E = TypeVar("E", bound=x509.ExtensionType)

SCHEME = "strongroom://"
VALID_DAYS = 825
CA_VALID_DAYS = 3650
CA_NAME = "ca"  # of its two files


class ReservedNameError(StrongroomError):
    """A node would have the files of the node CA for its own."""


def identity_uri(cluster_name: str, node_id: str) -> str:
    """The URI that names a node."""
    return f"{SCHEME}{quote(cluster_name, safe='')}/{quote(node_id, safe='')}"


def certified_identity(peercert: dict[str, Any] | None) -> tuple[str, str]:
    """(cluster name, node id) from the one URI of a verified certificate; raises HandshakeError."""
    uris = [value for kind, value in (peercert or {}).get("subjectAltName", ()) if kind == "URI"]
    if len(uris) != 1 or not uris[0].startswith(SCHEME):
        raise HandshakeError("the certificate names no node")
    cluster_name, slash, node_id = uris[0][len(SCHEME) :].partition("/")
    if not slash or not cluster_name or not node_id or "/" in node_id:
        raise HandshakeError("the certificate names no node")
    return unquote(cluster_name), unquote(node_id)


def certificate_names(pem_file: Path) -> tuple[str, str] | None:
    """(cluster name, node id) from the first certificate of a PEM file; None if it names no node. Raises OSError."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem_file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return certified_identity({"subjectAltName": [("URI", uri) for uri in uris]})
    except (ValueError, x509.ExtensionNotFound, HandshakeError):
        return None


def public_key_sha256(certificate_der: bytes) -> bytes:
    """SHA-256 of the certificate's SubjectPublicKeyInfo."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate_der).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def certificate_der(pem_file: Path) -> bytes:
    """The first certificate of a PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(pem_file.read_bytes()).public_bytes(Encoding.DER)


def certificate_expiry(pem_file: Path) -> dt.datetime:
    """When the first certificate of a PEM file ends (UTC)."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem_file.read_bytes()).not_valid_after_utc


def write_certificates(
    out: Path, nodes: dict[str, list[str]], ca: Path | None, cluster_name: str = "strongroom", *,
    days: float = VALID_DAYS,
) -> list[Path]:
    """Write `<id>.pem`, `<id>.key` for every node and, unless `ca` (a folder with ca.pem and ca.key) is given, the CA.

    Returns the files written. Raises FileExistsError rather than overwrite one, DamagedError for a CA that is none,
    ReservedNameError for a node called as the CA's files are: then nothing is written.
    """
    from cryptography.hazmat.primitives import serialization

    if CA_NAME in nodes:  # with a given CA, too: copied beside it, the node's files would replace whom the node trusts
        raise ReservedNameError(
            f"a node cannot be called {CA_NAME}: {CA_NAME}.pem and {CA_NAME}.key are the files of the node CA"
        )
    given = None if ca is None else _read_ca(ca)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (*(() if given else (CA_NAME,)), *nodes):
        for path in (out / f"{name}.pem", out / f"{name}.key"):
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    written: list[Path] = []
    if given is None:
        new_key = _new_key()
        given = new_key, _ca_certificate(new_key, cluster_name)
        written += [
            _write(out / f"{CA_NAME}.pem", given[1].public_bytes(serialization.Encoding.PEM)),
            _write(out / f"{CA_NAME}.key", _pem(new_key)),
        ]
    ca_key, ca_cert = given
    for node_id, hosts in nodes.items():
        key = _new_key()
        cert = _node_certificate(key, node_id, hosts, cluster_name, ca_key, ca_cert, days)
        written += [
            _write(out / f"{node_id}.pem", cert.public_bytes(serialization.Encoding.PEM)),
            _write(out / f"{node_id}.key", _pem(key)),
        ]
    return written


def _read_ca(folder: Path) -> tuple[CaKey, x509.Certificate]:
    """Its key and its certificate, which belong together and may sign others. Raises DamagedError, OSError."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key_file, cert_file = folder / f"{CA_NAME}.key", folder / f"{CA_NAME}.pem"
    key_data, cert_data = key_file.read_bytes(), cert_file.read_bytes()
    try:
        key = serialization.load_pem_private_key(key_data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it needs a password
        key = None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise DamagedError(f"{key_file} must be the key of the node CA, EC or RSA, PEM, without a password")
    try:
        certificate = x509.load_pem_x509_certificate(cert_data)
        is_its_own = certificate.public_key() == key.public_key()
        limits = _extension(certificate, x509.BasicConstraints)
    except (
        ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
    ):  # fmt: skip
        raise DamagedError(f"{cert_file} must be the certificate of the node CA, PEM") from None
    if not is_its_own:
        raise DamagedError(f"{key_file} is not the key of the certificate in {cert_file}")
    if limits is None or not limits.ca:
        raise DamagedError(f"{cert_file} is no authority's certificate: nobody would accept what its key signs")
    return key, certificate


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _new_key() -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> Path:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: str, issuer: x509.Name, public_key: Any, days: float) -> x509.CertificateBuilder:
    from cryptography import x509

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _ca_certificate(key: ec.EllipticCurvePrivateKey, cluster_name: str) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    subject = f"{cluster_name[:40]} node CA"
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(subject, _name(subject), key.public_key(), CA_VALID_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _node_certificate(
    key: ec.EllipticCurvePrivateKey,
    node_id: str,
    hosts: list[str],
    cluster_name: str,
    ca_key: CaKey,
    ca_cert: x509.Certificate,
    days: float,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity_uri(cluster_name, node_id))]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    # What the CA calls its key, which need not be the hash of it: a verifier compares the two and looks no further.
    called = _extension(ca_cert, x509.SubjectKeyIdentifier)
    if called is None:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    else:
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(called)
    return (
        _builder(node_id[:60], ca_cert.subject, key.public_key(), days)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(authority, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
