"""Logging in with a token that somebody else signed: what is refused, beside what is let in."""

from __future__ import annotations

import json
import threading

import pytest
from joserfc.jwk import OctKey

from node.auth.jwt import keys
from node.auth.jwt.config import JwtConfig
from node.auth.remote import RemoteError
from node.engines.base import Errand
from node.request import StaleLabour
from tests.node.auth.outside import (
    EC,
    ED,
    NOW_S,
    RSA,
    RSA_OTHER,
    OutsideWorld,
    by_shared_secret,
    key_set,
    part,
    public_pem,
    serving,
    sign,
    unsigned,
)  # fmt: skip
from tests.node.auth.world import make_request

LOGIN = "auth/jwt/login"
GOOD = {"sub": "ann", "aud": "us", "iss": "https://issuer.test", "iat": NOW_S, "exp": NOW_S + 60}
HOUR_NS = 3_600_000_000_000


@pytest.fixture
def world() -> OutsideWorld:
    made = OutsideWorld()
    pems = [public_pem(key) for key in (RSA, EC, ED)]
    made.ask("update", "auth/jwt/config", {"jwt_validation_pubkeys": pems, "bound_issuer": "https://issuer.test"})
    role(made)
    return made


def role(world: OutsideWorld, name: str = "app", **fields: object) -> None:
    body = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "us", "token_policies": "p"}
    world.ask("update", f"auth/jwt/role/{name}", {**body, **fields})


def log_in(world: OutsideWorld, token: str, **fields: object):
    return world.come(LOGIN, {"role": "app", "jwt": token, **fields}).auth


def refused(world: OutsideWorld, token: str) -> tuple[int, str]:
    return world.sent_away(LOGIN, {"role": "app", "jwt": token})


def invalid(text: str) -> tuple[int, str]:
    return 400, f"error validating token: {text}"


NO_KEY = invalid("no known key successfully validated the token signature")
UNEXPECTED = invalid("token signed with unexpected algorithm")
EXPIRED = invalid("invalid expiration time (exp) claim: token is expired")
NOT_YET = invalid("invalid not before (nbf) claim: token not yet valid")
MALFORMED = invalid("malformed jwt: a part is not JSON")
NOT_BASE64 = invalid("malformed jwt: a part is not base64")


def without(*names: str, **others: object) -> dict[str, object]:
    return {name: value for name, value in {**GOOD, **others}.items() if name not in names}


def test_a_token_that_the_role_accepts_gets_one_of_ours(world):
    """Named by its user; metadata and identity have what the role takes over."""
    role(world, claim_mappings={"team": "group", "/a/b~1c/0": "deep", "gone": "x"}, token_ttl="1h")
    token = sign({**GOOD, "team": "ops", "a": {"b/c": [7]}})
    auth = log_in(world, token)
    assert world.plans[-1].secret_answer
    record = world.record(auth["client_token"])

    assert auth["metadata"] == {"role": "app", "group": "ops", "deep": "7"}
    assert (auth["policies"], auth["lease_duration"], record.display_name) == (["default", "p"], 3600, "jwt-ann")
    assert log_in(world, f" {token}\n")["entity_id"] == auth["entity_id"]  # as it stands in a file
    alias = world.data("read", f"identity/entity/id/{auth['entity_id']}")["aliases"][0]
    assert (alias["name"], alias["metadata"]) == ("ann", {"group": "ops", "deep": "7"})


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")],
)
def test_every_kind_of_key_is_understood(world, key, algorithm):
    """By the algorithms it is for."""
    assert log_in(world, sign(GOOD, key, algorithm))["metadata"] == {"role": "app"}


