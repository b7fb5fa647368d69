"""Lockout: after so many failures a name is refused for a while, whoever asks and however right."""

import pytest

from node.auth import lockout, lockout_settings
from node.auth.lockout import Lockout
from node.request import Refusal
from tests.node.auth.login_world import LoginWorld

INVALID, LOCKED = (400, "invalid role or secret ID"), (403, "permission denied")
WRONG = (400, "invalid username or password")
USER = "auth/userpass/login/ann"


@pytest.fixture
def world() -> LoginWorld:
    return LoginWorld()


def failures(world: LoginWorld, count: int, role_id: str) -> list[tuple[int, str]]:
    return [world.no_approle(role_id, f"wrong {number}") for number in range(count)]


def test_the_sixth_attempt_is_locked_and_so_is_the_right_one(world):
    """For a quarter of an hour from the last failure; then the count begins anew."""
    role_id, secret_id = world.role(), world.secret_id()
    assert failures(world, 7, role_id) == 5 * [INVALID] + 2 * [LOCKED]
    assert world.no_approle(role_id, secret_id) == LOCKED
    world.pass_time(899)
    assert world.no_approle(role_id, secret_id) == LOCKED
    world.pass_time(1)
    assert world.no_approle(role_id, "wrong") == INVALID
    assert world.approle(role_id, secret_id)


def test_four_failures_do_not_lock(world):
    """And a login that is granted forgets them."""
    role_id, secret_id = world.role(), world.secret_id()
    for _ in range(3):
        assert failures(world, 4, role_id) == 4 * [INVALID]
        assert world.approle(role_id, secret_id)


def test_failures_long_ago_do_not_count(world):
    """After the counter's reset; shortly before, they do."""
    role_id = world.role()
    failures(world, 4, role_id)
    world.pass_time(900)
    assert failures(world, 5, role_id) == 5 * [INVALID]
    assert failures(world, 1, role_id) == [LOCKED]
    world.pass_time(900)
    failures(world, 4, role_id)
    world.pass_time(899)
    assert failures(world, 2, role_id) == [INVALID, LOCKED]


def test_a_name_that_nobody_has_is_locked_alike(world):
    """So the answers do not tell which names there are."""
    world.role()
    assert failures(world, 6, "nobody's") == 5 * [INVALID] + [LOCKED]
    assert [world.turned_away("auth/userpass/login/nobody", {"password": "x"}) for _ in range(6)] == [
        *5 * [WRONG], LOCKED,
    ]  # fmt: skip


def test_every_name_of_every_mount_is_counted_by_itself(world):
    """What locks one locks no other."""
    first, second = world.role(), world.role("other")
    world.ask("update", "sys/auth/copy", {"type": "approle"})
    world.ask("update", "auth/copy/role/app", {"role_id": first})
    failures(world, 6, first)

    assert world.no_approle(second, "wrong") == INVALID
    assert world.turned_away("auth/copy/login", {"role_id": first, "secret_id": "x"}) == INVALID
    assert world.no_approle(first, "wrong") == LOCKED


def test_what_is_no_wrong_proof_does_not_count(world):
    """A missing field, an address outside: the secret-id was not guessed at."""
    role_id, secret_id = world.role(), world.secret_id(cidr_list="10.0.0.0/8")
    for _ in range(6):
        for any_id in (role_id, "nobody's"):
            assert world.turned_away("auth/approle/login", {"role_id": any_id}) == (400, "missing secret_id")
        assert world.no_approle(role_id, secret_id, "192.0.2.1")[0] == 400
    assert world.approle(role_id, secret_id, "10.0.0.1")
    assert failures(world, 1, "nobody's") == [INVALID]


def test_a_mount_can_be_tuned(world):
    """Threshold, duration and reset; the settings are shown by tune and by the list, and change one by one."""
    tune = "sys/auth/approle/tune"
    assert "user_lockout_threshold" not in world.data("read", tune)
    world.ask("update", tune, {"user_lockout_config": {"lockout_threshold": "2", "lockout_duration": "1m"}})
    world.ask("update", tune, {"user_lockout_config": {"lockout_counter_reset": 30}})
    shown = {
        "user_lockout_counter_reset_duration": 30, "user_lockout_disable": False, "user_lockout_duration": 60,
        "user_lockout_threshold": 2,
    }  # fmt: skip
    assert world.data("read", tune).items() >= shown.items()
    assert world.data("read", "sys/auth")["approle/"]["config"]["user_lockout_config"] == shown

    role_id = world.role()
    assert failures(world, 3, role_id) == [INVALID, INVALID, LOCKED]
    world.pass_time(60)
    assert failures(world, 1, role_id) == [INVALID]
    world.pass_time(30)
    assert failures(world, 2, role_id) == [INVALID, INVALID]


def test_lockout_can_be_switched_off(world):
    """Also while somebody is locked."""
    role_id, secret_id = world.role(), world.secret_id()
    failures(world, 5, role_id)
    world.ask("update", "sys/auth/approle/tune", {"user_lockout_config": {"lockout_disable": True}})
    assert failures(world, 8, role_id) == 8 * [INVALID]
    assert world.approle(role_id, secret_id)


