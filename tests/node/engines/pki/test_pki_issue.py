"""Certificates as they are issued and signed: parsed, verified against the authority, refused where a role says so."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import ipaddress
import pickle

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from node.engines.pki.authority import AuthorityKey
from node.engines.pki.wanted import NAMES_MAX, Names
from node.request import StaleLabour
from tests.node.engines.pki.site import DOMAIN, PkiWorld, extension, keys_of, number, pem

HOUR_S = 3600


def request_for(key, *, name=f"a.{DOMAIN}", sans=(), ca=False) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(sans)), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()


def second(world: PkiWorld) -> dt.datetime:
    return dt.datetime.fromtimestamp(world.now_ns // 10**9, dt.UTC)


@pytest.mark.parametrize("root", ["rsa", "ec", "ed25519"])
def test_an_issued_certificate_is_believed_by_who_believes_the_authority(root):
    """The library builds the chain as a client of TLS does; a stranger's authority does not do."""
    world = PkiWorld(root=root)
    world.role()
    data = world.issue(alt_names=f"b.{DOMAIN}", ip_sans="10.0.0.1").data
    leaf = pem(data["certificate"])
    stranger = PkiWorld(root="ec").ca

    def verify(anchor: x509.Certificate) -> object:
        return PolicyBuilder().store(Store([anchor])).time(second(world)).build_server_verifier(
            x509.DNSName(f"b.{DOMAIN}")
        ).verify(leaf, [])

    leaf.verify_directly_issued_by(world.ca)
    if root != "ed25519":  # not in the library's list of algorithms for the web
        verify(world.ca)
        with pytest.raises(Exception, match="candidates exhausted"):
            verify(stranger)
    with pytest.raises(ValueError, match="does not match"):
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(_other_root().encode()))


def _other_root() -> str:
    world = PkiWorld(root=None)
    text = world.data("update", "pki/root/generate/internal", {"common_name": "Other", "key_type": "ec"})["certificate"]
    return str(text)


def test_the_answer_says_what_the_certificate_is():
    """Names of Vault's; the key is the certificate's; the serial number is 20 fresh bytes at most."""
    world = PkiWorld()
    world.role()
    answer = world.issue()
    data = answer.data
    leaf = pem(data["certificate"])
    key = serialization.load_pem_private_key(data["private_key"].encode(), None)

    assert sorted(data) == [
        "ca_chain", "certificate", "expiration", "issuing_ca", "private_key", "private_key_type", "serial_number",
    ]  # fmt: skip
    assert key.public_key() == leaf.public_key()
    assert (number(data["serial_number"]), data["expiration"]) == (
        leaf.serial_number, int(leaf.not_valid_after_utc.timestamp()),
    )  # fmt: skip
    assert pem(data["issuing_ca"]) == pem(data["ca_chain"][0]) == world.ca
    assert data["private_key_type"] == "ec"
    assert (answer.lease_id, world.plans[-1].secret_answer) == ("", True)
    assert number(world.issue().data["serial_number"]) != leaf.serial_number


def test_a_certificate_has_the_names_usages_and_subject_of_its_role():
    """And says nothing of being an authority."""
    world = PkiWorld()
    world.role(
        organization="We", ou=["a", "b"], country="DE", client_flag=False, ext_key_usage="TimeStamping",
        ext_key_usage_oids="1.3.6.1.4.1.311.20.2.2", key_usage="DigitalSignature", allowed_uri_sans="spiffe://we/*",
        allowed_serial_numbers="s-*",
    )  # fmt: skip
    leaf = world.certificate(
        alt_names=f"b.{DOMAIN},me@c.{DOMAIN}", ip_sans="::1", uri_sans="spiffe://we/app", serial_number="s-1"
    )
    sans = extension(leaf, x509.SubjectAlternativeName)
    usage = extension(leaf, x509.KeyUsage)

    assert sans.get_values_for_type(x509.DNSName) == [f"b.{DOMAIN}", f"a.{DOMAIN}"]
    assert sans.get_values_for_type(x509.RFC822Name) == [f"me@c.{DOMAIN}"]
    assert sans.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("::1")]
    assert sans.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://we/app"]
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, False, False)
    assert [oid.dotted_string for oid in extension(leaf, x509.ExtendedKeyUsage)] == [
        ExtendedKeyUsageOID.SERVER_AUTH.dotted_string, ExtendedKeyUsageOID.TIME_STAMPING.dotted_string,
        "1.3.6.1.4.1.311.20.2.2",
    ]  # fmt: skip
    assert leaf.subject.rfc4514_string() == f"2.5.4.5=s-1,CN=a.{DOMAIN},OU=b,OU=a,O=We,C=DE"
    with pytest.raises(x509.ExtensionNotFound):
        extension(leaf, x509.BasicConstraints)


