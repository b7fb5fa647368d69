"""The paths of a jwt mount beside the login: configuration and roles, and what an issuer is asked before."""

from __future__ import annotations

import socket
import threading

import msgspec
import pytest

from node.auth import remote
from node.auth.jwt import keys, sign_in
from node.auth.jwt.config import JwtConfig
from node.auth.jwt.roles import JwtRole
from node.auth.remote import RemoteError
from node.auth.token_params import TokenParams
from node.request import StaleLabour
from tests.node.auth.outside import EC, RSA, OutsideWorld, certify, key_set, public_pem, serving
from tests.node.auth.world import make_request

CONFIG, ROLE = "auth/jwt/config", "auth/jwt/role/app"
PEM = public_pem(RSA)


@pytest.fixture
def world() -> OutsideWorld:
    return OutsideWorld()


# ---- configuration
def test_a_configuration_replaces_the_one_before(world):
    """Every field is shown but the client's secret."""
    assert world.refused("read", CONFIG)[0] == 404
    world.ask("update", CONFIG, {"jwt_validation_pubkeys": [PEM, public_pem(EC)], "default_role": "app"})
    assert world.data("read", CONFIG) == {
        "oidc_discovery_url": "", "oidc_discovery_ca_pem": "", "oidc_client_id": "", "oidc_response_mode": "",
        "oidc_response_types": [], "jwks_url": "", "jwks_ca_pem": "", "bound_issuer": "", "default_role": "app",
        "jwt_validation_pubkeys": [PEM.strip(), public_pem(EC).strip()], "jwt_supported_algs": [],
        "provider_config": {}, "namespace_in_state": True,
    }  # fmt: skip
    world.ask("update", CONFIG, {"jwt_validation_pubkeys": PEM})
    assert world.data("read", CONFIG)["default_role"] == ""


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set"),
        (
            {"jwks_url": "https://x", "jwt_validation_pubkeys": PEM},
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set",
        ),
        (
            {"jwt_validation_pubkeys": "no key"},
            "error parsing public key: PEM of an RSA (2048 bits), EC or Ed25519 key is needed",
        ),
        (
            {"jwt_validation_pubkeys": RSA.as_pem(private=True).decode()},
            "error parsing public key: PEM of an RSA (2048 bits), EC or Ed25519 key is needed",
        ),
        ({"jwt_validation_pubkeys": PEM, "jwt_supported_algs": "HS256"}, 'unsupported signing algorithm: "HS256"'),
        ({"jwt_validation_pubkeys": PEM, "jwt_supported_algs": "none"}, 'unsupported signing algorithm: "none"'),
        (
            {"jwt_validation_pubkeys": PEM, "oidc_client_id": "x"},
            "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC",
        ),
        (
            {"jwt_validation_pubkeys": PEM, "oidc_client_id": "x", "oidc_client_secret": "y"},
            "'oidc_discovery_url' must be set for OIDC",
        ),
        (
            {"jwt_validation_pubkeys": PEM, "oidc_response_types": "id_token"},
            "invalid response_types: only code is supported",
        ),
        ({"jwt_validation_pubkeys": PEM, "oidc_response_mode": "fragment"}, 'invalid response_mode: "fragment"'),
        ({"jwt_validation_pubkeys": PEM, "provider_config": {"provider": "azure"}}, "provider_config is not supported"),
    ],
)
def test_a_configuration_that_could_not_be_used_is_refused(world, body, text):
    """With Vault's words where it has some."""
    assert world.refused("update", CONFIG, body) == (400, text, False)


def test_a_certificate_is_a_key_too(world):
    """The one it is about."""
    world.ask("update", CONFIG, {"jwt_validation_pubkeys": certify("issuer").pem})
    assert "CERTIFICATE" in world.data("read", CONFIG)["jwt_validation_pubkeys"][0]


URLS = [
    ("https://issuer.test/jwks", True),
    ("https://issuer.test:8443", True),
    ("http://127.0.0.1:8080/x", True),
    ("http://[::1]/x", True),
    ("http://localhost/x", True),
    ("http://issuer.test/jwks", False),
    ("http://127.0.0.1.evil.test/", False),
    ("http://localhost.evil.test/", False),
    ("http://10.0.0.1/", False),
    ("file:///etc/passwd", False),
    ("ftp://localhost/x", False),
    ("https://user:pw@issuer.test/", False),
    ("https://user@issuer.test/", False),
    ("https:///x", False),
    ("https://issuer.test/#x", False),
    ("https://issuer.test/a b", False),
    ("https://issuer.test/\r\nX: y", False),
    ("https://[broken", False),
    ("issuer.test", False),
    ("https://x/" + "y" * 2_048, False),
]


@pytest.mark.parametrize(("url", "allowed"), URLS)
def test_only_https_is_asked_and_this_machine(world, url, allowed):
    """Nothing that names a user, a file, or another protocol."""
    assert remote.is_allowed(url) == allowed
    if not allowed:
        text = "jwks_url must be an https URL without a user; http is for this machine alone"
        assert world.refused("update", CONFIG, {"jwks_url": url}) == (400, text, False)


