"""Secret-ids: made, looked at, destroyed, and what a role lets one grant."""

import base64
import json

import pytest

from cluster import sweeps
from node.auth.approle import sweeping
from tests.node.auth.login_world import LoginWorld

ROLE = "auth/approle/role/app"


@pytest.fixture
def world() -> LoginWorld:
    made = LoginWorld()
    made.role()
    return made


def test_a_secret_id_is_told_once(world):
    """Both ids are UUIDs; the plan says that its answer holds a secret."""
    data = world.data("update", f"{ROLE}/secret-id", {"ttl": "1h", "num_uses": 3})

    assert set(data) == {"secret_id", "secret_id_accessor", "secret_id_num_uses", "secret_id_ttl"}
    assert (len(data["secret_id"]), len(data["secret_id_accessor"])) == (36, 36)
    assert (data["secret_id_ttl"], data["secret_id_num_uses"]) == (3600, 3)
    assert world.plans[-1].secret_answer
    assert world.data("list", f"{ROLE}/secret-id/") == {"keys": [data["secret_id_accessor"]]}


def test_looking_up_by_secret_id_and_by_accessor_shows_the_same(world):
    """Everything but the secret-id; times in RFC 3339."""
    made = world.data(
        "update", f"{ROLE}/secret-id", {"ttl": 60, "metadata": '{"a":"1"}', "cidr_list": "10.0.0.0/8"}
    )
    by_id = world.data("update", f"{ROLE}/secret-id/lookup", {"secret_id": made["secret_id"]})
    accessor = {"secret_id_accessor": made["secret_id_accessor"]}

    assert by_id == {
        "cidr_list": ["10.0.0.0/8"], "creation_time": "2025-11-24T09:41:00.25Z", "metadata": {"a": "1"},
        "expiration_time": "2025-11-24T09:42:00.25Z", "last_updated_time": "2025-11-24T09:41:00.25Z",
        "secret_id_accessor": made["secret_id_accessor"], "secret_id_num_uses": 0, "secret_id_ttl": 60,
        "token_bound_cidrs": [],
    }  # fmt: skip
    assert world.data("update", f"{ROLE}/secret-id-accessor/lookup", accessor) == by_id


def test_a_secret_id_without_an_end_says_so(world):
    """As Go's zero time."""
    data = world.data("update", f"{ROLE}/secret-id/lookup", {"secret_id": world.secret_id()})
    assert data["expiration_time"] == "0001-01-01T00:00:00Z"


def test_what_is_not_there_is_told_as_vault_tells_it(world):
    """204 for a secret-id, a 404 with data for an accessor; a missing role is 404."""
    assert world.ask("update", f"{ROLE}/secret-id/lookup", {"secret_id": "no"}).empty
    answer = world.ask("update", f"{ROLE}/secret-id-accessor/lookup", {"secret_id_accessor": "no/no"})
    assert (answer.status, list(answer.data)) == (404, ["error"])
    text = 'role "no" does not exist'
    gone = "auth/approle/role/no"
    assert world.refused("update", f"{gone}/secret-id", {}) == (404, text, False)
    assert world.refused("update", f"{gone}/custom-secret-id", {"secret_id": "x"}) == (404, text, False)
    assert world.refused("list", f"{gone}/secret-id/") == (404, text, False)
    for path in ("lookup", "destroy"):
        assert world.refused("update", f"{gone}/secret-id/{path}", {"secret_id": "x"}) == (404, text, True)
        refused = world.refused("update", f"{gone}/secret-id-accessor/{path}", {"secret_id_accessor": "x"})
        assert refused == (404, text, True)


@pytest.mark.parametrize("path", ["secret-id/lookup", "secret-id/destroy", "custom-secret-id"])
def test_a_request_without_its_id_is_refused(world, path):
    """Named by its field."""
    assert world.refused("update", f"{ROLE}/{path}", {}) == (400, "missing secret_id", False)
    accessor_path = path.replace("secret-id/", "secret-id-accessor/")
    if accessor_path != path:
        assert world.refused("update", f"{ROLE}/{accessor_path}", {}) == (400, "missing secret_id_accessor", False)


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_a_destroyed_secret_id_is_of_no_use(world, operation):
    """By itself or by its accessor, and the other one stays."""
    role_id = world.role()
    first, second = (world.data("update", f"{ROLE}/secret-id", {}) for _ in range(2))
    kept = world.secret_id()
    for path, given in (
        ("secret-id", {"secret_id": first["secret_id"]}),
        ("secret-id-accessor", {"secret_id_accessor": second["secret_id_accessor"]}),
    ):
        query = given if operation == "delete" else None
        assert world.ask(operation, f"{ROLE}/{path}/destroy", given, query=query).empty

    assert world.ask("update", f"{ROLE}/secret-id/destroy", {"secret_id": first["secret_id"]}).empty
    refused = world.refused(
        "update", f"{ROLE}/secret-id-accessor/destroy", {"secret_id_accessor": second["secret_id_accessor"]}
    )
    assert refused == (403, "invalid secret id accessor", False)
    assert world.no_approle(role_id, first["secret_id"])[0] == 400
    assert world.no_approle(role_id, second["secret_id"])[0] == 400
    assert world.approle(role_id, kept)
    assert (world.entries("secret-id/"), world.entries("accessor/")) == (1, 1)


