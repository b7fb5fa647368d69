"""A record is with a device before anybody goes on, or nobody goes on."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest

from cluster import AuditHead, SealedError, Token
from node.audit import AuditError, DeviceSpec, Fault, Head, LineSettings, OptionError, Renderer, Rules, verify
from node.audit import device as audit_device
from node.audit import facts as audit_facts
from node.audit import file as audit_file
from node.request import Answer, Operation, Refusal
from tests.node.audit.audit_fakes import (
    ACCESSOR,
    NOW_NS,
    SALT,
    BlockedSink,
    FakeClock,
    FullSink,
    Sinks,
    entries_of,
    hashed,
    lines_of,
    mac,
    make_broker,
    make_caller,
    make_entry,
    make_mount,
    make_request,
    make_spec,
    until,
)


@pytest.fixture(autouse=True)
async def _nothing_fails_unheard():
    """What a callback of the loop raises would only be logged."""
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    yield
    assert failures == []


def make_judged():
    return SimpleNamespace(
        routed=SimpleNamespace(mount_path="secret/", mount=make_mount()),
        operation=Operation.CREATE,
        token=SimpleNamespace(record=Token(created_ns=NOW_NS, creation_ttl_s=60, no_default_policy=True)),
        caller=make_caller(),
        granting=("app",),
    )


def verified(path, **known):
    return verify(lines_of(path), mac, **known)


def paths_of(entries):
    return [entry["request"]["path"] for entry in entries if "request" in entry]


async def record(broker, path="secret/a", kind=Renderer.request):
    await broker.record(make_entry(request=make_request(path=path)), kind)


async def outcomes(broker, *paths):
    """True where the record was taken."""
    done = await asyncio.gather(*(record(broker, path) for path in paths), return_exceptions=True)
    assert all(one is None or isinstance(one, AuditError) for one in done)
    return [one is None for one in done]


async def test_without_a_device_nothing_is_written_and_nothing_awaited():
    """And nothing fails."""
    broker = make_broker("/nowhere")

    assert not broker.enabled
    with pytest.raises(StopIteration):  # the coroutine ends without having waited for anything
        record(broker).send(None)
    assert await broker.both(make_request(), None, None, None)
    await broker.event("seal", {})
    await broker.close()


async def test_a_record_is_in_the_file_before_the_caller_goes_on(tmp_path):
    """Two lines of a read, chained behind the opening line."""
    broker = make_broker(tmp_path)
    assert await broker.sync({"file/": make_spec()}) == {}
    await record(broker, kind=Renderer.both)
    entries = entries_of(tmp_path / "audit.log")

    assert [entry["type"] for entry in entries] == ["open", "request", "response"]
    assert [entry["sequence"] for entry in entries] == [1, 2, 3]
    assert verified(tmp_path / "audit.log").ok
    await broker.close()


async def test_the_port_of_the_flow_writes_what_was_judged(tmp_path):
    """Request, response and both, as the flow asks for them."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    judged, answer = make_judged(), Answer(data={"k": "v"})
    assert await broker.request(make_request(), judged, None)
    assert await broker.response(make_request(), judged, answer, None)
    assert await broker.both(make_request(), None, None, Refusal(403, "permission denied"))
    _, request, response, denied, _ = entries_of(tmp_path / "audit.log")

    assert (request["type"], request["request"]["operation"]) == ("request", "create")
    assert request["auth"]["token_ttl"] == 60
    assert request["auth"]["no_default_policy"]
    assert request["auth"]["policy_results"]["granting_policies"][0]["name"] == "app"
    assert (request["auth"]["accessor"], request["request"]["mount_point"]) == (hashed(ACCESSOR), "secret/")
    assert response["response"]["data"] == {"k": hashed("v")}
    assert (denied["error"], denied["auth"]["policy_results"]) == ("permission denied", {"allowed": False})
    await broker.close()