def test_an_issuer_has_to_answer_with_keys_before_it_is_written(world):
    """Or it is said that nobody looked."""
    answers = [(404, {})]
    with serving(lambda *_: answers[0]) as outside:
        body = {"jwks_url": f"{outside.url}/jwks"}
        text = "error checking jwks URL: the answer has status 404"
        assert world.refused("update", CONFIG, body)[:2] == (400, text)
        answer = world.ask("update", CONFIG, {**body, "skip_jwks_validation": True})
        assert answer.warnings == ["the keys of the issuer were not looked at: logins fail until they can be fetched"]
        answers[0] = (200, key_set(RSA))
        assert world.ask("update", CONFIG, body).empty


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((200, b"[1]"), "the answer is not a JSON object"),
        ((200, b"{"), "the answer is not JSON"),
        ((200, b"[" * 100_000), "the answer is not JSON"),
        ((200, {"keys": [{}] * 101}), "the answer holds no list of at most 100 keys"),
        ((200, {}), "the answer holds no list of at most 100 keys"),
        ((200, b" " * (1 << 20) + b"{}"), "the answer is longer than 1048576 bytes"),
        ((302, b"http://127.0.0.1:1/"), "the answer has status 302"),
        ((500, b"secret of somebody"), "the answer has status 500"),
    ],
)
def test_an_answer_that_is_none_is_refused(world, answer, text):
    """No redirect is followed, no more is read than is kept, and nothing of it is repeated."""
    with serving(lambda *_: answer) as outside:
        refused = world.refused("update", CONFIG, {"jwks_url": outside.url})
        assert refused[:2] == (400, f"error checking jwks URL: {text}")
        assert len(outside.asked) == 1


def test_a_server_that_is_not_there_is_said(world):
    """By the kind of failure alone."""
    with serving(lambda *_: (200, {})) as outside:
        url = outside.url
    text = "error checking jwks URL: no answer: ConnectionRefusedError"
    assert world.refused("update", CONFIG, {"jwks_url": url})[:2] == (400, text)