@pytest.mark.parametrize(
    ("fields", "body", "text"),
    [
        ({}, {"common_name": "evil.org"}, "common name evil.org not allowed by this role"),
        ({}, {"common_name": DOMAIN}, f"common name {DOMAIN} not allowed by this role"),
        ({}, {"common_name": ""}, "the common_name field is required"),
        ({}, {"common_name": "e" * 70 + ".org"}, "common name " + "e" * 64 + "... not allowed by this role"),
        ({}, {"alt_names": f"b.{DOMAIN},evil.org"}, "subject alternate name evil.org not allowed by this role"),
        ({}, {"alt_names": "me@evil.org"}, "subject alternate name me@evil.org not allowed by this role"),
        ({}, {"common_name": "evil.org", "exclude_cn_from_sans": True}, "common name evil.org not allowed by this"),
        ({"allow_ip_sans": False}, {"ip_sans": "10.0.0.1"}, "IP Subject Alternative Names are not allowed in this"),
        ({}, {"ip_sans": "10.0.0"}, "a value of ip_sans is not a valid IP address"),
        ({}, {"uri_sans": "spiffe://x"}, "URI Subject Alternative Names are not allowed in this role"),
        (
            {"allowed_uri_sans": "spiffe://we/*"},
            {"uri_sans": "spiffe://we/a,spiffe://us/a"},
            "URI Subject Alternative Names were provided via the API which are not valid for this role",
        ),
        ({}, {"serial_number": "1"}, "serial_number 1 not allowed by this role"),
        ({"key_type": "any"}, {}, 'role key type "any" not allowed for issuing certificates, only signing'),
        ({}, {"format": "x"}, 'the "format" path parameter must be'),
        ({}, {"alt_names": ",".join(f"n{at}.{DOMAIN}" for at in range(101))}, "a certificate has at most 100 names"),
    ],
)
def test_what_a_role_does_not_allow_is_refused_before_any_key_is_made(fields, body, text):
    """With Vault's words; nothing is run, nothing is stored."""
    world = PkiWorld()
    world.role(**fields)
    made = len(world.made)
    refusal = world.refused("update", "pki/issue/web", {"common_name": f"a.{DOMAIN}"} | body)

    assert (refusal[0], refusal[1][: len(text)], len(world.made)) == (400, text, made)


def test_a_role_that_is_not_there_is_named():
    """For both ways of asking."""
    world = PkiWorld()

    assert world.refused("update", "pki/issue/nobody", {"common_name": "a"}) == (400, "unknown role: nobody", False)
    assert world.refused("update", "pki/sign/nobody", {"common_name": "a"}) == (400, "unknown role: nobody", False)


@pytest.mark.parametrize(
    ("role", "asked", "expected_s", "warned"),
    [
        ({"ttl": "1h"}, None, HOUR_S, False),
        ({"ttl": "1h"}, "2h", 2 * HOUR_S, False),
        ({"ttl": "1h"}, "72h", 72 * HOUR_S, False),
        ({"ttl": "1h"}, "73h", 72 * HOUR_S, True),
        ({}, None, 72 * HOUR_S, True),
        ({"max_ttl": 0}, "699h", 699 * HOUR_S, False),
        ({"max_ttl": "1h", "ttl": 0}, 0, HOUR_S, True),
    ],
)
def test_a_life_is_that_of_the_request_the_role_or_the_mount_and_never_longer_than_the_maximum(
    role, asked, expected_s, warned
):
    """What is cut is said."""
    world = PkiWorld()
    world.role(**role)
    answer = world.issue() if asked is None else world.issue(ttl=asked)
    leaf = pem(answer.data["certificate"])

    assert leaf.not_valid_after_utc - second(world) == dt.timedelta(seconds=expected_s)
    assert second(world) - leaf.not_valid_before_utc == dt.timedelta(seconds=30)
    assert bool(answer.warnings) is warned


