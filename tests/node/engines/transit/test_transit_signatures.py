"""sign, verify, hmac: what is valid, what is not, and the same answers as the primitives themselves."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from node.engines.transit.hashing import HASHES
from tests.node.engines.transit.transit_bench import AEAD, ECDSA, TransitBench, b64, unb64

SIGNING = ["ed25519", *ECDSA, "rsa-2048"]
TOO_OLD = (400, "ciphertext or signature version is disallowed by policy (too old)")


@pytest.fixture(scope="module")
def bench() -> TransitBench:
    """A key of each signing type, under its name, for what changes nothing."""
    bench = TransitBench()
    for type_ in SIGNING:
        bench.make(type_, type_)
    bench.make("derived", "ed25519", derived=True)
    bench.make("aes")
    return bench


@pytest.fixture
def own() -> TransitBench:
    return TransitBench()


def sign(bench: TransitBench, name: str, message: bytes = b"hello", *, url: str = "", **fields) -> str:
    return bench.post(f"sign/{name}{url}", input=b64(message), **fields)["signature"]


def valid(bench: TransitBench, name: str, signature: str, message: bytes = b"hello", *, url: str = "", **fields):
    return bench.post(f"verify/{name}{url}", input=b64(message), signature=signature, **fields)["valid"]


def public(bench: TransitBench, name: str):
    return serialization.load_pem_public_key(bench.get(f"keys/{name}")["keys"]["1"]["public_key"].encode())


def raw(signature: str) -> bytes:
    return unb64(signature.removeprefix("vault:v1:"))


# ---- what is valid
@pytest.mark.parametrize("type_", SIGNING)
@given(message=st.binary(max_size=100))
@settings(max_examples=6, deadline=None)
def test_what_is_signed_is_valid_and_nothing_else(bench, type_, message):
    """Another message, another key, a flipped bit."""
    signature = sign(bench, type_, message)
    broken = bytearray(raw(signature))
    broken[-1] ^= 1
    other = "ecdsa-p384" if type_ != "ecdsa-p384" else "rsa-2048"

    assert valid(bench, type_, signature, message) is True
    assert valid(bench, type_, signature, message + b"!") is False
    assert valid(bench, type_, "vault:v1:" + b64(broken), message) is False
    foreign = bench.ask("update", "verify/ed25519", {"input": b64(message), "signature": sign(bench, other, message)})
    assert foreign.data == {"valid": False}


@pytest.mark.parametrize("algorithm", list(HASHES))
@pytest.mark.parametrize("type_", [*ECDSA, "rsa-2048"])
def test_every_hash_algorithm_signs_and_is_not_another(bench, type_, algorithm):
    """In the path, in the body, and under the old name."""
    signature = sign(bench, type_, url=f"/{algorithm}")
    other = "sha2-384" if algorithm != "sha2-384" else "sha2-256"

    assert valid(bench, type_, signature, hash_algorithm=algorithm) is True
    assert valid(bench, type_, signature, algorithm=algorithm) is True
    assert valid(bench, type_, signature, url=f"/{algorithm}", hash_algorithm=other) is True
    assert valid(bench, type_, signature, hash_algorithm=other) is False


@pytest.mark.parametrize("type_", [*ECDSA, "rsa-2048"])
def test_what_is_hashed_beforehand_is_the_same(bench, type_):
    """`prehashed` takes the digest."""
    digest = hashlib.sha256(b"hello").digest()
    signature = sign(bench, type_, digest, prehashed=True)

    assert valid(bench, type_, signature) is True
    assert valid(bench, type_, sign(bench, type_), digest, prehashed=True) is True
    assert valid(bench, type_, signature, digest) is False


# ---- known answers
@pytest.mark.parametrize("type_", ECDSA)
def test_ecdsa_is_what_the_public_key_verifies(bench, type_):
    """In ASN.1 and as JWS has it, without padding; the same each time, as RFC 6979 wants it."""
    key = public(bench, type_)
    signature = sign(bench, type_)
    jws = sign(bench, type_, marshaling_algorithm="jws")
    size = (key.key_size + 7) // 8
    halves = unb64(jws.removeprefix("vault:v1:").replace("-", "+").replace("_", "/") + "=" * (-size * 2 % 3))
    encoded = utils.encode_dss_signature(int.from_bytes(halves[:size]), int.from_bytes(halves[size:]))

    key.verify(raw(signature), b"hello", ec.ECDSA(hashes.SHA256()))
    key.verify(encoded, b"hello", ec.ECDSA(hashes.SHA256()))
    assert len(halves) == 2 * size
    assert sign(bench, type_) == signature
    assert valid(bench, type_, jws, marshaling_algorithm="jws") is True
    assert valid(bench, type_, jws[:-8], marshaling_algorithm="jws") is False


def test_ed25519_is_what_the_public_key_verifies(bench):
    """Shown as base64."""
    key = ed25519.Ed25519PublicKey.from_public_bytes(unb64(bench.get("keys/ed25519")["keys"]["1"]["public_key"]))

    key.verify(raw(sign(bench, "ed25519")), b"hello")
    with pytest.raises(InvalidSignature):
        key.verify(raw(sign(bench, "ed25519")), b"hullo")


def test_rsa_is_what_the_public_key_verifies(bench):
    """PSS with the longest salt, PSS with one of the hash's length, PKCS 1, PKCS 1 without naming the hash."""
    key, sha256 = public(bench, "rsa-2048"), hashes.SHA256()

    def pss(length):
        return padding.PSS(padding.MGF1(sha256), length)

    key.verify(raw(sign(bench, "rsa-2048")), b"hello", pss(padding.PSS.MAX_LENGTH), sha256)
    key.verify(raw(sign(bench, "rsa-2048", salt_length="hash")), b"hello", pss(32), sha256)
    key.verify(raw(sign(bench, "rsa-2048", salt_length="7")), b"hello", pss(7), sha256)
    pkcs1 = sign(bench, "rsa-2048", signature_algorithm="pkcs1v15")
    key.verify(raw(pkcs1), b"hello", padding.PKCS1v15(), sha256)
    bare = {"hash_algorithm": "none", "prehashed": True, "signature_algorithm": "pkcs1v15"}
    key.verify(raw(sign(bench, "rsa-2048", **bare)), b"hello", padding.PKCS1v15(), utils.NoDigestInfo())
    assert valid(bench, "rsa-2048", sign(bench, "rsa-2048", **bare), **bare) is True
    assert valid(bench, "rsa-2048", pkcs1) is False
    assert valid(bench, "rsa-2048", pkcs1, signature_algorithm="pkcs1v15") is True