def test_a_server_that_never_ends_its_answer_is_left(world, monkeypatch):
    """After a bounded time, however often it sends a byte."""
    monkeypatch.setattr(remote, "WHOLE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            conn, _ = listener.accept()
            with conn:
                conn.recv(4096)
                conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
                conn.recv(1)  # until the other side is gone

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        status, text, _ = world.refused("update", CONFIG, {"jwks_url": url})
        thread.join()
    assert (status, text.startswith("error checking jwks URL: no answer: ")) == (400, True)


def test_another_source_than_the_one_that_was_asked_is_asked_again(world):
    """What was looked at is what is written."""
    with serving(lambda *_: (200, key_set(RSA))) as outside:
        engine, context = world.engines["jwt"], world.context(CONFIG)
        first = make_request("update", CONFIG, {"jwks_url": outside.url}, None)
        asked = engine.labour(context, first, "config")()
        second = make_request("update", CONFIG, {"jwks_url": f"{outside.url}/x"}, None)
        for labour in (asked, None):
            second.labour = labour
            with pytest.raises(StaleLabour):
                engine.decide(context, second, "config")


def test_a_provider_has_to_be_the_issuer_it_is_called(world):
    """Its own document says so, and where its keys are."""
    said: dict[str, object] = {}

    def answers(_method, path, *_):
        return (200, said) if path.startswith("/.well-known/") else (200, key_set(RSA))

    with serving(answers) as outside:
        body = {"oidc_discovery_url": outside.url}
        said |= {"issuer": "https://else.test", "jwks_uri": f"{outside.url}/jwks"}
        text = "error checking oidc discovery URL: the provider says that it is another issuer than oidc_discovery_url"
        assert world.refused("update", CONFIG, body)[:2] == (400, text)
        said |= {"issuer": outside.url, "jwks_uri": "file:///etc/passwd"}
        text = "error checking oidc discovery URL: the provider names no jwks_uri that may be asked"
        assert world.refused("update", CONFIG, body)[:2] == (400, text)
        said["jwks_uri"] = f"{outside.url}/jwks"
        assert world.ask("update", CONFIG, body).empty


@pytest.mark.parametrize(
    ("url", "origin", "followed"),
    [
        ("https://keys.test/", "https://issuer.test", True),
        ("https://keys.test/", "http://localhost:1", True),
        ("http://localhost:1/", "http://127.0.0.1:2", True),
        ("http://127.0.0.1:8200/v1/sys/seal", "https://issuer.test", False),
        ("http://localhost/", "HTTPS://issuer.test", False),
        ("http://keys.test/", "http://localhost:1", False),
        ("file:///etc/passwd", "http://localhost:1", False),
    ],
)
def test_nobody_elsewhere_sends_this_node_to_itself(url, origin, followed):
    """What a provider beyond this machine names is asked by https alone."""
    assert remote.may_follow(url, origin) == followed


@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint"])
def test_what_a_provider_names_is_followed_by_that_rule(monkeypatch, name):
    """For the keys, and for where a code is exchanged."""
    config = JwtConfig(oidc_discovery_url="https://issuer.test")
    said = {"issuer": "https://issuer.test", name: "https://issuer.test/x"}
    asked: list[str] = []

    def ask_json(url: str, *_: object, **__: object) -> dict[str, object]:
        asked.append(url)
        return {"keys": []} if url.endswith("/x") else said

    monkeypatch.setattr(remote, "ask_json", ask_json)

    def look() -> str:
        if name == "jwks_uri":
            keys.fetch(config, 0)
            return asked[-1]
        return sign_in.endpoint(config, keys.KeySet((), 0, said), name)

    assert look() == said[name]
    said[name] = "http://127.0.0.1:8200/x"
    with pytest.raises(RemoteError):
        look()
    assert said[name] not in asked


# ---- roles
def test_a_role_reads_as_it_was_written(world):
    """Old names are shown where they were used."""
    body = {"user_claim": "sub", "allowed_redirect_uris": ["http://x"], "bound_audiences": "a,b", "policies": "p",
            "bound_claims": {"x": "y"}, "expiration_leeway": "1m", "verbose_oidc_logging": True}  # fmt: skip
    world.ask("update", ROLE, body)
    data = world.data("read", ROLE)
    assert {name: data[name] for name in body} == {
        **body, "bound_audiences": ["a", "b"], "policies": ["p"], "bound_claims": {"x": ["y"]}, "expiration_leeway": 60,
    }  # fmt: skip
    assert (data["role_type"], data["bound_claims_type"], data["token_type"]) == ("oidc", "string", "default")
    assert (data["claim_mappings"], data["max_age"], data["bound_subject"]) == (None, 0, "")
    world.ask("update", ROLE, {"max_age": 5})
    assert world.data("read", ROLE)["bound_audiences"] == ["a", "b"]
    assert world.data("list", "auth/jwt/role/") == {"keys": ["app"]}
    assert world.ask("delete", ROLE).empty
    assert world.refused("read", ROLE)[0] == world.refused("list", "auth/jwt/role/")[0] == 404


JWT = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({**JWT, "role_type": "saml"}, "invalid 'role_type': saml"),
        ({**JWT, "bound_claims_type": "regex"}, "invalid 'bound_claims_type': regex"),
        ({**JWT, "user_claim": ""}, "a user claim must be defined on the role"),
        ({**JWT, "bound_audiences": ""}, "must have at least one bound constraint when creating/updating a role"),
        (
            {**JWT, "claim_mappings": {"x": "role"}},
            'metadata key "role" is reserved and may not be a mapping destination',
        ),
        ({**JWT, "claim_mappings": {"x": "a", "y": "a"}}, "multiple claims are mapped to one metadata key"),
        (
            {**JWT, "bound_claims": {"x": 1}, "bound_claims_type": "glob"},
            "claim is not a string or list: globs are bound to strings",
        ),
        (
            {"user_claim": "sub"},
            "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.",
        ),
        (
            {**JWT, "bound_claims": {"x": {}}},
            (
                'Field validation failed: error converting input for field "bound_claims": '
                "claims are bound to at most 1000 strings, numbers or booleans"
            ),
        ),
    ],
)
def test_a_role_that_binds_nothing_is_refused(world, body, text):
    """Or that could not be meant."""
    assert world.refused("update", ROLE, body) == (400, text, False)


@pytest.mark.parametrize("bound", [{"bound_subject": "x"}, {"bound_claims": {"a": "b"}}, {"token_bound_cidrs": "::1"}])
def test_one_bound_is_enough(world, bound):
    """Whichever."""
    assert world.ask("update", ROLE, {"role_type": "jwt", "user_claim": "sub", **bound}).empty


def test_what_is_stored_opens_for_ever():
    """Bytes as the first version wrote them, and shorter ones."""
    token = TokenParams(["10.0.0.0/8"], 1, 2, True, 3, 4, ["a"], 5, "service", True)
    role = JwtRole(
        "jwt", "u", ["a"], "s", {"c": ["v", 1, True]}, "glob", {"k": "m"}, "g", ["r"], ["o"], 1, 2, 3, 4, True, True,
        token, ["ttl"],
    )  # fmt: skip
    text_of_role = (
        "dc0012a36a7774a17591a161a17381a16393a17601c3a4676c6f6281a16ba16da16791a17291a16f01020304c3c3"
        "9a91aa31302e302e302e302f380102c3030491a16105a773657276696365c391a374746c"
    )
    config = JwtConfig("a", "b", "c", "d", "e", ["f"], "g", "h", ["i"], ["j"], "k", "l", False)
    stored = [
        (role, text_of_role),
        (config, "9da161a162a163a164a16591a166a167a16891a16991a16aa16ba16cc2"),
    ]  # fmt: skip
    for value, text in stored:
        assert msgspec.msgpack.encode(value).hex() == text
        assert msgspec.msgpack.decode(bytes.fromhex(text), type=type(value)) == value
        assert msgspec.msgpack.decode(b"\x90", type=type(value)) == type(value)()