HEADER, BODY, TAG = sign(GOOD).split(".")
PEM = public_pem(RSA).encode()
TURNED_AWAY = {
    "signed by another key": (sign(GOOD, RSA_OTHER), NO_KEY),
    "no algorithm": (unsigned(GOOD), UNEXPECTED),
    "no algorithm, in capitals": (unsigned(GOOD, alg="NONE"), UNEXPECTED),
    "no algorithm, and a signature": (f"{part({'alg': 'none'})}.{BODY}.{TAG}", UNEXPECTED),
    "the public key as a secret": (by_shared_secret(GOOD, PEM, "r1"), UNEXPECTED),
    "the public key as a secret, trimmed": (by_shared_secret(GOOD, PEM.strip(), "r1"), UNEXPECTED),
    "an algorithm for another kind of key": (f"{part({'alg': 'ES256', 'kid': 'r1'})}.{BODY}.{TAG}", NO_KEY),
    "another body": (f"{HEADER}.{part(without(sub='root'))}.{TAG}", NO_KEY),
    "another header": (f"{part({'alg': 'RS512', 'kid': 'r1'})}.{BODY}.{TAG}", NO_KEY),
    "no signature": (f"{HEADER}.{BODY}.", NO_KEY),
    "a key of its own": (
        sign(GOOD, RSA_OTHER, jwk=RSA_OTHER.as_dict(private=False), jku="https://evil.test/jwks"), NO_KEY,
    ),
    "a critical header": (
        f"{part({'alg': 'RS256', 'crit': ['x'], 'x': 1})}.{BODY}.{TAG}",
        invalid("malformed jwt: the header asks for what is not understood"),
    ),
    "an unencoded body": (
        f"{part({'alg': 'RS256', 'b64': False})}.{BODY}.{TAG}",
        invalid("malformed jwt: the header asks for what is not understood"),
    ),
    "expired": (sign(without(exp=NOW_S - 61)), EXPIRED),
    "expired, without saying when": (sign(without("exp", iat=NOW_S - 211)), EXPIRED),
    "not begun": (sign(without(nbf=NOW_S + 61)), NOT_YET),
    "issued later": (
        sign(without(iat=NOW_S + 61, nbf=NOW_S)), invalid("invalid issued at (iat) claim: token issued in the future"),
    ),
    "no times": (
        sign(without("exp", "iat")),
        invalid("no issued at (iat), not before (nbf), or expiration time (exp) claims in token"),
    ),
    "a time that is none": (sign(without(exp="tomorrow")), invalid("the claim exp is no time")),
    "a time that is true": (sign(without(exp=True)), invalid("the claim exp is no time")),
    "a time without end": (sign(without(exp=10**30)), invalid("the claim exp is no time")),
    "another issuer": (sign(without(iss="https://issuer.test/")), invalid("invalid issuer (iss) claim")),
    "no issuer": (sign(without("iss")), invalid("invalid issuer (iss) claim")),
    "another audience": (
        sign(without(aud=["them", "USA"])),
        invalid("invalid audience (aud) claim: audience claim does not match any bound audience"),
    ),
    "no audience": (
        sign(without("aud")),
        invalid("invalid audience (aud) claim: audience claim does not match any bound audience"),
    ),
    "an audience that is no name": (
        sign(without(aud=[["us"]])), invalid("invalid audience (aud) claim: it is no list of names"),
    ),
    "no user": (sign(without("sub")), (400, 'claim "sub" not found in token')),
    "a user that is no text": (sign(without(sub=["ann"])), (400, 'claim "sub" could not be converted to string')),
    "too long": (sign(without(pad="x" * 16_000)), invalid("the token is longer than 16384 bytes")),
    "nested a thousand times": (sign(b"[" * 4_000 + b"]" * 4_000), MALFORMED),
    "objects in objects": (sign(b'{"a":' * 1_500 + b"1" + b"}" * 1_500), MALFORMED),
    "a list": (sign([GOOD]), invalid("malformed jwt: a part is not a JSON object")),
    "not JSON": (f"{HEADER}.{part(b'x')}.{TAG}", MALFORMED),
    "not base64": (f"{HEADER}.???.{TAG}", NOT_BASE64),
    "a signature that is not base64": (f"{HEADER}.{BODY}.{TAG}!", NOT_BASE64),
    "a line in the signature": (f"{HEADER}.{BODY}.{TAG[:9]}\n{TAG[9:]}", NOT_BASE64),
    "base64 of another kind": (f"{HEADER}.{BODY}.+/{TAG}", NOT_BASE64),
    "two parts": (f"{HEADER}.{BODY}", invalid("malformed jwt: compact JWS format must have three parts")),
    "not ASCII": (f"{HEADER}.{BODY}.\u00e9", invalid("malformed jwt: compact JWS format must have three parts")),
    "no token": ("", (400, "missing token")),
}  # fmt: skip