def test_the_salt_is_as_long_as_was_asked_for(bench):
    """`auto` verifies any; a number only its own."""
    seven = sign(bench, "rsa-2048", salt_length="7")

    assert [valid(bench, "rsa-2048", seven, salt_length=length) for length in ("auto", "7", "0", "8", "hash")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert bench.no("sign/rsa-2048", input="", salt_length="223") == (400, "requested salt length 223 is invalid")
    assert valid(bench, "rsa-2048", sign(bench, "rsa-2048", salt_length="222"), salt_length="auto") is True


def test_a_derived_key_signs_for_each_context(bench):
    """And shows the public key of that context, at signing and at reading."""
    data = bench.post("sign/derived", input=b64("hello"), context=b64("c"))
    key = ed25519.Ed25519PublicKey.from_public_bytes(unb64(data["public_key"]))

    key.verify(raw(data["signature"]), b"hello")
    assert bench.get("keys/derived", context=b64("c"))["keys"]["1"]["public_key"] == data["public_key"]
    assert bench.get("keys/derived")["keys"]["1"]["public_key"] == ""
    assert valid(bench, "derived", data["signature"], context=b64("c")) is True
    assert valid(bench, "derived", data["signature"], context=b64("d")) is False
    assert bench.no("sign/derived", input="")[1].startswith("missing 'context' for key derivation")
    assert bench.no("sign/derived", input="", context="!") == (400, "failed to base64-decode context")


# ---- what is refused
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"hash_algorithm": "meow2-256"}, 'invalid hash algorithm "meow2-256"'),
        ({"marshaling_algorithm": "xml"}, 'invalid marshaling type "xml"'),
        ({"signature_algorithm": "cats"}, "unsupported rsa signature algorithm cats"),
        ({"salt_length": "foobar"}, "salt length neither 'auto', 'hash', nor an int"),
        ({"salt_length": "-2"}, "salt length is invalid"),
        ({"salt_length": "--2"}, "salt length is invalid"),
        (
            {"hash_algorithm": "none"},
            "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15",
        ),
        ({"input": "!"}, "unable to decode input as base64: illegal base64 data at input byte 0"),
        ({"prehashed": True, "input": b64("x")}, "crypto/rsa: input must be hashed message"),
        ({"key_version": 2}, "requested version for signing is higher than the latest key version"),
        ({"key_version": -1}, "requested version for signing is negative"),
        ({"context": "!"}, "failed to base64-decode context"),
    ],
)
def test_what_cannot_be_signed_is_refused(bench, fields, text):
    """And verified neither, where that has the parameter, too."""
    assert bench.no("sign/rsa-2048", **({"input": ""} | fields)) == (400, text)
    if "key_version" not in fields:
        body = {"input": "", "signature": "vault:v1:" + b64(b"x" * 256)} | fields
        assert bench.no("verify/rsa-2048", **body) == (400, text)


