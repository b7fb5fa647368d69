"""Rate limits at work, on a real state and a clock that moves by hand."""

from types import SimpleNamespace

import pytest

from cluster import Draft, Table
from node import quotas as quotas_room
from node.engines.system.quotas import BLOCK_S_MAX, INTERVAL_S_MAX, RateLimit
from node.quotas import Limit, Quotas, client_of
from node.request import RawRequest
from tests.node.auth.world import World, make_request

HERE, THERE = "10.0.0.1", "10.0.0.2"


class Desk:
    """A world, and the quotas of its node."""

    def __init__(self) -> None:
        self.world = World()
        self.now_s = 1000.0
        member = SimpleNamespace(
            view=self.world.state,
            values=self.world.keys,
            replica=object(),
            clock=SimpleNamespace(boot=lambda: self.now_s),
        )
        self.member = member
        self.quotas = Quotas(member)
        self.world.state.listeners.append(self.quotas.changed)
        for path in ("kvq", "other"):
            self.world.ask("update", f"sys/mounts/{path}", {"type": "kv"})

    def limit(self, name: str, **fields: object) -> None:
        self.world.ask("update", f"sys/quotas/rate-limit/{name}", fields)

    def judge(self, path: str = "kvq/a", address: str = HERE, token: str | None = None):
        request: RawRequest = make_request("read", path, None, token, address=address)
        return self.quotas.judge(request)

    def passes(self, *asked: str, **rest: str) -> bool:
        verdict = self.judge(*asked, **rest)
        return verdict is None or verdict.refusal is None

    def passed(self, count: int, *asked: str, **rest: str) -> int:
        return sum(self.passes(*asked, **rest) for _ in range(count))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_without_quotas_nothing_is_looked_at(desk):
    """Inactive from the start, with the first quota active, with the last one's end inactive again."""
    assert not desk.quotas.active
    desk.limit("q", rate=1)
    assert desk.quotas.active
    assert desk.passed(3) == 1
    desk.world.ask("delete", "sys/quotas/rate-limit/q")
    assert desk.quotas.active  # until somebody looks
    assert desk.passed(3) == 3
    assert not desk.quotas.active


def test_other_changes_of_the_state_do_not_concern_it(desk):
    """What is stored elsewhere in sys/ is no quota."""
    desk.world.ask("update", "sys/config/auditing/request-headers/x-a", {})
    desk.world.ask("update", "sys/policies/password/quotas", {"policy": 'length=9\nrule "charset" {charset="ab"}'})

    assert not desk.quotas.active


def test_the_rate_is_what_passes_in_an_interval(desk):
    """A burst of the whole rate, then as time goes on; nothing is saved up beyond it."""
    desk.limit("q", rate=4, interval="8s", path="kvq")

    assert desk.passed(10) == 4
    desk.now_s += 2
    assert desk.passed(10) == 1
    desk.now_s += 4
    assert desk.passed(10) == 2
    desk.now_s += 8000
    assert desk.passed(10) == 4


@pytest.mark.parametrize(("rate", "interval", "waits_s"), [(2, "1h", 1800), (0.5, 1, 2), (1000, 1, 1), (1, 1, 1)])
def test_a_refusal_says_what_and_when_to_come_again(desk, rate, interval, waits_s):
    """429 with Vault's text and Retry-After; then there is something left again."""
    desk.limit("q", rate=rate, interval=interval, path="kvq")
    desk.passed(max(1, int(rate)))
    refusal = desk.judge().refusal

    assert (refusal.status, refusal.texts) == (429, ('request path "kvq/a": rate limit quota exceeded',))
    assert not refusal.wrapped
    assert refusal.retry_after_s == waits_s
    desk.now_s += waits_s
    assert desk.passes()


def test_whoever_exceeds_a_blocking_quota_gets_nothing_for_that_long(desk):
    """Though there would be something left; asking again does not lengthen it; others are not concerned."""
    desk.limit("q", rate=2, interval=1, block_interval=60, path="kvq")

    assert desk.passed(3) == 2
    desk.now_s += 59
    assert desk.passed(5) == 0
    assert desk.judge().refusal.retry_after_s == 1
    assert desk.passed(5, "kvq/a", THERE) == 2
    desk.now_s += 1
    assert desk.passed(5) == 2


# ---- whose requests
def test_each_address_has_its_own(desk):
    """Whatever token it sends."""
    desk.limit("q", rate=2, path="kvq")
    child = desk.world.make()

    assert desk.passed(5, "kvq/a", HERE) == 2
    assert desk.passed(5, "kvq/a", HERE, token=child) == 0
    assert desk.passed(5, "kvq/a", THERE) == 2


