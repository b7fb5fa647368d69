"""Certificates of the nodes: identities go in and come out, files are private and never overwritten."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.errors import DamagedError
from cluster.links.certs import (
    ReservedNameError,
    certificate_der,
    certificate_expiry,
    certified_identity,
    identity_uri,
    public_key_sha256,
    write_certificates,
)
from cluster.links.handshake import HandshakeError
from cluster.links.tls import tls_contexts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("cluster_name", "node_id"), [("strongroom", "n1"), ("eu/west", "n 1"), ("ü%2f", "a/b"), ("c", "strongroom://x")]
)
def test_an_identity_comes_out_as_it_went_in(cluster_name: str, node_id: str) -> None:
    """Whatever characters it has."""
    found = certified_identity({"subjectAltName": (("DNS", "host"), ("URI", identity_uri(cluster_name, node_id)))})

    assert found == (cluster_name, node_id)


NAMELESS = [
    ("no certificate", None),
    ("no names", {}),
    ("a host only", {"subjectAltName": (("DNS", "n1"),)}),
    ("another scheme", {"subjectAltName": (("URI", "spiffe://c/n1"),)}),
    ("two identities", {"subjectAltName": (("URI", "strongroom://c/n1"), ("URI", "strongroom://c/n2"))}),
    ("no node", {"subjectAltName": (("URI", "strongroom://c"),)}),
    ("an empty node", {"subjectAltName": (("URI", "strongroom://c/"),)}),
    ("an empty cluster", {"subjectAltName": (("URI", "strongroom:///n1"),)}),
    ("a path", {"subjectAltName": (("URI", "strongroom://c/n1/n2"),)}),
]


@pytest.mark.parametrize(("why", "peercert"), NAMELESS, ids=[why for why, _ in NAMELESS])
def test_a_certificate_that_names_no_node_is_refused(why: str, peercert: dict[str, object] | None) -> None:
    """Exactly one URI of ours, whole."""
    with pytest.raises(HandshakeError):
        certified_identity(peercert), why


def test_certificates_are_private_files_for_both_directions(tmp_path: Path) -> None:
    """Mode 0600, client and server use, the identity and the hosts."""
    out = tmp_path / "certs"
    written = write_certificates(out, {"n1": ["127.0.0.1", "n1.example"]}, None, "c")
    certificate = x509.load_pem_x509_certificate((out / "n1.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    assert sorted(path.name for path in written) == ["ca.key", "ca.pem", "n1.key", "n1.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["strongroom://c/n1"]
    assert names.get_values_for_type(x509.DNSName) == ["n1.example"]
    assert set(usages) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert certificate_expiry(out / "n1.pem") == certificate.not_valid_after_utc


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    """A second run fails rather than replace a key that is in use."""
    write_certificates(tmp_path, {"n1": []}, None)
    before = (tmp_path / "n1.key").read_bytes()

    with pytest.raises(FileExistsError):
        write_certificates(tmp_path, {"n1": []}, tmp_path)
    assert (tmp_path / "n1.key").read_bytes() == before


def test_a_key_is_known_by_its_fingerprint_over_renewals(tmp_path: Path) -> None:
    """Two certificates of one key have one; two keys have two."""
    write_certificates(tmp_path / "a", {"n1": [], "n2": []}, None)
    n1, n2 = (certificate_der(tmp_path / "a" / f"{name}.pem") for name in ("n1", "n2"))

    assert public_key_sha256(n1) == public_key_sha256(n1)
    assert public_key_sha256(n1) != public_key_sha256(n2)


# ---- a given authority
CALLED = b"a name that is no hash"


def authority(folder: Path, *extensions: x509.ExtensionType) -> Path:
    """The folder of a CA that somebody else's tool has made, with exactly these extensions."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody's CA")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - dt.timedelta(hours=1), now + dt.timedelta(days=1)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / "ca.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    return folder


def shake_hands(certs: Path, ca_file: Path) -> None:
    """n1 dials n2, and each has accepted the other's certificate. Raises ssl.SSLError."""
    n1, n2 = (tls_contexts(str(certs / f"{n}.pem"), str(certs / f"{n}.key"), str(ca_file)) for n in ("n1", "n2"))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (n1.client.wrap_bio(down, up), n2.server.wrap_bio(up, down, server_side=True))
    for end in ends * 2:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    for end in ends:
        end.do_handshake()  # is through


@pytest.mark.parametrize("names", [(), (x509.SubjectKeyIdentifier(CALLED),)], ids=["no identifier", "a foreign one"])
def test_members_accept_each_other_under_any_authority(
    tmp_path: Path, names: tuple[x509.ExtensionType, ...]
) -> None:
    """Whatever it calls its key, which need not be the key's hash."""
    ca = authority(tmp_path / "ca", x509.BasicConstraints(ca=True, path_length=None), *names)
    write_certificates(tmp_path / "made", {"n1": [], "n2": []}, ca)

    shake_hands(tmp_path / "made", ca / "ca.pem")


def test_members_of_another_authority_are_not_accepted(tmp_path: Path) -> None:
    """The twin: also if it calls itself and its key the same."""
    is_ca = x509.BasicConstraints(ca=True, path_length=None)
    ca, other = (authority(tmp_path / name, is_ca, x509.SubjectKeyIdentifier(CALLED)) for name in ("ca", "other"))
    write_certificates(tmp_path / "made", {"n1": [], "n2": []}, ca)

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tmp_path / "made", other / "ca.pem")


@pytest.mark.parametrize("limits", [(), (x509.BasicConstraints(ca=False, path_length=None),)], ids=["unsaid", "no"])
def test_a_certificate_that_may_not_sign_is_no_authority(
    tmp_path: Path, limits: tuple[x509.ExtensionType, ...]
) -> None:
    """What it signed would be accepted by nobody; nothing is made, and the file is named."""
    ca = authority(tmp_path / "ca", *limits)
    with pytest.raises(DamagedError) as caught:
        write_certificates(tmp_path / "made", {"n1": []}, ca)

    assert f"{ca / 'ca.pem'} is no authority's certificate" in str(caught.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("is_given", [False, True], ids=["a new authority", "a given one"])
def test_a_node_cannot_have_the_files_of_the_authority(tmp_path: Path, is_given: bool) -> None:
    """Before anything is written; a name that only begins with it is a node's."""
    given = authority(tmp_path / "ca", x509.BasicConstraints(ca=True, path_length=None)) if is_given else None
    with pytest.raises(ReservedNameError):
        write_certificates(tmp_path / "made", {"n1": [], "ca": []}, given)
    assert not (tmp_path / "made").exists()

    assert write_certificates(tmp_path / "made", {"n1": [], "ca-1": []}, given)
