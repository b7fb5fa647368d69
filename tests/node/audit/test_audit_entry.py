"""What the two lines of a request look like, and what they never hold."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.audit import LineSettings, Renderer
from node.audit.entry import event_line
from node.audit.hashing import Hasher
from node.audit.options import DeviceOptions
from node.request import Answer, Operation, RawJson, RawResponse, Refusal
from tests.node.audit.audit_fakes import (
    ACCESSOR,
    NOW,
    NOW_NS,
    SALT,
    TOKEN,
    exhausted,
    hashed,
    make_caller,
    make_entry,
    make_mount,
    make_request,
)

ISSUE_NS = 1_700_000_000_000_000_000


def make_renderer(settings=None, **options):
    return Renderer(Hasher(SALT), DeviceOptions("audit.log", **options), settings or LineSettings())


def render(entry, kind="response", settings=None, **options):
    [line] = exhausted(getattr(make_renderer(settings, **options), kind)(entry, NOW_NS))
    return json.loads(line)


def test_a_request_line_has_vaults_keys_in_vaults_order():
    """The whole line, exactly."""
    entry = make_entry(
        b'{"data":{"password":"hunter2","tries":3}}',
        caller=make_caller(num_uses=5, entity_id="e-1", meta={"team": "blue"}),
        operation=Operation.CREATE,
        token_issue_ns=ISSUE_NS,
        token_creation_ttl_s=3600,
        no_default_policy=True,
    )
    [line] = exhausted(make_renderer().request(entry, NOW_NS))
    told = json.loads(line)

    assert told == {
        "time": NOW,
        "type": "request",
        "auth": {
            "client_token": hashed(TOKEN),
            "accessor": hashed(ACCESSOR),
            "display_name": "token-app",
            "policies": ["default", "app"],
            "token_policies": ["default", "app"],
            "no_default_policy": True,
            "policy_results": {
                "allowed": True,
                "granting_policies": [{"name": "app", "namespace_id": "root", "type": "acl"}],
            },
            "metadata": {"team": "blue"},
            "remaining_uses": 5,
            "entity_id": "e-1",
            "token_type": "service",
            "token_ttl": 3600,
            "token_issue_time": "2023-11-14T22:13:20Z",
        },
        "request": {
            "id": "11111111-2222-3333-4444-555555555555",
            "operation": "create",
            "namespace": {"id": "root"},
            "path": "secret/data/app",
            "client_id": "e-1",
            "mount_point": "secret/",
            "mount_type": "kv",
            "mount_accessor": "kv_0a1b2c3d",
            "mount_class": "secret",
            "client_token": hashed(TOKEN),
            "client_token_accessor": hashed(ACCESSOR),
            "data": {"data": {"password": hashed("hunter2"), "tries": hashed("3")}},
            "remote_address": "192.0.2.7",
            "remote_port": 40000,
        },
    }
    assert list(told) == ["time", "type", "auth", "request"]
    assert b"\n" not in line


def test_a_response_line_repeats_the_request_and_adds_the_answer():
    """Both lines of a read are the two lines apart."""
    answer = Answer(data={"data": RawJson(b'{"k": 1.10}')}, warnings=["careful"], lease_id="db/creds/x/L")
    entry = make_entry(answer=answer)
    request, response = (json.loads(line) for line in exhausted(make_renderer().both(entry, NOW_NS)))

    assert request == render(entry, "request")
    assert response == render(entry, "response")
    assert (response["auth"], response["request"]) == (request["auth"], request["request"])
    assert response["response"] == {
        "mount_point": "secret/",
        "mount_type": "kv",
        "mount_accessor": "kv_0a1b2c3d",
        "mount_class": "secret",
        "secret": {"lease_id": "db/creds/x/L"},
        "data": {"data": {"k": hashed("1.10")}},
        "warnings": ["careful"],
    }


def test_a_request_without_a_token_has_vaults_empty_auth():
    """A login is asked by nobody yet."""
    entry = make_entry(request=make_request(token=None), caller=make_caller(token_key=None), granting_policies=())
    told = render(entry, "request")

    assert told["auth"] == {"policy_results": {"allowed": True}, "token_type": "default"}
    assert "client_token" not in told["request"]


def test_a_denied_request_says_so_and_hashes_the_token_nobody_knows():
    """`error` is plain, `response.data.error` hashed; a wrapped text is Go's."""
    refusal = Refusal(403, "permission denied", wrapped=True)
    entry = make_entry(caller=None, mount=None, mount_path="", allowed=False, granting_policies=(), refusal=refusal)
    text = "1 error occurred:\n\t* permission denied\n\n"
    told = render(entry)

    assert told["error"] == text
    assert told["response"] == {"data": {"error": hashed(text)}}
    assert told["auth"] == {"policy_results": {"allowed": False}, "token_type": "default"}
    assert told["request"]["client_token"] == hashed(TOKEN)
    assert render(entry, "request")["error"] == text


