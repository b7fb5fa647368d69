"""Tokens of logins and the mount that made them: one fact ends them all, and a new mount at the path is another one."""

from __future__ import annotations

import pytest

from node.request import Refusal
from tests.node.auth.login_world import LoginWorld


@pytest.fixture
def world() -> LoginWorld:
    return LoginWorld()


def logged_in(world: LoginWorld, **fields: object) -> str:
    role_id = world.role("app", **fields)
    token: str = world.approle(role_id, world.secret_id())["client_token"]
    return token


def test_a_disabled_auth_method_ends_its_tokens_and_those_below_them(world: LoginWorld) -> None:
    """At once; those of another method and of nobody's login live on."""
    world.policy("parents", 'path "auth/token/create" { capabilities = ["update"] }')
    token = logged_in(world, token_policies="parents")
    child = world.make(token=token)
    world.ask("update", "auth/userpass/users/alice", {"password": "correct horse"})
    other = world.log_in("auth/userpass/login/alice", {"password": "correct horse"}).auth["client_token"]
    everybody = (token, child, other, world.make())
    assert [world.works(one) for one in everybody] == [True, True, True, True]
    world.ask("delete", "sys/auth/approle")

    assert [world.works(one) for one in everybody] == [False, False, True, True]


def test_a_batch_token_ends_with_the_mount_that_made_it(world: LoginWorld) -> None:
    """Though nothing of it is stored."""
    token = logged_in(world, token_type="batch")
    assert token.startswith("hvb.")
    assert world.works(token)
    world.ask("delete", "sys/auth/approle")

    assert not world.works(token)


@pytest.mark.parametrize(
    ("of_mount", "of_role", "prefix"),
    [
        ("batch", "", "hvb."), ("batch", "service", "hvb."), ("service", "batch", "hvs."),
        ("default-batch", "", "hvb."), ("default-batch", "service", "hvs."), ("default-service", "", "hvs."),
        ("default-service", "batch", "hvb."),
    ],
)  # fmt: skip
def test_what_the_mount_insists_on_counts_before_what_the_role_says(
    world: LoginWorld, of_mount: str, of_role: str, prefix: str
) -> None:
    """A default counts where the role says nothing."""
    world.ask("update", "sys/auth/approle/tune", {"token_type": of_mount})
    token = logged_in(world, token_type=of_role) if of_role else logged_in(world)

    assert token.startswith(prefix)
    assert world.works(token)


def test_a_mount_of_batch_tokens_makes_none_that_it_could_not_keep(world: LoginWorld) -> None:
    """A limited number of uses needs a record: 400, and no token of another kind instead."""
    world.ask("update", "sys/auth/approle/tune", {"token_type": "batch"})
    with pytest.raises(Refusal) as refused:
        logged_in(world, token_num_uses=2)

    assert (refused.value.status, refused.value.texts) == (
        400, ("'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",),
    )  # fmt: skip


def test_a_new_mount_at_the_path_does_not_bring_tokens_back(world: LoginWorld) -> None:
    """It has another uuid."""
    token = logged_in(world)
    world.ask("delete", "sys/auth/approle")
    world.ask("update", "sys/auth/approle", {"type": "approle"})

    assert not world.works(token)


def test_a_moved_mount_ends_the_tokens_of_its_old_path(world: LoginWorld) -> None:
    """And makes good ones where it is now."""
    token = logged_in(world)
    world.ask("update", "sys/remount", {"from": "auth/approle", "to": "auth/moved"})

    assert not world.works(token)


@pytest.mark.parametrize("type_", ["service", "batch"])
def test_a_mount_that_comes_back_does_not_bring_tokens_back(world: LoginWorld, type_: str) -> None:
    """Nor those below them: what ended with the move has ended. Who logs in then has a good one."""
    world.policy("parents", 'path "auth/token/create" { capabilities = ["update"] }')
    token = logged_in(world, token_type=type_, token_policies="parents")
    everybody = [token] if type_ == "batch" else [token, world.make(token=token)]
    world.pass_time(1)
    world.ask("update", "sys/remount", {"from": "auth/approle", "to": "auth/moved"})
    ended = [world.works(one) for one in everybody]
    world.pass_time(1)
    world.ask("update", "sys/remount", {"from": "auth/moved", "to": "auth/approle"})
    world.pass_time(1)
    later = logged_in(world, token_type=type_)

    assert (ended, [world.works(one) for one in everybody]) == ([False] * len(everybody),) * 2
    assert world.works(later)


def test_a_moved_and_tuned_mount_keeps_what_it_knows_of_tokens(world: LoginWorld) -> None:
    """A change of the record does not forget until when they are void."""
    token = logged_in(world)
    for source, target in (("approle", "moved"), ("moved", "approle")):
        world.ask("update", "sys/remount", {"from": f"auth/{source}", "to": f"auth/{target}"})
    world.ask("update", "sys/auth/approle/tune", {"description": "of the department"})

    assert not world.works(token)


def test_a_tuned_mount_keeps_its_tokens(world: LoginWorld) -> None:
    """It is the same mount."""
    token = logged_in(world)
    world.ask("update", "sys/auth/approle/tune", {"description": "of the department"})

    assert world.works(token)
