"""Logging in as a service account: by the review of its cluster, for accounts that the role names."""

from __future__ import annotations

import json

import msgspec
import pytest

from node.auth.kubernetes.config import KubernetesConfig
from node.auth.kubernetes.review import UNAUTHORIZED
from node.auth.kubernetes.roles import KubernetesRole
from node.auth.token_params import TokenParams
from node.request import StaleLabour
from tests.node.auth.outside import NOW_S, RSA, RSA_OTHER, OutsideWorld, public_pem, serving, sign
from tests.node.auth.world import make_request

CONFIG, ROLE, LOGIN = "auth/kubernetes/config", "auth/kubernetes/role/app", "auth/kubernetes/login"
PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
SAID = {
    "iss": "https://kubernetes.default.svc",
    "sub": "system:serviceaccount:shop:web",
    "aud": ["vault"],
    "exp": NOW_S + 3_600,
    "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "u-1"}},
}
OLD = {
    "iss": "kubernetes/serviceaccount",
    "kubernetes.io/serviceaccount/namespace": "shop",
    "kubernetes.io/serviceaccount/service-account.name": "web",
    "kubernetes.io/serviceaccount/service-account.uid": "u-1",
    "kubernetes.io/serviceaccount/secret.name": "web-token",
}
TOKEN = sign(SAID)


def reviewed(
    username: str = "system:serviceaccount:shop:web", uid: str = "u-1", **status: object
) -> tuple[int, object]:
    return 201, {"status": {"authenticated": True, "user": {"username": username, "uid": uid}, **status}}


class Cluster:
    """A Kubernetes API that reviews."""

    def __init__(self) -> None:
        self.answer: tuple[int, object] = reviewed()


@pytest.fixture
def cluster():
    made = Cluster()
    with serving(lambda *_: made.answer) as outside:
        made.outside = outside
        yield made


@pytest.fixture
def world(cluster) -> OutsideWorld:
    made = OutsideWorld()
    made.ask("update", CONFIG, {"kubernetes_host": cluster.outside.url, "token_reviewer_jwt": "reviewer"})
    role(made)
    return made


def role(world: OutsideWorld, **fields: object) -> None:
    body = {"bound_service_account_names": "web", "bound_service_account_namespaces": "shop", "token_policies": "p"}
    world.ask("update", ROLE, {**body, **fields})


def refused(world: OutsideWorld, token: str = TOKEN, name: str = "app") -> tuple[int, str]:
    return world.sent_away(LOGIN, {"role": name, "jwt": token})


def test_an_account_that_its_cluster_knows_gets_a_token(world, cluster):
    """The reviewer asks; the account stands in the metadata."""
    auth = world.come(LOGIN, {"role": "APP", "jwt": TOKEN}).auth
    method, path, headers, body = cluster.outside.asked[-1]

    assert world.plans[-1].secret_answer
    assert (method, path, headers["authorization"]) == ("POST", PATH, "Bearer reviewer")
    assert json.loads(body)["spec"] == {"token": TOKEN}
    assert (auth["policies"], auth["metadata"]) == (
        ["default", "p"],
        {
            "role": "app", "service_account_name": "web", "service_account_namespace": "shop",
            "service_account_secret_name": "", "service_account_uid": "u-1",
        },
    )  # fmt: skip
    alias = world.data("read", f"identity/entity/id/{auth['entity_id']}")["aliases"][0]
    assert alias["name"] == "u-1"


