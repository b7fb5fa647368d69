"""Audit devices as records."""

import pytest

from cluster import AuditDevice, DamagedError, Table, look
from node.engines.base import Caller, Context
from node.engines.system.audit_devices import device_salt
from node.request import StaleLabour
from tests.node.auth.world import FakeAuditRules, World

FILE = {"type": "file", "description": "d", "options": {"file_path": "/var/log/a", "n": 1}, "local": True}


@pytest.fixture
def world() -> World:
    world = World()
    world.ask("update", "sys/audit/main", FILE)
    return world


def _device(world, path="main/"):
    found = look(world.state, Table.AUDIT_DEVICE, AuditDevice, path.encode())
    return None if found is None else found[1]


def _salt(world, path="main/", device=None):
    context = Context(world.state, world.now_ns, world.random, world.keys, Caller())
    return device_salt(context, path.encode(), device or _device(world, path))


def test_an_enabled_device_is_listed_without_its_salt(world):
    """Options are text; data and top level."""
    answer = world.ask("read", "sys/audit")

    assert answer.inject
    assert answer.data == {
        "main/": {
            "description": "d",
            "local": True,
            "options": {"file_path": "/var/log/a", "n": "1"},
            "path": "main/",
            "type": "file",
        }
    }


def test_every_device_has_a_salt_of_its_own_sealed_to_its_place(world):
    """Moved to another path it does not open; enabled again it is another."""
    world.ask("update", "sys/audit/other", {"type": "syslog"})
    first, other, device = _salt(world), _salt(world, "other/"), _device(world)
    world.ask("delete", "sys/audit/main")
    world.ask("update", "sys/audit/main", FILE)

    assert len({first, other, _salt(world)}) == 3
    assert first not in world.state.get(Table.AUDIT_DEVICE, b"main/")[1]
    with pytest.raises(DamagedError):
        _salt(world, "other/", device)
    with pytest.raises(DamagedError):
        _salt(world, "main/", AuditDevice(salt_id=device.salt_id, box=device.box, rid=b"x" * 8))


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("main", FILE, "path already in use"),
        ("main/sub", FILE, "path already in use"),
        ("x", {}, 'unknown backend type: ""'),
        ("x", {"type": "http"}, 'unknown backend type: "http"'),
        ("x", {"type": "file", "options": {"file_path": "forbidden"}}, "file: forbidden"),
        ("/", FILE, "cannot write to a path ending in '/'"),
    ],
)
def test_what_cannot_be_enabled_says_why(world, path, body, text):
    """400, no device more; what options may say is the audit room's answer (CVE-2025-54997)."""
    assert world.refused("update", f"sys/audit/{path}", body) == (400, text, False)
    assert world.count(Table.AUDIT_DEVICE) == 1


def test_a_device_is_enabled_only_as_it_was_opened_for_the_request(world, monkeypatch):
    """By path, type and options, however they are written; what was not opened is opened first."""
    asked = []

    def check_opened(_self, *opened):
        asked.append(opened)
        raise StaleLabour

    monkeypatch.setattr(FakeAuditRules, "check_opened", check_opened)
    with pytest.raises(StaleLabour):
        world.ask("update", "sys/audit/x", {"type": "file", "options": ["file_path=a"]})

    assert asked == [("00000000-0000-0000-0000-000000000000", "x/", "file", {"file_path": "a"})]
    assert world.count(Table.AUDIT_DEVICE) == 1


def test_disabling_is_204_whether_or_not_it_is_there(world):
    """The second time proposes nothing."""
    answers = [world.ask("delete", "sys/audit/main") for _ in range(2)]

    assert [answer.empty for answer in answers] == [True, True]
    assert world.plans[-1].draft.empty
    assert _device(world) is None


def test_the_hash_is_that_of_the_device(world):
    """The audit room hashes, with the opened salt."""
    answer = world.ask("update", "sys/audit-hash/main", {"input": "secret"})

    assert answer.data == {"hash": FakeAuditRules().hash_text(_salt(world), "secret")}
    assert answer.inject
    assert not world.engines["system"].is_write("update", "audit-hash/main")


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("main", {}, 'the "input" parameter is empty'),
        ("x", {"input": "a"}, 'unknown audit backend "x/"'),
    ],
)
def test_hashes_that_cannot_be_had(world, path, body, text):
    """400 in Vault's words."""
    assert world.refused("update", f"sys/audit-hash/{path}", body) == (400, text, False)


def test_audit_devices_need_sudo(world):
    """Reading the list and enabling alike."""
    rights = 'path "sys/audit{}" {{ capabilities = ["read", "update"{}] }}'
    world.policy("plain", rights.format("", "") + rights.format("/*", ""))
    world.policy("mighty", rights.format("", ', "sudo"') + rights.format("/*", ', "sudo"'))
    plain, mighty = world.make({"policies": ["plain"]}), world.make({"policies": ["mighty"]})

    assert world.refused("read", "sys/audit", token=plain) == (403, "permission denied", True)
    assert world.refused("update", "sys/audit/new", FILE, token=plain) == (403, "permission denied", True)
    assert world.ask("read", "sys/audit", token=mighty).status == 200
    assert world.ask("update", "sys/audit/new", FILE, token=mighty).empty


def test_a_new_device_touches_everything(world):
    """From its index on every request is audited there."""
    world.ask("update", "sys/audit/second", {"type": "socket"})

    assert world.plans[-1].draft.hashes == ()