@pytest.mark.parametrize("case", TURNED_AWAY)
def test_a_token_that_proves_nothing_is_refused(world, case):
    """And the refusal holds nothing of it."""
    token, expected = TURNED_AWAY[case]
    assert refused(world, token) == expected


@pytest.mark.parametrize(
    "claims",
    [
        without(exp=NOW_S - 59),
        without("exp", iat=NOW_S - 209),
        without("exp", "iat", nbf=NOW_S + 59),
        without(nbf=NOW_S + 59),
        without(iat=NOW_S + 59),
        without("iat"),
        without(exp=NOW_S + 0.5),
        without(aud=["them", "us"]),
        without(more={"deep": [[[1]]]}),
    ],
)
def test_what_is_barely_right_is_let_in(world, claims):
    """Each the twin of one that is refused: clocks may differ by a minute, a token without an end lives 150 seconds."""
    assert log_in(world, sign(claims))


def test_leeways_are_those_of_the_role(world):
    """Negative is none."""
    role(world, clock_skew_leeway=-1, expiration_leeway=-1)
    assert refused(world, sign(without(exp=NOW_S - 1))) == EXPIRED
    assert refused(world, sign(without("exp", iat=NOW_S - 2))) == EXPIRED
    role(world, clock_skew_leeway="5m", expiration_leeway=10)
    assert log_in(world, sign(without(exp=NOW_S - 299)))
    assert refused(world, sign(without("exp", iat=NOW_S - 311))) == EXPIRED


@pytest.mark.parametrize(
    ("fields", "fits", "does_not"),
    [
        ({"bound_subject": "ann"}, {}, {"sub": "bob"}),
        ({"bound_claims": {"team": "ops"}}, {"team": "ops"}, {"team": "dev"}),
        ({"bound_claims": {"team": ["x", "ops"]}}, {"team": ["y", "ops"]}, {"team": []}),
        ({"bound_claims": {"team": "o*"}}, {"team": "o*"}, {"team": "ops"}),
        ({"bound_claims": {"team": "o*"}, "bound_claims_type": "glob"}, {"team": "ops"}, {"team": "dev-ops"}),
        ({"bound_claims": {"/a/b": True}}, {"a": {"b": True}}, {"a": {"b": 1}}),
        ({"bound_claims": {"level": 1}}, {"level": 1}, {"level": True}),
        ({"bound_claims": {"level": 1}}, {"level": 1}, {"level": "1"}),
        ({"bound_claims": {"team": "ops"}}, {"team": "ops"}, {}),
    ],
)
def test_what_a_role_binds_has_to_stand_in_the_token(world, fields, fits, does_not):
    """Of the same type."""
    role(world, **fields)
    assert log_in(world, sign({**GOOD, **fits}))
    status, text = refused(world, sign({**GOOD, **does_not}))
    assert status == 400
    assert text.startswith(("error validating claims: claim ", "error validating token: invalid subject"))


