"""`strongroom status` and `health`: what is wrong, and the next command to type."""

from __future__ import annotations

import json
import re

import pytest

from node.cli.status import quorum

OPEN = {"type": "shamir", "initialized": True, "sealed": False, "t": 2, "n": 3, "progress": 0, "cluster_name": "c"}
NODE = {
    "node_id": "n1",
    "leader_id": "n1",
    "cluster_name": "c",
    "profile": "dev",
    "role": "voter",
    "applied_index": 40,
    "members": [
        {"id": "n1", "role": "voter", "lag": 0, "last_contact_ms": None},
        {"id": "n2", "role": "voter", "lag": 2, "last_contact_ms": 40},
        {"id": "n3", "role": "voter", "lag": None, "last_contact_ms": 60000},
    ],
    "why": [],
}


@pytest.fixture
def node(api):
    api.answers |= {
        "GET /v1/sys/seal-status": (200, OPEN),
        "GET /v1/sys/leader": (200, {"is_self": True, "leader_address": "https://h:1"}),
        "GET /v1/strongroom/status": (200, {"data": NODE}),
        "GET /readyz": (200, {"why": []}),
    }
    return api


def test_an_open_node_shows_leader_lag_and_margin(node, run):
    """One table for the node, one for its members, one sentence for the quorum."""
    result = run("status")

    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"^Leader +n1$", result.stdout, re.MULTILINE)
    assert "n2      voter    2                40" in result.stdout
    assert "Quorum: 2 of 3 voters answer, 2 are needed: 0 more may be lost" in result.stdout


def test_json_joins_the_answers_and_keeps_vaults_keys_at_the_top(node, run):
    """`jq .sealed` works as with Vault; the two more keys are whole answers."""
    joined = json.loads(run("status", "-format=json").stdout)

    assert joined == {
        **OPEN,
        "leader": {"is_self": True, "leader_address": "https://h:1"},
        "strongroom": {"data": NODE},
    }


def test_a_sealed_node_is_2_and_says_what_to_type(node, run):
    """Scripts wait on the exit code, people read the sentence."""
    node.answers["GET /v1/sys/seal-status"] = (200, {**OPEN, "sealed": True, "progress": 1})
    node.answers["GET /v1/sys/leader"] = (503, {"errors": ["Vault is sealed"]})
    node.answers["GET /v1/strongroom/status"] = (503, {"errors": ["Vault is sealed"]})
    node.answers["GET /readyz"] = (503, {"why": ["the node is sealed"]})
    people, programs = run("status"), run("status", "-format=json")

    assert people.exit_code == programs.exit_code == 2
    assert "Unseal Progress    1/2" in people.stdout
    assert "why: the node is sealed\nnext: strongroom operator unseal   (1 of 2 keys given)" in people.stderr
    assert json.loads(programs.stdout)["strongroom"] is None


def test_an_uninitialised_node_points_to_init(node, run):
    """Before unseal comes init."""
    node.answers["GET /v1/sys/seal-status"] = (200, {**OPEN, "initialized": False, "sealed": True})
    result = run("status")

    assert result.exit_code == 2
    assert "next: strongroom operator init" in result.stderr


def test_a_node_without_a_leader_says_why(node, run):
    """The node's own sentences come first."""
    node.answers["GET /v1/sys/leader"] = (200, {"is_self": False, "leader_address": ""})
    account = {**NODE, "leader_id": None, "why": ["2 of 3 members are not reachable"]}
    node.answers["GET /v1/strongroom/status"] = (200, {"data": account})
    result = run("status")

    assert result.exit_code == 0
    assert "why: 2 of 3 members are not reachable" in result.stderr
    assert "next: strongroom status -address=URL" in result.stderr


def test_one_node_alone_is_its_own_leader(node, run):
    """Vault's leader answer names nobody then; that is no lack of a majority."""
    node.answers["GET /v1/sys/leader"] = (200, {"ha_enabled": False, "is_self": False, "leader_address": ""})
    result = run("status", env={"STRONGROOM_TOKEN": None})

    assert re.search(r"^Leader +this node$", result.stdout, re.MULTILINE)
    assert "next:" not in result.stderr


@pytest.mark.parametrize(
    ("token", "said"), [(None, "note: with a token"), ("hvs.denied", "note: this token may not read strongroom/status")]
)
def test_without_the_right_token_members_are_not_shown(node, run, token, said):
    """The rest is shown all the same."""
    node.answers["GET /v1/strongroom/status"] = (403, {"errors": ["permission denied"]})
    result = run("status", env={"STRONGROOM_TOKEN": token})

    assert result.exit_code == 0
    assert "Members" not in result.stdout
    assert said in result.stderr


@pytest.mark.parametrize(("answer", "code"), [(None, 1), ((400, {"errors": ["x"]}), 2), ((504, {"errors": []}), 2)])
def test_status_that_cannot_be_had(node, run, answer, code):
    """Not reachable is a local error; a read has no unknown outcome."""
    node.answers["GET /v1/sys/seal-status"] = answer

    assert run("status").exit_code == code


def test_a_field_of_the_seal(node, run):
    """For scripts without jq."""
    assert run("status", "-field=sealed").stdout == "false"


@pytest.mark.parametrize(
    ("silent", "expected"),
    [
        (set(), "3 of 3 voters answer, 2 are needed: 1 more may be lost"),
        ({"n3"}, "2 of 3 voters answer, 2 are needed: 0 more may be lost"),
        ({"n2", "n3"}, "1 of 3 voters answer, 2 are needed: no write can be made"),
    ],
)
def test_the_margin_counts_voters_that_answer(silent, expected):
    """A replica counts for no majority."""
    members = [
        {"id": name, "role": "voter", "last_contact_ms": 60000 if name in silent else 5} for name in ("n1", "n2", "n3")
    ]
    members.append({"id": "r1", "role": "replica", "last_contact_ms": 5})

    assert quorum({"node_id": "n1", "leader_id": "n1", "members": members}) == f"Quorum: {expected}"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["health"], "GET /v1/sys/health?standbyok=true"),
        (["health", "--ready"], "GET /readyz"),
        (["health", "-ready"], "GET /readyz"),
    ],
)
def test_health_is_an_exit_code(api, run, words, asked):
    """0 healthy; 2 with the reason when it is not; 1 when nobody answers."""
    api.answers[asked] = (200, {"initialized": True})
    good = run(*words)
    api.answers[asked] = (503, {"why": ["the log is being read"], "sealed": True})
    bad = run(*words)
    api.answers[asked] = None
    gone = run(*words)

    assert (good.exit_code, bad.exit_code, gone.exit_code) == (0, 2, 1)
    assert "the log is being read" in bad.stderr


def test_health_of_a_bare_answer(api, run):
    """A load balancer's 502 without a body is not healthy either."""
    api.answers["GET /readyz"] = (502, b"")

    assert run("health", "-ready").exit_code == 2
