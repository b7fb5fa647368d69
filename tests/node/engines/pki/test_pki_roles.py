"""Roles as they are written, read, patched and refused."""

from __future__ import annotations

import pytest

from tests.node.engines.pki.site import PkiWorld, keys_of

DEFAULTS = {
    "allow_localhost": True, "allow_ip_sans": True, "server_flag": True, "client_flag": True, "key_type": "rsa",
    "key_bits": 2048, "ttl": 0, "max_ttl": 0, "generate_lease": False, "no_store": False, "require_cn": True,
    "not_before_duration": 30, "enforce_hostnames": True, "allow_any_name": False, "allow_subdomains": False,
    "key_usage": ["DigitalSignature", "KeyAgreement", "KeyEncipherment"],
}  # fmt: skip
OF_AUTHORITIES = "key_usage of a role cannot have CertSign or CRLSign: those are for authorities"
NEGATIVE = "cannot provide negative value '-1'"


def test_a_role_has_vaults_defaults():
    """Nothing is allowed that is not asked for, but localhost and addresses, as in Vault."""
    world = PkiWorld(root=None)
    written = world.data("update", "pki/roles/web", {})

    assert {name: written[name] for name in DEFAULTS} == DEFAULTS
    assert world.data("read", "pki/roles/web") == written


def test_a_role_names_what_cannot_be_set_as_it_is():
    """Typed clients want every field of Vault's; what a write says of one is ignored, and named in a warning."""
    world = PkiWorld(root=None)
    answer = world.ask("update", "pki/roles/web", {"not_after": "2030-01-01T00:00:00Z", "use_pss": True})
    shown = world.data("read", "pki/roles/web")

    assert answer.warnings == ["Endpoint ignored these unrecognized parameters: [not_after use_pss]"]
    assert (shown["issuer_ref"], shown["signature_bits"], shown["cn_validations"]) == (
        "default", 0, ["email", "hostname"],
    )  # fmt: skip
    assert (shown["not_after"], shown["use_pss"], shown["allowed_other_sans"]) == ("", False, [])


def test_a_write_replaces_and_a_patch_keeps():
    """Fields that a write does not name are the defaults; those that a patch does not name are what they were."""
    world = PkiWorld(root=None)
    world.ask("update", "pki/roles/web", {"allowed_domains": "a.org,b.org", "ttl": "1h", "max_ttl": 7200})
    world.ask("patch", "pki/roles/web", {"ttl": "2h"})
    patched = world.data("read", "pki/roles/web")
    world.ask("update", "pki/roles/web", {"ttl": "1h"})
    written = world.data("read", "pki/roles/web")

    assert (patched["allowed_domains"], patched["ttl"], patched["max_ttl"]) == (["a.org", "b.org"], 7200, 7200)
    assert (written["allowed_domains"], written["ttl"], written["max_ttl"]) == ([], 3600, 0)


def test_roles_are_listed_and_deleted():
    """A deleted role is 404, deleting it again is 204, a list of none is 404."""
    world = PkiWorld(root=None)
    for name in ("b", "a.c", "a"):
        world.ask("update", f"pki/roles/{name}", {})

    assert keys_of(world.ask("list", "pki/roles/")) == ["a", "a.c", "b"]
    assert keys_of(world.ask("list", "pki/roles/", query={"after": "a", "limit": "1"})) == ["a.c"]
    for name in ("a", "a", "a.c", "b"):
        assert world.ask("delete", f"pki/roles/{name}").empty
    assert world.refused("read", "pki/roles/a") == (404, "", False)
    assert world.refused("list", "pki/roles/") == (404, "", False)
    assert world.refused("patch", "pki/roles/a", {"ttl": 1}) == (404, "", False)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"ttl": "2h", "max_ttl": "1h"}, '"ttl" value must be less than "max_ttl" value'),
        ({"key_type": "rsa", "key_bits": 1024}, "unsupported bit length for RSA key: 1024"),
        ({"key_type": "ec", "key_bits": 2048}, "unsupported bit length for EC key: 2048"),
        ({"key_type": "dsa"}, "unknown key type: it is one of rsa, ec, ed25519, any"),
        ({"key_usage": ["CertSign"]}, OF_AUTHORITIES),
        ({"key_usage": ["KeyUsageCRLSign"]}, OF_AUTHORITIES),
        ({"key_usage": "Everything"}, "unknown name in key_usage"),
        ({"ext_key_usage": "Everything"}, "unknown name in ext_key_usage"),
        ({"ext_key_usage_oids": "1.x"}, "ext_key_usage_oids has a value that is no object identifier"),
        (
            {"no_store": True, "generate_lease": True},
            "mutually exclusive values no_store=true and generate_lease=true were specified",
        ),
        ({"ttl": -1}, 'Field validation failed: error converting input for field "ttl": ' + NEGATIVE),
    ],
)  # fmt: skip
def test_a_role_that_cannot_be_is_refused_when_it_is_written(body, text):
    """Nothing is stored."""
    world = PkiWorld(root=None)

    assert world.refused("update", "pki/roles/web", body) == (400, text, False)
    assert world.refused("read", "pki/roles/web") == (404, "", False)


def test_another_type_of_key_has_its_own_default_length():
    """2048 bits of RSA are nothing for a curve."""
    world = PkiWorld(root=None)
    types = ("rsa", "ec", "any")
    found = {type_: world.data("update", "pki/roles/w", {"key_type": type_})["key_bits"] for type_ in types}
    world.ask("update", "pki/roles/w", {})

    assert found == {"rsa": 2048, "ec": 256, "any": 0}
    assert world.data("patch", "pki/roles/w", {"key_type": "ec"})["key_bits"] == 256


def test_a_parameter_that_is_not_there_is_named():
    """It is not ignored in silence: whoever relies on it reads the warning."""
    world = PkiWorld(root=None)
    answer = world.ask("update", "pki/roles/web", {"allow_token_displayname": True})

    assert answer.warnings == ["Endpoint ignored these unrecognized parameters: [allow_token_displayname]"]
