"""Logging in with a client certificate: to the anchor of the role, by the cluster's time, and renewed by it alone."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from node.auth.cert import chain, constraints
from node.auth.cert.roles import CertRole
from node.engines import entries
from node.request import StaleLabour
from tests.node.auth.outside import FOR_CLIENTS, FOR_SERVERS, OutsideWorld, Party, certify, revoke
from tests.node.auth.world import make_request

LOGIN = "auth/cert/login"
NONE = (400, "invalid certificate or no client certificate supplied")
NO_CHAIN = (400, "no chain matching all constraints could be found for this login certificate")
DAY_S = 86_400
OID = ObjectIdentifier("1.2.3.4")

ROOT, OTHER_ROOT = certify("root", authority=True), certify("other", authority=True)
BETWEEN = certify("between", ROOT, authority=True)
NAMES = x509.SubjectAlternativeName(
    [x509.DNSName("web.example.test"), x509.RFC822Name("ann@example.test"),
     x509.UniformResourceIdentifier("spiffe://example.test/web")]
)  # fmt: skip
TEXT = x509.UnrecognizedExtension(OID, b"\x0c\x05hello")
ANN = certify("ann", ROOT, extensions=(FOR_CLIENTS, NAMES, TEXT), unit="ops")
BELOW = certify("below", BETWEEN, extensions=(FOR_CLIENTS,))
STRANGER = certify("ann", OTHER_ROOT, extensions=(FOR_CLIENTS, NAMES, TEXT), unit="ops")
ALONE = certify("alone", extensions=(FOR_CLIENTS,))
SERVERS_ONLY = certify("servers", ROOT, authority=True, extensions=(FOR_SERVERS,))
CLIENTS_TOO = certify("clients", ROOT, authority=True, extensions=(FOR_CLIENTS,))
NARROW = certify(
    "narrow", ROOT, authority=True, extensions=(x509.NameConstraints([x509.DNSName("example.test")], None),)
)


ODD = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex("3004a3020500"))  # an X.400 address
ODD_ONE, ODD_ALONE = certify("odd", ROOT, extensions=(ODD,)), certify("odd", extensions=(ODD,))


def named(issuer: Party, dns_name: str) -> bytes:
    names = x509.SubjectAlternativeName([x509.DNSName(dns_name)])
    return certify("named", issuer, extensions=(FOR_CLIENTS, names)).der


@pytest.fixture
def world() -> OutsideWorld:
    made = OutsideWorld()
    made.policy("a", 'path "x" { capabilities = ["read"] }')
    return made


def role(world: OutsideWorld, name: str = "web", trusted: str = ROOT.pem, **fields: object) -> None:
    world.ask("update", f"auth/cert/certs/{name}", {"certificate": trusted, "token_policies": "a", **fields})


def test_a_certificate_of_a_trusted_authority_gets_a_token(world):
    """Named by its role; what the certificate says stands in the metadata, and identity knows its common name."""
    role(world, display_name="web-hosts", token_ttl="1h", allowed_metadata_extensions="1.2.3.4")
    auth = world.come(LOGIN, certificate=ANN.der).auth
    record = world.record(auth["client_token"])

    assert (auth["policies"], auth["lease_duration"]) == (["a", "default"], 3600)
    assert record.display_name == "cert-web-hosts"
    assert auth["entity_id"]
    meta = auth["metadata"]
    assert (meta["cert_name"], meta["common_name"], meta["1-2-3-4"]) == ("web", "ann", "hello")
    assert meta["serial_number"] == str(ANN.certificate.serial_number)
    assert len(meta["subject_key_id"]) == len(meta["authority_key_id"]) == 59
    assert world.plans[-1].secret_answer


def test_a_connection_without_a_certificate_is_no_login(world):
    """As on the main listener; a header that claims one changes nothing, because nobody reads it."""
    role(world)
    assert world.sent_away(LOGIN, {}) == NONE
    assert world.sent_away(LOGIN, {"name": "web"}) == NONE
    assert world.sent_away(LOGIN, {"name": "web"}, certificate=b"0\x03abc") == NONE


@pytest.mark.parametrize(
    ("trusted", "client", "expected"),
    [
        (ROOT, ANN.der, "ok"),
        (OTHER_ROOT, ANN.der, NONE),
        (ROOT, STRANGER.der, NONE),
        (ROOT, BELOW.der + BETWEEN.der, "ok"),
        (ROOT, BELOW.der, NONE),
        (BETWEEN, BELOW.der, "ok"),
        (ALONE, ALONE.der, "ok"),
        (ALONE, ANN.der, NONE),
        (ANN, ANN.der, "ok"),
        (ANN, certify("ann", ROOT, key=ANN.key).der, NONE),
        (ROOT, certify("late", ROOT, days=(-9, -1)).der, NONE),
        (ROOT, certify("early", ROOT, days=(1, 9)).der, NONE),
        (ROOT, certify("server", ROOT, extensions=(FOR_SERVERS,)).der, NONE),
        (ROOT, certify("plain", ROOT).der, "ok"),
        (ROOT, certify("x", ANN).der + ANN.der, NONE),
        (ROOT, ANN.der + OTHER_ROOT.der, "ok"),
        (OTHER_ROOT, ANN.der + OTHER_ROOT.der, NONE),
        (ROOT, certify("x", CLIENTS_TOO, extensions=(FOR_CLIENTS,)).der + CLIENTS_TOO.der, "ok"),
        (ROOT, certify("x", SERVERS_ONLY, extensions=(FOR_CLIENTS,)).der + SERVERS_ONLY.der, NONE),
        (ROOT, certify("x", SERVERS_ONLY).der + SERVERS_ONLY.der, NONE),
        (CLIENTS_TOO, certify("x", CLIENTS_TOO).der, "ok"),
        (SERVERS_ONLY, certify("x", SERVERS_ONLY).der, NONE),
        (ROOT, ODD_ONE.der, NONE),
        (ROOT, ANN.der + ODD_ONE.der, "ok"),
        (ROOT, named(NARROW, "web.example.test") + NARROW.der, "ok"),
        (ROOT, named(NARROW, "web.elsewhere.test") + NARROW.der, NONE),
    ],
)
def test_only_a_chain_to_the_anchor_of_the_role_counts(world, trusted, client, expected):
    """Whatever else is sent along, and whatever the listener believes."""
    role(world, trusted=trusted.pem)
    if expected == "ok":
        assert world.come(LOGIN, {"name": "web"}, certificate=client).auth["metadata"]["cert_name"] == "web"
    else:
        assert world.sent_away(LOGIN, {"name": "web"}, certificate=client) == expected


def test_a_named_role_is_the_only_one_that_is_tried(world):
    """A certificate of another role's authority gets nothing of this one; unnamed, the role that fits is found."""
    role(world, "mine", OTHER_ROOT.pem)
    role(world, "yours", ROOT.pem)
    assert world.sent_away(LOGIN, {"name": "mine"}, certificate=ANN.der) == NONE
    assert world.sent_away(LOGIN, {"name": "nobody"}, certificate=ANN.der) == NONE
    assert world.come(LOGIN, {"name": "YOURS"}, certificate=ANN.der).auth
    assert world.come(LOGIN, certificate=ANN.der).auth["metadata"]["cert_name"] == "yours"