async def test_a_path_that_the_node_answers_itself_has_no_mount(tmp_path):
    """The flow judges it without a route."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    judged = make_judged()
    judged.routed, judged.token = None, None

    assert await broker.both(make_request(path="sys/health"), judged, Answer(), None)
    assert "mount_point" not in entries_of(tmp_path / "audit.log")[1]["request"]
    await broker.close()


async def test_all_requests_of_a_turn_go_out_in_one_write(tmp_path):
    """Group commit: forty requests, one system call more than the opening line."""
    sinks = Sinks(file=FullSink)
    broker = make_broker(tmp_path, sinks=sinks)
    await broker.sync({"file/": make_spec()})

    assert all(await outcomes(broker, *(f"secret/{number}" for number in range(40))))
    assert sinks.made["file"].writes == 2
    assert paths_of(entries_of(tmp_path / "audit.log")) == [f"secret/{number}" for number in range(40)]
    assert verified(tmp_path / "audit.log").ok
    await broker.close()


async def test_each_device_hashes_with_its_own_salt(tmp_path):
    """What one log shows cannot be looked for in the other."""
    broker = make_broker(tmp_path)
    await broker.sync({"a/": make_spec("a.log"), "b/": make_spec("b.log", salt=b"another salt")})
    await record(broker)
    await until(lambda: [status.sequence for status in broker.statuses()] == [2, 2])  # one of them was enough
    tokens = [entries_of(tmp_path / name)[1]["request"]["client_token"] for name in ("a.log", "b.log")]

    assert tokens[0] != tokens[1]
    assert (broker.audit_hash("a/", "x"), broker.audit_hash("b/", "x")) == (hashed("x"), hashed("x", b"another salt"))
    assert broker.audit_hash("c/", "x") is None
    await broker.close()


async def test_a_full_disk_fails_closed_and_recovers_without_a_hole(tmp_path):
    """The torn line is finished first; what was refused has no line; the order is that of the records."""
    sinks = Sinks(file=FullSink)
    broker = make_broker(tmp_path, sinks=sinks)
    await broker.sync({"file/": make_spec()})
    assert await outcomes(broker, "secret/1") == [True]
    sinks.made["file"].room = 1500  # one line and a part of the next

    assert await outcomes(broker, "secret/2", "secret/3", "secret/4") == [True, False, False]
    assert await outcomes(broker, "secret/5") == [False]
    for _ in range(50):
        await asyncio.sleep(0)
    assert sinks.made["file"].writes == 4  # no write that nobody waits for: a full disk must not keep the node busy
    [status] = broker.statuses()
    assert (status.ok, status.problem, status.failures_total) == (False, "No space left on device", 3)
    assert lines_of(tmp_path / "audit.log")[-1][-1:] != b"\n"

    sinks.made["file"].room = None
    assert await outcomes(broker, "secret/6") == [True]
    assert paths_of(entries_of(tmp_path / "audit.log")) == [f"secret/{number}" for number in (1, 2, 3, 6)]
    assert verified(tmp_path / "audit.log").ok
    assert (broker.statuses()[0].ok, broker.statuses()[0].failures_total) == (True, 3)
    await broker.close()


@pytest.mark.parametrize("room", range(0, 2600, 130))
async def test_wherever_a_write_stops_the_chain_is_whole_afterwards(tmp_path, room):
    """Taken is what is in the file, and nothing that was taken is missing."""
    sinks = Sinks(file=FullSink)
    broker = make_broker(tmp_path, sinks=sinks)
    await broker.sync({"file/": make_spec()})
    sinks.made["file"].room = room
    first = await outcomes(broker, "secret/1", "secret/2", "secret/3")
    sinks.made["file"].room = room // 3
    second = await outcomes(broker, "secret/4", "secret/5")
    sinks.made["file"].room = None
    assert await outcomes(broker, "secret/6") == [True]
    taken = [f"secret/{number + 1}" for number, one in enumerate([*first, *second, True]) if one]
    there = paths_of(entries_of(tmp_path / "audit.log"))

    assert set(taken) <= set(there)
    assert there == sorted(there)
    assert verified(tmp_path / "audit.log").ok
    await broker.close()


async def test_one_working_device_of_two_is_enough(tmp_path):
    """And when it fails too, nobody goes on."""
    sinks = Sinks(a=FullSink, b=FullSink)
    broker = make_broker(tmp_path, sinks=sinks)
    await broker.sync({"a/": make_spec("a.log"), "b/": make_spec("b.log")})
    sinks.made["a"].room = 0
    assert await outcomes(broker, "secret/1") == [True]
    sinks.made["b"].room = 0
    assert await outcomes(broker, "secret/2") == [False]
    sinks.made["a"].room = None
    assert await outcomes(broker, "secret/3") == [True]

    await until(lambda: [status.failures_total for status in broker.statuses()] == [2, 2])
    assert paths_of(entries_of(tmp_path / "a.log")) == ["secret/3"]
    assert paths_of(entries_of(tmp_path / "b.log")) == ["secret/1"]
    await broker.close()


async def test_a_blocked_device_counts_as_failed_after_its_deadline_and_the_loop_keeps_running(tmp_path):
    """Then it refuses at once, and works again when the write that blocked ends."""
    blocked = BlockedSink()
    broker = make_broker(tmp_path, sinks=Sinks(file=blocked), deadline_s=0.1)
    await broker.sync({"file/": make_spec()})
    blocked.gate.clear()
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    assert await outcomes(broker, "secret/1", "secret/2") == [False, False]
    took_s = loop.time() - begun_s
    turning.cancel()
    assert 0.1 <= took_s < 5
    assert turns > 100

    with pytest.raises(AuditError):
        record(broker, "secret/3").send(None)  # refused without waiting for anything
    assert (broker.statuses()[0].ok, broker.statuses()[0].failures_total) == (False, 3)

    blocked.gate.set()
    await until(lambda: broker.statuses()[0].ok)
    assert await outcomes(broker, "secret/4") == [True]
    await broker.close()
    lines = blocked.data.splitlines(keepends=True)

    assert [json.loads(line)["request"]["path"] for line in lines[1:]] == ["secret/1", "secret/2", "secret/4"]
    assert verify(lines, mac).ok


async def test_a_blocked_device_beside_a_working_one_delays_nobody(tmp_path):
    """The first that takes the record is enough."""
    blocked = BlockedSink()
    broker = make_broker(tmp_path, sinks=Sinks(a=blocked, b=FullSink), deadline_s=5)
    await broker.sync({"a/": make_spec("a.log"), "b/": make_spec("b.log")})
    blocked.gate.clear()

    assert await asyncio.wait_for(outcomes(broker, "secret/1", "secret/2"), 1) == [True, True]
    blocked.gate.set()
    await broker.close()


async def test_lines_behind_a_blocked_write_are_refused_with_it(tmp_path):
    """They waited as long; and behind a queue that is full there is no waiting at all."""
    blocked = BlockedSink()
    broker = make_broker(tmp_path, sinks=Sinks(file=blocked), deadline_s=0.1)
    await broker.sync({"file/": make_spec()})
    blocked.gate.clear()
    first = asyncio.create_task(outcomes(broker, "secret/1"))
    await until(lambda: blocked.writes == 2)
    second = asyncio.create_task(outcomes(broker, "secret/2"))

    assert (await first, await second) == ([False], [False])
    blocked.gate.set()
    await broker.close()


async def test_the_queue_behind_a_slow_device_is_bounded(tmp_path, monkeypatch):
    """A device that is not blocked yet must not fill the memory."""
    monkeypatch.setattr(audit_device, "BATCH_BYTES_MAX", 2000)
    blocked = BlockedSink()
    broker = make_broker(tmp_path, sinks=Sinks(file=blocked), deadline_s=5)
    await broker.sync({"file/": make_spec()})
    blocked.gate.clear()
    first = asyncio.create_task(outcomes(broker, "secret/1"))
    await until(lambda: blocked.writes == 2)
    rest = asyncio.create_task(outcomes(broker, *(f"secret/{number}" for number in range(2, 12))))
    await until(lambda: broker.statuses()[0].failures_total == 7)
    blocked.gate.set()

    assert (await first, sum(await rest)) == ([True], 3)
    await broker.close()


async def test_a_cancelled_request_takes_nothing_from_the_others(tmp_path):
    """Its client has gone; its record is written all the same."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    cancelled = asyncio.create_task(record(broker, "secret/1"))
    other = asyncio.create_task(record(broker, "secret/2"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other

    assert paths_of(entries_of(tmp_path / "audit.log")) == ["secret/1", "secret/2"]
    await broker.close()


async def test_a_record_that_cannot_be_rendered_fails_closed(tmp_path):
    """Nothing is answered that audit cannot tell of."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})

    assert not await broker.response(make_request(), make_judged(), Answer(data={"k": object()}), None)
    assert await broker.response(make_request(), make_judged(), Answer(data={"k": "v"}), None)
    await broker.close()


async def test_a_sealed_node_writes_nothing(tmp_path):
    """Without the chain key a line would be no line of the chain."""
    sealed = False

    def chain_mac(message):
        if sealed:
            raise SealedError("the keyring is wiped")
        return mac(message)

    broker = make_broker(tmp_path, chain_mac=chain_mac)
    await broker.sync({"file/": make_spec()})
    sealed = True
    assert await outcomes(broker, "secret/1") == [False]
    sealed = False
    assert await outcomes(broker, "secret/2") == [True]

    assert verified(tmp_path / "audit.log").ok
    await broker.close()


async def test_a_device_that_cannot_be_opened_fails_closed_and_is_tried_again(tmp_path):
    """It is enabled in the cluster: that this node cannot open it does not make it unimportant."""
    (tmp_path / "audit.log").mkdir()
    clock = FakeClock()
    broker = make_broker(tmp_path, clock=clock)
    problems = await broker.sync({"file/": make_spec()})

    assert "unable to open" in problems["file/"]
    assert broker.enabled
    assert await outcomes(broker, "secret/1") == [False]
    (tmp_path / "audit.log").rmdir()
    assert await outcomes(broker, "secret/2") == [False]  # a moment too soon
    clock.ahead_s = 2.0
    assert await outcomes(broker, "secret/3") == [True]
    assert verified(tmp_path / "audit.log").ok
    await broker.close()


@pytest.mark.parametrize("options", [{"file_path": "/elsewhere/audit.log"}, {"file_path": "a", "log_raw": "true"}])
async def test_a_device_that_this_node_must_not_have_is_enabled_and_fails(tmp_path, options):
    """The record is the cluster's; the rules are this node's."""
    broker = make_broker(tmp_path)

    assert list(await broker.sync({"file/": make_spec(**options)})) == ["file/"]
    assert await outcomes(broker, "secret/1") == [False]
    await broker.close()


async def test_devices_come_and_go_with_their_records(tmp_path):
    """A removed one is closed, a changed one is another, the rest are not touched."""
    broker = make_broker(tmp_path)
    await broker.sync({"a/": make_spec("a.log"), "b/": make_spec("b.log")})
    assert await broker.sync({"a/": make_spec("a.log"), "b/": make_spec("b.log", salt=b"new")}) == {}
    await record(broker, "secret/1")
    await broker.sync({"b/": make_spec("b.log", salt=b"new")})
    await record(broker, "secret/2")
    await broker.sync({})

    assert not broker.enabled
    assert [entry["type"] for entry in entries_of(tmp_path / "a.log")] == ["open", "request"]
    assert [entry["type"] for entry in entries_of(tmp_path / "b.log")] == ["open", "open", "request", "request"]
    assert verified(tmp_path / "b.log").ok


async def test_while_a_device_changes_there_is_no_moment_without_one(tmp_path):
    """A request that comes in between is recorded or refused."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    changing = asyncio.create_task(broker.sync({"file/": make_spec(salt=b"new")}))
    while not changing.done():
        assert broker.enabled
        await asyncio.sleep(0)

    assert await outcomes(broker, "secret/1") == [True]
    await broker.close()


async def test_a_probe_opens_and_leaves_nothing_enabled(tmp_path):
    """What sys/audit asks before it proposes a device."""
    broker = make_broker(tmp_path)
    await broker.probe("file/", "file", {"file_path": "sub/audit.log"})

    assert (tmp_path / "sub" / "audit.log").exists()
    assert not broker.enabled
    assert await broker.sync({"file/": make_spec("sub/audit.log")}) == {}
    await broker.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"file_path": "folder"}, 'sanity check failed; unable to open "folder" for writing: Is a directory'),
        ({"file_path": "/etc/x"}, "file_path must lie below the directory for audit files (audit.directory)"),
    ],
)
async def test_a_probe_that_fails_is_a_400_with_vaults_text(tmp_path, options, text):
    """Nothing is proposed then."""
    (tmp_path / "folder").mkdir()

    with pytest.raises(OptionError) as caught:
        await make_broker(tmp_path).probe("file/", "file", options)

    assert (caught.value.status, caught.value.texts) == (400, (text,))


