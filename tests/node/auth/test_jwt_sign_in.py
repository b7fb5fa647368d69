"""Signing in by browser: to a provider and back, once, within its time, by whoever began it."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest

from node.auth.jwt import under_way
from node.request import StaleLabour
from tests.node.auth.outside import NOW_S, RSA, RSA_OTHER, OutsideWorld, key_set, serving, sign, unsigned
from tests.node.auth.world import make_request

CONFIG, ROLE = "auth/oidc/config", "auth/oidc/role/web"
URL, CALLBACK = "auth/oidc/oidc/auth_url", "auth/oidc/oidc/callback"
BACK = "http://localhost:8250/oidc/callback"
EXPIRED = (400, "Vault login failed. Expired or missing OAuth state.")


class Provider:
    """An OpenID provider: `claims` go into the next token, signed by `key`."""

    def __init__(self) -> None:
        self.claims: dict[str, object] = {}
        self.key = RSA
        self.token: str | None = None
        self.status = 200
        self.more: dict[str, object] = {}

    def answer(self, _method, path, _headers, _body):
        url = self.outside.url
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": url, "jwks_uri": f"{url}/jwks", "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token", **self.more,
            }  # fmt: skip
        if path == "/jwks":
            return 200, key_set(RSA)
        said = {"iss": url, "aud": "client", "sub": "ann", "iat": NOW_S, "exp": NOW_S + 60, **self.claims}
        said = {name: value for name, value in said.items() if value is not None}
        return self.status, {"id_token": self.token or sign(said, self.key), "access_token": "x"}


@pytest.fixture
def provider():
    made = Provider()
    with serving(made.answer) as outside:
        made.outside = outside
        yield made


@pytest.fixture
def world(provider) -> OutsideWorld:
    made = OutsideWorld()
    configure(made, provider)
    role(made)
    return made


def configure(world: OutsideWorld, provider: Provider, **fields: object) -> None:
    body = {"oidc_discovery_url": provider.outside.url, "oidc_client_id": "client", "oidc_client_secret": "s e"}
    world.ask("update", CONFIG, {**body, "default_role": "web", **fields})


def role(world: OutsideWorld, **fields: object) -> None:
    world.ask("update", ROLE, {"user_claim": "sub", "allowed_redirect_uris": BACK, "token_policies": "p", **fields})


def begin(world: OutsideWorld, provider: Provider, **fields: object) -> dict[str, str]:
    """What the browser carries to the provider; the provider will answer with its nonce."""
    url = world.come(URL, {"role": "web", "redirect_uri": BACK, **fields}).data["auth_url"]
    query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    provider.claims = {"nonce": query["nonce"]}
    return query


def end(world: OutsideWorld, state: str, **fields: str):
    return world.come(CALLBACK, operation="read", query={"state": state, "code": "c0de", **fields}).auth


def failed(world: OutsideWorld, state: str, **fields: str) -> tuple[int, str]:
    return world.sent_away(CALLBACK, operation="read", query={"state": state, "code": "c0de", **fields})


def test_who_signs_in_at_the_provider_gets_a_token(world, provider):
    """With a code that is exchanged under the client's secret and the verifier of the challenge."""
    role(world, oidc_scopes="profile,groups", max_age=60)
    answer = world.come(URL, {"redirect_uri": BACK})
    url = answer.data["auth_url"]
    query = begin(world, provider)
    assert url.startswith(f"{provider.outside.url}/authorize?client_id=client&")
    assert query["redirect_uri"] == BACK
    assert (query["scope"], query["response_type"], query["max_age"]) == ("openid profile groups", "code", "60")
    provider.claims["auth_time"] = NOW_S - 50

    auth = end(world, query["state"])
    assert world.plans[-1].secret_answer
    _, _, headers, body = provider.outside.asked[-1]
    form = {name: value for name, (value,) in parse_qs(body.decode()).items()}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")

    assert (auth["metadata"], auth["policies"]) == ({"role": "web"}, ["default", "p"])
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"client:s+e"
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == ("authorization_code", "c0de", BACK)
    assert challenge.decode() == query["code_challenge"]
    assert "s e" not in body.decode()


def test_a_sign_in_ends_once(world, provider):
    """Whatever came of it; a state that nobody drew ends nothing."""
    state = begin(world, provider)["state"]
    assert end(world, state)
    assert failed(world, state) == failed(world, "x") == failed(world, "") == EXPIRED
    state = begin(world, provider)["state"]
    provider.claims["nonce"] = "of somebody else"
    assert failed(world, state) == (400, "error validating token: invalid id_token nonce")
    assert failed(world, state) == EXPIRED


def test_a_sign_in_ends_in_time_and_under_its_configuration(world, provider):
    """Ten minutes; a configuration that was written again voids what was begun."""
    state = begin(world, provider)["state"]
    world.pass_time(601)
    assert failed(world, state) == EXPIRED
    state = begin(world, provider)["state"]
    configure(world, provider)
    assert failed(world, state) == EXPIRED