def test_a_secret_id_of_ones_own_choice(world):
    """Works as any other, is taken once, and may be chosen again where it was destroyed or has expired."""
    role_id = world.role()
    path, body = f"{ROLE}/custom-secret-id", {"secret_id": "of/my own", "ttl": 60}
    assert world.data("update", path, body)["secret_id"] == "of/my own"
    assert world.approle(role_id, "of/my own")
    assert world.refused("update", path, body) == (400, "SecretID is already registered", False)
    world.pass_time(60)
    assert world.data("update", path, body)
    assert world.entries("accessor/") == 1
    too_long = {"secret_id": "x" * 4097}
    assert world.refused("update", path, too_long) == (400, "a secret_id has at most 4096 characters", False)


@pytest.mark.parametrize(
    ("role", "given", "text"),
    [
        ({"secret_id_num_uses": 5}, {"num_uses": 6}, "num_uses cannot be higher than the role's secret_id_num_uses"),
        ({"secret_id_num_uses": 5}, {"num_uses": 0}, "num_uses cannot be higher than the role's secret_id_num_uses"),
        ({}, {"num_uses": -1}, "num_uses cannot be negative"),
        ({"secret_id_ttl": 60}, {"ttl": 61}, "ttl cannot be longer than the role's secret_id_ttl"),
        ({"secret_id_ttl": 60}, {"ttl": 0}, "ttl cannot be longer than the role's secret_id_ttl"),
        ({"bind_secret_id": False, "token_bound_cidrs": "10.0.0.0/8"}, {}, "bind_secret_id is not set on the role"),
        ({"secret_id_bound_cidrs": "10.1.0.0/16"}, {"cidr_list": "10.1.0.0/24,10.2.0.0/24"},
         'CIDR blocks of cidr_list of the secret ID should be a subset of CIDR blocks on the role "app"'),
        ({"token_bound_cidrs": "10.1.0.0/16"}, {"token_bound_cidrs": "10.0.0.0/8"},
         'CIDR blocks of token_bound_cidrs of the secret ID should be a subset of CIDR blocks on the role "app"'),
        ({}, {"metadata": '{"a":1}'}, "failed to parse metadata: neither a JSON object of strings nor key=value pairs"),
        ({}, {"metadata": "a=1,b"}, "failed to parse metadata: neither a JSON object of strings nor key=value pairs"),
        ({}, {"metadata": "x" * 65_537}, "the metadata of a secret_id has at most 65536 characters"),
    ],
)  # fmt: skip
def test_more_than_the_role_grants_is_refused(world, role, given, text):
    """With Vault's words; no secret-id is made."""
    world.role(**role)
    assert world.refused("update", f"{ROLE}/secret-id", given) == (400, text, False)
    assert world.entries("secret-id/") == 0


@pytest.mark.parametrize(
    ("role", "given"),
    [
        ({"secret_id_num_uses": 5, "secret_id_ttl": 60}, {"num_uses": 5, "ttl": 60}),
        ({"secret_id_num_uses": 5, "secret_id_ttl": 60}, {}),
        ({"secret_id_bound_cidrs": "10.1.0.0/16,::/0"}, {"cidr_list": ["10.1.2.0/24", "10.1.0.1", "fd00::/8"]}),
        ({"token_bound_cidrs": "10.1.0.0/16"}, {"token_bound_cidrs": "10.1.0.0/16"}),
    ],
)
def test_as_much_as_the_role_grants_is_taken(world, role, given):
    """And what is not asked for is what the role says."""
    world.role(**role)
    data = world.data("update", f"{ROLE}/secret-id", given)

    assert data["secret_id_num_uses"] == role.get("secret_id_num_uses", 0)
    assert data["secret_id_ttl"] == role.get("secret_id_ttl", 0)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (json.dumps({"a": "1", "b": "x=y"}), {"a": "1", "b": "x=y"}),
        ("a=1, b = x=y", {"a": "1", "b": "x=y"}),
        (base64.b64encode(b'{"a":"1"}').decode(), {"a": "1"}),
        ("", {}),
    ],
)
def test_metadata_is_text_that_holds_pairs(world, text, pairs):
    """JSON, key=value, or either in base64."""
    secret_id = world.secret_id(metadata=text)
    assert world.data("update", f"{ROLE}/secret-id/lookup", {"secret_id": secret_id})["metadata"] == pairs