async def test_a_restart_continues_the_chain(tmp_path):
    """And accounts for what a crash left."""
    for torn in (b"", b'{"type":"requ'):
        broker = make_broker(tmp_path)
        await broker.sync({"file/": make_spec()})
        await record(broker)
        await broker.close()
        with (tmp_path / "audit.log").open("ab") as file:
            file.write(torn)
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    await record(broker)
    await broker.close()
    report = verified(tmp_path / "audit.log")

    assert (report.ok, report.torn, report.head.sequence) == (True, 1, 6)


async def test_a_lost_tail_is_not_written_over(tmp_path):
    """The facts know more than the file: the numbers in between stay unused, and verify tells."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    for number in range(4):
        await record(broker, f"secret/{number}")
    [(path, known)] = broker.due_heads(everything=True).items()
    await broker.close()
    kept = lines_of(tmp_path / "audit.log")[:3]
    (tmp_path / "audit.log").write_bytes(b"".join(kept))
    broker = make_broker(tmp_path)
    await broker.sync({path: make_spec(known=known)})
    await broker.close()
    report = verified(tmp_path / "audit.log", heads=[Head(known.sequence, known.head)])

    assert [entry["sequence"] for entry in entries_of(tmp_path / "audit.log")] == [1, 2, 3, 6]
    assert [finding.fault for finding in report.findings] == [Fault.GAP]


async def test_rotation_continues_in_a_new_file(tmp_path):
    """On SIGHUP; the new file's first line names the old one by its new name."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    await record(broker, "secret/1")
    broker.rotate()
    assert len(lines_of(tmp_path / "audit.log")) == 2
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    broker.rotate()
    await record(broker, "secret/2")
    await broker.close()
    old, new = lines_of(tmp_path / "audit.log.1"), lines_of(tmp_path / "audit.log")

    assert json.loads(new[0])["previous"]["file"] == "audit.log.1"
    assert verify([*old, *new], mac).ok
    assert verify(new, mac).after.sequence == 2
    assert paths_of(entries_of(tmp_path / "audit.log")) == ["secret/2"]