def test_only_who_began_it_ends_it(world, provider):
    """Where a nonce of the client's was given along; a wrong one does not end it."""
    state = begin(world, provider, client_nonce="mine")["state"]
    assert failed(world, state) == (400, "Vault login failed. invalid client_nonce")
    assert failed(world, state, nonce="yours") == (400, "Vault login failed. invalid client_nonce")
    assert failed(world, state, nonce="mine", code="") == (400, "Vault login failed. No code or id_token received.")
    assert end(world, state, nonce="mine")


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"iss": "https://else.test"}, "invalid issuer (iss) claim"),
        ({"aud": "others"}, "invalid audience (aud) claim: it is not for this client"),
        ({"aud": ["client", "others"]}, "invalid audience (aud) claim: several, and no authorized party (azp)"),
        ({"azp": "others"}, "invalid audience (aud) claim: it is not for this client"),
        ({"nonce": None}, "invalid id_token nonce"),
        ({"exp": None}, "no expiration time (exp) claim in token"),
        ({"exp": NOW_S - 61}, "invalid expiration time (exp) claim: token is expired"),
        ({"auth_time": NOW_S - 121}, "invalid auth_time claim: the sign-in is older than max_age"),
    ],
)
def test_a_token_for_another_client_or_sign_in_is_refused(world, provider, claims, text):
    """Though the provider signed it."""
    role(world, max_age=60)
    state = begin(world, provider)["state"]
    provider.claims |= {"auth_time": NOW_S, **claims}
    assert failed(world, state) == (400, f"error validating token: {text}")
    state = begin(world, provider)["state"]
    provider.claims |= {"auth_time": NOW_S - 119, "aud": ["client", "others"], "azp": "client"}
    assert end(world, state)


def test_what_the_provider_did_not_sign_is_refused(world, provider):
    """Neither what nobody signed, nor what another key did."""
    state = begin(world, provider)["state"]
    provider.key = RSA_OTHER
    text = "Vault login failed. no known key successfully validated the token signature"
    assert failed(world, state) == (400, text)
    state = begin(world, provider)["state"]
    provider.token = unsigned({"sub": "ann"})
    assert failed(world, state) == (400, "Vault login failed. token signed with unexpected algorithm")
    state = begin(world, provider)["state"]
    provider.status = 400
    assert failed(world, state) == (400, "Vault login failed. the answer has status 400")


def test_claims_and_networks_of_the_role_bind_here_too(world, provider):
    """As at a login with a token."""
    role(world, bound_claims={"team": "ops"}, bound_audiences="client")
    state = begin(world, provider)["state"]
    assert failed(world, state) == (400, 'error validating claims: claim "team" is missing')
    state = begin(world, provider)["state"]
    provider.claims["team"] = "ops"
    assert end(world, state)
    state = begin(world, provider)["state"]
    role(world, token_bound_cidrs="10.0.0.0/8")
    assert failed(world, state) == (403, "permission denied")


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        (BACK, True),
        ("http://localhost:9999/oidc/callback", True),
        ("http://localhost/oidc/callback", True),
        ("https://localhost:8250/oidc/callback", False),
        ("http://127.0.0.1:8250/oidc/callback", False),
        ("http://localhost:8250/oidc/callback2", False),
        ("http://localhost:8250/oidc/callback?x=1", False),
        ("http://x@localhost:8250/oidc/callback", False),
        ("http://evil.test/oidc/callback", False),
        ("http://localhost.evil.test:8250/oidc/callback", False),
        ("http://[x", False),
        ("http://localhost:8250.evil.test/oidc/callback", False),
        ("http://localhost:x@evil.test/oidc/callback", False),
        ("http://localhost\\.evil.test/oidc/callback", False),
        ("http://local\nhost:1/oidc/callback", False),
        ("http://localhost:1/oidc/callb\tack", False),
    ],
)
def test_a_browser_comes_back_to_a_place_that_the_role_allows(world, provider, uri, allowed):
    """To the letter; on this machine at any port."""
    body = {"role": "web", "redirect_uri": uri}
    if allowed:
        assert world.come(URL, body).data["auth_url"]
    else:
        assert world.sent_away(URL, body) == (400, "unauthorized redirect_uri")


def test_an_address_of_this_machine_is_one_for_every_reader(world, provider):
    """Whatever follows the bracket would be another machine's to whoever reads on."""
    role(world, allowed_redirect_uris="http://[::1]:8250/cb")
    assert world.come(URL, {"role": "web", "redirect_uri": "http://[::1]:9/cb"}).data["auth_url"]
    for uri in ("http://[::1].evil.test/cb", "http://[::1]evil.test:9/cb", "http://x[::1]/cb"):
        assert world.sent_away(URL, {"role": "web", "redirect_uri": uri}) == (400, "unauthorized redirect_uri")