def test_each_token_can_have_its_own(desk):
    """From wherever it comes; what is no token here is counted by its address, however many are made up."""
    desk.limit("q", rate=2, path="kvq", group_by="token")
    one, two = desk.world.make(), desk.world.make()

    assert desk.passed(5, "kvq/a", HERE, token=one) == 2
    assert desk.passed(5, "kvq/a", THERE, token=one) == 0
    assert desk.passed(5, "kvq/a", HERE, token=two) == 2
    assert [desk.passes("kvq/a", HERE, token=f"hvs.{number}") for number in range(3)] == [True, True, False]
    assert not desk.passes("kvq/a", HERE, token=None)
    assert desk.passes("kvq/a", THERE, token="\u00e9")


def test_all_can_share_one(desk):
    """A collective quota."""
    desk.limit("q", rate=2, path="kvq", group_by="none")

    assert desk.passed(1, "kvq/a", HERE) + desk.passed(5, "kvq/a", THERE) == 2


def test_no_raw_token_is_kept(desk):
    """The bucket's key is the keyed hash."""
    desk.limit("q", rate=2, path="kvq", group_by="token")
    token = desk.world.make()
    desk.passes("kvq/a", HERE, token=token)
    (limit,) = [limit for _, limit in desk.quotas._beginnings]

    assert list(limit.buckets) == [desk.world.keys.token_hash(token)]


# ---- which quota
def test_the_nearest_quota_speaks_of_a_request(desk):
    """The endpoint's, then the longest beginning's, then the mount's, then the one of everything; only that one."""
    desk.limit("all", rate=1)
    desk.limit("mount", rate=2, path="kvq")
    desk.limit("glob", rate=3, path="kvq/da*")
    desk.limit("longer", rate=4, path="kvq/data/x*")
    desk.limit("endpoint", rate=5, path="kvq/data/x")

    for path, rate in (
        ("kvq/data/x", 5),
        ("kvq/data/xy", 4),
        ("kvq/data/y", 3),
        ("kvq/d", 2),
        ("kvq", 0),  # the mount itself: its quota is used up by now
        ("other/a", 1),
        ("kvqother", 0),
    ):
        assert desk.passed(9, path) == rate, path


def test_exempt_paths_and_those_of_the_node_are_free(desk):
    """Vault's by default; others as configured, whole or by their beginning."""
    desk.limit("all", rate=1)
    desk.passed(2)

    assert all(desk.passed(9, path) == 9 for path in ("sys/health", "sys/seal-status", "sys/unseal", "/readyz"))
    assert desk.passed(9, "sys/healthy") == 0
    desk.world.ask("update", "sys/quotas/config", {"rate_limit_exempt_paths": ["kvq/free/*", "kvq/one"]})
    assert desk.passed(9, "kvq/free/a") == desk.passed(9, "kvq/one") == 9
    assert desk.passed(9, "kvq/one/more") == desk.passed(9, "sys/health") == 0


@pytest.mark.parametrize("fields", [{"rate": 1e-6}, {"rate": 1, "interval": "1h", "block_interval": "24h"}])
def test_what_looks_after_quotas_is_always_free(desk, fields):
    """A quota of everything can be seen, changed and removed, whatever is exempt beside; nothing else is free."""
    desk.limit("all", group_by="none", **fields)
    desk.world.ask("update", "sys/quotas/config", {"rate_limit_exempt_paths": []})
    desk.passed(2)

    for path in ("sys/quotas/rate-limit/all", "sys/quotas/rate-limit", "sys/quotas/config"):
        assert desk.passed(9, path) == 9, path
    for path in ("sys/quotas", "sys/quotas-other", "kvq/sys/quotas/config", "sys/mounts", "sys/unseal"):
        assert desk.passed(9, path) == 0, path


@pytest.mark.parametrize("rate", [5e-324, 1e-310, 1e-300, 1e-9])
@pytest.mark.parametrize("interval_s", [1, INTERVAL_S_MAX])
def test_no_rate_that_is_stored_makes_a_wait_endless(desk, rate, interval_s):
    """Also one that could not be stored any more: it counts as the least one."""
    limit = Limit("q", RateLimit("kvq/", rate, interval_s))
    desk.quotas._beginnings = [("kvq/", limit)]
    desk.quotas.active = True

    assert desk.passed(1) == 1
    assert desk.judge().refusal.retry_after_s == INTERVAL_S_MAX
    desk.now_s += INTERVAL_S_MAX
    assert desk.passed(2) == 1


def test_no_block_that_is_stored_is_longer_than_a_day():
    """As above."""
    limit = Limit("q", RateLimit("kvq/", 1.0, 1, block_s=INTERVAL_S_MAX))
    limit.take("a", 0.0)

    assert limit.take("a", 0.0) == (0.0, BLOCK_S_MAX)
    assert limit.take("a", BLOCK_S_MAX - 1.0) == (0.0, 1.0)
    assert limit.take("a", float(BLOCK_S_MAX)) == (0.0, 0.0)