def test_no_certificate_outlives_its_authority():
    """It is refused, as Vault does; one that ends with it is not."""
    world = PkiWorld()
    world.role(max_ttl=0)
    left_s = int(world.ca.not_valid_after_utc.timestamp()) - world.now_ns // 10**9
    refusal = world.refused("update", "pki/issue/web", {"common_name": f"a.{DOMAIN}", "ttl": left_s + 1})

    assert refusal[1].startswith("cannot satisfy request, as TTL would result in notAfter of 2025-")
    assert world.certificate(ttl=left_s).not_valid_after_utc == world.ca.not_valid_after_utc


@pytest.mark.parametrize(
    ("key_type", "key_form", "header"),
    [
        ("rsa", "der", "RSA PRIVATE KEY"), ("rsa", "pkcs8", "PRIVATE KEY"), ("ec", "", "EC PRIVATE KEY"),
        ("ec", "pkcs8", "PRIVATE KEY"), ("ed25519", "der", "PRIVATE KEY"),
    ],
)  # fmt: skip
def test_keys_come_in_the_form_that_was_asked_for(key_type, key_form, header):
    """Each can be read again, and is the certificate's."""
    world = PkiWorld()
    world.role(key_type=key_type)
    text = world.issue(private_key_format=key_form).data["private_key"]
    der = world.issue(private_key_format=key_form, format="der").data
    key = serialization.load_der_private_key(base64.b64decode(der["private_key"]), None)

    assert text.startswith(f"-----BEGIN {header}-----\n")
    assert text.endswith(f"-----END {header}-----")
    assert x509.load_der_x509_certificate(base64.b64decode(der["certificate"])).public_key() == key.public_key()


def test_a_bundle_holds_key_certificate_and_authority():
    """In that order, as servers read it."""
    world = PkiWorld()
    world.role()
    data = world.issue(format="pem_bundle").data
    key, _, rest = data["certificate"].partition("-----END EC PRIVATE KEY-----\n")
    leaf, root = x509.load_pem_x509_certificates(rest.encode())

    assert key.startswith("-----BEGIN EC PRIVATE KEY-----")
    assert (number(data["serial_number"]), root) == (leaf.serial_number, world.ca)


# ---- sign
def test_a_request_is_signed_with_its_own_key_and_without_its_extensions():
    """It asks to be an authority, and is none; no key is in the answer."""
    world = PkiWorld()
    world.role()
    key = ec.generate_private_key(ec.SECP256R1())
    csr = request_for(key, sans=[x509.DNSName(f"c.{DOMAIN}")], ca=True)
    answer = world.ask("update", "pki/sign/web", {"csr": csr, "common_name": "ignored.org"})
    leaf = pem(answer.data["certificate"])

    leaf.verify_directly_issued_by(world.ca)
    assert leaf.public_key() == key.public_key()
    assert extension(leaf, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName) == [
        f"c.{DOMAIN}", f"a.{DOMAIN}",
    ]  # fmt: skip
    assert "private_key" not in answer.data
    assert not world.plans[-1].secret_answer
    with pytest.raises(x509.ExtensionNotFound):
        extension(leaf, x509.BasicConstraints)


def test_names_of_a_request_count_only_where_the_role_says_so():
    """Otherwise those beside it do, and they are checked just the same."""
    world = PkiWorld()
    world.role(use_csr_common_name=False, use_csr_sans=False)
    csr = request_for(ec.generate_private_key(ec.SECP256R1()), name="evil.org", sans=[x509.DNSName("evil.org")])
    leaf = pem(world.data("update", "pki/sign/web", {"csr": csr, "common_name": f"x.{DOMAIN}"})["certificate"])

    assert extension(leaf, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName) == [f"x.{DOMAIN}"]
    assert world.refused("update", "pki/sign/web", {"csr": csr, "common_name": "evil.org"})[:2] == (
        400, "common name evil.org not allowed by this role",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "sans", "text"),
    [
        ({}, [x509.DNSName("evil.org")], "subject alternate name evil.org not allowed by this role"),
        ({}, [x509.RFC822Name("me@evil.org")], "subject alternate name me@evil.org not allowed by this role"),
        ({"allow_ip_sans": False}, [x509.IPAddress(ipaddress.ip_address("10.0.0.1"))], "IP Subject Alternative Names"),
        ({}, [x509.UniformResourceIdentifier("spiffe://x")], "URI Subject Alternative Names are not allowed"),
        ({}, [x509.RegisteredID(NameOID.COMMON_NAME)], "the certificate request has subject alternative names of"),
        ({"key_type": "rsa"}, [], "role requires keys of type rsa"),
        ({"key_bits": 384}, [], "role requires a minimum of a 384-bit key, but CSR's key is 256 bits"),
    ],
)
def test_a_request_is_checked_like_any_other(fields, sans, text):
    """Whoever writes it is not believed."""
    world = PkiWorld()
    world.role(**fields)
    csr = request_for(ec.generate_private_key(ec.SECP256R1()), sans=sans)
    refusal = world.refused("update", "pki/sign/web", {"csr": csr})

    assert (refusal[0], refusal[1][: len(text)]) == (400, text)


