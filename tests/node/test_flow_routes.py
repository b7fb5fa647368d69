"""Every route: without a token, with a wrong one, denied, allowed, sealed, on a follower, and audited."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.node.flow_routes import OPEN, REFUSED_ONLY, ROUTES, Open, Route, clean, make_case
from tests.node.flow_site import Server, Site, make_config, open_site, start_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

BARE_DENIAL = {"errors": ["permission denied"]}
DENIAL = {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
WRONG = "hvs.000000000000000000000000"

every = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id)
guarded = pytest.mark.parametrize("route", [*ROUTES, *REFUSED_ONLY], ids=lambda route: route.id)
opened = pytest.mark.parametrize("route", OPEN, ids=lambda route: route.id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sealed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A node that is initialised and sealed, and its former root token in `folder/token`."""
    folder = tmp_path_factory.mktemp("sealed")
    server = await start_server(make_config(folder, "n1"), folder)
    site = await open_site([server])
    (folder / "token").write_text(site.token)
    await server.node.desk.seal()
    yield server
    await server.node.stop()


@guarded
async def test_without_a_token_it_is_403(one: Site, route: Route) -> None:
    """Nobody is told what is there."""
    case = await make_case(one, Route("GET", route.path, "", 0))
    reply = await one.leader.ask(route.method, route.path_of(case), route.body_of(case))

    assert (reply.status, reply.json) == (403, BARE_DENIAL)


@guarded
async def test_with_a_wrong_token_it_is_403(one: Site, route: Route) -> None:
    """A token that is not there is as none."""
    case = await make_case(one, Route("GET", route.path, "", 0))
    reply = await one.leader.ask(route.method, route.path_of(case), route.body_of(case), token=WRONG)

    assert (reply.status, reply.json) == (403, BARE_DENIAL)


@guarded
async def test_a_token_that_may_not_is_denied(one: Site, three: Site, route: Route) -> None:
    """On the leader and on a follower, in the words of the core; what was asked for is not done."""
    for site, server in ((one, one.leader), (three, three.followers[0])):
        case = await make_case(site, Route("GET", route.path, "", 0))
        token, _ = await site.new_token()
        reply = await server.ask(route.method, route.path_of(case), route.body_of(case), token=token)

        assert (reply.status, reply.json) == (403, DENIAL)


@pytest.mark.parametrize(
    "route", [r for r in (*ROUTES, *REFUSED_ONLY) if "sudo" in r.capabilities], ids=lambda route: route.id
)
async def test_a_sudo_path_needs_sudo_too(one: Site, route: Route) -> None:
    """The capability of the operation alone is not enough."""
    case = await make_case(one, route)
    path, capabilities = route.rule(case)
    token, _ = await one.new_token((path, capabilities.replace(" sudo", "")))
    reply = await one.leader.ask(route.method, route.path_of(case), route.body_of(case), token=token)
    await clean(one, case)

    assert (reply.status, reply.json) == (403, DENIAL)


@every
async def test_a_token_that_may_is_answered_and_both_records_are_written(one: Site, route: Route) -> None:
    """Request and response, with the same id, the judged policy, and no token in the clear."""
    case = await make_case(one, route)
    token, _ = await one.new_token(route.rule(case))
    reply = await one.leader.ask(route.method, route.path_of(case), route.body_of(case), token=token)
    await clean(one, case)

    assert reply.status == route.status, reply
    lines = one.leader.audit_lines(reply.request_id)
    assert [line["type"] for line in lines] == ["request", "response"]
    for line in lines:
        assert line["request"]["path"].rstrip("/") == route.path_of(case).split("?")[0].rstrip("/")
        assert line["auth"]["policy_results"]["allowed"]
        assert line["auth"]["client_token"].startswith("hmac-sha256:")
        assert token not in str(line)
        assert case.token not in str(line)


@guarded
@pytest.mark.parametrize("given", ["none", "wrong", "denied"])
async def test_a_refusal_is_audited(one: Site, route: Route, given: str) -> None:
    """With the error, whoever asked."""
    token = {"none": None, "wrong": WRONG}.get(given)
    if given == "denied":
        token, _ = await one.new_token()
    case = await make_case(one, Route("GET", route.path, "", 0))
    reply = await one.leader.ask(route.method, route.path_of(case), route.body_of(case), token=token)

    lines = one.leader.audit_lines(reply.request_id)
    assert [line["type"] for line in lines] == ["request", "response"]
    assert all("permission denied" in line["error"] for line in lines)
    assert not any(line["auth"]["policy_results"]["allowed"] for line in lines)


@every
async def test_on_a_follower_it_is_the_same(three: Site, route: Route) -> None:
    """Reads are served there, writes by the leader; the answer says which, and the server's words do not differ."""
    case = await make_case(three, route)
    token, _ = await three.new_token(route.rule(case))
    follower = three.followers[0]
    reply = await follower.ask(route.method, route.path_of(case), route.body_of(case), token=token)
    await clean(three, case)

    assert (reply.status, reply.headers.get("X-Strongroom-Served")) == (route.status, route.expected_served)
    executed = three.leader if route.is_write else follower
    assert reply.headers["X-Strongroom-Node"] == executed.node_id
    lines = executed.audit_lines(reply.request_id)
    assert [line["type"] for line in lines] == ["request", "response"]
    if route.is_write:
        assert [line["forwarded_from"] for line in lines] == [follower.node_id] * 2
        assert follower.audit_lines(reply.request_id) == []
        assert lines[0]["request"]["remote_address"] == "127.0.0.1"


