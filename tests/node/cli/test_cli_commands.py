"""Policies, tokens, secret engines, audit devices: each works, is refused, meets a sealed node, stays unknown."""

from __future__ import annotations

import pytest

POLICY = 'path "secret/*" { capabilities = ["read"] }\n'
AUTH = {"auth": {"client_token": "hvs.new", "accessor": "acc", "lease_duration": 60, "token_policies": ["p"]}}
MOUNTS = {"data": {"secret/": {"type": "kv", "accessor": "kv_1", "description": "", "options": {"version": "2"}}}}

# words, what is asked, the body that is sent, a good answer, what a person sees on stdout
COMMANDS = [
    (
        ["policy", "list"],
        "GET /v1/sys/policies/acl?list=true",
        None,
        (200, {"data": {"keys": ["p", "root"]}}),
        "p\nroot\n",
    ),
    (["policy", "read", "p"], "GET /v1/sys/policies/acl/p", None, (200, {"data": {"policy": POLICY}}), POLICY),
    (["policy", "write", "P", "-"], "PUT /v1/sys/policies/acl/P", {"policy": POLICY}, (204, None), ""),
    (["policy", "delete", "p"], "DELETE /v1/sys/policies/acl/p", None, (204, None), ""),
    (
        ["token", "create", "-policy=p", "-policy=q", "-ttl=1h", "-use-limit=2", "-renewable=false", "-metadata=a=b"],
        "PUT /v1/auth/token/create",
        {"ttl": "1h", "num_uses": 2, "renewable": False, "policies": ["p", "q"], "meta": {"a": "b"}},
        (200, AUTH),
        "hvs.new",
    ),
    (
        ["token", "create", "-orphan", "-no-default-policy", "-type=batch", "-role=r"],
        "PUT /v1/auth/token/create/r",
        {"type": "batch", "no_parent": True, "no_default_policy": True},
        (200, AUTH),
        "acc",
    ),
    (["token", "lookup"], "GET /v1/auth/token/lookup-self", None, (200, {"data": {"ttl": 60}}), "ttl    60"),
    (["token", "lookup", "hvs.x"], "PUT /v1/auth/token/lookup", {"token": "hvs.x"}, (200, {"data": {"ttl": 1}}), "ttl"),
    (
        ["token", "lookup", "-accessor", "acc"],
        "PUT /v1/auth/token/lookup-accessor",
        {"accessor": "acc"},
        (200, {"data": {"ttl": 1}}),
        "ttl",
    ),
    (["token", "renew"], "PUT /v1/auth/token/renew-self", {}, (200, AUTH), "token_duration"),
    (
        ["token", "renew", "-increment=1h", "hvs.x"],
        "PUT /v1/auth/token/renew",
        {"increment": "1h", "token": "hvs.x"},
        (200, AUTH),
        "60",
    ),
    (["token", "renew", "-accessor", "a"], "PUT /v1/auth/token/renew-accessor", {"accessor": "a"}, (200, AUTH), "60"),
    (["token", "revoke", "-self"], "PUT /v1/auth/token/revoke-self", {}, (204, None), ""),
    (["token", "revoke", "hvs.x"], "PUT /v1/auth/token/revoke", {"token": "hvs.x"}, (204, None), ""),
    (["token", "revoke", "-mode=orphan", "x"], "PUT /v1/auth/token/revoke-orphan", {"token": "x"}, (204, None), ""),
    (["token", "revoke", "-accessor", "a"], "PUT /v1/auth/token/revoke-accessor", {"accessor": "a"}, (204, None), ""),
    (["secrets", "list"], "GET /v1/sys/mounts", None, (200, MOUNTS), "secret/    kv      kv_1        n/a"),
    (["secrets", "list", "-detailed"], "GET /v1/sys/mounts", None, (200, MOUNTS), '{"version":"2"}'),
    (
        ["secrets", "enable", "-path=team/", "-version=2", "-max-lease-ttl=1h", "kv"],
        "PUT /v1/sys/mounts/team",
        {"type": "kv", "description": "", "config": {"max_lease_ttl": "1h"}, "options": {"version": "2"}},
        (204, None),
        "",
    ),
    (["secrets", "disable", "team/"], "DELETE /v1/sys/mounts/team", None, (204, None), ""),
    (
        ["secrets", "tune", "-default-lease-ttl=1h", "-description=d", "-options=a=b", "team"],
        "PUT /v1/sys/mounts/team/tune",
        {"default_lease_ttl": "1h", "description": "d", "options": {"a": "b"}},
        (204, None),
        "",
    ),
    (["audit", "list"], "GET /v1/sys/audit", None, (200, {"data": {"file/": {"type": "file"}}}), "file/    file"),
    (
        ["audit", "list", "-detailed"],
        "GET /v1/sys/audit",
        None,
        (200, {"data": {"file/": {"type": "file", "local": False, "options": {"file_path": "a"}}}}),
        '{"file_path":"a"}',
    ),
    (
        ["audit", "enable", "-path=main", "file", "file_path=audit.log"],
        "PUT /v1/sys/audit/main",
        {"type": "file", "description": "", "local": False, "options": {"file_path": "audit.log"}},
        (204, None),
        "",
    ),
    (["audit", "disable", "main/"], "DELETE /v1/sys/audit/main", None, (204, None), ""),
    (["operator", "seal"], "PUT /v1/sys/seal", {}, (204, None), ""),
    (["operator", "seal", "-cluster"], "PUT /v1/sys/seal", {"cluster": True}, (204, None), ""),
    (["operator", "step-down"], "PUT /v1/sys/step-down", {}, (204, None), ""),
    (
        ["operator", "raft", "list-peers"],
        "GET /v1/sys/storage/raft/configuration",
        None,
        (200, {"data": {"config": {"servers": [{"node_id": "n1", "address": "h:1", "leader": True, "voter": True}]}}}),
        "n1      h:1        leader    true",
    ),
]
names = pytest.mark.parametrize(("words", "asked", "body", "good", "shown"), COMMANDS, ids=lambda value: "")


