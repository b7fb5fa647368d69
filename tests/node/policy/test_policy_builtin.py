"""What every cluster has: built-in policies, names that are guarded, sudo paths, open paths."""

from __future__ import annotations

import pytest

from node.policy import Acl, Identity, PolicyError, builtin, parse_policy

DEFAULT = parse_policy(builtin.DEFAULT_TEXT)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("read", "auth/token/lookup-self"),
        ("update", "auth/token/renew-self"),
        ("update", "auth/token/revoke-self"),
        ("update", "sys/capabilities-self"),
        ("read", "identity/entity/id/e-1"),
        ("read", "identity/entity/name/alice"),
        ("read", "sys/internal/ui/resultant-acl"),
        ("update", "sys/leases/renew"),
        ("update", "sys/leases/lookup"),
        ("create", "cubbyhole/x"),
        ("read", "cubbyhole/x"),
        ("update", "cubbyhole/x"),
        ("delete", "cubbyhole/x"),
        ("list", "cubbyhole/"),
        ("update", "sys/wrapping/wrap"),
        ("update", "sys/wrapping/lookup"),
        ("update", "sys/wrapping/unwrap"),
        ("update", "sys/tools/hash"),
        ("update", "sys/tools/hash/sha2-256"),
        ("read", "identity/oidc/provider/p/authorize"),
        ("update", "identity/oidc/provider/p/authorize"),
    ],
)
def test_the_default_policy_lets_a_token_mind_itself(operation: str, path: str) -> None:
    """Every grant of Vault's default policy."""
    assert Acl.compile([("default", DEFAULT)], Identity("e-1", "alice")).check(operation, path).allowed


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("update", "auth/token/lookup-self"),
        ("update", "auth/token/create"),
        ("update", "sys/capabilities"),
        ("read", "identity/entity/id/e-2"),
        ("read", "identity/entity/name/bob"),
        ("update", "sys/leases/revoke"),
        ("list", "sys/leases/lookup/"),
        ("patch", "cubbyhole/x"),
        ("read", "secret/x"),
        ("read", "sys/mounts"),
    ],
)
def test_the_default_policy_grants_nothing_else(operation: str, path: str) -> None:
    """The twins: others' entities, other operations, other paths."""
    assert not Acl.compile([("default", DEFAULT)], Identity("e-1", "alice")).check(operation, path).allowed


def test_a_wrapping_token_can_unwrap_and_nothing_else() -> None:
    """The hidden policy holds two paths."""
    acl = Acl.compile([("response-wrapping", parse_policy(builtin.RESPONSE_WRAPPING_TEXT))])

    assert acl.patterns() == {"cubbyhole/response": ["create", "read"], "sys/wrapping/unwrap": ["update"]}
    assert not acl.check("read", "cubbyhole/other").allowed


@pytest.mark.parametrize("name", ["root", "ROOT", " root", "Root\t", "\u00a0rOOt\n"])
def test_root_is_root_however_it_is_spelt(name: str) -> None:
    """CVE-2025-54996, CVE-2025-64761: no spelling of root reaches an entity, an editor or a deletion."""
    assert builtin.normalise_name(name) == "root"
    with pytest.raises(PolicyError, match=r"^policies cannot contain root$"):
        builtin.identity_names(["app", name])
    with pytest.raises(PolicyError, match=r'^cannot update "root" policy$'):
        builtin.check_update(name)
    with pytest.raises(PolicyError, match=r'^cannot delete "root" policy$'):
        builtin.check_delete(name)


def test_the_other_built_in_names_are_guarded() -> None:
    """response-wrapping is untouchable and not assignable; default is editable, not deletable."""
    with pytest.raises(PolicyError, match=r'^cannot update "response-wrapping" policy$'):
        builtin.check_update("response-wrapping")
    with pytest.raises(PolicyError, match=r'^cannot delete "response-wrapping" policy$'):
        builtin.check_delete("response-wrapping")
    with pytest.raises(PolicyError, match=r"^cannot delete default policy$"):
        builtin.check_delete("Default")
    for assign in (builtin.assignable_names, builtin.identity_names):
        with pytest.raises(PolicyError, match=r'^cannot assign policy "response-wrapping"$'):
            assign(["app", " Response-Wrapping"])
    builtin.check_update("default")
    builtin.check_update("app")
    builtin.check_delete("app")


