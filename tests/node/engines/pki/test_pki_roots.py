"""The authority of a mount: made, read by anybody, exported once or never, removed by sudo alone."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from node.request import StaleLabour
from tests.node.engines.pki.site import PkiWorld, extension, keys_of, number, pem

GENERATE = "pki/root/generate/internal"
EXPORT = "pki/root/generate/exported"


@pytest.mark.parametrize(
    ("body", "kind", "bits"),
    [({}, "RSAPublicKey", 2048), ({"key_type": "ec", "key_bits": 384}, "ECPublicKey", 384),
     ({"key_type": "ed25519"}, "Ed25519PublicKey", None)],
)  # fmt: skip
def test_an_authority_signs_itself_and_may_sign_others(body, kind, bits):
    """Of every type of key; a client that follows RFC 5280 believes it."""
    world = PkiWorld(root=None)
    data = world.data("update", GENERATE, {"common_name": "My Root", "organization": "We", "ttl": "48h"} | body)
    root = pem(data["certificate"])
    public = root.public_key()
    usage = extension(root, x509.KeyUsage)

    root.verify_directly_issued_by(root)
    assert (type(public).__name__, getattr(public, "key_size", None)) == (kind, bits)
    assert (extension(root, x509.BasicConstraints).ca, usage.key_cert_sign, usage.crl_sign) == (True, True, True)
    assert not usage.digital_signature
    assert [name.value for name in root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["My Root"]
    assert data["expiration"] == int(root.not_valid_after_utc.timestamp())
    assert number(data["serial_number"]) == root.serial_number
    assert data["issuing_ca"] == data["certificate"]
    assert "private_key" not in data


def test_an_exported_key_is_that_of_the_certificate_and_shown_once():
    """In the answer that made it, which no repetition gets; `internal` never shows it."""
    world = PkiWorld(root=None)
    data = world.data("update", EXPORT, {"common_name": "r", "key_type": "ec"})
    key = serialization.load_pem_private_key(data["private_key"].encode(), None)

    assert key.public_key() == pem(data["certificate"]).public_key()
    assert (data["private_key_type"], world.plans[-1].secret_answer) == ("ec", True)
    for path in ("pki/cert/ca", f"pki/cert/{data['serial_number']}"):
        assert "PRIVATE" not in str(world.data("read", path))


def test_an_authority_is_given_in_the_form_that_was_asked_for():
    """DER in base64, and a bundle of key and certificate."""
    world = PkiWorld(root=None)
    world.mount("other")
    der = world.data("update", GENERATE, {"common_name": "r", "key_type": "ec", "format": "der"})
    body = {"common_name": "r", "key_type": "ec", "format": "pem_bundle"}
    bundle = world.data("update", "other/root/generate/exported", body)

    assert x509.load_der_x509_certificate(base64.b64decode(der["certificate"])) == world.ca
    assert bundle["certificate"].startswith("-----BEGIN EC PRIVATE KEY-----")
    assert bundle["certificate"].endswith("-----END CERTIFICATE-----")


def test_an_authority_is_not_replaced_by_another():
    """Those who trust it would find out from failures; it has to be deleted first."""
    world = PkiWorld()
    first = world.ca
    refusal = world.refused("update", GENERATE, {"common_name": "r", "key_type": "ec"})

    assert refusal[:2] == (400, "this mount has an authority: delete it with DELETE root first, or make another mount")
    assert world.ca == first


def test_two_who_make_an_authority_at_once_make_one():
    """The second key is thrown away: its maker is told that there is an authority."""
    world = PkiWorld(root=None)
    world.stale = lambda: world.data("update", GENERATE, {"common_name": "first", "key_type": "ec"})

    assert world.refused("update", GENERATE, {"common_name": "second", "key_type": "ec"})[0] == 400
    assert [name.value for name in world.ca.subject] == ["first"]


def test_only_sudo_removes_an_authority():
    """Of any mount, wherever it is; afterwards another can be made, and nothing is signed meanwhile."""
    world = PkiWorld()
    world.policy("plain", 'path "pki/*" { capabilities = ["read", "update", "delete", "list"] }')
    world.policy("sudo", 'path "pki/*" { capabilities = ["update", "delete", "sudo"] }')
    world.mount("deep/pki")
    world.policy("deep", 'path "deep/*" { capabilities = ["delete"] }')
    world.role()
    plain, sudo, deep = (world.make({"policies": [name]}) for name in ("plain", "sudo", "deep"))

    assert world.refused("delete", "pki/root", token=plain)[0] == 403
    assert world.refused("delete", "deep/pki/root", token=deep) == (403, "permission denied", True)
    assert world.issue().data
    assert world.ask("delete", "pki/root", token=sudo).empty
    assert world.ask("delete", "pki/root").empty
    assert world.refused("update", "pki/issue/web", {"common_name": "a.example.com"})[:2] == (
        400, "no default issuer currently configured: generate a root first",
    )  # fmt: skip
    assert world.ask("read", "pki/ca", token=None).raw.status == 204
    assert world.ask("read", "pki/crl", token=None).raw.status == 204
    assert world.data("update", GENERATE, {"common_name": "r", "key_type": "ec"})


def test_a_life_longer_than_the_mounts_is_cut_with_a_warning():
    """And one that the mount allows is not."""
    world = PkiWorld(root=None)
    world.ask("update", "sys/mounts/pki/tune", {"max_lease_ttl": "1000h"})
    answer = world.ask("update", GENERATE, {"common_name": "r", "key_type": "ec", "ttl": "8760h"})
    world.mount("long", config={"max_lease_ttl": "87600h"})
    longer = world.ask("update", "long/root/generate/internal", {"common_name": "r", "key_type": "ec", "ttl": "8760h"})

    assert answer.warnings == [
        'TTL "8760h0m0s" is longer than permitted maxTTL "1000h0m0s", so maxTTL is being used'
    ]
    assert answer.data["expiration"] == world.now_ns // 10**9 + 1000 * 3600
    assert (longer.warnings, longer.data["expiration"]) == (None, world.now_ns // 10**9 + 8760 * 3600)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "the common_name field is required, or must be provided in a CSR"),
        ({"common_name": "r", "key_type": "any"}, "unknown key type: it is one of rsa, ec, ed25519"),
        ({"common_name": "r", "key_bits": 512}, "unsupported bit length for RSA key: 512"),
        ({"common_name": "r", "format": "text"}, 'the "format" path parameter must be "pem", "der", or "pem_bundle"'),
        ({"common_name": "r", "private_key_format": "x"}, 'the "private_key_format" path parameter must be "der" or'),
        ({"common_name": "r" * 65}, "a part of the subject has a length that its kind does not have"),
        ({"common_name": "r", "country": "Absurdistan"}, "a part of the subject has a length"),
        ({"common_name": "r", "ip_sans": "1.2.3"}, "a value of ip_sans is not a valid IP address"),
        ({"common_name": "r", "alt_names": "a b"}, "a subject alternate name is no host name"),
        ({"common_name": "r", "ttl": "soon"}, "Field validation failed: error converting input for field"),
    ],
)
def test_an_authority_that_cannot_be_is_refused_before_any_key_is_made(body, text):
    """Nothing is run in a thread, nothing is stored."""
    world = PkiWorld(root=None)
    refusal = world.refused("update", GENERATE, body)

    assert (refusal[0], refusal[1][: len(text)]) == (400, text)
    assert world.made == []


def test_a_root_made_for_another_mount_is_made_again():
    """What a thread made names the mount it was made for."""
    world = PkiWorld(root=None)

    def change() -> None:
        world.ask("delete", "sys/mounts/pki")
        world.mount("pki")

    world.stale = change
    with pytest.raises(StaleLabour):
        world.ask("update", GENERATE, {"common_name": "r", "key_type": "ec"})


def test_limits_of_an_authority_stand_in_its_certificate():
    """How long a path may be, and below which domains."""
    world = PkiWorld(root=None)
    body = {"common_name": "r", "key_type": "ec", "max_path_length": 0, "permitted_dns_domains": "example.com"}
    root = pem(world.data("update", GENERATE, body)["certificate"])

    assert extension(root, x509.BasicConstraints).path_length == 0
    assert extension(root, x509.NameConstraints).permitted_subtrees == [x509.DNSName("example.com")]
    assert keys_of(world.ask("list", "pki/certs/")) == [_serial(root)]


def _serial(certificate: x509.Certificate) -> str:
    digits = f"{certificate.serial_number:x}"
    digits = digits.zfill(len(digits) + len(digits) % 2)
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