def test_ecdsa_signs_no_more_than_a_digest(bench):
    """What no hash algorithm gives is refused."""
    text = "the input is not as long as the digest of any hash algorithm"

    assert bench.no("sign/ecdsa-p256", input=b64("short"), prehashed=True) == (400, text)


@pytest.mark.parametrize("type_", [*AEAD, "hmac"])
def test_a_key_that_cannot_sign_does_not(own, type_):
    """Nor verify."""
    own.make("k", type_)

    assert own.no("sign/k", input="") == (400, f"key type {type_} does not support signing")
    assert own.no("verify/k", input="", signature="x") == (400, f"key type {type_} does not support verification")


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("x", "invalid signature: no prefix"),
        ("vault:v1", "invalid signature: wrong number of fields"),
        ("vault:v:x", "invalid signature: version number could not be decoded"),
        ("vault:v2:AAAA", "invalid signature: version is too new"),
        ("vault:v0:AAAA", TOO_OLD[1]),
        ("vault:v1:!", "invalid base64 signature value"),
        ("vault:v1:AAAA", "supplied signature is invalid"),
    ],
)
def test_what_is_no_signature_is_refused(bench, signature, text):
    """In Vault's words."""
    assert bench.no("verify/ecdsa-p256", input="", signature=signature) == (400, text)


def test_versions_sign_and_verify_within_their_bounds(own):
    """`min_encryption_version` for signing, `min_decryption_version` for verifying."""
    own.make("k", "ed25519")
    first = sign(own, "k")
    own.post("keys/k/rotate")
    second = own.post("sign/k", input=b64("hello"))
    old = own.post("sign/k", input=b64("hello"), key_version=1)

    assert (second["key_version"], old["key_version"], old["signature"]) == (2, 1, first)
    assert valid(own, "k", first) is True
    assert valid(own, "k", first.replace("v1", "v2")) is False
    own.post("keys/k/config", min_decryption_version=2, min_encryption_version=2)
    text = "requested version for signing is less than the minimum encryption key version"
    assert own.no("sign/k", input="", key_version=1) == (400, text)
    assert own.no("verify/k", input=b64("hello"), signature=first) == TOO_OLD
    own.post("keys/k/config", min_encryption_version=2)
    assert valid(own, "k", second["signature"]) is True


def test_a_version_below_the_minimum_signs_no_more(own):
    """Also where `min_encryption_version` is not set."""
    own.make("k", "ed25519")
    own.post("keys/k/rotate")
    assert sign(own, "k", key_version=1).startswith("vault:v1:")

    own.post("keys/k/config", min_decryption_version=2)
    assert own.no("sign/k", input="", key_version=1) == (400, "no such key version")
    assert own.no("hmac/k", input="", key_version=1) == (400, "no such key version")