def test_an_audience_needs_a_role_that_binds_one(world):
    """A token for somebody else is not taken by who asked for no audience."""
    role(world, bound_audiences=[], bound_subject="ann")
    text = "error validating claims: audience claim found in JWT but no audiences bound to the role"
    assert refused(world, sign(GOOD)) == (400, text)
    assert log_in(world, sign(without("aud")))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"jwt": "x"}, (400, "missing role")),
        ({"role": "nobody", "jwt": "x"}, (400, 'role "nobody" could not be found')),
        ({"role": "web", "jwt": "x"}, (400, "role with oidc role_type is not allowed")),
        ({"role": "near", "jwt": sign(GOOD)}, (403, "permission denied")),
    ],
)
def test_who_asks_for_a_role_that_lets_nobody_in_is_refused(world, body, expected):
    """Before any signature is looked at."""
    role(world, "web", role_type="oidc", allowed_redirect_uris="http://localhost/x")
    role(world, "near", token_bound_cidrs="10.0.0.0/8")
    assert world.sent_away(LOGIN, body) == expected


def test_without_a_configuration_nobody_logs_in(world):
    """Each mount has its own."""
    assert world.sent_away("auth/oidc/login", {"role": "app", "jwt": sign(GOOD)}) == (
        400, "could not load configuration",
    )  # fmt: skip


def test_only_algorithms_that_are_allowed_are_used(world):
    """Where the configuration names some; and the default role is for who names none."""
    pems = [public_pem(RSA), public_pem(EC)]
    body = {"jwt_validation_pubkeys": pems, "jwt_supported_algs": ["ES256"], "default_role": "app"}
    world.ask("update", "auth/jwt/config", body)
    assert refused(world, sign(GOOD)) == UNEXPECTED
    assert world.come(LOGIN, {"jwt": sign(GOOD, EC, "ES256")}).auth


def test_a_renewal_asks_the_role(world):
    """As it is then; without it there is none."""
    token = log_in(world, sign(GOOD))["client_token"]
    role(world, token_ttl=90)
    assert world.renew(token).auth["lease_duration"] == 90
    world.ask("delete", "auth/jwt/role/app")
    assert world.not_renewed(token) == (400, "role app does not exist during renewal")


# ---- groups
def group(world: OutsideWorld, name: str) -> str:
    made = world.data("update", "identity/group", {"name": name, "type": "external", "policies": [f"p-{name}"]})
    accessor = world.context(LOGIN).mount.accessor
    body = {"name": name, "mount_accessor": accessor, "canonical_id": made["id"]}
    world.ask("update", "identity/group-alias", body)
    return str(made["id"])


def test_groups_of_the_token_are_entered_and_left_at_each_login(world):
    """Those of this mount alone; what others say stays."""
    role(world, groups_claim="/in/groups")
    ops = group(world, "ops")
    group(world, "dev")
    first = log_in(world, sign({**GOOD, "in": {"groups": ["ops", "unknown"]}}))
    assert first["identity_policies"] == ["p-ops"]
    assert world.data("read", f"identity/group/id/{ops}")["member_entity_ids"] == [first["entity_id"]]
    internal = world.data("update", "identity/group", {"name": "in", "member_entity_ids": [first["entity_id"]]})["id"]

    second = log_in(world, sign({**GOOD, "in": {"groups": ["dev"]}}))
    assert second["identity_policies"] == ["p-dev"]
    assert world.data("read", f"identity/group/id/{ops}")["member_entity_ids"] in ([], None)
    assert internal in world.data("read", f"identity/entity/id/{first['entity_id']}")["direct_group_ids"]
    assert log_in(world, sign({**GOOD, "in": {"groups": []}})).get("identity_policies") in (None, [])
    assert refused(world, sign(GOOD)) == (400, '"/in/groups" claim not found in token')
    text = '"/in/groups" claim could not be converted to string list'
    assert refused(world, sign({**GOOD, "in": {"groups": [1]}})) == (400, text)


def test_a_role_that_names_no_groups_any_more_grants_none(world):
    """Whoever was in one by an earlier login leaves it at the next; a role that goes on naming them keeps them in."""
    role(world, groups_claim="groups")
    role(world, "plain")
    group(world, "ops")
    token = sign({**GOOD, "groups": ["ops"]})
    assert log_in(world, token)["identity_policies"] == ["p-ops"]
    assert log_in(world, token)["identity_policies"] == ["p-ops"]
    assert log_in(world, token, role="plain").get("identity_policies") in (None, [])

    assert log_in(world, token)["identity_policies"] == ["p-ops"]
    role(world, groups_claim="")
    assert log_in(world, token).get("identity_policies") in (None, [])