def test_what_many_roles_trust_is_looked_at_once(world, monkeypatch):
    """And what nothing of it leads to, not at all: who names no role keeps no thread for each of them."""
    asked: list[int] = []
    plain = chain.PolicyBuilder
    monkeypatch.setattr(chain, "PolicyBuilder", lambda: asked.append(1) or plain())
    for name in ("a", "b", "c"):
        role(world, name, ROOT.pem, allowed_common_names="ann" if name == "c" else "bob")
        role(world, f"other-{name}", OTHER_ROOT.pem)
    assert world.come(LOGIN, certificate=ANN.der).auth["metadata"]["cert_name"] == "c"
    assert len(asked) == 1
    assert world.sent_away(LOGIN, certificate=ALONE.der) == NONE
    assert len(asked) == 1


def test_a_certificate_expires_by_the_time_of_the_cluster(world):
    """Whoever kept a connection open longer gets nothing either."""
    role(world)
    world.pass_time(29 * DAY_S)
    assert world.come(LOGIN, certificate=ANN.der).auth
    world.pass_time(2 * DAY_S)
    assert world.sent_away(LOGIN, certificate=ANN.der) == NONE


@pytest.mark.parametrize(
    ("fields", "fits", "does_not"),
    [
        ("allowed_names", "web.*", "db.*"),
        ("allowed_names", "a*n", "a*m"),
        ("allowed_names", "ann@*", "bob@*"),
        ("allowed_common_names", "ann", "web.example.test"),
        ("allowed_dns_sans", "x,*.example.test", "*.example.tes"),
        ("allowed_email_sans", "*@example.test", "ann"),
        ("allowed_uri_sans", "spiffe://*/web", "spiffe://web"),
        ("allowed_organizational_units", "ops", "dev"),
        ("required_extensions", "1.2.3.4:hel*", "1.2.3.4:bye"),
        ("required_extensions", "hex:1.2.3.4:0c05*", "hex:1.2.3.4:0c06*"),
        ("required_extensions", "1.2.3.4:*", "1.2.3.4:*,1.2.3.5:*"),
    ],
)
def test_what_a_role_wants_has_to_stand_in_the_certificate(world, fields, fits, does_not):
    """Each list is met by one entry of its kind, each required extension by the certificate."""
    role(world, **{fields: fits})
    assert world.come(LOGIN, certificate=ANN.der).auth
    role(world, **{fields: does_not})
    assert world.sent_away(LOGIN, certificate=ANN.der) == NO_CHAIN


