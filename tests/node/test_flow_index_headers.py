"""X-Vault-Index: what an answer reflects, and what a client has seen."""

from __future__ import annotations

import base64

import pytest

from tests.node.flow_site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSAL = (400, ["X-Vault-Index is not a state of this cluster"])


def opened(state: str) -> list[str]:
    return base64.b64decode(state).decode().split(":")


def closed(parts: list[str]) -> str:
    return base64.b64encode(":".join(parts).encode()).decode()


async def test_every_answer_to_a_token_names_its_index(three: Site) -> None:
    """Reads, writes, refusals and a node's own paths, in the form Vault's Go client parses."""
    for method, path, body in (
        ("GET", "secret/data/missing", None),
        ("POST", "secret/data/index", {"data": {}}),
        ("POST", "secret/data/index", {"data": {}, "options": {"cas": 99}}),
        ("GET", "sys/mounts", None),
        ("GET", "strongroom/status", None),
    ):
        for server in three.servers:
            reply = await server.ask(method, path, body, token=three.token)
            version, cluster, index, zero, mac = opened(reply.headers["X-Vault-Index"])

            assert (version, index, zero) == ("v1", reply.headers["X-Strongroom-Index"], "0")
            assert (len(cluster), len(mac)) == (36, 64)


async def test_an_answer_to_nobody_names_no_index(three: Site) -> None:
    """Who has no token learns nothing of how much is written."""
    for path in ("secret/data/index", "sys/internal/ui/mounts", "sys/health", "nowhere"):
        reply = await three.leader.ask("GET", path)

        assert not {"X-Strongroom-Index", "X-Vault-Index"} & set(reply.headers)


async def test_all_nodes_understand_each_others_states(three: Site) -> None:
    """And answer with a state that is not older."""
    written = await three.ask("POST", "secret/data/index", {"data": {}})
    headers = [("X-Vault-Index", written.headers["X-Vault-Index"])]
    for server in three.servers:
        for method, body in (("GET", None), ("POST", {"data": {}})):
            reply = await server.ask(method, "secret/data/index", body, token=three.token, headers=headers)

            assert (reply.status, reply.index >= written.index) == (200, True)


async def test_every_state_of_several_must_hold(three: Site) -> None:
    """One bad one among good ones is refused."""
    good = (await three.ask("GET", "sys/mounts")).headers["X-Vault-Index"]
    for states, status in (([good, good], 200), ([good, "x"], 400), (["x", good], 400)):
        headers = [("X-Vault-Index", state) for state in states]
        reply = await three.leader.ask("GET", "sys/mounts", token=three.token, headers=headers)

        assert reply.status == status


@pytest.mark.parametrize(
    "change",
    [
        lambda p: [p[0], p[1], str(int(p[2]) + 1), p[3], p[4]],  # another index
        lambda p: [p[0], "01234567-89ab-cdef-0123-456789abcdef", p[2], p[3], p[4]],  # another cluster
        lambda p: ["v2", p[1], p[2], p[3], p[4]],
        lambda p: [p[0], p[1], p[2], "1", p[4]],
        lambda p: [p[0], p[1], p[2], p[3], "0" * 64],  # another key
        lambda p: [p[0], p[1], p[2], p[3], ""],
        lambda p: p[:4],
        lambda p: [*p, "more"],
        lambda p: [p[0], p[1], "9" * 5000, p[3], p[4]],
        lambda p: [p[0], p[1], "\u0661", p[3], p[4]],
    ],
)
async def test_a_state_that_was_changed_is_400(three: Site, change) -> None:
    """On the leader and on a follower, for reads and writes, whoever asks."""
    good = (await three.ask("GET", "sys/mounts")).headers["X-Vault-Index"]
    headers = [("X-Vault-Index", closed(change(opened(good))))]
    for server in (three.leader, three.followers[0]):
        for method, body in (("GET", None), ("POST", {"data": {}})):
            reply = await server.ask(method, "secret/data/index", body, token=three.token, headers=headers)

            assert (reply.status, reply.errors) == REFUSAL


@pytest.mark.parametrize("state", ["x", "====", "\u00e9", "djE6", "A" * 3])
async def test_a_state_that_is_none_is_400(three: Site, state: str) -> None:
    """Whatever it is."""
    reply = await three.leader.ask("GET", "sys/mounts", token=three.token, headers=[("X-Vault-Index", state)])

    assert (reply.status, reply.errors) == REFUSAL


async def test_a_state_of_another_cluster_is_400(one: Site, three: Site) -> None:
    """With a good MAC of its own."""
    foreign = (await one.ask("GET", "sys/mounts")).headers["X-Vault-Index"]
    reply = await three.leader.ask("GET", "sys/mounts", token=three.token, headers=[("X-Vault-Index", foreign)])

    assert (reply.status, reply.errors) == REFUSAL