def test_the_account_may_be_known_by_its_name_and_review_itself(world, cluster):
    """Where the role and the configuration say so; tokens that stand in a secret are understood, too."""
    world.ask("update", CONFIG, {"kubernetes_host": cluster.outside.url + "/"})
    role(world, alias_name_source="serviceaccount_name", audience="vault")
    cluster.answer = reviewed(audiences=["vault"])
    auth = world.come(LOGIN, {"role": "app", "jwt": TOKEN}).auth
    _, path, headers, body = cluster.outside.asked[-1]

    assert (path, headers["authorization"]) == (PATH, f"Bearer {TOKEN}")
    assert json.loads(body)["spec"]["audiences"] == ["vault"]
    alias = world.data("read", f"identity/entity/id/{auth['entity_id']}")["aliases"][0]
    assert alias["name"] == "shop/web"
    role(world, audience="")
    auth = world.come(LOGIN, {"role": "app", "jwt": sign(OLD)}).auth
    assert auth["metadata"]["service_account_secret_name"] == "web-token"


@pytest.mark.parametrize(
    ("names", "namespaces", "expected"),
    [
        ("web", "shop", None),
        ("*", "*", None),
        ("x,w*", "s*p", None),
        ("we", "shop", (403, "service account name not authorized")),
        ("*b2", "shop", (403, "service account name not authorized")),
        ("web", "sho", (403, "namespace not authorized")),
        ("web", "shop2", (403, "namespace not authorized")),
    ],
)
def test_the_role_names_accounts_and_namespaces(world, cluster, names, namespaces, expected):
    """Who is not named costs the cluster no review."""
    role(world, bound_service_account_names=names, bound_service_account_namespaces=namespaces)
    if expected is None:
        assert world.come(LOGIN, {"role": "app", "jwt": TOKEN}).auth
    else:
        assert refused(world) == expected
        assert cluster.outside.asked == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reviewed(authenticated=False), (403, "lookup failed: service account jwt not valid")),
        (reviewed(authenticated="true"), (403, "lookup failed: service account jwt not valid")),
        (reviewed(error="token expired"), (403, UNAUTHORIZED)),
        ((201, {}), (403, UNAUTHORIZED)),
        (reviewed(uid="u-2"), (403, UNAUTHORIZED)),
        (reviewed(uid=""), (403, "lookup failed: the review does not name the account")),
        (reviewed("system:serviceaccount:shop:other"), (403, UNAUTHORIZED)),
        (reviewed("system:serviceaccount:bank:web"), (403, UNAUTHORIZED)),
        (reviewed("shop:web"), (403, "lookup failed: unexpected username format")),
        (reviewed("system:serviceaccount:shop:web:x"), (403, "lookup failed: unexpected username format")),
        ((401, {}), (403, "permission denied")),
        ((403, {}), (403, "permission denied")),
        ((500, b"what the cluster says"), (400, "lookup failed: the answer has status 500")),
        ((201, b"no json"), (400, "lookup failed: the answer is not JSON")),
        ((201, b"[" * 100_000), (400, "lookup failed: the answer is not JSON")),
        ((302, b"http://127.0.0.1:1/"), (400, "lookup failed: the answer has status 302")),
    ],
)
def test_without_a_review_that_says_so_nobody_logs_in(world, cluster, answer, expected):
    """Whatever the token says of itself; nothing of the answer is repeated."""
    cluster.answer = answer
    assert refused(world) == expected


def test_a_review_for_another_audience_is_none(world, cluster):
    """The cluster says for whom it is."""
    role(world, audience="vault")
    cluster.answer = reviewed(audiences=["https://kubernetes.default.svc"])
    assert refused(world) == (403, "lookup failed: the review is not for the audience of the role")
    for unsaid in (reviewed(), reviewed(audiences=[]), reviewed(audiences=None), reviewed(audiences="vault")):
        cluster.answer = unsaid  # it then looked whether the token is for itself
        assert refused(world) == (403, "lookup failed: the review is not for the audience of the role")
    cluster.answer = reviewed(audiences=["vault"])
    assert world.come(LOGIN, {"role": "app", "jwt": TOKEN}).auth


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("", (400, "missing jwt")),
        ("x", (403, "malformed jwt: compact JWS format must have three parts")),
        (sign({"sub": "x"}), (403, "the token is not one of a service account")),
        (sign({**SAID, "kubernetes.io": "x"}), (403, "the token is not one of a service account")),
        (sign({**SAID, "exp": NOW_S - 1}), (403, "invalid expiration time (exp) claim: token is expired")),
        (sign({**SAID, "pad": "x" * 16_000}), (403, "the token is longer than 16384 bytes")),
        (TOKEN + "\r\n\tX: y", (403, "malformed jwt: a part is not base64")),
        (TOKEN + "\x00", (403, "malformed jwt: a part is not base64")),
    ],
)
def test_what_is_no_token_of_an_account_costs_no_review(world, cluster, token, expected):
    """It is refused here."""
    assert refused(world, token) == expected
    assert cluster.outside.asked == []