def test_a_refusal_with_data_keeps_both_hashed():
    """The 404 of a deleted version carries its metadata."""
    silent = Refusal(404, data=b'{"data":null,"metadata":{"version":1}}')
    loud = Refusal(400, "bad", data=b'{"a":"b"}')

    assert render(make_entry(refusal=silent))["response"]["data"] == {
        "data": None,
        "metadata": {"version": hashed("1")},
    }
    assert "error" not in render(make_entry(refusal=silent))
    assert render(make_entry(refusal=loud))["response"]["data"] == {"a": hashed("b"), "error": hashed("bad")}


def test_a_login_answer_hashes_token_and_accessor_and_shows_who_it_is():
    """What the issued token may do is for people to read; the metadata exist for this."""
    auth = {
        "client_token": "hvs.New",
        "accessor": "NewAccessor",
        "policies": ["default"],
        "token_policies": ["default"],
        "metadata": {"role_name": "x"},
        "lease_duration": 3600,
        "renewable": True,
        "entity_id": "",
        "token_type": "service",
        "orphan": True,
        "num_uses": 4,
    }

    assert render(make_entry(answer=Answer(auth=auth)))["response"]["auth"] == {
        "client_token": hashed("hvs.New"),
        "accessor": hashed("NewAccessor"),
        "policies": ["default"],
        "token_policies": ["default"],
        "metadata": {"role_name": "x"},
        "num_uses": 4,
        "token_type": "service",
        "token_ttl": 3600,
    }


def test_a_wrapped_answer_shows_the_wrap_and_not_what_is_in_it():
    """The wrapping token is hashed, and the data are not in the line at all."""
    wrap = {
        "token": "hvs.Wrap",
        "accessor": "WrapAccessor",
        "ttl": 60,
        "creation_time": NOW,
        "creation_path": "secret/data/app",
        "wrapped_accessor": "InnerAccessor",
    }
    told = render(make_entry(answer=Answer(data={"k": "v"}), wrap_info=wrap))["response"]

    assert told["wrap_info"] == {
        "ttl": 60,
        "token": hashed("hvs.Wrap"),
        "accessor": hashed("WrapAccessor"),
        "creation_time": NOW,
        "creation_path": "secret/data/app",
        "wrapped_accessor": hashed("InnerAccessor"),
    }
    assert "data" not in told


def test_a_raw_answer_is_hashed_whole():
    """Bytes that are no JSON are one value."""
    raw = RawResponse(200, b"BEGIN CERTIFICATE", content_type="application/pem")

    assert render(make_entry(answer=Answer(raw=raw)))["response"]["data"] == {
        "http_content_type": hashed("application/pem"),
        "http_raw_body": hashed("BEGIN CERTIFICATE"),
        "http_status_code": 200,
    }
    assert "data" not in render(make_entry(answer=Answer(raw=RawResponse(204))))["response"]