def test_a_key_that_is_missing_is_named_by_its_purpose(own):
    """Neither signs nor verifies."""
    assert own.no("sign/k", input="") == (400, "signing key not found")
    assert own.no("verify/k", input="", signature="x") == (400, "signature verification key not found")
    assert own.no("verify/k", input="", hmac="x") == (400, "encryption key not found")
    assert own.no("hmac/k", input="") == (400, "encryption key not found")


# ---- MACs
@pytest.mark.parametrize("algorithm", list(HASHES))
@pytest.mark.parametrize("type_", ["aes256-gcm96", "ed25519", "hmac"])
def test_a_mac_is_what_the_exported_key_makes(own, type_, algorithm):
    """Known answer, and verified; every type of key has one."""
    own.make("k", type_, exportable=True)
    made = own.post(f"hmac/k/{algorithm}", input=b64("hello"))["hmac"]
    mac = hmac.digest(unb64(own.export("hmac-key", "k")), b"hello", HASHES[algorithm])

    assert made == "vault:v1:" + b64(mac)
    assert own.post("hmac/k", input=b64("hello"), algorithm=algorithm)["hmac"] == made
    assert own.post("verify/k", input=b64("hello"), hmac=made, hash_algorithm=algorithm) == {"valid": True}
    assert own.post(f"verify/k/{algorithm}", input=b64("hullo"), hmac=made) == {"valid": False}
    assert own.post(f"verify/k/{algorithm}", input=b64("hello"), hmac=made[:-8]) == {"valid": False}


def test_macs_of_older_versions(own):
    """Made down to one minimum, verified down to the other."""
    own.make("k")
    first = own.post("hmac/k", input="")["hmac"]
    own.post("keys/k/rotate")

    assert own.post("hmac/k", input="", key_version=1)["hmac"] == first
    assert own.post("hmac/k", input="")["hmac"].startswith("vault:v2:")
    assert own.post("verify/k", input="", hmac=first) == {"valid": True}
    assert own.post("verify/k", input="", hmac=first.replace("v1", "v2")) == {"valid": False}
    own.post("keys/k/config", min_encryption_version=2, min_decryption_version=2)
    old = "version is too old (disallowed by policy)"
    assert own.no("hmac/k", input="", key_version=1) == (400, f"cannot generate HMAC: {old}")
    assert own.no("verify/k", input="", hmac=first) == (400, f"cannot verify HMAC: {old}")


@pytest.mark.parametrize(
    ("path", "fields", "text"),
    [
        ("hmac/aes", {}, "missing input for HMAC"),
        ("hmac/aes", {"input": "!"}, "unable to decode input as base64: illegal base64 data at input byte 0"),
        ("hmac/aes/md5", {"input": ""}, 'unsupported algorithm "md5"'),
        ("hmac/aes", {"input": "", "key_version": 2}, "key version does not exist; latest key version is 1"),
        ("hmac/aes", {"input": "", "key_version": -1}, "key version does not exist (cannot be negative)"),
        ("verify/aes", {"input": "", "hmac": "x"}, "invalid HMAC to verify: no prefix"),
        ("verify/aes", {"input": "", "hmac": "vault:v1"}, "invalid HMAC: wrong number of fields"),
        ("verify/aes", {"input": "", "hmac": "vault:vx:"}, "invalid HMAC: version number could not be decoded"),
        ("verify/aes", {"input": "", "hmac": "vault:v2:"}, "invalid HMAC: version is too new"),
        (
            "verify/aes",
            {"input": "", "hmac": "vault:v0:"},
            "cannot verify HMAC: version is too old (disallowed by policy)",
        ),
        (
            "verify/aes",
            {"input": "", "hmac": "vault:v1:!"},
            "unable to decode verification HMAC as base64: illegal base64 data at input byte 0",
        ),
        ("verify/aes", {"input": "", "hmac": "vault:v1:", "hash_algorithm": "md5"}, 'invalid hash algorithm "md5"'),
        ("verify/aes", {"input": ""}, "neither a 'signature' nor an 'hmac' were given to verify"),
        ("verify/aes", {"input": "", "hmac": "x", "signature": "x"}, "provide one of 'signature' or 'hmac'"),
    ],
)
def test_what_is_no_mac_is_refused(bench, path, fields, text):
    """In Vault's words."""
    assert bench.no(path, **fields) == (400, text)