def test_audience_issuer_keys_and_networks_are_checked_where_they_are_set(world, cluster):
    """Before the cluster is asked."""
    assert refused(world, name="nobody") == (400, 'invalid role name "nobody"')
    assert world.sent_away(LOGIN, {"jwt": TOKEN}) == (400, "missing role")
    role(world, audience="others")
    assert refused(world) == (403, "invalid audience (aud) claim")
    role(world, audience="", token_bound_cidrs="10.0.0.0/8")
    assert refused(world) == (403, "permission denied")
    role(world, token_bound_cidrs="")
    body = {"kubernetes_host": cluster.outside.url, "disable_iss_validation": False}
    world.ask("update", CONFIG, body)
    assert refused(world) == (403, "invalid issuer (iss) claim")
    world.ask("update", CONFIG, {**body, "issuer": SAID["iss"], "pem_keys": [public_pem(RSA_OTHER)]})
    assert refused(world) == (403, "no known key successfully validated the token signature")
    assert cluster.outside.asked == []
    world.ask("update", CONFIG, {**body, "issuer": SAID["iss"], "pem_keys": [public_pem(RSA)]})
    assert world.come(LOGIN, {"role": "app", "jwt": TOKEN}).auth


def test_a_renewal_asks_the_role(world):
    """As it is then; without it there is none."""
    token = world.come(LOGIN, {"role": "app", "jwt": TOKEN}).auth["client_token"]
    role(world, token_ttl=90)
    assert world.renew(token).auth["lease_duration"] == 90
    world.ask("delete", ROLE)
    assert world.not_renewed(token) == (400, "role app does not exist during renewal")


@pytest.mark.parametrize("meanwhile", ["configuration written", "audience", "another token", "nothing reviewed"])
def test_a_review_of_something_else_is_made_again(world, cluster, meanwhile):
    """It is good for one token, one cluster and one audience."""
    request = make_request("update", LOGIN, {"role": "app", "jwt": TOKEN}, None)
    engine = world.engines["kubernetes"]
    labour = engine.labour(world.context(LOGIN), request, "login")()
    if meanwhile == "configuration written":
        world.ask("update", CONFIG, {"kubernetes_host": "https://else.test"})
    elif meanwhile == "audience":
        role(world, audience="vault")
    elif meanwhile == "another token":
        request = make_request("update", LOGIN, {"role": "app", "jwt": sign({**SAID, "x": 1})}, None)
    request.labour = None if meanwhile == "nothing reviewed" else labour
    with pytest.raises(StaleLabour):
        engine.decide(world.context(LOGIN), request, "login")


