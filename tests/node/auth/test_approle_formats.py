"""What auth methods store opens for ever: bytes as the first version wrote them, and shorter ones of before."""

import msgspec
import pytest

from node.auth import passwords, userpass
from node.auth.approle import role_fields, roles, secret_ids
from node.auth.token_params import TokenParams

TOKEN = TokenParams(["10.0.0.0/8"], 1, 2, True, 3, 4, ["a"], 5, "service", True)
ROLE = role_fields.Role(
    uid="u", role_id="r", bind_secret_id=False, secret_id_bound_cidrs=["10.0.0.0/8"], secret_id_num_uses=1,
    secret_id_ttl_s=2, local_secret_ids=True, token=TOKEN, legacy=["policies"],
)  # fmt: skip
SECRET_ID = secret_ids.SecretId(
    accessor="a", role="r", created_ns=1, updated_ns=2, expires_ns=3, ttl_s=4, num_uses=5, metadata={"k": "v"},
    cidr_list=["10.0.0.0/8"], token_bound_cidrs=["10.0.0.1"],
)  # fmt: skip
USER = userpass.User(passwords.Hashed(b"ssss", b"kkkk", 64, 1, 2), TOKEN, ["ttl"])
_TOKEN = "9a91aa31302e302e302e302f380102c3030491a16105a773657276696365c3"
STORED = [
    (ROLE, f"99a175a172c291aa31302e302e302e302f380102c3{_TOKEN}91a8706f6c6963696573"),
    (roles.Named("app"), "91a3617070"),
    (SECRET_ID, "9aa161a172010203040581a16ba17691aa31302e302e302e302f3891a831302e302e302e31"),
    (secret_ids.Hashed("ff"), "91a26666"),
    (USER, f"9395c40473737373c4046b6b6b6b400102{_TOKEN}91a374746c"),
]


@pytest.mark.parametrize(("value", "stored"), STORED)
def test_what_was_stored_opens(value, stored):
    """And is written in the same way."""
    assert msgspec.msgpack.decode(bytes.fromhex(stored), type=type(value)) == value
    assert msgspec.msgpack.encode(value).hex() == stored


@pytest.mark.parametrize(
    ("kind", "shortest"),
    [
        (role_fields.Role, ["u", "r"]),
        (secret_ids.SecretId, ["a", "r", 1, 2]),
        (userpass.User, [[b"s", b"k"]]),
        (TokenParams, []),
    ],
)
def test_fields_at_the_end_have_defaults(kind, shortest):
    """So that later versions may add some."""
    opened = msgspec.msgpack.decode(msgspec.msgpack.encode(shortest), type=kind)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(opened), type=kind) == opened