# ---- labour
@pytest.mark.parametrize("meanwhile", ["configuration written", "another token", "nothing proved"])
def test_a_proof_of_something_else_is_made_again(world, meanwhile):
    """What was looked at is what is believed."""
    token = sign(GOOD)
    request = make_request("update", LOGIN, {"role": "app", "jwt": token}, None)
    engine = world.engines["jwt"]
    request.labour = engine.labour(world.context(LOGIN), request, "login")()
    assert engine.decide(world.context(LOGIN), request, "login").answer.auth
    if meanwhile == "configuration written":
        world.ask("update", "auth/jwt/config", {"jwt_validation_pubkeys": [public_pem(RSA_OTHER)]})
    elif meanwhile == "another token":
        proof = request.labour
        request = make_request("update", LOGIN, {"role": "app", "jwt": sign(without(sub="bob"))}, None)
        request.labour = proof
    else:
        request.labour = None
    with pytest.raises(StaleLabour):
        engine.decide(world.context(LOGIN), request, "login")


# ---- keys that are fetched
@pytest.mark.parametrize("bound", ["", "https://other.test"])
def test_a_provider_speaks_for_itself_alone(world, bound):
    """Its keys may be those of other issuers, too, as with many tenants: a token of theirs is none of this one."""

    def answers(_method, path, *_):
        if path.startswith("/.well-known/"):
            return 200, {"issuer": outside.url, "jwks_uri": f"{outside.url}/jwks"}
        return 200, key_set(RSA)

    with serving(answers) as outside:
        world.ask("update", "auth/jwt/config", {"oidc_discovery_url": outside.url, "bound_issuer": bound})
        expected = bound or outside.url
        assert log_in(world, sign({**GOOD, "iss": expected}))
        for claims in (GOOD, without("iss"), {**GOOD, "iss": f"{expected}/"}, {**GOOD, "iss": [expected]}):
            assert refused(world, sign(claims)) == invalid("invalid issuer (iss) claim")


def with_keys(world: OutsideWorld, url: str) -> None:
    world.ask("update", "auth/jwt/config", {"jwks_url": f"{url}/jwks", "bound_issuer": "https://issuer.test"})


def test_keys_of_an_issuer_are_fetched_once(world):
    """A second login costs no request; it is then no errand."""
    with serving(lambda *_: (200, key_set(RSA, EC))) as outside:
        with_keys(world, outside.url)
        assert len(outside.asked) == 1  # writing looks whether there are keys
        assert log_in(world, sign(GOOD))
        request = make_request("update", LOGIN, {"role": "app", "jwt": sign(GOOD, EC, "ES256")}, None)
        assert not isinstance(world.engines["jwt"].labour(world.context(LOGIN), request, "login"), Errand)
        assert log_in(world, sign(GOOD, EC, "ES256"))
        assert len(outside.asked) == 2


def test_an_unknown_key_is_asked_for_at_most_every_five_minutes(world):
    """So nobody makes this node ask as often as they like; a key that was rotated in is found then."""
    listed = [RSA]
    with serving(lambda *_: (200, key_set(*listed))) as outside:
        with_keys(world, outside.url)
        assert log_in(world, sign(GOOD))
        listed.append(RSA_OTHER)
        asked = len(outside.asked)
        for _ in range(3):
            assert refused(world, sign(GOOD, RSA_OTHER)) == NO_KEY
        assert len(outside.asked) == asked
        world.pass_time(301)
        later = {**GOOD, "exp": NOW_S + 9_000}
        assert log_in(world, sign(later, RSA_OTHER))
        assert len(outside.asked) == asked + 1
        listed.remove(RSA)
        world.pass_time(3_599)
        assert log_in(world, sign(later, RSA))
        world.pass_time(2)
        assert refused(world, sign(later, RSA)) == NO_KEY


