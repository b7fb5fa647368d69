"""The numbers: their names are an interface, their labels name nobody, and they move."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from node.config.replication import Backup, Sink
from node.metrics import Histogram, Metrics
from tests.node.flow_site import Server, Site, running, until, until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.txt"
SECRET = "planted-s3cr3t"
NOBODY_LISTENS = "postgresql://nobody@127.0.0.1:1/none"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One node with a sink that takes everything, one that nobody answers for, and one of its own."""
    sinks = (
        Sink(name="good", url="memory:"),
        Sink(name="bad", url=NOBODY_LISTENS),
        Sink(name="own", url="memory:", scope="local"),
    )
    backup = Backup(sinks=sinks, batch_interval_ms=1)
    async with running(tmp_path_factory.mktemp("backed"), backup=backup) as site:
        yield site


async def families(site: Site, server: Server) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Name → samples; asked as a scraper does."""
    reply = await server.ask("GET", "sys/metrics?format=prometheus", token=site.token)
    assert reply.status == 200
    found = {}
    for family in text_string_to_metric_families(reply.body.decode()):
        found[family.name] = [(sample.name, sample.labels, sample.value) for sample in family.samples]
    return found


async def value(site: Site, server: Server, name: str, **labels: str) -> float:
    samples = [one for samples in (await families(site, server)).values() for one in samples]
    return sum(number for sample, given, number in samples if sample == name and labels.items() <= given.items())


async def described(site: Site) -> dict[str, str]:
    """Name → name, type and labels of the leader's numbers."""
    text = (await site.must("GET", "sys/metrics?format=prometheus")).body.decode()
    found = {}
    for family in text_string_to_metric_families(text):
        labels = sorted({label for sample in family.samples for label in sample.labels if label != "le"})
        found[family.name] = f"{family.name} {family.type} {','.join(labels)}".rstrip()
    return found


async def test_names_types_and_labels_are_the_golden_ones(three: Site, backed: Site) -> None:
    """Adding is free and adds a line; renaming breaks whoever watches."""
    links = three.leader.node.member.links
    assert links is not None
    await until(lambda: len(links.skew_ns) == 2, "both peers told their time")
    await three.must("GET", "sys/mounts")
    listed, of_sinks = await described(three), await described(backed)

    assert listed.keys() == of_sinks.keys()
    listed |= {name: line for name, line in of_sinks.items() if name.startswith("strongroom_backup")}
    assert sorted(listed.values()) == GOLDEN.read_text().splitlines()


async def test_the_golden_names_follow_the_conventions() -> None:
    """One prefix, base units, no label that has no bound."""
    for line in GOLDEN.read_text().splitlines():
        name, kind, *labels = line.split(" ")

        assert name.startswith("strongroom_")
        assert not name.endswith(("_ms", "_total"))
        assert kind in {"counter", "gauge", "histogram"}
        assert kind != "histogram" or name.endswith("_seconds")
        names = set(labels[0].split(",")) if labels else set()
        assert names <= {"route", "method", "code", "operation", "path", "result", "device", "peer", "version", "sink"}


async def test_no_label_and_no_number_names_what_was_asked_for(three: Site) -> None:
    """Neither paths, tokens, policies nor mounts; an unknown path is one route for all of them."""
    token, accessor = await three.new_token((f"secret/data/{SECRET}", "create update read"))
    await three.must("POST", f"sys/mounts/{SECRET}", {"type": "kv"})
    for path in (f"secret/data/{SECRET}", f"{SECRET}/a", f"{SECRET}-nowhere/a", f"sys/{SECRET}", f"/{SECRET}"):
        for given in (token, three.token, SECRET, None):
            for server in three.servers:
                await server.ask("GET", path, token=given)
                await server.ask("POST", path, {SECRET: SECRET}, token=given)
    for server in three.servers:
        for query in ("?format=prometheus", ""):
            body = (await server.ask("GET", f"sys/metrics{query}", token=three.token)).body

            assert not [needle for needle in (SECRET, token, accessor) if needle.encode() in body]


