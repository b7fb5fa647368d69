"""The paths of a cert mount beside the login: roles, lists of revoked certificates, the configuration."""

from __future__ import annotations

import msgspec
import pytest
from cryptography import x509

from node.auth.cert.config import CertConfig
from node.auth.cert.crls import Crl
from node.auth.cert.roles import CertRole
from node.auth.token_params import TokenParams
from tests.node.auth.outside import FOR_SERVERS, OutsideWorld, certify, revoke

ROOT = certify("root", authority=True)
ROLE = "auth/cert/certs/web"


@pytest.fixture
def world() -> OutsideWorld:
    return OutsideWorld()


def test_a_role_reads_as_it_was_written(world):
    """With a name to show, the token parameters, and old names where they were used."""
    world.ask("update", ROLE, {"certificate": ROOT.pem, "allowed_names": ["a", "b*"], "policies": "p", "ttl": 60})
    data = world.data("read", "auth/cert/certs/WEB")

    assert (data["certificate"], data["display_name"], data["allowed_names"]) == (ROOT.pem, "web", ["a", "b*"])
    assert (data["policies"], data["ttl"], data["token_ttl"], data["token_type"]) == (["p"], 60, 60, "default")
    assert (data["ocsp_enabled"], data["required_extensions"]) == (False, [])
    world.ask("update", ROLE, {"display_name": "hosts"})
    changed = world.data("read", ROLE)
    assert (changed["display_name"], changed["allowed_names"]) == ("hosts", ["a", "b*"])
    assert world.data("list", "auth/cert/certs/") == {"keys": ["web"]}
    assert world.ask("delete", ROLE).empty
    assert world.refused("read", ROLE)[0] == world.refused("list", "auth/cert/certs/")[0] == 404
    assert world.ask("delete", ROLE).empty


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "failed to parse certificate"),
        ({"certificate": "nothing"}, "failed to parse certificate"),
        (
            {"certificate": certify("s", extensions=(FOR_SERVERS,)).pem},
            "nonCA certificates should have TLS client authentication set as an extended key usage",
        ),
        (
            {"certificate": ROOT.pem, "required_extensions": "1.2.3"},
            "required_extensions are of the form OID:PATTERN or hex:OID:PATTERN",
        ),
        (
            {"certificate": ROOT.pem, "allowed_metadata_extensions": "x.y"},
            "allowed_metadata_extensions are object identifiers",
        ),
        (
            {"certificate": ROOT.pem, "ocsp_enabled": True},
            "ocsp_enabled is not supported: revocation is by the lists at crls/",
        ),
        ({"certificate": ROOT.pem, "allowed_names": ["x"] * 201}, "allowed_names has more than 200 entries"),
    ],
)
def test_a_role_that_could_not_be_kept_is_refused(world, body, text):
    """What would be ignored, or could match nothing."""
    assert world.refused("update", ROLE, body) == (400, text, False)


def test_what_is_switched_off_may_be_said(world):
    """Clients send every field."""
    world.ask("update", ROLE, {"certificate": ROOT.pem, "ocsp_enabled": False, "ocsp_servers_override": []})
    assert world.data("read", ROLE)["ocsp_servers_override"] == []


def test_lists_of_revoked_certificates_are_kept_by_name(world):
    """Shown as serial numbers."""
    path = "auth/cert/crls/one"
    world.ask("update", path, {"crl": revoke(ROOT, 5, 255)})
    assert world.data("read", path) == {"serials": {"5": {}, "255": {}}}
    assert world.data("list", "auth/cert/crls/") == {"keys": ["one"]}
    world.ask("delete", path)
    assert world.refused("delete", path)[:2] == (400, "no such CRL one")
    assert world.refused("read", path)[0] == world.refused("list", "auth/cert/crls/")[0] == 404


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "one of CRL or URL must be provided"),
        ({"crl": "nothing"}, "failed to parse CRL"),
        ({"url": "http://x/crl"}, "url is not supported: give the list as crl"),
        (
            {"crl": revoke(ROOT, 1, extensions=(x509.CertificateIssuer([x509.DNSName("x")]),))},
            "a CRL that revokes for other issuers is not supported",
        ),
    ],
)
def test_a_list_that_could_not_be_asked_is_refused(world, body, text):
    """It would revoke nothing, and seem to."""
    assert world.refused("update", "auth/cert/crls/one", body)[:2] == (400, text)


def test_tokens_stay_bound_to_their_certificate(world):
    """`disable_binding` may be said to be off."""
    config = "auth/cert/config"
    assert world.data("read", config) == {"disable_binding": False, "enable_identity_alias_metadata": False}
    world.ask("update", config, {"disable_binding": False, "enable_identity_alias_metadata": True})
    assert world.data("read", config)["enable_identity_alias_metadata"]
    text = "disable_binding is not supported: a renewal needs the certificate of the login"
    assert world.refused("update", config, {"disable_binding": True})[:2] == (400, text)


def test_identity_keeps_what_the_certificate_says_only_if_it_is_told_to(world):
    """Templates of policies may use it then."""
    world.ask("update", ROLE, {"certificate": ROOT.pem})
    world.ask("update", "auth/cert/config", {"enable_identity_alias_metadata": True})
    client = certify("ann", ROOT)
    entity_id = world.come("auth/cert/login", certificate=client.der).auth["entity_id"]
    alias = world.data("read", f"identity/entity/id/{entity_id}")["aliases"][0]

    assert (alias["name"], alias["metadata"]["cert_name"]) == ("ann", "web")


TOKEN = TokenParams(["10.0.0.0/8"], 1, 2, True, 3, 4, ["a"], 5, "service", True)
LISTS = ("n", "c", "d", "e", "u", "o", "r", "m")


def test_what_is_stored_opens_for_ever():
    """Bytes as the first version wrote them."""
    token = "9a91aa31302e302e302e302f380102c3030491a16105a773657276696365c3"
    stored = [
        (CertRole("p", "s", *([one] for one in LISTS), TOKEN, ["ttl"]),
         "9ca170a173" + "".join(f"91a1{ord(one):02x}" for one in LISTS) + token + "91a374746c"),
        (Crl(b"i", ["ff"]), "92c4016991a26666"),
        (CertConfig(True), "91c3"),
    ]  # fmt: skip
    for value, text in stored:
        assert msgspec.msgpack.encode(value).hex() == text
        assert msgspec.msgpack.decode(bytes.fromhex(text), type=type(value)) == value
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(["p"]), type=CertRole).allowed_names == []