def test_keys_are_remembered_for_the_configuration_they_were_fetched_for(world):
    """Another issuer's key opens nothing once the issuer was changed."""
    with serving(lambda *_: (200, key_set(RSA))) as one, serving(lambda *_: (200, key_set(RSA_OTHER))) as other:
        with_keys(world, one.url)
        assert log_in(world, sign(GOOD))
        with_keys(world, other.url)
        assert refused(world, sign(GOOD)) == NO_KEY
        assert log_in(world, sign(GOOD, RSA_OTHER))


def test_an_issuer_that_fails_is_not_asked_again_at_once(world):
    """The reason is said; nothing of the answer is."""
    state = [200]
    with serving(lambda *_: (state[0], key_set(RSA))) as outside:
        with_keys(world, outside.url)
        state[0] = 503
        asked = len(outside.asked)
        text = "error fetching keys: the answer has status 503"
        assert [refused(world, sign(GOOD)) for _ in range(3)] == [invalid(text)] * 3
        assert len(outside.asked) == asked + 1
        state[0] = 200
        world.pass_time(11)
        assert log_in(world, sign(GOOD))


def test_an_issuer_that_is_slow_to_fail_is_not_asked_again_at_once_either(monkeypatch):
    """The pause is counted from when the failure was known; whoever came meanwhile gets it, too."""
    asked, begun, answer = [], threading.Event(), threading.Event()

    def fetch(_config: object, now_ns: int) -> keys.KeySet:
        asked.append(now_ns // keys.NS)
        begun.set()
        answer.wait(10)
        raise RemoteError("no answer")

    monkeypatch.setattr(keys, "fetch", fetch)
    cache, place, outcomes = keys.KeyCache(), (b"mount", 1), []

    def come(at_s: int) -> None:
        try:
            cache.get(place, JwtConfig(), "k", at_s * keys.NS)
        except RemoteError as error:
            outcomes.append(str(error))

    first = threading.Thread(target=come, args=(0,))
    first.start()
    assert begun.wait(10)
    assert cache.peek(place, "k", 20 * keys.NS) is None
    answer.set()
    first.join()
    for at_s in (12, 20, 29):
        come(at_s)
    assert asked == [0]
    come(30)
    assert (asked, outcomes) == ([0, 30], ["no answer"] * 5)


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (RSA.as_dict(private=False), 1),
        (RSA.as_dict(private=True), 1),
        ({**RSA.as_dict(private=False), "use": "enc"}, 0),
        ({**RSA.as_dict(private=False), "alg": "HS256"}, 0),
        ({**RSA.as_dict(private=False), "key_ops": ["sign"]}, 0),
        ({"kty": "RSA", "n": "A" * 171, "e": "AQAB"}, 0),
        (OctKey.import_key("secret" * 8).as_dict(), 0),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, 0),
        ({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, 0),
        ("no object", 0),
        ({}, 0),
    ],
)
def test_only_public_keys_that_are_for_signatures_are_taken(given, count):
    """A shared secret in a public place is no key."""
    assert len(keys.from_set({"keys": [given]})) == count


def test_a_key_for_one_algorithm_is_used_for_no_other(world):
    """Even where it could be."""
    given = {"keys": [{**RSA.as_dict(private=False), "alg": "RS256"}]}
    with serving(lambda *_: (200, given)) as outside:
        with_keys(world, outside.url)
        assert log_in(world, sign(GOOD))
        assert refused(world, sign(GOOD, RSA, "PS256")) == NO_KEY


def test_no_object_shows_a_token(world):
    """What is passed about has a fixed form."""
    token = sign(GOOD)
    request = make_request("update", LOGIN, {"role": "app", "jwt": token}, None)
    proof = world.engines["jwt"].labour(world.context(LOGIN), request, "login")()
    assert json.dumps([repr(proof)]) == '["<Proof>"]'