async def test_a_rotation_asked_for_during_another_is_not_lost(tmp_path):
    """Two signals in a row: the file may have been renamed between them."""
    gate, asked = threading.Event(), []

    class Slow(FullSink):
        def rotate(self, unfinished):
            asked.append(unfinished)
            assert gate.wait(30)
            return self.sink.rotate(unfinished)

    broker = make_broker(tmp_path, sinks=Sinks(file=Slow))
    await broker.sync({"file/": make_spec()})
    broker.rotate()
    broker.rotate()
    gate.set()
    await until(lambda: len(asked) == 2)
    assert await outcomes(broker, "secret/1") == [True]
    await broker.close()


async def test_a_probe_of_a_blocked_disk_ends_at_the_deadline(tmp_path):
    """The operator hears 400 and not nothing."""
    gate = threading.Event()

    class Hanging(FullSink):
        def open(self):
            assert gate.wait(30)
            return self.sink.open()

    broker = make_broker(tmp_path, sinks=Sinks(file=Hanging), deadline_s=0.05)
    with pytest.raises(OptionError) as caught:
        await broker.probe("file/", "file", {"file_path": "audit.log"})
    gate.set()

    assert caught.value.texts[0].endswith("for writing: it is blocked")


async def test_a_device_that_blocks_while_it_is_opened_is_refused_and_works_later(tmp_path):
    """Starting must not hang on a dead disk."""
    gate = threading.Event()

    class Hanging(FullSink):
        def open(self):
            assert gate.wait(30)
            return self.sink.open()

    broker = make_broker(tmp_path, sinks=Sinks(file=Hanging), deadline_s=0.05)
    assert await broker.sync({"file/": make_spec()}) == {"file/": "it is blocked"}
    assert await outcomes(broker, "secret/1") == [False]
    gate.set()
    await until(lambda: broker.statuses()[0].ok)
    assert await outcomes(broker, "secret/2") == [True]
    assert verified(tmp_path / "audit.log").ok
    await broker.close()