async def test_the_same_requests_cost_no_new_series(three: Site) -> None:
    """However many paths are asked for."""
    server = three.leader

    async def series() -> int:
        return sum(map(len, (await families(three, server)).values()))

    await server.ask("GET", "nowhere/0", token=three.token)
    await server.ask("GET", "secret/data/0", token=three.token)
    before = await series()
    for number in range(50):
        await server.ask("GET", f"nowhere-{number}/a", token=three.token)
        await server.ask("GET", f"secret/data/none-{number}", token=three.token)

    assert await series() == before


async def test_requests_and_durations_are_counted(one: Site) -> None:
    """By route, method and code."""
    server = one.leader
    labels = {"route": "kv", "method": "GET", "code": "404"}
    before = await value(one, server, "strongroom_http_requests_total", **labels)
    timed = await value(one, server, "strongroom_http_request_duration_seconds_count", operation="read")
    for _ in range(3):
        await server.ask("GET", "secret/data/none", token=one.token)

    assert await value(one, server, "strongroom_http_requests_total", **labels) == before + 3
    assert await value(one, server, "strongroom_http_request_duration_seconds_count", operation="read") >= timed + 3


@pytest.mark.parametrize("path", ["readindex"])
async def test_reads_are_counted_by_how_they_were_proved_fresh(three: Site, path: str) -> None:
    """On the node that served them."""
    for server in three.servers:
        before = await value(three, server, "strongroom_reads_total", path=path)
        for _ in range(3):
            await server.ask("GET", "secret/config", token=three.token)

        assert await value(three, server, "strongroom_reads_total", path=path) == before + 3


async def test_the_lag_of_the_loop_is_measured(one: Site) -> None:
    """All the time."""
    server = one.leader

    async def measured() -> float:
        return await value(one, server, "strongroom_loop_lag_seconds_count")

    before = await measured()
    while await measured() == before:
        pass  # every look is a turn of the loop

    assert await measured() > before


async def test_the_gauges_of_raft_agree_with_the_status(three: Site) -> None:
    """One leader, one term, indexes that only grow."""
    leads = []
    for server in three.servers:
        status = (await server.ask("GET", "strongroom/status", token=three.token)).data
        found = await families(three, server)
        numbers = {name: samples[0][2] for name, samples in found.items() if len(samples) == 1}
        leads.append(numbers["strongroom_raft_is_leader"])

        assert numbers["strongroom_raft_term"] == status["term"]
        assert numbers["strongroom_raft_applied_index"] >= status["applied_index"]
        assert numbers["strongroom_sealed"] == 0
        assert numbers["strongroom_root_tokens"] >= 1
    assert sorted(leads) == [0, 0, 1]


async def test_a_root_token_more_is_counted_on_every_node(three: Site) -> None:
    """And one less again: root tokens are for breaking glass."""
    before = await value(three, three.leader, "strongroom_root_tokens")
    auth = (await three.must("POST", "auth/token/create", {"policies": ["root"]})).json["auth"]
    more = [await value(three, server, "strongroom_root_tokens") for server in three.servers]
    await three.must("POST", "auth/token/revoke-accessor", {"accessor": auth["accessor"]})
    less = [await value(three, server, "strongroom_root_tokens") for server in three.servers]

    assert (more, less) == ([before + 1] * 3, [before] * 3)


async def test_records_a_device_did_not_take_are_counted(one: Site) -> None:
    """By the path of the device, which an operator chose."""
    server = one.leader
    await one.must("PUT", "sys/audit/spare", {"type": "file", "options": {"file_path": "spare.log"}})
    device = server.node.audit.broker._devices["spare/"][0]
    before = await value(one, server, "strongroom_audit_failures_total", device="spare/")
    device._is_blocked = True
    await server.ask("GET", "sys/mounts", token=one.token)
    device._is_blocked = False
    after = await value(one, server, "strongroom_audit_failures_total", device="spare/")
    await one.must("DELETE", "sys/audit/spare")

    assert after >= before + 1


# ---- backups
async def sink_numbers(site: Site, server: Server, sink: str) -> dict[str, float]:
    """Name without what all have in common → number, of one sink."""
    found = await families(site, server)
    return {
        name.removeprefix("strongroom_backup_"): number
        for samples in found.values()
        for name, labels, number in samples
        if name.startswith("strongroom_backup_") and labels == {"sink": sink} and not name.endswith("_created")
    }