# ---- paths
def test_a_configuration_reads_as_it_was_written(world):
    """Without the reviewer's token; a write replaces it."""
    world.ask("update", CONFIG, {"kubernetes_host": "https://k.test", "issuer": "bob", "token_reviewer_jwt": "secret"})
    assert world.data("read", CONFIG) == {
        "kubernetes_host": "https://k.test", "kubernetes_ca_cert": "", "pem_keys": [], "issuer": "bob",
        "disable_iss_validation": True, "disable_local_ca_jwt": False, "token_reviewer_jwt_set": True,
    }  # fmt: skip
    broken = "-----BEGIN CERTIFICATE-----\\n.....\\n-----END CERTIFICATE-----"
    answer = world.ask("update", CONFIG, {"kubernetes_host": "https://k.test", "kubernetes_ca_cert": broken})
    assert answer.warnings == ["kubernetes_ca_cert holds no certificate that can be read: every login will be refused"]
    assert world.data("read", CONFIG)["kubernetes_ca_cert"] == broken
    assert refused(world) == (400, "lookup failed: the authority that was configured for it cannot be read")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "no host provided"),
        (
            {"kubernetes_host": "http://10.0.0.1"},
            "kubernetes_host must be an https URL without a user; http is for this machine alone",
        ),
        (
            {"kubernetes_host": "https://k", "disable_local_ca_jwt": True},
            "kubernetes_ca_cert must be given when disable_local_ca_jwt is true",
        ),
        (
            {"kubernetes_host": "https://k", "pem_keys": ["x"]},
            "error parsing PEM key: PEM of RSA (2048 bits), EC or Ed25519 keys is needed",
        ),
    ],
)
def test_a_configuration_that_could_not_be_used_is_refused(world, body, text):
    """With Vault's words where it has some."""
    assert world.refused("update", CONFIG, body) == (400, text, False)


def test_roles_read_as_they_were_written(world):
    """Names are lower-cased; old names are shown where they were used."""
    role(world, audience="x", policies="q", token_policies=None)
    data = world.data("read", "auth/kubernetes/role/APP")
    assert (data["bound_service_account_names"], data["bound_service_account_namespaces"]) == (["web"], ["shop"])
    assert (data["audience"], data["alias_name_source"], data["token_type"]) == ("x", "serviceaccount_uid", "default")
    assert world.data("list", "auth/kubernetes/role/") == {"keys": ["app"]}
    assert world.ask("delete", ROLE).empty
    assert world.refused("read", ROLE)[0] == world.refused("list", "auth/kubernetes/role/")[0] == 404
    assert world.ask("delete", ROLE).empty


NAMED = {"bound_service_account_names": "a", "bound_service_account_namespaces": "b"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, '"bound_service_account_names" can not be empty'),
        (
            {"bound_service_account_names": "a"},
            (
                '"bound_service_account_namespaces" can not be empty if '
                '"bound_service_account_namespace_selector" is not set'
            ),
        ),
        ({**NAMED, "alias_name_source": "x"}, 'unrecognized alias_name_source "x"'),
        ({**NAMED, "bound_service_account_names": "*,a"}, 'can not mix "*" with values'),
        ({**NAMED, "bound_service_account_namespaces": ["b", "*"]}, 'can not mix "*" with values'),
        (
            {**NAMED, "bound_service_account_namespace_selector": "{}"},
            '"bound_service_account_namespace_selector" is not supported: name the namespaces',
        ),
    ],
)
def test_a_role_that_names_nobody_is_refused(world, body, text):
    """Or would need what is not there."""
    assert world.refused("update", "auth/kubernetes/role/new", body) == (400, text, False)


def test_what_is_stored_opens_for_ever():
    """Bytes as the first version wrote them, and shorter ones."""
    token = TokenParams(["10.0.0.0/8"], 1, 2, True, 3, 4, ["a"], 5, "service", True)
    stored = [
        (KubernetesRole(["n"], ["s"], "a", "x", token, ["ttl"]),
         "9691a16e91a173a161a1789a91aa31302e302e302e302f380102c3030491a16105a773657276696365c391a374746c"),
        (KubernetesConfig("h", "c", "t", ["k"], "i", False, True), "97a168a163a17491a16ba169c2c3"),
    ]  # fmt: skip
    for value, text in stored:
        assert msgspec.msgpack.encode(value).hex() == text
        assert msgspec.msgpack.decode(bytes.fromhex(text), type=type(value)) == value
    assert msgspec.msgpack.decode(b"\x90", type=KubernetesRole).alias_name_source == "serviceaccount_uid"
    assert msgspec.msgpack.decode(b"\x91\xa1h", type=KubernetesConfig).disable_iss_validation