async def test_rotation_with_a_torn_line_tells_of_it_in_the_new_file(tmp_path):
    """The old disk stays full: what is there in part stays there, and the new file accounts for it."""
    sinks = Sinks(file=FullSink)
    broker = make_broker(tmp_path, sinks=sinks)
    await broker.sync({"file/": make_spec()})
    full = sinks.made["file"]
    full.room = 100
    assert await outcomes(broker, "secret/1") == [False]
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    whole = full.sink.rotate
    full.rotate = lambda _unfinished: whole(b"")
    full.room = None
    broker.rotate()
    assert await outcomes(broker, "secret/2") == [True]
    await broker.close()
    report = verify([*lines_of(tmp_path / "audit.log.1"), *lines_of(tmp_path / "audit.log")], mac)

    assert (report.ok, report.torn) == (True, 1)


async def test_rotation_finishes_a_torn_line_where_it_can(tmp_path):
    """Then there is nothing to tell of."""
    sinks = Sinks(file=FullSink)
    broker = make_broker(tmp_path, sinks=sinks)
    await broker.sync({"file/": make_spec()})
    sinks.made["file"].room = 100
    assert await outcomes(broker, "secret/1") == [False]
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    sinks.made["file"].room = None
    broker.rotate()
    assert await outcomes(broker, "secret/2") == [True]
    await broker.close()
    report = verify([*lines_of(tmp_path / "audit.log.1"), *lines_of(tmp_path / "audit.log")], mac)

    assert (report.ok, report.torn, report.head.sequence) == (True, 0, 4)