def test_a_certificate_that_is_its_own_role_has_to_meet_it_too(world):
    """With a text of its own."""
    role(world, trusted=ALONE.pem, allowed_common_names="somebody")
    expected = (400, "failed to match all constraints for this login certificate")
    assert world.sent_away(LOGIN, certificate=ALONE.der) == expected


def test_a_certificate_of_which_not_all_can_be_read_meets_nothing(world):
    """Nor may a role trust it for itself: its own purposes cannot be told."""
    text = "nonCA certificates should have TLS client authentication set as an extended key usage"
    body = {"certificate": ODD_ALONE.pem}
    assert world.refused("update", "auth/cert/certs/web", body) == (400, text, False)
    assert not constraints.meets(CertRole(ROOT.pem), ODD_ONE.certificate)
    assert constraints.meets(CertRole(ROOT.pem), ANN.certificate)
    assert constraints.key_ids(ODD_ONE.certificate) == ("", "")


def test_of_several_common_names_the_last_is_whom_it_names(world):
    """As directories write them: the first is a folder that everybody is in, and names nobody."""
    ann, bob, folder = (certify(name, ROOT, folder="Users") for name in ("ann", "bob", "Users"))
    role(world)
    first, second = (world.come(LOGIN, certificate=one.der).auth for one in (ann, bob))
    assert [one["metadata"]["common_name"] for one in (first, second)] == ["ann", "bob"]
    assert first["entity_id"] != second["entity_id"]

    for field in ("allowed_common_names", "allowed_names"):
        role(world, **{field: "Users"})
        assert world.come(LOGIN, certificate=folder.der).auth
        assert world.sent_away(LOGIN, certificate=ann.der) == NO_CHAIN
        role(world, **{field: ""})


def test_networks_of_the_role_bind_the_login(world):
    """Inside yes, outside no."""
    role(world, token_bound_cidrs="10.0.0.0/8")
    assert world.come(LOGIN, certificate=ANN.der, address="10.1.2.3").auth
    assert world.sent_away(LOGIN, certificate=ANN.der, address="192.0.2.1")[0] == 403


def test_what_is_revoked_lets_nobody_in_until_the_list_goes(world):
    """The certificate itself or one above it; a list of another issuer revokes nothing."""
    role(world)
    lists = "auth/cert/crls/one"
    world.ask("update", lists, {"crl": revoke(OTHER_ROOT, ANN.certificate.serial_number)})
    assert world.come(LOGIN, certificate=ANN.der).auth
    world.ask("update", lists, {"crl": revoke(ROOT, ANN.certificate.serial_number)})
    assert world.sent_away(LOGIN, certificate=ANN.der) == NO_CHAIN
    world.ask("update", lists, {"crl": revoke(ROOT, BETWEEN.certificate.serial_number)})
    assert world.come(LOGIN, certificate=ANN.der).auth
    assert world.sent_away(LOGIN, certificate=BELOW.der + BETWEEN.der) == NO_CHAIN
    world.ask("delete", lists)
    assert world.come(LOGIN, certificate=BELOW.der + BETWEEN.der).auth