def test_a_short_key_is_refused_whatever_the_role_says():
    """Also by a role that takes keys of any type."""
    world = PkiWorld()
    world.role(key_type="any")
    short = request_for(rsa.generate_private_key(65537, 1024))
    edwards = request_for(ed25519.Ed25519PrivateKey.generate())

    assert world.refused("update", "pki/sign/web", {"csr": short})[1] == (
        "role requires a minimum of a 2048-bit key, but CSR's key is 1024 bits"
    )
    assert world.data("update", "pki/sign/web", {"csr": edwards})["certificate"]


def test_a_request_whose_signature_is_anothers_is_refused():
    """Nobody gets a certificate for a key that he does not have."""
    world = PkiWorld()
    world.role()
    der = bytearray(x509.load_pem_x509_csr(request_for(ec.generate_private_key(ec.SECP256R1())).encode()).public_bytes(
        serialization.Encoding.DER
    ))  # fmt: skip
    at = der.index(f"a.{DOMAIN}".encode())
    der[at] = ord("b")
    text = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()

    assert world.refused("update", "pki/sign/web", {"csr": text}) == (400, "request signature invalid", False)


@pytest.mark.parametrize(
    ("csr", "text"), [(None, '"csr" is empty'), ("nonsense", "certificate request could not be parsed")]
)
def test_what_is_no_request_is_refused_without_being_repeated(csr, text):
    """It might be a key."""
    world = PkiWorld()
    world.role()

    assert world.refused("update", "pki/sign/web", {"csr": csr}) == (400, text, False)


# ---- bounds
def test_names_are_counted_before_they_are_kept():
    """Of each kind so many, each once; the next one is refused, and the ones behind it are not looked at."""
    world = PkiWorld()
    world.role(allow_any_name=True, allowed_uri_sans=["*"], require_cn=False)
    text = f"a certificate has at most {NAMES_MAX} names of a kind"
    for field, form in (
        ("alt_names", "n{}.org"), ("alt_names", "n{}@x.org"), ("ip_sans", "10.0.0.{}"), ("uri_sans", "x://{}"),
    ):  # fmt: skip
        most = [form.format(at) for at in range(NAMES_MAX)]
        leaf = world.certificate(common_name="", **{field: most * 2})
        assert len(list(extension(leaf, x509.SubjectAlternativeName))) == NAMES_MAX
        assert world.refused("update", "pki/issue/web", {field: [*most, form.format(200)]}) == (400, text, False)
        refusal = world.refused("update", "pki/issue/web", {field: "x" * 65_536})
        assert refusal == (400, f"{field} is longer than 65536 bytes", False)


def test_names_of_a_request_are_counted_before_they_are_kept(monkeypatch):
    """A thousand of them cost as much as one too many."""
    world = PkiWorld()
    world.role(allow_any_name=True)
    key, added = ec.generate_private_key(ec.SECP256R1()), []
    real = Names.add
    monkeypatch.setattr(Names, "add", lambda names, name: added.append(name) or real(names, name))
    many = request_for(key, name="", sans=[x509.DNSName(f"n{at}.org") for at in range(1000)])
    refusal = world.refused("update", "pki/sign/web", {"csr": many})

    assert refusal == (400, f"a certificate has at most {NAMES_MAX} names of a kind", False)
    assert len(added) == NAMES_MAX + 1


@pytest.mark.parametrize(("length", "text"), [
    (65_536, "certificate request could not be parsed"),
    (65_537, "the certificate request is longer than 65536 bytes"),
])  # fmt: skip
def test_a_long_request_is_refused_before_it_is_parsed(length, text):
    """A list of names in it would be made for nothing."""
    world = PkiWorld()
    world.role()

    assert world.refused("update", "pki/sign/web", {"csr": "x" * length}) == (400, text, False)