def test_query_values_count_as_data_and_the_body_wins():
    """A secret in a query is a secret."""
    request = make_request(b'{"a":"body"}', query={"a": "query", "version": "2"})

    assert render(make_entry(request=request), "request")["request"]["data"] == {
        "a": hashed("body"),
        "version": hashed("2"),
    }
    assert render(make_entry(request=make_request(query={"list": "true"})), "request")["request"]["data"] == {
        "list": hashed("true")
    }


@pytest.mark.parametrize(
    ("path", "vault_numbers", "hashes"),
    [
        ("secret/data/app", False, True),
        ("auth/approle/login", False, True),
        ("strongroom/write-many", False, True),
        ("sys/wrapping/wrap", False, True),
        ("sys/wrapping/unwrap", False, True),
        ("sys/raw/core", False, True),
        ("sys/mounts/kv", False, False),
        ("secret/data/app", True, False),
        ("sys/wrapping/wrap", True, False),
    ],
)
def test_numbers_are_hashed_wherever_somebody_elses_data_are(path, vault_numbers, hashes):
    """Settings below sys/ are plain, as in Vault; everything is with `vault_numbers`."""
    entry = make_entry(request=make_request(b'{"n":7,"b":true,"s":"x"}', path=path))
    told = render(entry, "request", LineSettings(vault_numbers=vault_numbers))

    assert told["request"]["data"] == {
        "n": hashed("7") if hashes else 7,
        "b": hashed("true") if hashes else True,
        "s": hashed("x"),
    }


def test_keys_that_the_mount_exempts_are_plain_in_their_direction_only():
    """Request keys do not exempt the response, nor the other way round."""
    mount = make_mount(audit_non_hmac_request_keys=["a"], audit_non_hmac_response_keys=["b"])
    entry = make_entry(b'{"a":"1","b":"2"}', mount=mount, answer=Answer(data={"a": "3", "b": "4"}))
    told = render(entry)

    assert told["request"]["data"] == {"a": "1", "b": hashed("2")}
    assert told["response"]["data"] == {"a": hashed("3"), "b": "4"}


@pytest.mark.parametrize("operation", [Operation.LIST, Operation.SCAN])
def test_lists_are_hashed_or_counted(operation):
    """The names of secrets are hashed; with `elide_list_responses` only their number is there."""
    answer = Answer(data={"keys": ["a", "b"], "key_info": {"a": {"n": "x"}}})
    entry = make_entry(request=make_request(operation=operation), answer=answer)

    assert render(entry)["response"]["data"]["keys"] == [hashed("a"), hashed("b")]
    assert render(entry, elide_list_responses=True)["response"]["data"] == {"keys": 2, "key_info": 1}


def test_only_lists_are_counted():
    """A secret with a field `keys` is not a listing."""
    entry = make_entry(request=make_request(operation=Operation.READ), answer=Answer(data={"keys": ["a"]}))

    assert render(entry, elide_list_responses=True)["response"]["data"] == {"keys": [hashed("a")]}


def test_accessors_are_plain_only_where_the_device_says_so():
    """Tokens never are."""
    wrap = {"token": "hvs.W", "accessor": "WA"}
    told = render(make_entry(answer=Answer(auth={"client_token": "hvs.N", "accessor": "NA"})), hmac_accessor=False)
    wrapped = render(make_entry(wrap_info=wrap), hmac_accessor=False)["response"]["wrap_info"]

    assert (told["auth"]["accessor"], told["request"]["client_token_accessor"]) == (ACCESSOR, ACCESSOR)
    assert told["response"]["auth"]["accessor"] == "NA"
    assert wrapped == {"token": hashed("hvs.W"), "accessor": "WA"}
    assert told["auth"]["client_token"] == hashed(TOKEN)


def test_a_raw_log_shows_bodies_and_no_token():
    """For development only: even there tokens are hashes."""
    entry = make_entry(b'{"k":"v","n":1.10,"t":"hvs.T"}', answer=Answer(auth={"client_token": "hvs.N"}))
    [line] = exhausted(make_renderer(log_raw=True).response(entry, NOW_NS))

    assert json.loads(line)["request"]["data"] == {"k": "v", "n": 1.1, "t": hashed("hvs.T")}
    assert b'"n":1.10' in line
    assert json.loads(line)["response"]["auth"]["client_token"] == hashed("hvs.N")