@names
def test_a_command_asks_and_shows(api, run, words, asked, body, good, shown):
    """One request of the right shape; with nothing to show, a sentence on stderr."""
    api.answers[asked] = good
    result = run(*words, stdin=POLICY)
    request = next(request for request in api.requests if f"{request.method} {request.target}" == asked)

    assert (result.exit_code, request.body) == (0, body)
    assert shown in result.stdout
    assert shown or (result.stdout == "" and "Success!" in result.stderr)


@names
def test_json_is_the_answers_body_unchanged(api, run, words, asked, body, good, shown):
    """204 has no body, and then stdout has none."""
    raw = b"" if good[1] is None else b'{"data" : {"keys":[] , "n":1.10}, "auth":{}}\n'
    api.answers[asked] = (good[0], raw)
    result = run(words[0], *words[1:], "-format=json", stdin=POLICY)

    assert (result.exit_code, result.stdout_bytes) == (0, raw)


@names
@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}), 2, "* permission denied"),
        ((503, {"errors": ["Vault is sealed"]}), 2, "next: `strongroom operator unseal`"),
        ((504, {"errors": ["deadline"]}), None, "next: "),
    ],
)
def test_a_command_is_refused_sealed_or_unknown(api, run, words, asked, body, good, shown, answer, code, said):
    """The twins: 2, 2, and 3 for a write whose outcome nobody knows."""
    api.answers[asked] = answer
    result = run(*words, stdin=POLICY)

    assert (result.exit_code, result.stdout) == (code or (2 if asked.startswith("GET") else 3), "")
    assert said in result.stderr


@names
def test_a_command_needs_a_server(run, words, asked, body, good, shown):
    """Nothing listens: local error 1, with what to check."""
    result = run(*words, stdin=POLICY, env={"STRONGROOM_ADDR": "http://127.0.0.1:1"})

    assert result.exit_code == 1
    assert "STRONGROOM_ADDR" in result.stderr


@pytest.mark.parametrize("field", ["token", "token_accessor"])
def test_a_field_of_a_new_token_has_vaults_name(api, run, field):
    """`-field=token` is how scripts take it."""
    api.answers["PUT /v1/auth/token/create"] = (200, AUTH)

    assert run("token", "create", f"-field={field}").stdout == {"token": "hvs.new", "token_accessor": "acc"}[field]


def test_a_token_is_read_from_standard_input(api, run):
    """So that it need not stand in the command line."""
    api.answers["PUT /v1/auth/token/revoke"] = (204, None)
    run("token", "revoke", "-", stdin="hvs.x\n")

    assert api.requests[-1].body == {"token": "hvs.x"}


@pytest.mark.parametrize(
    "words",
    [
        ["token", "revoke"],
        ["token", "revoke", "-self", "hvs.x"],
        ["token", "revoke", "-self", "-mode=orphan"],
        ["token", "lookup", "-accessor"],
        ["token", "renew", "-accessor"],
        ["token", "create", "-metadata=x"],
        ["secrets", "tune", "team"],
        ["secrets", "enable", "-version=3", "kv"],
        ["audit", "enable", "file", "nonsense"],
        ["policy", "write", "p", "/nonexistent"],
        ["policy", "write", "p"],
    ],
)
def test_a_usage_error_is_1_and_asks_nobody(api, run, words):
    """Never click's 2, which means here that a server refused."""
    assert (run(*words).exit_code, api.seen) == (1, [])


def test_a_policy_that_is_not_there_is_refused(run):
    """With the command that lists those that are."""
    result = run("policy", "read", "absent")

    assert result.exit_code == 2
    assert "strongroom policy list" in result.stderr


def test_no_audit_devices_are_said_to_people_and_given_to_programs(api, run):
    """The table would be empty; the JSON is the body."""
    api.answers["GET /v1/sys/audit"] = (200, {"data": {}})
    people, programs = run("audit", "list"), run("audit", "list", "-format=json")

    assert (people.exit_code, people.stdout) == (0, "")
    assert programs.stdout == '{"data": {}}\n'


def test_warnings_go_to_stderr(api, run):
    """Standard output stays the API's body."""
    api.answers["PUT /v1/sys/policies/acl/P"] = (200, {"data": None, "warnings": ["policy name was converted to p"]})
    result = run("policy", "write", "P", "-", stdin=POLICY)

    assert result.exit_code == 0
    assert "WARNING: policy name was converted to p" in result.stderr


def test_a_seal_that_did_not_happen_is_not_believed(api, run):
    """The server is asked again."""
    api.answers["PUT /v1/sys/seal"] = (204, None)
    api.answers["GET /v1/sys/seal-status"] = (200, {"sealed": False})

    assert run("operator", "seal").exit_code == 2