@pytest.mark.parametrize(
    ("path", "config", "text"),
    [
        ("approle", {"lockout_threshold": -1}, "invalid lockout threshold"),
        ("approle", {"lockout_duration": "-1s"}, "invalid value for lockout_duration"),
        ("approle", {"lockout_counter_reset": "soon"}, "invalid value for lockout_counter_reset"),
        ("token", {}, 'tuning of user lockout configuration for auth type "token" not allowed'),
    ],
)
def test_a_wrong_setting_is_refused(world, path, config, text):
    """And nothing of it is kept."""
    body = {"user_lockout_config": config}
    assert world.refused("update", f"sys/auth/{path}/tune", body) == (400, text, False)
    assert "user_lockout_config" not in world.data("read", "sys/auth")[f"{path}/"]["config"]


def test_whoever_is_locked_is_listed_and_let_in_again(world):
    """By the accessor of the mount and the name; names that nobody has are not listed."""
    role_id, secret_id = world.role(), world.secret_id()
    world.ask("update", "auth/userpass/users/ann", {"password": "right"})
    assert world.data("read", "sys/locked-users") == {"by_namespace": [], "total": 0}
    failures(world, 5, role_id)
    failures(world, 5, "nobody's")
    for _ in range(5):
        world.turned_away(USER, {"password": "wrong"})

    mounts = world.data("read", "sys/auth")
    listed = world.data("read", "sys/locked-users")
    by_mount = listed["by_namespace"][0]["mount_accessors"]
    accessors = {one["mount_accessor"]: one["alias_identifiers"] for one in by_mount}
    assert accessors == {mounts["approle/"]["accessor"]: [role_id], mounts["userpass/"]["accessor"]: ["ann"]}
    assert listed["total"] == 2

    path = f"sys/locked-users/{mounts['approle/']['accessor']}/unlock/{role_id}"
    assert world.ask("update", path).empty
    world.plans[-1].after()
    assert world.approle(role_id, secret_id)
    assert world.turned_away(USER, {"password": "right"}) == LOCKED
    assert world.refused("update", "sys/locked-users/none/unlock/x")[0] == 400


def test_made_up_names_push_out_made_up_names_alone(monkeypatch):
    """However many are tried, a real name stays locked; what is remembered is bounded."""
    monkeypatch.setattr(lockout, "UNKNOWN_MAX", 10)
    world = LoginWorld()
    role_id = world.role()
    failures(world, 5, role_id)
    for number in range(50):
        world.no_approle(f"made up {number}", "x")
    assert world.no_approle(role_id, "x") == LOCKED
    assert repr(world.lockout) == "<Lockout of 11 names>"


@pytest.mark.parametrize(("attempts", "names"), [(1, 5_000), (4, 5_000), (5, 800)])
def test_a_flood_does_not_tell_a_name_that_somebody_has(monkeypatch, attempts, names):
    """Of more made-up names than are kept that fail a few times, of nearly as many that lock: both stay locked."""
    monkeypatch.setattr(lockout, "UNKNOWN_MAX", 1_000)
    world = LoginWorld()
    context, other = world.context("auth/userpass/login/x"), world.context("auth/approle/login")
    for _ in range(5):
        world.lockout.failed(context, "ann", is_known=True)
        world.lockout.failed(context, "nobody", is_known=False)
    for number in range(names):
        for _ in range(attempts):
            world.lockout.failed(other if number % 2 else context, f"made up {number}", is_known=False)
    for name in ("ann", "nobody"):
        with pytest.raises(Refusal):
            world.lockout.check(context, name)
    world.lockout.check(context, "somebody else")


def test_real_names_are_bounded_too(monkeypatch):
    """The oldest failure is forgotten first."""
    monkeypatch.setattr(lockout, "KNOWN_MAX", 3)
    world = LoginWorld()
    ids = [world.role(f"r{number}") for number in range(4)]
    for role_id in ids:
        failures(world, 5, role_id)
    assert [world.no_approle(role_id, "x") for role_id in reversed(ids)] == [LOCKED, LOCKED, LOCKED, INVALID]


def test_a_name_that_came_to_be_is_still_locked(world):
    """Whoever guessed at it before it was there has guessed."""
    failures(world, 5, "chosen")
    world.role(role_id="chosen")
    assert world.no_approle("chosen", world.secret_id()) == LOCKED


def test_nothing_of_it_is_written(world):
    """No record changes by a failure: refused logins are no storm of writes."""
    role_id = world.role()
    before = world.state.applied_index
    failures(world, 20, role_id)
    assert world.state.applied_index == before


def test_settings_have_vaults_defaults():
    """Five failures, a quarter of an hour, twice."""
    found = lockout_settings.settings_of(None)
    assert (found.threshold, found.duration_s, found.counter_reset_s, found.disabled) == (5, 900, 900, False)


def test_another_node_counts_for_itself(world):
    """A new leader begins anew: said in the documents, and so it is."""
    context = world.context("auth/approle/login")
    old, new = Lockout(), Lockout()
    for _ in range(5):
        old.failed(context, "a", is_known=True)
    with pytest.raises(Refusal):
        old.check(context, "a")
    new.check(context, "a")