def test_only_named_headers_are_written_and_credentials_only_as_hashes():
    """Whatever the operator named."""
    headers = {"x-foo": "f", "x-bar": "b", "authorization": "Bearer x", "user-agent": "u"}
    named = LineSettings(headers={"x-foo": False, "x-bar": True, "authorization": False, "x-out": False})
    entry = make_entry(request=make_request(headers=headers), answer=Answer(headers=[("X-Out", "o"), ("X-Other", "p")]))
    told = render(entry, "response", named)

    assert told["request"]["headers"] == {"x-foo": ["f"], "x-bar": [hashed("b")], "authorization": [hashed("Bearer x")]}
    assert told["response"]["headers"] == {"x-out": ["o"]}
    assert "headers" not in render(entry)["request"]


def test_a_forwarded_request_names_the_node_it_came_from():
    """In both lines; and only there the response says `forwarded`."""
    entry = make_entry(request=make_request(forwarded_from="n3", wrap_ttl_s=60))

    assert render(entry, "request")["forwarded_from"] == "n3"
    assert (render(entry)["forwarded_from"], render(entry)["forwarded"]) == ("n3", True)
    assert render(entry)["request"]["wrap_ttl"] == 60
    assert "forwarded" not in render(make_entry())


def test_a_login_mount_is_of_class_auth():
    """Vault's words."""
    assert render(make_entry(mount_path="auth/approle/"))["request"]["mount_class"] == "auth"


def test_a_security_event_is_a_line_of_its_own_type():
    """No request, no hash: names, numbers and addresses."""
    line = event_line("unseal attempt", {"remote_address": "192.0.2.7", "progress": 2}, NOW_NS)

    assert json.loads(line) == {
        "time": NOW,
        "type": "event",
        "event": {"kind": "unseal attempt", "remote_address": "192.0.2.7", "progress": 2},
    }


def test_an_entry_shows_only_its_id():
    """It ends up in traces."""
    assert repr(make_entry(b'{"k":"v"}')) == "<AuditEntry 11111111-2222-3333-4444-555555555555>"


CANARY = "CANARY"
planted_scalars = st.just(CANARY) | st.text(max_size=5).map(lambda text: f"{text}{CANARY}{text}") | st.integers(-9, 9)
planted = st.recursive(
    planted_scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd") | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
).filter(lambda value: CANARY in json.dumps(value))


@settings(max_examples=60)
@given(
    body=st.dictionaries(st.sampled_from(["data", "a", "options"]), planted, min_size=1, max_size=3),
    answered=planted,
    way=st.sampled_from(["object", "bytes", "inside", "raw", "refusal", "cut"]),
    path=st.sampled_from(["secret/data/app", "sys/mounts/x", "auth/token/create", "sys/wrapping/wrap"]),
)
def test_a_planted_secret_is_in_no_line(body, answered, way, path):
    """Whatever the shape of the body, the query, and the way in which the answer carries it; the keys aside."""
    text = json.dumps(answered).encode()
    answer = {
        "object": Answer(data=answered),
        "bytes": Answer(data=text),
        "inside": Answer(data={"data": RawJson(text), "list": [RawJson(text)]}),
        "raw": Answer(raw=RawResponse(200, text)),
        "cut": Answer(data=text[:-1] + b"\xff"),
    }.get(way)
    refusal = Refusal(400, "no", data=text) if way == "refusal" else None
    request = make_request(json.dumps(body).encode(), path=path, query={"q": CANARY, "data": CANARY})
    request.token, request.target = CANARY, f"/v1/{path}?q={CANARY}"
    request.headers = {"x-secret": CANARY}
    lines = exhausted(make_renderer().both(make_entry(request=request, answer=answer, refusal=refusal), NOW_NS))

    assert [CANARY.encode() in line for line in lines] == [False, False]
