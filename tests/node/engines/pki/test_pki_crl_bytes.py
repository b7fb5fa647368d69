"""The bytes of a list, beside those that the library makes of the same."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from node.engines.base import Caller, Context
from node.engines.pki import crl_bytes, keys
from node.engines.pki.authority import key_of
from node.engines.pki.signing import instant
from node.engines.system.mount_table import find_mount
from tests.node.engines.pki.site import PkiWorld, extension

NOW_S = 1_763_977_260
YEAR_2050_S = 2_524_608_000


def authority(kind: str) -> tuple[x509.Certificate, keys.PrivateKey]:
    world = PkiWorld(root=kind)
    found = find_mount(world.state, "pki/")
    assert found is not None
    context = Context(world.state, world.now_ns, world.random, world.keys, Caller(), "pki/", found[2])
    return world.ca, keys.opened(key_of(context))


AUTHORITIES = {kind: authority(kind) for kind in ("rsa", "ec", "ed25519")}


def by_the_library(
    issuer, key, number: int, end_s: int, entries: list[tuple[int, int]]
) -> x509.CertificateRevocationList:
    key_id = extension(issuer, x509.SubjectKeyIdentifier)
    revoked = [x509.RevokedCertificateBuilder(serial, instant(time_s), []).build() for serial, time_s in entries]
    return (
        x509.CertificateRevocationListBuilder(issuer.subject, instant(NOW_S), instant(end_s), [], revoked)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(key, keys.digest_for(key))
    )


@pytest.mark.parametrize("kind", AUTHORITIES)
@given(
    entries=st.lists(
        st.tuples(st.integers(1, 2**159 - 1), st.integers(0, YEAR_2050_S * 2)),
        max_size=40,
        unique_by=lambda one: one[0],
    ),
    number=st.integers(0, 2**63),
    end_s=st.integers(NOW_S + 1, YEAR_2050_S * 3),
)
@settings(max_examples=40, deadline=None)
def test_they_are_the_librarys_and_signed(kind, entries, number, end_s):
    """Byte by byte, whatever stands in them, before and after 2050."""
    issuer, key = AUTHORITIES[kind]
    mine = crl_bytes.signed_list(
        issuer, key, number=number, start_s=NOW_S, end_s=end_s,
        entries=b"".join(crl_bytes.entry(*entry) for entry in entries),
    )  # fmt: skip
    read, other = x509.load_der_x509_crl(mine), by_the_library(issuer, key, number, end_s, entries)

    assert read.tbs_certlist_bytes == other.tbs_certlist_bytes
    assert read.signature_algorithm_oid == other.signature_algorithm_oid
    assert read.is_signature_valid(issuer.public_key())
    strangers = (held for name, (held, _) in AUTHORITIES.items() if name != kind)
    assert not any(_accepts(read, stranger) for stranger in strangers)


def _accepts(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())
    except ValueError:  # a key of another type
        return False


@pytest.mark.parametrize("serial", [1, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**158, 2**159 - 1])
def test_a_serial_number_is_positive_and_has_no_byte_too_many(serial):
    """At the edges where a byte of zeros begins to be needed."""
    issuer, key = AUTHORITIES["ec"]
    entry = crl_bytes.entry(serial, NOW_S)
    crl = crl_bytes.signed_list(issuer, key, number=1, start_s=NOW_S, end_s=NOW_S + 1, entries=entry)

    assert [one.serial_number for one in x509.load_der_x509_crl(crl)] == [serial]