def test_an_expired_secret_id_is_as_if_it_had_never_been(world):
    """To the nanosecond of the cluster's stamp; before that it is there."""
    secret_id = world.secret_id(ttl=60)
    lookup = f"{ROLE}/secret-id/lookup", {"secret_id": secret_id}
    world.now_ns += 60 * 10**9 - 1
    assert world.data("update", *lookup)
    world.now_ns += 1
    assert world.ask("update", *lookup).empty


def test_a_secret_id_lives_no_longer_than_the_mount_lets_anything(world):
    """The time to live that is shown is the one that was asked for."""
    world.ask("update", "sys/auth/approle/tune", {"max_lease_ttl": "1h"})
    secret_id = world.secret_id(ttl="2h")
    data = world.data("update", f"{ROLE}/secret-id/lookup", {"secret_id": secret_id})

    assert (data["secret_id_ttl"], data["expiration_time"]) == (7200, "2025-11-24T10:41:00.25Z")


def test_tidy_removes_what_expired_and_nothing_else(world):
    """202 with a warning; done before the answer."""
    kept = world.secret_id(), world.secret_id(ttl=1000)
    for _ in range(3):
        world.secret_id(ttl=10)
    world.pass_time(10)
    answer = world.ask("update", "auth/approle/tidy/secret-id")

    assert (answer.status, len(answer.warnings)) == (202, 1)
    assert (world.entries("secret-id/"), world.entries("accessor/")) == (2, 2)
    assert all(world.approle(world.role(), secret_id) for secret_id in kept)


def test_nothing_needs_more_records_than_a_transaction_holds(world, monkeypatch):
    """A deletion takes some secret-ids along and tidies take the rest, while all of them are of no use at once."""
    monkeypatch.setattr(sweeping, "DELETED_MAX", 3)
    monkeypatch.setattr(sweeping, "TIDIED_MAX", 4)
    role_id = world.role()
    secret_ids = [world.secret_id() for _ in range(12)]
    other = world.role("other")
    others = world.secret_id("other")
    world.ask("delete", ROLE)
    assert len(world.plans[-1].draft.drops) == 2 + 2 * 3
    assert world.role("app", role_id=role_id) == role_id

    assert {world.no_approle(role_id, one)[1] for one in secret_ids[:4]} == {"invalid role or secret ID"}
    left = [world.entries("accessor/")]
    for _ in range(3):
        answer = world.ask("update", "auth/approle/tidy/secret-id")
        left.append(world.entries("accessor/"))
    assert left == [10, 6, 2, 1]
    assert len(answer.warnings) == 1
    assert world.entries("secret-id/") == 1
    assert world.approle(other, others)


def test_tidy_says_when_it_did_not_look_at_everything(world, monkeypatch):
    """It begins at another place each time."""
    monkeypatch.setattr(sweeping, "LOOKED_AT_MAX", 2)
    for _ in range(3):
        world.secret_id()
    assert len(world.ask("update", "auth/approle/tidy/secret-id").warnings) == 2


def test_what_expires_stays_a_fraction_without_a_tidy(world):
    """Making secret-ids looks at others now and then, so what has expired stays in proportion to what lives."""
    world.role(secret_id_ttl=100)
    for _ in range(800):
        world.pass_time(1)
        world.secret_id()

    assert world.entries("accessor/") == world.entries("secret-id/")
    assert 100 <= world.entries("accessor/") < 300


def test_a_disabled_mount_takes_everything_along(world):
    """A new one at the same path knows nothing of it."""
    role_id, secret_id = world.role(), world.secret_id()
    world.ask("delete", "sys/auth/approle")
    world.ask("update", "sys/auth/approle", {"type": "approle"})
    assert world.no_approle(role_id, secret_id) == (400, "invalid role or secret ID")
    while (step := sweeps.next_sweep(world.state)) is not None:
        world.apply(step)
    assert world.entries() == 0
