"""Lines sent to sockets: taken only when they surely went, no number twice, and the way back to a collector."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from cluster import AuditHead
from node.audit import AuditError, Fault, Head, OptionError, Renderer, verify
from node.audit.chain import Chain
from node.audit.endpoint import Endpoint
from node.audit.position import Position
from node.audit.sink import SinkError
from node.audit.socket import SocketSink
from tests.node.audit.audit_collectors import Collector, socket_spec
from tests.node.audit.audit_fakes import FakeClock, mac, make_broker, make_entry, make_request, until

KINDS = ["tcp", "unix", "udp", "unixgram"]


@pytest.fixture
def collect(tmp_path):
    """Makes collectors, and stops them."""
    made = []

    def make(kind, **fields):
        made.append(Collector(kind, tmp_path, **fields))
        return made[-1]

    yield make
    for one in made:
        one.stop()


async def taken(broker, *paths):
    """True where the record was taken."""
    records = (broker.record(make_entry(request=make_request(path=path)), Renderer.request) for path in paths)
    done = await asyncio.gather(*records, return_exceptions=True)
    assert all(one is None or isinstance(one, AuditError) for one in done)
    return [one is None for one in done]


def paths_of(lines):
    return [told["request"]["path"] for line in lines if "request" in (told := json.loads(line))]


def faults(lines, **known):
    return [finding.fault for finding in verify(lines, mac, **known).findings]


def make_sink(directory, collector, **fields):
    options = collector.options
    host, _, port = options["address"].rpartition(":")
    where = {"path": options["address"]} if collector.kind.startswith("unix") else {"host": host, "port": int(port)}
    endpoint = Endpoint(collector.kind, **where, write_timeout_s=0.3)
    return SocketSink(endpoint, Position(directory, "n1", "s/", "x", **fields))


def chained(count=3, device="s/"):
    chain = Chain("n1", device, mac)
    return [chain.append(b'{"n":%d}' % number) for number in range(count)]


@pytest.mark.parametrize("kind", KINDS)
async def test_records_arrive_whole_and_in_a_chain(tmp_path, collect, kind):
    """Whatever the kind; nothing but the position is kept here."""
    collector = collect(kind)
    broker = make_broker(tmp_path / "audit")
    assert await broker.sync({"s/": socket_spec(collector.options)}) == {}
    assert await taken(broker, *(f"secret/{number}" for number in range(20))) == [True] * 20
    lines = collector.lines(21)
    await broker.close()

    assert paths_of(lines) == [f"secret/{number}" for number in range(20)]
    assert json.loads(lines[0])["type"] == "open"
    assert verify(lines, mac).ok
    assert [path.name for path in (tmp_path / "audit").iterdir()] == [".positions"]


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_collector_nothing_is_taken_and_later_it_is(tmp_path, collect, kind):
    """Fails closed, is called again only after a while, and the chain has no hole for what was refused."""
    collector = collect(kind)
    collector.stop()
    clock = FakeClock()
    broker = make_broker(tmp_path, clock=clock)
    problems = await broker.sync({"s/": socket_spec(collector.options)})
    assert problems["s/"].startswith("sanity check failed; unable to connect to")
    assert await taken(broker, "secret/1") == [False]
    collector.start()
    assert await taken(broker, "secret/2") == [False]  # a moment too soon
    clock.ahead_s = 1.5
    assert await taken(broker, "secret/3") == [True]
    lines = collector.lines(2)
    await broker.close()

    assert paths_of(lines) == ["secret/3"]
    assert faults(lines) == []


@pytest.mark.parametrize("kind", ["tcp", "unix", "unixgram"])
async def test_a_collector_that_began_anew_costs_nothing(tmp_path, collect, kind):
    """It is called once more before anything is sent: the chain goes on without a word."""
    collector = collect(kind)
    broker = make_broker(tmp_path)
    await broker.sync({"s/": socket_spec(collector.options)})
    assert await taken(broker, "secret/1") == [True]
    collector.lines(2)
    collector.stop()
    collector.start()
    assert await taken(broker, "secret/2") == [True]
    lines = collector.lines(3)
    await broker.close()

    assert paths_of(lines) == ["secret/1", "secret/2"]
    assert verify(lines, mac).ok


@pytest.mark.parametrize("kind", ["tcp", "unix", "unixgram"])
async def test_while_a_collector_is_away_nobody_goes_on(tmp_path, collect, kind):
    """Refused at once, then after longer and longer pauses; when it is back the chain says what may be missing."""
    collector = collect(kind)
    clock = FakeClock()
    broker = make_broker(tmp_path, clock=clock)
    await broker.sync({"s/": socket_spec(collector.options)})
    assert await taken(broker, "secret/1") == [True]
    collector.lines(2)
    collector.stop()
    assert await taken(broker, "secret/2", "secret/3") == [False, False]
    assert (broker.statuses()[0].ok, broker.statuses()[0].failures_total) == (False, 2)
    await until(lambda: "unable to connect" in broker.statuses()[0].problem)  # it was called once more, at once
    collector.start()
    clock.ahead_s = 1.0
    assert await taken(broker, "secret/4") == [False]
    clock.ahead_s = 3.0
    assert await taken(broker, "secret/5") == [True]
    lines = collector.lines(4)
    await broker.close()

    assert paths_of(lines) == ["secret/1", "secret/5"]
    assert faults(lines) == []


async def test_a_port_that_nobody_reads_takes_no_record(tmp_path, collect):
    """A datagram to it is taken by the kernel all the same: what it is told afterwards counts."""
    collector = collect("udp")
    broker = make_broker(tmp_path)
    await broker.sync({"s/": socket_spec(collector.options)})
    assert await taken(broker, "secret/1") == [True]
    collector.lines(2)
    collector.stop()

    assert await taken(broker, "secret/2") == [False]
    assert await taken(broker, "secret/3") == [False]
    await broker.close()


async def test_a_collector_that_does_not_read_counts_as_failed_at_the_deadline(tmp_path, collect):
    """The loop keeps running meanwhile, and what went in part is never taken."""
    collector = collect("unix", reads=False)
    broker = make_broker(tmp_path, deadline_s=0.1)
    await broker.sync({"s/": socket_spec(collector.options)})
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    big = make_entry(json.dumps({"k" * 500_000: "v"}).encode())
    with pytest.raises(AuditError):
        await broker.record(big, Renderer.request)
    turning.cancel()

    assert turns > 100
    await until(lambda: broker.statuses()[0].problem == "Connection timed out")
    assert broker.statuses()[0].sequence == 1
    await broker.close()


async def test_what_broke_half_way_counts_as_failed_and_its_numbers_are_not_used_again(tmp_path, collect):
    """The next opening line says up to which number lines may have arrived; verify counts what is not there."""
    collector = collect("tcp")
    broker = make_broker(tmp_path, clock=FakeClock())
    await broker.sync({"s/": socket_spec(collector.options)})
    assert await taken(broker, "secret/1") == [True]
    collector.lines(2)
    sink = broker._devices["s/"][0]._sink
    whole = sink._stream

    def breaks(lines):
        sink._stream = whole
        whole(lines[:1])  # one arrives; nobody knows
        collector.lines(3)  # each connection has a reader of its own: only so is their order that of the sendings
        return sink._broken(0, OSError(104, "Connection reset by peer"))

    sink._stream = breaks
    assert await taken(broker, "secret/2", "secret/3", "secret/4") == [False] * 3
    assert await taken(broker, "secret/5") == [True]
    lines = collector.lines(5)
    await broker.close()
    opened = json.loads(lines[3])

    assert paths_of(lines) == ["secret/1", "secret/2", "secret/5"]
    assert (opened["previous"]["sequence"], opened["unsure"]["sequence"], opened["sequence"]) == (2, 5, 6)
    for there, lost in ((lines, 2), (lines[:2] + lines[3:], 3)):
        report = verify(there, mac)
        assert (report.findings, report.lost) == ([], lost)
    assert Fault.GAP in faults(lines[:1] + lines[3:])  # what was answered for must be there
    assert Fault.CHANGED in faults([*lines[:2], lines[2].replace(b"secret/2", b"secret/9"), *lines[3:]])


@pytest.mark.parametrize("clean", [True, False])
async def test_a_restart_goes_on_from_the_position(tmp_path, collect, clean):
    """Whether the node stopped or was killed: facts are older than that, and there is no fork."""
    collector = collect("unix")
    for number in range(3):
        broker = make_broker(tmp_path)
        old = AuditHead(file="x", sequence=1, head=b"o" * 32)  # a fact from long ago
        await broker.sync({"s/": socket_spec(collector.options, known=old if number else None)})
        assert await taken(broker, f"secret/{number}") == [True]
        lines = collector.lines(2 * number + 2)
        if clean:
            await broker.close()
        else:  # what the kernel does for a process that is gone
            for device, _ in broker._devices.values():
                device._sink.close()

    assert paths_of(lines) == [f"secret/{number}" for number in range(3)]
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert verify(lines, mac).ok


async def test_a_fact_that_is_newer_than_the_position_wins(tmp_path, collect):
    """A power cut took the position: the number that is known is not used again."""
    collector = collect("tcp")
    known = AuditHead(file="tcp", sequence=40, head=b"h" * 32)
    broker = make_broker(tmp_path)
    await broker.sync({"s/": socket_spec(collector.options, known=known)})
    [line] = collector.lines(1)
    await broker.close()

    assert (json.loads(line)["sequence"], json.loads(line)["previous"]["chain"]) == (41, (b"h" * 32).hex())


async def test_a_line_too_long_for_a_message_is_refused_alone(tmp_path, collect):
    """Those beside it go; a stream takes it."""
    long = make_entry(json.dumps({"k" * 70_000: "v"}).encode())
    for kind, expected in (("udp", False), ("tcp", True)):
        broker = make_broker(tmp_path / kind)
        collector = collect(kind)
        await broker.sync({"s/": socket_spec(collector.options)})
        results = await asyncio.gather(
            broker.record(long, Renderer.request), *[broker.record(make_entry(), Renderer.request)] * 1,
            return_exceptions=True,
        )  # fmt: skip
        assert [one is None for one in results] == [expected, True]
        assert verify(collector.lines(3 if expected else 2), mac).ok
        await broker.close()


async def test_a_probe_calls_and_hangs_up(tmp_path, collect):
    """Nothing is enabled, nothing is sent; and 400 where nobody answers."""
    collector = collect("tcp")
    broker = make_broker(tmp_path)
    await broker.probe("s/", "socket", collector.options)
    assert not broker.enabled
    collector.stop()

    with pytest.raises(OptionError) as caught:
        await broker.probe("s/", "socket", collector.options)
    where = collector.options["address"]
    assert caught.value.texts == (f'sanity check failed; unable to connect to "tcp://{where}": Connection refused',)
    assert collector.received == b""


def test_a_sink_reads_away_what_its_peer_says(tmp_path, collect):
    """A collector that talks is no collector that has closed."""
    collector = collect("tcp")
    sink = make_sink(tmp_path, collector)
    sink.open()
    lines = chained()
    assert sink.write(lines[0]).bytes == len(lines[0])
    collector.lines(1)
    for one in collector._sockets[1:]:
        one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert sink.write(lines[1]).bytes == len(lines[1])
    collector.lines(2)
    collector.hang_up()
    assert sink.write(lines[2]).bytes == len(lines[2])
    assert collector.lines(3) == lines
    assert sink.rotate(b"") is None
    sink.close()


def test_a_host_without_an_address_is_no_device(tmp_path, monkeypatch):
    """The name says nothing to anybody: the sink does not open, with a reason."""

    def unknown(*_args, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    sink = SocketSink(Endpoint("tcp", "host.invalid", 1), Position(tmp_path, "n1", "s/", "x"))

    with pytest.raises(SinkError, match=r"unable to connect to .*: Name or service not known"):
        sink.open()


# ---- the position
def test_a_position_is_read_as_it_was_put(tmp_path):
    """Shorter over longer, too; the file is ours alone."""
    position = Position(tmp_path, "n1", "s/", "tcp://a:1")
    assert position.open() == (Head(file="tcp://a:1"), Head(file="tcp://a:1"))
    position.put(Head(10**18, b"a" * 32), Head(10**18 + 1, b"b" * 32))
    position.put(Head(1, b"c" * 32), Head(2, b"d" * 32))
    other = Position(tmp_path, "n1", "s/", "tcp://a:1")
    with pytest.raises(SinkError, match="another audit device"):
        other.open()
    position.close()

    assert other.open() == (Head(1, b"c" * 32, "tcp://a:1"), Head(2, b"d" * 32, "tcp://a:1"))
    other.close()
    assert (tmp_path / ".positions").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".positions" / "s%2F").stat().st_mode & 0o777 == 0o600


GOLDEN = (Path(__file__).parents[2] / "golden" / "formats" / "audit_position.json").read_bytes()  # must open for ever


def test_the_golden_position_opens(tmp_path):
    """With the spaces behind it and without."""
    folder = tmp_path / ".positions"
    folder.mkdir()
    for raw in (GOLDEN, GOLDEN.ljust(4096)):
        (folder / "s%2F").write_bytes(raw)
        position = Position(tmp_path, "n1", "s/", "x")
        assert position.open() == (Head(7, b"a" * 32, "x"), Head(9, b"b" * 32, "x"))
        position.put(Head(7, b"a" * 32), Head(9, b"b" * 32))
        position.close()
        assert (folder / "s%2F").read_bytes() == GOLDEN.ljust(4096)


@pytest.mark.parametrize(
    "raw",
    [
        b"\0" * 4096,
        b"{}",
        GOLDEN.replace(b'"format":1', b'"format":2'),
        GOLDEN.replace(b'"n1"', b'"n2"'),
        GOLDEN.replace(b'"s/"', b'"t/"'),
        GOLDEN.replace(b"6161", b"61"),
        GOLDEN.replace(b'"sequence":7', b'"sequence":-7'),
        GOLDEN.replace(b'"sequence":7', b'"sequence":9223372036854775808'),
        GOLDEN.replace(b'"sequence":9', b'"sequence":999999999999999999999999'),
        b'{"x":' + b"[" * 4000,
    ],
)
def test_a_position_that_is_not_ours_is_refused_and_left(tmp_path, raw):
    """A chain has one writer; damage is looked at, not written over."""
    (tmp_path / ".positions").mkdir()
    (tmp_path / ".positions" / "s%2F").write_bytes(raw)

    with pytest.raises(SinkError, match="move it away"):
        Position(tmp_path, "n1", "s/", "x").open()
    assert (tmp_path / ".positions" / "s%2F").read_bytes() == raw


def test_a_position_that_cannot_be_kept_is_no_device(tmp_path):
    """A link in its place is not followed; a path that fits no name is refused."""
    (tmp_path / ".positions").mkdir()
    (tmp_path / ".positions" / "s%2F").symlink_to(tmp_path / "elsewhere")
    for device in ("s/", "x" * 256):
        with pytest.raises(SinkError):
            Position(tmp_path, "n1", device, "x").open()

    assert not (tmp_path / "elsewhere").exists()


def test_a_position_that_cannot_be_written_sends_nothing(tmp_path, collect):
    """First the number is accounted for, then the line goes."""
    collector = collect("unix")
    sink = make_sink(tmp_path, collector)
    sink.open()

    def full(_sure, _unsure):
        raise OSError(28, "No space left on device")

    sink._position.put = full
    written = sink.write(b"".join(chained()))

    assert (written.bytes, written.error.strerror) == (0, "No space left on device")
    assert collector.received == b""
    sink.close()