def test_a_place_that_the_role_allows_no_more_ends_no_sign_in(world, provider):
    """The role counts as it is when the browser comes back."""
    state = begin(world, provider)["state"]
    role(world, allowed_redirect_uris="https://store.test/cb")
    assert failed(world, state) == (400, "Vault login failed. unauthorized redirect_uri")
    role(world, allowed_redirect_uris=["https://store.test/cb", BACK])
    assert end(world, state)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"role": "web"}, "missing redirect_uri"),
        ({"role": "nobody", "redirect_uri": BACK}, 'role "nobody" could not be found'),
        ({"role": "jwt", "redirect_uri": BACK}, "role with jwt role_type is not allowed"),
        ({"redirect_uri": BACK, "client_nonce": "x" * 257}, "client_nonce has more than 256 characters"),
    ],
)
def test_who_asks_for_what_cannot_be_is_told(world, body, text):
    """Before a provider is asked, where it can be."""
    jwt = {"role_type": "jwt", "user_claim": "sub", "bound_subject": "x"}
    world.ask("update", "auth/oidc/role/jwt", jwt)
    assert world.sent_away(URL, body) == (400, text)


def test_a_mount_without_a_client_signs_nobody_in(world, provider):
    """Nor does one without a configuration."""
    world.ask("update", CONFIG, {"oidc_discovery_url": provider.outside.url})
    text = "OIDC login is not configured for this mount"
    assert world.sent_away(URL, {"role": "web", "redirect_uri": BACK}) == (400, text)
    assert world.sent_away("auth/jwt/oidc/auth_url", {}) == (400, "could not load configuration")


def test_a_provider_may_want_the_secret_in_the_form_and_answer_in_one(world, provider):
    """As its document says, and the configuration."""
    provider.more = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    configure(world, provider, oidc_response_mode="form_post")
    query = begin(world, provider)
    assert query["response_mode"] == "form_post"
    assert world.come(CALLBACK, {"state": query["state"], "code": "c"}).auth
    assert "client_secret=s+e" in provider.outside.asked[-1][3].decode()


def test_a_provider_without_a_place_to_sign_in_is_said(world, provider):
    """Or with one that may not be asked."""
    provider.more = {"authorization_endpoint": "http://10.0.0.1/"}
    configure(world, provider)
    text = "error getting provider for login operation: the provider names no authorization_endpoint that may be asked"
    assert world.sent_away(URL, {"role": "web", "redirect_uri": BACK}) == (400, text)


def test_sign_ins_that_are_never_ended_are_bounded(world, provider, monkeypatch):
    """The oldest give way; none of them costs a write."""
    monkeypatch.setattr(under_way, "UNDER_WAY_MAX", 3)
    before = world.state.applied_index
    states = [begin(world, provider)["state"] for _ in range(4)]
    assert world.state.applied_index == before
    assert failed(world, states[0]) == EXPIRED
    provider.claims.pop("nonce")
    assert failed(world, states[1]) == (400, "error validating token: invalid id_token nonce")


@pytest.mark.parametrize(
    ("busy", "other", "driven_out"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8::1", "2001:db8::2:3:4:5", True),
        ("", "192.0.2.1", False),
    ],
)
def test_nobody_drives_out_what_others_began(busy, other, driven_out):
    """However many one address begins; its own oldest give way, and what has ended makes room."""
    begun = under_way.UnderWay()

    def begin_one(state: str, address: str, at_ns: int = 0) -> None:
        pending = under_way.Pending((b"m", 1), "web", BACK, "n", "v", "", at_ns, address)
        begun.begin((b"m", state), pending)

    begin_one("kept", other)
    for at in range(under_way.EACH_MAX + 1):
        begin_one(str(at), busy)
    assert (begun.find((b"m", "kept"), 0) is None) == driven_out
    assert begun.find((b"m", "0"), 0) is None
    newest = (b"m", str(under_way.EACH_MAX))
    assert begun.find(newest, under_way.TTL_S * under_way.NS)
    assert begun.find(newest, under_way.TTL_S * under_way.NS + 1) is None
    begin_one("late", other, under_way.TTL_S * under_way.NS + 1)
    assert len(begun) == 1
    begun.end((b"m", "late"))
    begun.end((b"m", "late"))
    assert (len(begun), begun._by) == (0, {})


def test_what_was_exchanged_for_another_code_is_exchanged_again(world, provider):
    """And the sign-in is not over by that."""
    state = begin(world, provider)["state"]
    engine = world.engines["oidc"]
    request = make_request("read", CALLBACK, None, None, query={"state": state, "code": "c"})
    exchanged = engine.labour(world.context(CALLBACK), request, "oidc/callback")()
    other = make_request("read", CALLBACK, None, None, query={"state": state, "code": "d"})
    for labour in (exchanged, None):
        other.labour = labour
        with pytest.raises(StaleLabour):
            engine.decide(world.context(CALLBACK), other, "oidc/callback")
    request.labour = exchanged
    assert engine.decide(world.context(CALLBACK), request, "oidc/callback").answer.auth
