"""Certificates of the nodes: identities go in and come out, files are private and never overwritten."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from cluster.links.certs import (
    certificate_der,
    certificate_expiry,
    certified_identity,
    identity_uri,
    public_key_sha256,
    write_certificates,
)
from cluster.links.handshake import HandshakeError

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