# ---- renewal
def test_a_list_is_opened_once_and_its_next_version_counts_at_once(world, monkeypatch):
    """However many log in, the loop does not take it apart again; what was remembered is of no other version."""
    opened: list[str] = []
    plain = entries.find
    monkeypatch.setattr(entries, "find", lambda context, name, kind: opened.append(name) or plain(context, name, kind))
    role(world)
    bob = certify("bob", ROOT, extensions=(FOR_CLIENTS,))
    serials = ANN.certificate.serial_number, bob.certificate.serial_number
    world.ask("update", "auth/cert/crls/a", {"crl": revoke(ROOT, serials[1])})
    for _ in range(3):
        assert world.come(LOGIN, certificate=ANN.der).auth
        assert world.sent_away(LOGIN, certificate=bob.der) == NO_CHAIN
    assert opened.count("crl/a") == 1
    world.ask("update", "auth/cert/crls/a", {"crl": revoke(ROOT, serials[0])})
    assert world.sent_away(LOGIN, certificate=ANN.der) == NO_CHAIN
    assert world.come(LOGIN, certificate=bob.der).auth
    assert opened.count("crl/a") == 2


def test_only_the_certificate_of_the_login_renews(world):
    """Not another valid one, not one with the same key and names, not none at all (CVE-2026-39388)."""
    role(world)
    token = world.come(LOGIN, certificate=ANN.der).auth["client_token"]
    same_key = certify("ann", ROOT, extensions=(FOR_CLIENTS, NAMES, TEXT), unit="ops", key=ANN.key)
    other = (400, "client identity during renewal not matching client identity used during login")

    assert world.renew(token, ANN.der).auth["lease_duration"]
    assert world.not_renewed(token, BELOW.der + BETWEEN.der) == other
    assert world.not_renewed(token, same_key.der) == other
    assert world.not_renewed(token, same_key.der + ANN.der) == other
    assert world.not_renewed(token) == (400, "no client certificate found")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"certificate": OTHER_ROOT.pem}, NO_CHAIN[1]),
        ({"allowed_common_names": "bob"}, NO_CHAIN[1]),
        ({"token_policies": "b"}, "policies have changed, not renewing"),
        (None, "certificate role no longer exists"),
        ("revoked", NO_CHAIN[1]),
    ],
)
def test_a_renewal_asks_the_role_as_it_is(world, change, text):
    """The chain is built again: an authority that was replaced, a list, a role that went."""
    role(world)
    token = world.come(LOGIN, certificate=ANN.der).auth["client_token"]
    if change is None:
        world.ask("delete", "auth/cert/certs/web")
    elif change == "revoked":
        world.ask("update", "auth/cert/crls/one", {"crl": revoke(ROOT, ANN.certificate.serial_number)})
    else:
        role(world, **change) if "certificate" not in change else role(world, trusted=change["certificate"])
    assert world.not_renewed(token, ANN.der) == (400, text)


def test_an_expired_certificate_renews_nothing(world):
    """Even on a connection that was opened before."""
    role(world, token_ttl="20d", token_max_ttl="90d")
    world.ask("update", "sys/auth/cert/tune", {"max_lease_ttl": "90d"})
    token = world.come(LOGIN, certificate=ANN.der).auth["client_token"]
    world.pass_time(15 * DAY_S)
    assert world.renew(token, ANN.der).auth
    world.pass_time(16 * DAY_S)
    assert world.not_renewed(token, ANN.der) == NO_CHAIN


# ---- labour
@pytest.mark.parametrize("meanwhile", ["role written", "role made", "another certificate", "nothing built"])
def test_chains_that_were_built_for_something_else_prove_nothing(world, meanwhile):
    """They are built again."""
    role(world)
    request = make_request("update", LOGIN, {}, None)
    request.certificate = ANN.der
    engine = world.engines["cert"]
    request.labour = engine.labour(world.context(LOGIN), request, "login")()
    assert engine.decide(world.context(LOGIN), request, "login").answer.auth
    if meanwhile == "role written":
        role(world, trusted=OTHER_ROOT.pem)
    elif meanwhile == "role made":
        role(world, "another")
    elif meanwhile == "another certificate":
        request.certificate = BELOW.der
    else:
        request.labour = None
    with pytest.raises(StaleLabour):
        engine.decide(world.context(LOGIN), request, "login")


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 0),
        (ANN.der, 1),
        (ANN.der + BETWEEN.der, 2),
        (ANN.der + b"0", 0),
        (ANN.der[:-1], 0),
        (b"\x30\x84\xff\xff\xff\xff", 0),
        (b"\x30\x80", 0),
        (ANN.der * 11, 0),
        (b"\x31\x00", 0),
    ],
)
def test_what_a_client_presents_is_read_whole_or_not_at_all(data, count):
    """One certificate behind the other, at most ten."""
    assert len(chain.presented(data)) == count