def damaged(old: bytes, new: bytes) -> str:
    """A certificate request in which the last such bytes are others."""
    csr = x509.load_pem_x509_csr(request_for(ec.generate_private_key(ec.SECP256R1())).encode())
    der = csr.public_bytes(serialization.Encoding.DER)
    at = der.rindex(old) if len(old) > 3 else der.index(old)
    der = der[:at] + new + der[at + len(new) :]
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"\x02\x01\x00", b"\x02\x01\x01", "certificate request could not be parsed"),
        (bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d04037f"), "request signature invalid"),
    ],
    ids=["version", "algorithm"],
)
def test_a_request_of_a_kind_that_is_not_there_is_refused(old, new, text):
    """The library has errors of its own for these; one that was not changed is signed."""
    world = PkiWorld()
    world.role()

    assert world.refused("update", "pki/sign/web", {"csr": damaged(old, new)}) == (400, text, False)
    assert world.ask("update", "pki/sign/web", {"csr": damaged(old, old)}).data


# ---- stored, or not; made beforehand
def test_a_certificate_is_stored_unless_the_role_says_not():
    """Then nothing is proposed at all."""
    world = PkiWorld()
    world.role()
    world.role("quick", no_store=True)
    kept = world.issue().data["serial_number"]
    quick = world.issue("quick").data["serial_number"]

    assert world.plans[-1].draft.empty
    assert kept in keys_of(world.ask("list", "pki/certs/"))
    assert quick not in keys_of(world.ask("list", "pki/certs/"))
    assert world.refused("read", f"pki/cert/{quick}") == (404, "", False)


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.role(allowed_domains=["other.org"]),
        lambda world: world.ask("update", "pki/config/urls", {"ocsp_servers": "http://o.org"}),
        lambda world: (
            world.ask("delete", "pki/root"),
            world.data("update", "pki/root/generate/internal", {"common_name": "r", "key_type": "ec"}),
        ),
    ],
    ids=["role", "urls", "authority"],
)
def test_what_was_made_from_other_records_is_made_again(change):
    """The role, the URLs or the authority changed while a thread worked: nothing of the old leaves."""
    world = PkiWorld()
    world.role()
    world.stale = lambda: change(world)

    with pytest.raises(StaleLabour):
        world.issue()
    issued = next(made for made in reversed(world.made) if made is not None and made.bound[2])
    assert number(issued.serial) not in map(number, keys_of(world.ask("list", "pki/certs/")))


def test_a_role_that_was_deleted_meanwhile_gives_nothing():
    """Neither do a body that is no JSON, or a field of the wrong type, get as far as a thread."""
    world = PkiWorld()
    world.role()
    world.stale = lambda: world.ask("delete", "pki/roles/web")

    assert world.refused("update", "pki/issue/web", {"common_name": f"a.{DOMAIN}"})[1] == "unknown role: web"
    world.role()
    made = len(world.made)
    assert world.refused("update", "pki/issue/web", b"{nonsense")[0] == 400
    assert world.refused("update", "pki/issue/web", {"common_name": ["a"]})[1].startswith("Field validation failed")
    assert len(world.made) == made


def test_nothing_that_holds_a_key_shows_it():
    """Neither what a thread made nor the record of a key."""
    world = PkiWorld()
    world.role()
    world.issue()

    assert repr(world.made[-1]) == "<Made>"
    assert repr(AuthorityKey(b"k")) == "<AuthorityKey>"
    for holder in (world.made[-1], AuthorityKey(b"k")):
        for way in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="holds a key and is not pickled"):
                way(holder)


def test_urls_stand_in_certificates_from_then_on():
    """Of the issuer, of its list, of its responder; what is no URL is refused without being repeated."""
    world = PkiWorld()
    world.role()
    urls = {"issuing_certificates": "http://i.org/ca", "crl_distribution_points": ["http://i.org/crl"]}
    assert world.data("update", "pki/config/urls", urls | {"ocsp_servers": "http://o.org"})["ocsp_servers"] == [
        "http://o.org"
    ]
    leaf = world.certificate()
    points = extension(leaf, x509.CRLDistributionPoints)

    assert {one.access_location.value for one in extension(leaf, x509.AuthorityInformationAccess)} == {
        "http://i.org/ca", "http://o.org",
    }  # fmt: skip
    assert [name.value for point in points for name in point.full_name] == ["http://i.org/crl"]
    for wrong in ("javascript:x", "http:", "i.org"):
        refusal = world.refused("update", "pki/config/urls", {"issuing_certificates": wrong})
        assert refusal[1] == "invalid URL found in Authority Information Access (AIA) parameter issuing_certificates"
    assert world.data("read", "pki/config/urls")["issuing_certificates"] == ["http://i.org/ca"]