def test_a_quota_that_did_not_change_keeps_what_it_counted(desk):
    """Another one's change is no gift; its own begins anew."""
    desk.limit("q", rate=2, path="kvq")
    desk.passed(2)
    desk.limit("other", rate=2, path="other")
    assert desk.passed(5) == 0
    desk.limit("q", rate=3, path="kvq")
    assert desk.passed(5) == 3


def test_memory_is_bounded(desk, monkeypatch):
    """Whoever asked longest ago is forgotten first."""
    monkeypatch.setattr(quotas_room, "BUCKETS_MAX", 3)
    desk.limit("q", rate=1, interval="1h", path="kvq")
    for number in (1, 2, 3, 1, 4):
        desk.passes("kvq/a", f"10.0.0.{number}")

    (limit,) = [limit for _, limit in desk.quotas._beginnings]
    assert list(limit.buckets) == ["10.0.0.3", "10.0.0.1", "10.0.0.4"]


def test_whoever_is_blocked_is_not_forgotten_for_others(desk, monkeypatch):
    """However many ask; of the blocked it is the one that was blocked first; one whose time is over goes before all."""
    monkeypatch.setattr(quotas_room, "BUCKETS_MAX", 3)
    desk.limit("q", rate=1, block_interval=60, path="kvq")
    assert desk.passed(2, "kvq/a", HERE) == 1
    for number in range(9):
        desk.passes("kvq/a", f"10.0.1.{number}")
    (limit,) = [limit for _, limit in desk.quotas._beginnings]
    assert not desk.passes("kvq/a", HERE)
    assert (list(limit.blocked), list(limit.buckets)) == ([HERE], ["10.0.1.7", "10.0.1.8"])

    desk.now_s += 1
    for last in (1, 2):
        desk.passed(2, "kvq/a", f"10.0.2.{last}")
    assert (list(limit.blocked), list(limit.buckets)) == ([HERE, "10.0.2.1", "10.0.2.2"], [])
    assert desk.passed(2, "kvq/a", THERE) == 1
    assert list(limit.blocked) == ["10.0.2.1", "10.0.2.2", THERE]
    desk.now_s += 60
    assert desk.passes("kvq/a", "10.0.3.1")
    assert (list(limit.blocked), list(limit.buckets)) == (["10.0.2.2", THERE], ["10.0.3.1"])
    assert desk.passes("kvq/a", THERE)
    assert (list(limit.blocked), list(limit.buckets)) == (["10.0.2.2"], ["10.0.3.1", THERE])


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(address, client):
    """The same IPv4 address however it is written; what is no address stands for itself."""
    assert client_of(address) == client


def test_addresses_of_one_network_of_ipv6_share_an_allowance(desk):
    """Whoever has one has 2^64 of them; a neighbouring network has its own."""
    desk.limit("q", rate=2, path="kvq")

    assert sum(desk.passes("kvq/a", f"2001:db8:1:2::{number}") for number in range(9)) == 2
    assert desk.passed(9, "kvq/a", "2001:db8:1:3::1") == 2


def test_answers_say_what_is_left_if_they_are_to(desk):
    """Vault's headers; none by default."""
    desk.limit("q", rate=2, interval="10s", path="kvq")
    assert desk.judge().headers == ()
    body = {"enable_rate_limit_response_headers": True, "enable_rate_limit_audit_logging": True}
    desk.world.ask("update", "sys/quotas/config", body)
    allowed, held = desk.judge(), desk.judge()

    assert dict(allowed.headers) == {
        "X-Ratelimit-Limit": "2",
        "X-Ratelimit-Remaining": "0",
        "X-Ratelimit-Reset": "10",
    }
    assert (held.refusal.status, dict(held.headers)["X-Ratelimit-Reset"], held.audited) == (429, "5", True)


def test_a_sealed_node_has_no_quotas(desk):
    """They come back with the keys."""
    desk.limit("q", rate=1, path="kvq")
    desk.passed(2)
    desk.quotas.closed()
    assert not desk.quotas.active
    desk.member.replica = None
    desk.quotas.forget()
    assert desk.passed(3) == 3
    assert desk.quotas.active
    desk.member.replica = object()
    assert desk.passed(3) == 1


def test_quotas_that_do_not_open_limit_nothing(desk):
    """And do not stop the node: they are no access control."""
    desk.limit("q", rate=1, path="kvq")
    state = desk.world.state
    key = next(key for key, *_ in state.items(Table.ENTRY))
    index, record = state.get(Table.ENTRY, key)
    draft = Draft()
    draft.expect(Table.ENTRY, key[:16] + b"quotas/rate-limit/z", 0)
    draft.put(Table.ENTRY, key[:16] + b"quotas/rate-limit/z", record)
    desk.world.apply(draft)

    assert index > 0
    assert desk.passed(3) == 3
    assert not desk.quotas.active