async def test_a_failed_rotation_goes_on_in_the_old_file(tmp_path):
    """And says so until the next write."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    (tmp_path / "audit.log").mkdir()
    broker.rotate()
    await until(lambda: not broker.statuses()[0].ok)

    assert "unable to open" in broker.statuses()[0].problem
    assert await outcomes(broker, "secret/1") == [True]
    assert verified(tmp_path / "audit.log.1").ok
    await broker.close()


async def test_a_disk_that_does_not_keep_its_word_takes_nothing_and_the_chain_goes_on(tmp_path, monkeypatch):
    """The sync fails once: refused; the lines that are in the file all the same are gone on from."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec(fdatasync="true")})
    assert await outcomes(broker, "secret/1") == [True]
    real, failures = audit_file.os.fdatasync, [OSError(5, "Input/output error")]

    def once(fd):
        if failures:
            raise failures.pop()
        real(fd)

    monkeypatch.setattr(audit_file.os, "fdatasync", once)
    assert await outcomes(broker, "secret/2", "secret/3") == [False, False]
    assert await outcomes(broker, "secret/4") == [True]
    await broker.close()
    entries = entries_of(tmp_path / "audit.log")

    assert [entry["type"] for entry in entries] == ["open", "request", "request", "request", "open", "request"]
    assert verified(tmp_path / "audit.log").ok