def test_names_are_trimmed_lower_case_sorted_and_unique() -> None:
    """What the token and the entity keep."""
    assert builtin.assignable_names([" Nothing ", "APP", "app", "", " "]) == ("app", "nothing")
    assert builtin.identity_names(["App"]) == ("app",)
    assert builtin.assignable_names([" ROOT", "app"]) == ("app", "root")


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("list", "auth/token/accessors"),
        ("list", "auth/token/accessors/"),
        ("update", "auth/token/revoke-batch-tokens"),
        ("update", "auth/token/revoke-orphan"),
        ("update", "sys/auth/x"),
        ("read", "sys/auth/x/tune"),
        ("update", "sys/remount"),
        ("read", "sys/audit"),
        ("update", "sys/audit/file"),
        ("delete", "sys/audit/file"),
        ("read", "sys/raw"),
        ("read", "sys/raw/core"),
        ("update", "sys/rotate"),
        ("update", "sys/rotate/keyring"),
        ("update", "sys/rotate/root"),
        ("update", "sys/rotate/root/init"),
        ("read", "sys/config/cors"),
        ("update", "sys/config/auditing/request-headers/x"),
        ("update", "sys/config/ui/headers/x"),
        ("update", "sys/plugins/catalog/auth/x"),
        ("update", "sys/revoke-prefix/x"),
        ("update", "sys/revoke-force/x"),
        ("update", "sys/leases/revoke-prefix/x"),
        ("update", "sys/leases/revoke-force/x"),
        ("list", "sys/leases/lookup/x/"),
        ("list", "sys/leases/lookup/"),
        ("read", "sys/leases"),
        ("read", "sys/internal/inspect/router/root"),
        ("delete", "pki/root"),
        ("update", "sys/seal"),
        ("update", "sys/step-down"),
        ("update", "sys/storage/raft/snapshot"),
        ("update", "sys/storage/raft/snapshot-force"),
        ("update", "sys/storage/raft/remove-peer"),
        ("update", "sys/storage/raft/promote"),
        ("update", "sys/storage/raft/demote"),
        ("update", "strongroom/adopt"),
        ("update", "strongroom/backup/restore"),
        ("update", "strongroom/backup/prune"),
        ("update", "/sys/seal"),
    ],
)
def test_a_sudo_path_needs_sudo(operation: str, path: str) -> None:
    """Vault's table and ours; asking for help never needs it."""
    assert builtin.needs_sudo(path, operation)
    assert not builtin.needs_sudo(path, "help")


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("read", "sys/auth"),
        ("read", "sys/mounts"),
        ("update", "sys/leases/lookup"),
        ("update", "sys/leases/renew"),
        ("read", "sys/rotate/config"),
        ("update", "auth/token/create"),
        ("update", "auth/token/create-orphan"),
        ("read", "sys/storage/raft/snapshot"),
        ("read", "sys/storage/raft/configuration"),
        ("read", "strongroom/backup/status"),
        ("read", "kv/sys/audit"),
        ("update", "sys/sealed"),
    ],
)
def test_other_paths_do_not_need_sudo(operation: str, path: str) -> None:
    """The twins, neighbours of sudo paths."""
    assert not builtin.needs_sudo(path, operation)


@pytest.mark.parametrize(
    "path",
    [
        "sys/init",
        "sys/unseal",
        "sys/seal-status",
        "sys/leader",
        "sys/health",
        "sys/wrapping/lookup",
        "sys/internal/specs/openapi",
        "sys/internal/ui/mounts",
        "sys/internal/ui/mounts/kv/x",
        "sys/internal/ui/namespaces",
        "sys/storage/raft/bootstrap/challenge",
        "sys/replication/status",
        "sys/decode-token",
        "sys/mfa/validate",
    ],
)
def test_an_open_path_needs_no_token(path: str) -> None:
    """Vault's table."""
    assert builtin.is_unauthenticated(path)


@pytest.mark.parametrize(
    "path",
    [
        "sys/seal",
        "sys/mounts",
        "sys/wrapping/unwrap",
        "sys/wrapping/wrap",
        "sys/health/x",
        "sys/init/",
        "sys/internal/ui/mountsx",
        "sys/internal/ui/resultant-acl",
        "sys/rekey/backup",
        "sys/generate-root-token/attempt",
        "auth/token/create",
        "auth/approle/login",
        "kv/login",
        "",
    ],
)
def test_every_other_path_needs_a_token(path: str) -> None:
    """The twins; a login path too, as long as nobody says which mount it belongs to."""
    assert not builtin.is_unauthenticated(path)
    assert not builtin.is_unauthenticated(path, rekey_is_open=True)


@pytest.mark.parametrize(
    ("path", "mount", "expected"),
    [
        ("auth/approle/login", "auth/approle/", True),
        ("auth/team/approle/login", "auth/team/approle/", True),
        ("auth/userpass/login/bob", "auth/userpass/", True),
        ("auth/jwt/oidc/callback", "auth/jwt/", True),
        ("auth/approle/role/login", "auth/approle/role/", True),
        ("auth/approle/role/login", "auth/approle/", False),
        ("auth/userpass/users/login", "auth/userpass/", False),
        ("auth/approle/loginx", "auth/approle/", False),
        ("auth/approle/login", "auth/other/", False),
        ("auth/token/login", "auth/token/", False),
        ("kv/login", "kv/", False),
        ("auth/approlex/login", "auth/approle", False),
    ],
)
def test_a_login_is_open_in_its_own_mount_only(path: str, mount: str, expected: bool) -> None:
    """A role that is called "login" is not a login."""
    assert expected == builtin.is_unauthenticated(path, mount)


@pytest.mark.parametrize(
    "path", ["sys/rekey/init", "sys/rekey/update", "sys/rekey-recovery-key/verify", "sys/generate-root/attempt"]
)
def test_the_old_rekey_paths_are_open_only_where_configured(path: str) -> None:
    """CVE-2026-5807: nobody cancels a rekey without a token unless the listener says so."""
    assert builtin.is_unauthenticated(path, rekey_is_open=True)
    assert not builtin.is_unauthenticated(path)