@guarded
@pytest.mark.parametrize("given", ["none", "root"])
async def test_while_sealed_it_is_503(sealed: Server, route: Route, given: str) -> None:
    """Whoever asks: a sealed node cannot tell. Sealing what is sealed is done."""
    token = (sealed.folder / "token").read_text() if given == "root" else None
    reply = await sealed.ask(route.method, route.path.format(name="x"), token=token)

    if route.path == "sys/seal":
        assert (reply.status, reply.body) == (204, b"")
    else:
        assert (reply.status, reply.errors) == (503, ["Vault is sealed"])


@opened
async def test_an_open_route_needs_no_token(one: Site, three: Site, sealed: Server, route: Open) -> None:
    """On a leader, on a follower and on a sealed node."""
    servers = (one.leader, three.followers[0], sealed)
    statuses = [(await server.ask(route.method, route.path)).status for server in servers]

    assert statuses == [route.leads, route.follows, route.sealed]


@opened
async def test_an_open_route_ignores_what_probes_send_for_a_token(one: Site, route: Open) -> None:
    """A wrong token changes nothing, where the path is not judged at all."""
    reply = await one.leader.ask(route.method, route.path, token=WRONG)

    expected = 403 if route.path == "sys/internal/ui/mounts" else route.leads
    assert reply.status == expected


async def test_the_mount_of_a_path_is_told_to_whoever_may_use_it(one: Site) -> None:
    """The question every KV client begins with; unknown and forbidden mounts get the same answer."""
    token, _ = await one.new_token(("secret/data/mine", "read"))
    other, _ = await one.new_token(("kv1/mine", "read"))
    path = "sys/internal/ui/mounts/secret"
    allowed = await one.leader.ask("GET", path, token=token)
    denied = await one.leader.ask("GET", path, token=other)
    missing = await one.leader.ask("GET", "sys/internal/ui/mounts/nowhere", token=token)
    nobody = await one.leader.ask("GET", path)

    assert (allowed.status, allowed.data["path"], allowed.data["options"]) == (200, "secret/", {"version": "2"})
    assert (denied.status, missing.status) == (403, 403)
    assert denied.errors == [missing.errors[0].replace("nowhere/", "secret/")]
    assert (nobody.status, nobody.json) == (403, BARE_DENIAL)
    assert [line["type"] for line in one.leader.audit_lines(denied.request_id)] == ["request", "response"]


@pytest.mark.parametrize(
    ("method", "path", "status", "texts"),
    [
        ("GET", "nowhere/a", 404, ['no handler for route "nowhere/a". route entry not found.']),
        ("GET", "", 404, ['no handler for route "". route entry not found.']),
        ("POST", "nowhere/a", 404, ['no handler for route "nowhere/a". route entry not found.']),
        ("GET", "sys/nonsense", 404, ["1 error occurred:\n\t* unsupported path\n\n"]),
        ("POST", "sys/nonsense", 404, ["1 error occurred:\n\t* unsupported path\n\n"]),
        ("DELETE", "sys/audit-hash/file", 405, ["1 error occurred:\n\t* unsupported operation\n\n"]),
        ("GET", "cubbyhole/a", 404, []),
        ("PATCH", "kv1/a", 405, ["1 error occurred:\n\t* unsupported operation\n\n"]),
        ("HEAD", "secret/data/a", 405, ["1 error occurred:\n\t* unsupported operation\n\n"]),
        ("GET", "secret/data/missing", 404, []),
        ("LIST", "secret/metadata/missing/", 404, []),
        ("POST", "secret/data/a/", 400, ["cannot write to a path ending in '/'"]),
        ("GET", "/nowhere", 404, []),
        ("GET", "/", 404, []),
    ],
)
async def test_what_is_not_there_is_refused_with_vaults_words(
    one: Site, three: Site, method: str, path: str, status: int, texts: list[str]
) -> None:
    """For root, on the leader and on a follower."""
    for site, server in ((one, one.leader), (three, three.followers[0])):
        reply = await server.ask(method, path, {} if method in {"POST", "PATCH"} else None, token=site.token)

        assert (reply.status, reply.errors) == (status, texts)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "sys/init", 405),
        ("POST", "sys/seal-status", 405),
        ("GET", "sys/unseal", 405),
        ("POST", "sys/health", 405),
        ("POST", "sys/leader", 405),
        ("GET", "sys/seal", 405),
        ("GET", "sys/step-down", 405),
        ("POST", "sys/ha-status", 405),
        ("POST", "strongroom/status", 405),
        ("POST", "sys/metrics", 405),
    ],
)
async def test_a_path_of_the_nodes_own_knows_its_methods(one: Site, method: str, path: str, status: int) -> None:
    """Other verbs are 405, not served as the next best thing."""
    reply = await one.leader.ask(method, path, token=one.token)

    assert reply.status == status


async def test_help_is_told_to_any_valid_token_and_to_nobody_else(one: Site) -> None:
    """As Vault: whatever its policies are."""
    token, _ = await one.new_token()
    for path in ("sys/mounts", "secret/data/a", "auth/token/create"):
        helped = await one.leader.ask("GET", f"{path}?help=1", token=token)
        nobody = await one.leader.ask("GET", f"{path}?help=1")

        assert (helped.status, sorted(helped.json)) == (200, ["help", "openapi", "see_also"])
        assert (nobody.status, nobody.json) == (403, BARE_DENIAL)