async def test_heads_are_due_at_start_after_time_after_lines_and_at_close(tmp_path, monkeypatch):
    """They stay due until they are facts; what is not in the file is no head."""
    monkeypatch.setattr(audit_facts, "HEAD_LINES", 3)
    clock = FakeClock()
    broker = make_broker(tmp_path, clock=clock)
    await broker.sync({"file/": make_spec()})

    def due(**asked):
        return {path: head.sequence for path, head in broker.due_heads(**asked).items()}

    assert (due(), due()) == ({"file/": 1}, {"file/": 1})
    broker.heads_recorded(broker.due_heads())
    assert due(everything=True) == {}
    await record(broker)
    assert (due(), due(everything=True)) == ({}, {"file/": 2})
    clock.ahead_s = 11.0
    assert due() == {"file/": 2}
    broker.heads_recorded(broker.due_heads())
    await record(broker, kind=Renderer.both)
    assert due() == {}
    await record(broker)
    assert due() == {"file/": 5}
    head = broker.due_heads()["file/"]
    assert (head.file, head.time_ns) == ("audit.log", NOW_NS)
    assert Head(head.sequence, head.head) == verified(tmp_path / "audit.log").head
    broker.heads_recorded({"gone/": AuditHead()})
    await broker.close()


async def test_a_security_event_is_chained_with_the_rest(tmp_path):
    """One file, one chain."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    await broker.event("unseal attempt", {"remote_address": "192.0.2.7"})

    assert entries_of(tmp_path / "audit.log")[-1]["event"]["kind"] == "unseal attempt"
    assert verified(tmp_path / "audit.log").ok
    await broker.close()


async def test_a_device_that_discards_counts_as_working(tmp_path):
    """As in Vault: for finding out what audit costs."""
    broker = make_broker(tmp_path)

    assert await broker.sync({"none/": make_spec("discard")}) == {}
    assert await outcomes(broker, "secret/1") == [True]
    await broker.close()
    assert list(tmp_path.iterdir()) == []


async def test_settings_reach_the_lines_and_nothing_shows_a_salt(tmp_path):
    """`vault_numbers` and headers are the node's; reprs are safe to log."""
    broker = make_broker(tmp_path, settings=LineSettings(vault_numbers=True))
    spec = make_spec()
    await broker.sync({"file/": spec})
    await broker.record(make_entry(b'{"n":7}'), Renderer.request)

    assert entries_of(tmp_path / "audit.log")[-1]["request"]["data"] == {"n": 7}
    assert repr(broker) == "<Broker of 1 devices>"
    shown = repr(DeviceSpec(make_spec(salt=b"").record, SALT))
    assert SALT.decode() not in shown
    await broker.close()


async def test_a_closed_broker_has_written_what_was_offered(tmp_path):
    """Close comes after the last record, in the same turn."""
    broker = make_broker(tmp_path)
    await broker.sync({"file/": make_spec()})
    recording = asyncio.create_task(record(broker, "secret/1"))
    await asyncio.sleep(0)
    await broker.close()
    await recording

    assert paths_of(entries_of(tmp_path / "audit.log")) == ["secret/1"]


def test_rules_serve_sys_audit():
    """The two questions that the system backend asks."""
    rules = Rules("/var/lib/audit", production=True)
    rules.check_options("file", {"file_path": "a"})

    assert rules.hash_text(SALT, "x") == hashed("x")
