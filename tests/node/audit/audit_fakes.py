"""Requests, devices and a broker for the tests of audit; sinks that are full, block or lie."""

import asyncio
import errno
import hmac
import json
import threading
import time

from cluster import AuditDevice, Mount
from node.audit import AuditEntry, Broker, DeviceSpec, Rules
from node.audit.sink import Opened, Written
from node.audit.sinks import sink_for
from node.engines.base import Caller
from node.request import Body, Operation, RawRequest

CHAIN_KEY = b"chain key of the tests"
SALT = b"salt of the tests, 32 bytes long"
TOKEN = "hvs.CanaryTokenThatIsNeverSeen00"
ACCESSOR = "CanaryAccessorOfTheToken"
NOW_NS = 1_763_977_260_250_000_000
NOW = "2025-11-24T09:41:00.25Z"


def mac(message):
    return hmac.digest(CHAIN_KEY, message, "sha256")


def hashed(value, salt=SALT):
    """Vault's hash, computed the long way round."""
    return "hmac-sha256:" + hmac.digest(salt, value.encode(), "sha256").hex()


class FakeClock:
    """`boot` really runs, because deadlines do; the wall stands still."""

    def boot(self):
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.ahead_s

    def wall_ns(self):
        return NOW_NS

    ahead_s = 0.0


def make_request(body=b"", **fields):
    given = {
        "id": "11111111-2222-3333-4444-555555555555",
        "method": "PUT",
        "target": "/v1/secret/data/app",
        "operation": Operation.UPDATE,
        "path": "secret/data/app",
        "query": {},
        "body": Body(body),
        "token": TOKEN,
        "headers": {},
        "remote_address": "192.0.2.7",
        "remote_port": 40000,
    }
    return RawRequest(**(given | fields))


def make_caller(**fields):
    given = {
        "token_key": b"k" * 32,
        "accessor": ACCESSOR,
        "display_name": "token-app",
        "policies": ("default", "app"),
        "ttl_s": 600,
    }
    return Caller(**(given | fields))


def make_mount(**config):
    return Mount(uuid=b"u" * 16, type="kv", accessor="kv_0a1b2c3d", config=config)


def make_entry(body=b"", *, request=None, **fields):
    given = {
        "request": make_request(body) if request is None else request,
        "caller": make_caller(),
        "mount_path": "secret/",
        "mount": make_mount(),
        "granting_policies": ("app",),
    }
    return AuditEntry(**(given | fields))


def exhausted(steps):
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def make_spec(file_path="audit.log", salt=SALT, known=None, **options):
    record = AuditDevice(type="file", options={"file_path": file_path, **options}, box=salt)
    return DeviceSpec(record, salt, known)


def make_broker(directory, **fields):
    given = {"node_id": "n1", "rules": Rules(str(directory), production=True), "chain_mac": mac, "clock": FakeClock()}
    return Broker(**(given | fields))


async def until(condition):
    """The loop turns until it holds; a broken test fails instead of hanging."""
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def entries_of(path):
    return [json.loads(line) for line in lines_of(path)]


class FullSink:
    """A real file on a disk with `room` bytes left; None = plenty. Counts its writes."""

    def __init__(self, sink, room=None):
        self.sink = sink
        self.room = room
        self.writes = 0

    def open(self):
        return self.sink.open()

    def write(self, data):
        self.writes += 1
        if self.room is None or len(data) <= self.room:
            self.room = None if self.room is None else self.room - len(data)
            return self.sink.write(data)
        part, self.room = data[: self.room], 0
        return Written(self.sink.write(part).bytes, OSError(errno.ENOSPC, "No space left on device"))

    def rotate(self, unfinished):
        return self.sink.rotate(unfinished)

    def close(self):
        self.sink.close()


class BlockedSink:
    """Blocks in `write` while `gate` is closed, as a network file system does that lost its server."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.writes = 0
        self.data = b""

    def open(self):
        return Opened()

    def write(self, data):
        self.writes += 1
        assert self.gate.wait(30)
        self.data += data
        return Written(len(data))

    def rotate(self, unfinished):
        return None

    def close(self):
        pass


class Sinks:
    """Stands where the broker makes its sinks: by path of the device, a wrapper or a sink of the test's own."""

    def __init__(self, **by_name):
        self.by_name = by_name
        self.made = {}

    def __call__(self, directory, options, node, device):
        name = device.strip("/")
        made = self.by_name[name]
        sink = made(sink_for(directory, options, node, device)) if callable(made) else made
        self.made[name] = sink
        return sink