async def test_what_a_sink_confirmed_is_counted(backed: Site) -> None:
    """It holds what was written, lags by nothing, and says when that was so last."""
    server = backed.leader
    node = server.node

    async def caught_up() -> bool:
        numbers = await sink_numbers(backed, server, "good")
        return numbers["lag_entries"] == 0 and numbers["index"] == node.member.running.applied_index

    await until_async(caught_up, "the sink holds everything")
    before = await sink_numbers(backed, server, "good")
    await backed.must("PUT", "secret/data/counted", {"data": {"a": "b"}})
    await until_async(caught_up, "the sink holds everything")
    after = await sink_numbers(backed, server, "good")
    now_s = node.member.clock.wall_ns() / 1e9

    assert after["index"] > before["index"]
    assert after["batches_total"] > before["batches_total"]
    assert after["bytes_total"] > before["bytes_total"] > 0
    assert before["last_success_timestamp_seconds"] < after["last_success_timestamp_seconds"] <= now_s
    assert (after["retries_total"], after["lag_seconds"]) == (0, 0)


async def test_a_sink_that_does_not_answer_lags(backed: Site) -> None:
    """In entries and seconds, and each attempt is counted; it never confirmed anything."""
    server = backed.leader

    async def tried_again() -> bool:
        numbers = await sink_numbers(backed, server, "bad")
        return numbers["retries_total"] >= 2 and numbers["lag_seconds"] > 0

    await backed.must("PUT", "secret/data/missed", {"data": {"a": "b"}})
    await until_async(tried_again, "it was tried twice")
    numbers = await sink_numbers(backed, server, "bad")

    assert 0 < numbers["lag_entries"] <= server.node.member.running.applied_index
    assert "last_success_timestamp_seconds" not in numbers
    assert (numbers["batches_total"], numbers["bytes_total"], numbers["index"]) == (0, 0, 0)


async def test_only_who_writes_a_shared_sink_says_how_far_it_is_behind(backed: Site) -> None:
    """A node that others send for would show a lag that nobody has; it still says what it knows."""
    node = backed.leader.node
    leads = {row.sink: row for row in node.backups.numbers()}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(node.member), "is_leader", False)
        follows = {row.sink: row for row in node.backups.numbers()}
    names = {name for name, row in leads.items() if row.lag_entries is not None}

    assert names == set(leads) == {"good", "bad", "own"}
    assert {name for name, row in follows.items() if row.lag_entries is not None} == {"own"}
    assert follows["good"].reached == leads["good"].reached > 0


async def test_the_json_form_keeps_vaults_names(one: Site) -> None:
    """In the envelope of go-metrics, not of the API."""
    body = (await one.must("GET", "sys/metrics")).json

    assert sorted(body) == ["Counters", "Gauges", "Points", "Samples", "Timestamp"]
    assert {"vault.core.active", "vault.core.unsealed"} <= {gauge["Name"] for gauge in body["Gauges"]}
    assert set(body["Gauges"][0]) == {"Labels", "Name", "Value"}


@pytest.mark.parametrize(
    ("accept", "prometheus"),
    [
        ("text/plain; version=0.0.4", True),
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/json", False),
        ("", False),
    ],
)
async def test_a_scraper_is_known_by_what_it_accepts(one: Site, accept: str, prometheus: bool) -> None:
    """Without a query."""
    reply = await one.must("GET", "sys/metrics", headers=[("Accept", accept)])

    assert reply.body.startswith(b"#") is prometheus


async def test_a_histogram_counts_a_value_once_and_up_to_its_bound() -> None:
    """Cumulative; a value at a bound belongs below it, one above all bounds to infinity alone."""
    histogram = Histogram((0.1, 1.0))
    for value_s in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value_s)

    assert histogram.buckets() == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert histogram.sum_s == pytest.approx(7.65)


async def test_a_sealed_node_still_counts(one: Site) -> None:
    """Its numbers exist without a replica: who watches sees that it is sealed, and no error."""

    class Sealed:
        sealed, is_leader, replica, links = True, False, None, None

    text = Metrics(Sealed(), lambda: 0).prometheus().decode()  # type: ignore[arg-type]

    assert "strongroom_sealed 1.0" in text
    assert one.leader.node.metrics.in_flight == 0
