"""The sink in a bucket against a real server: what breaks between them, who may do what, and races."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from cluster.backup.chain import plan
from cluster.backup.restore import Point, Restore
from cluster.backup.sinks import s3 as s3_sink
from cluster.backup.sinks import s3_log
from cluster.backup.sinks.base import (
    Claim,
    ConflictError,
    FencedError,
    Generation,
    Position,
    SinkError,
    SinkRefusedError,
    Stored,
    UnknownStoreError,
)
from cluster.backup.sinks.urls import open_sink
from tests.cluster.backup.backing import (
    History,
    SystemLikeRandom,
    WiredSource,
    keys,
    opens,
    pipeline_of,
    reached,
)
from tests.cluster.backup.crafting import CLAIM, GENERATION, LINE, batch, chain, part
from tests.cluster.backup.s3_server import KEYS, READER, Front, Server, running_front
from tests.cluster.backup.tls_files import write_tls_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Forward = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    Judge = Callable[[web.BaseRequest], bool]

WAIT_S = 60.0
RACE_S = 60.0  # this server waits by the second for locks of its own
BASE, ONE, TWO = chain(2)
LATER = Claim(GENERATION, 4, "n2")
LOG = f"/{GENERATION.hex()}/log/"
BATCH = f"/{GENERATION.hex()}/batch/"


def last_of(found: Position | None) -> int:
    return 0 if found is None else found.last


async def ready(sink: Any) -> Any:
    """The sink is claimed, and reaches 11."""
    await sink.open()
    await sink.begin(LINE)
    await sink.claim(CLAIM)
    for data, parsed in (BASE, ONE):
        await sink.store(CLAIM, data, parsed)
    return sink


async def listed(sink: Any) -> list[Stored]:
    return [one async for one in sink.objects(GENERATION)]


def is_put(mark: str) -> Judge:
    return lambda request: request.method == "PUT" and mark in request.path


@pytest.fixture
async def front(s3: Server) -> AsyncIterator[Front]:
    async with running_front(s3) as made:
        yield made


@pytest.fixture
def through(s3: Server, front: Front, prefix: str) -> Any:
    """A sink whose requests go through the front."""
    return open_sink(s3.url(prefix, endpoint=front.endpoint), password=KEYS)


@pytest.fixture
def direct(s3: Server, prefix: str) -> Any:
    """A sink on the same place that speaks to the server itself."""
    return open_sink(s3.url(prefix), password=KEYS)


def answering(judge: Judge, status: int, body: bytes = b"") -> Any:
    """What is judged so is answered here and never reaches the server."""

    async def on_request(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        return web.Response(status=status, body=body) if judge(request) else await forward(request)

    return on_request


def losing_answers(judge: Judge) -> Any:
    """What is judged so is done, and nobody hears of it."""

    async def on_request(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        answer = await forward(request)
        if judge(request):
            assert request.transport is not None
            request.transport.abort()
        return answer

    return on_request


class Holding:
    """Keeps the first request that is judged so on its way, until it is told to let it go."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()
        self.done = asyncio.Event()

    async def __call__(self, request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        if not self._judge(request) or self.arrived.is_set():
            return await forward(request)
        await request.read()
        self.arrived.set()
        await self.released.wait()
        answer = await forward(request)
        self.done.set()
        return answer


# ---- the server breaks
async def test_a_server_that_was_killed_has_what_it_answered(s3: Server, direct: Any) -> None:
    """While it is away there is an error that says to try again; afterwards the chain goes on where it was."""
    await ready(direct)
    s3.kill()
    try:
        with pytest.raises(SinkError) as raised:
            await direct.store(CLAIM, *TWO)
    finally:
        s3.start()

    assert not isinstance(raised.value, SinkRefusedError)
    assert last_of(await direct.claim(CLAIM)) == 11
    await direct.store(CLAIM, *TWO)
    assert len(await listed(direct)) == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_server_that_cannot_just_now_is_asked_again(through: Any, front: Front, status: int) -> None:
    """It is no refusal, and what it says is not repeated."""
    await ready(through)
    front.on_request = answering(is_put(BATCH), status, b"hunter2")

    with pytest.raises(SinkError, match=f"status {status}") as raised:
        await through.store(CLAIM, *TWO)

    assert not isinstance(raised.value, SinkRefusedError | UnknownStoreError)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_record_that_a_server_fails_at_may_stand(through: Any, front: Front, status: int) -> None:
    """Nobody knows what was behind the one that answered."""
    await ready(through)
    front.on_request = answering(is_put(LOG), status)

    with pytest.raises(UnknownStoreError):
        await through.store(CLAIM, *TWO)

    front.on_request = answering(lambda _: False, 0)
    assert last_of(await through.claim(CLAIM)) == 11


@pytest.mark.parametrize(("status", "words"), [(301, "region"), (403, "keys"), (404, "bucket"), (501, "conditional")])
async def test_what_an_operator_must_mend_is_a_refusal(through: Any, front: Front, status: int, words: str) -> None:
    """Trying again would change nothing."""
    front.on_request = answering(lambda request: request.method == "PUT", status)

    with pytest.raises(SinkRefusedError, match=words):
        await through.open()


async def test_a_server_that_says_nothing_is_not_waited_for(s3: Server, front: Front, prefix: str) -> None:
    """The bytes of an object: nothing is known of them anyway."""
    sink = await ready(open_sink(s3.url(prefix, endpoint=front.endpoint), password=KEYS, timeout_s=0.5))
    front.on_request = holding = Holding(is_put(BATCH))

    with pytest.raises(SinkError, match="no answer in time") as raised:
        await sink.store(CLAIM, *TWO)

    assert not isinstance(raised.value, UnknownStoreError)
    holding.released.set()
    assert last_of(await sink.claim(CLAIM)) == 11


async def test_a_record_without_an_answer_in_time_may_stand(s3: Server, front: Front, prefix: str) -> None:
    """And stands, if the server gets it before the position is read."""
    sink = await ready(open_sink(s3.url(prefix, endpoint=front.endpoint), password=KEYS, timeout_s=0.5))
    front.on_request = holding = Holding(is_put(LOG))

    with pytest.raises(UnknownStoreError):
        await sink.store(CLAIM, *TWO)

    holding.released.set()
    await holding.done.wait()
    assert last_of(await sink.claim(CLAIM)) == TWO[1].header.last


async def test_a_lost_answer_is_found_out_by_the_next_claim(through: Any, front: Front) -> None:
    """The batch stands; sending it again would be sending it once."""
    await ready(through)
    front.on_request = losing_answers(is_put(LOG))

    with pytest.raises(UnknownStoreError):
        await through.store(CLAIM, *TWO)

    front.on_request = answering(lambda _: False, 0)
    assert last_of(await through.claim(CLAIM)) == TWO[1].header.last
    await through.store(CLAIM, *TWO)
    assert len(await listed(through)) == 3


async def test_a_lost_answer_to_the_bytes_is_no_object(through: Any, front: Front) -> None:
    """They are there, and count for nothing until the log names them."""
    await ready(through)
    front.on_request = losing_answers(is_put(BATCH))

    with pytest.raises(SinkError):
        await through.store(CLAIM, *TWO)

    assert len(await listed(through)) == 2
    front.on_request = answering(lambda _: False, 0)
    await through.store(CLAIM, *TWO)
    assert len(await listed(through)) == 3


# ---- what is under way while the claim changes hands
async def test_a_record_under_way_comes_too_late_for_a_claim(through: Any, front: Front, direct: Any) -> None:
    """The new claimant has its number: the old one's batch is never part of the backup, whoever sends it."""
    await ready(through)
    front.on_request = holding = Holding(is_put(LOG))
    sending = asyncio.ensure_future(through.store(CLAIM, *TWO))
    await holding.arrived.wait()

    assert last_of(await direct.claim(LATER)) == 11
    holding.released.set()

    with pytest.raises(FencedError):
        await sending
    assert len(await listed(direct)) == 2
    await direct.store(LATER, *batch(12, 30, ONE, box=b"another"))
    assert plan(await listed(direct)).last == 30


async def test_a_record_that_was_before_the_claim_is_counted_by_it(through: Any, front: Front, direct: Any) -> None:
    """Its sender has not heard of it yet, and is told the truth."""
    await ready(through)
    front.on_request = holding = Holding(is_put(BATCH))
    sending = asyncio.ensure_future(through.store(CLAIM, *TWO))
    await holding.arrived.wait()
    holding.released.set()
    await sending

    assert last_of(await direct.claim(LATER)) == TWO[1].header.last


async def test_an_own_record_under_way_is_refused_once_the_position_was_read(
    s3: Server, front: Front, prefix: str, direct: Any
) -> None:
    """Its sender gave it up, claimed again and sent another batch from the same place: there is no fork."""
    sink = await ready(open_sink(s3.url(prefix, endpoint=front.endpoint), password=KEYS, timeout_s=0.5))
    front.on_request = holding = Holding(is_put(LOG))
    with pytest.raises(UnknownStoreError):
        await sink.store(CLAIM, *TWO)
    longer = batch(12, 40, ONE, box=b"longer")

    assert last_of(await sink.claim(CLAIM)) == 11
    holding.released.set()
    await holding.done.wait()
    await sink.store(CLAIM, *longer)

    assert [one.last for one in await listed(direct)] == [1, 11, 40]


# ---- races
async def test_of_sixteen_batches_at_once_one_is_stored(s3: Server, prefix: str, direct: Any) -> None:
    """All with the same claim, all behind the same batch."""
    await ready(direct)
    sinks: list[Any] = [open_sink(s3.url(prefix), password=KEYS, timeout_s=RACE_S) for _ in range(16)]
    rivals = [batch(12, 20 + number, ONE, box=bytes([number])) for number in range(16)]

    answers = await asyncio.gather(
        *(sink.store(CLAIM, *rival) for sink, rival in zip(sinks, rivals, strict=True)), return_exceptions=True
    )

    assert [type(answer) for answer in answers].count(ConflictError) == 15
    winner = rivals[answers.index(None)]
    assert [one.hash for one in await listed(direct)] == [BASE[1].hash, ONE[1].hash, winner[1].hash]


async def test_of_sixteen_children_at_once_one_begins(s3: Server, prefix: str, direct: Any) -> None:
    """And of sixteen that ask for a fork, all."""
    await direct.open()
    await direct.begin(LINE)
    sinks: list[Any] = [open_sink(s3.url(prefix), password=KEYS, timeout_s=RACE_S) for _ in range(16)]
    children = [Generation(f"generation-{number:05}".encode(), GENERATION, 50, 2 + number) for number in range(16)]

    answers = await asyncio.gather(
        *(sink.begin(child) for sink, child in zip(sinks, children, strict=True)), return_exceptions=True
    )

    assert [type(answer) for answer in answers].count(FencedError) == 15
    assert await direct.generations() == [LINE, children[answers.index(None)]]
    for child in children:
        await direct.begin(child, fork=True)
    assert len(await direct.generations()) == 17


async def test_of_claims_at_once_the_highest_stands(s3: Server, prefix: str, direct: Any) -> None:
    """Whatever the order: afterwards only it stores."""
    await ready(direct)
    claims = [Claim(GENERATION, 4 + number, f"n{number}") for number in range(8)]
    sinks: list[Any] = [open_sink(s3.url(prefix), password=KEYS, timeout_s=RACE_S) for _ in claims]

    answers = await asyncio.gather(
        *(sink.claim(claim) for sink, claim in zip(sinks, claims, strict=True)), return_exceptions=True
    )

    assert {type(answer) for answer in answers} <= {Position, FencedError}
    for sink, claim in list(zip(sinks, claims, strict=True))[:-1]:
        with pytest.raises(FencedError):
            await sink.store(claim, *TWO)
    await sinks[-1].store(claims[-1], *TWO)


async def test_a_server_that_ignores_conditions_is_refused(through: Any, front: Front) -> None:
    """In one sentence, before anything is stored there. It says that it created what was there before."""

    async def on_request(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        answer = await forward(request)
        return answer if answer.status != 412 else web.Response(headers={"ETag": '"1"'})

    front.on_request = on_request

    with pytest.raises(SinkRefusedError, match="ignores If-None-Match"):
        await through.open()

    puts = [line for line in front.seen if line.startswith("PUT ")]
    assert all(line.endswith("/strongroom") for line in puts)


async def test_a_server_that_keeps_conditions_is_taken(through: Any) -> None:
    """The same way, by what it says itself."""
    await ready(through)


# ---- who may do what
@pytest.mark.parametrize("keys", ["writer:hunter2", "hunter2:correct horse"])
async def test_wrong_keys_are_refused(s3: Server, prefix: str, keys: str) -> None:
    """Without repeating them."""
    sink = open_sink(s3.url(prefix), password=keys)

    with pytest.raises(SinkRefusedError, match="keys") as raised:
        await sink.open()

    assert "hunter2" not in str(raised.value) + repr(sink) + repr(vars(sink))


@pytest.mark.parametrize("password", [None, "", "hunter2", ":hunter2", "hunter2:"])
def test_keys_that_are_none_are_refused(password: str | None) -> None:
    """Before anything is opened; nothing is taken from the environment instead."""
    with pytest.raises(SinkRefusedError, match="ACCESS_KEY_ID:SECRET_ACCESS_KEY") as raised:
        open_sink("s3://bucket/prefix", password=password)

    assert "hunter2" not in str(raised.value)


async def test_keys_that_may_only_read_can_restore(s3: Server, prefix: str, direct: Any) -> None:
    """They list and read, and store nothing."""
    await ready(direct)
    sink: Any = open_sink(s3.url(prefix), password=READER)
    await sink.open()

    assert [await sink.read(GENERATION, one) for one in await listed(sink)] == [BASE[0], ONE[0]]
    with pytest.raises(SinkRefusedError):
        await sink.claim(LATER)
    with pytest.raises(SinkRefusedError):
        await sink.store(CLAIM, *TWO)
    assert await listed(sink) == await listed(direct)


async def test_keys_that_may_only_read_do_not_make_a_place(s3: Server, prefix: str) -> None:
    """There is nothing to read in it."""
    with pytest.raises(SinkRefusedError):
        await open_sink(s3.url(prefix), password=READER).open()


async def test_looking_asks_and_sends_nothing(through: Any, direct: Any, front: Front) -> None:
    """Neither a mark nor a removal to try it; not at a new place either."""
    await through.look()
    assert await through.generations() == []
    await ready(direct)
    await through.look()

    assert await through.generations() == [LINE]
    assert {request.split()[0] for request in front.seen} <= {"GET", "HEAD"}


async def test_a_bucket_that_is_not_there_is_no_empty_one(s3: Server) -> None:
    """Whoever looks at the wrong one is told."""
    with pytest.raises(SinkError):
        await open_sink(s3.url("x").replace("s3://", "s3://not-", 1), password=KEYS).look()


async def test_keys_that_may_not_delete_hide_nothing(through: Any, front: Front, caplog: Any) -> None:
    """The removal is refused as a whole; what was named is still there."""
    front.on_request = answering(lambda request: request.method == "DELETE", 403)
    await ready(through)

    with pytest.raises(SinkRefusedError, match="may not delete"):
        await through.remove(CLAIM, await listed(through))

    assert len(await listed(through)) == 2
    assert caplog.text == ""
    await through.store(CLAIM, *TWO)


async def test_keys_that_may_delete_are_warned_of_once(direct: Any, caplog: Any) -> None:
    """A stolen one would be enough to remove the backups."""
    await direct.open()
    await direct.open()

    assert caplog.text.count("may delete") == 1


async def test_what_an_interrupted_removal_left_goes_with_the_next_one(through: Any, front: Front, direct: Any) -> None:
    """It is hidden as soon as it is to go, so no restore counts on it."""
    await ready(through)
    base, one = await listed(through)
    front.on_request = answering(lambda request: request.method == "DELETE" and "/base/" in request.path, 503)
    with pytest.raises(SinkError):
        await through.remove(CLAIM, [base])
    assert await listed(direct) == [one]
    assert await direct.read(GENERATION, base) == BASE[0]

    await direct.remove(CLAIM, [])
    assert await direct.read(GENERATION, base) == BASE[0]  # nothing was asked for
    await direct.remove(CLAIM, [one])

    for gone in (base, one):
        with pytest.raises(SinkError, match="gone"):
            await direct.read(GENERATION, gone)
    assert await direct.claim(CLAIM) is None


async def test_what_came_back_since_is_not_deleted_with_the_rest(through: Any, front: Front, direct: Any) -> None:
    """A part of a base has one name; it was dropped, sent again, and counts."""
    await ready(through)
    base, one = await listed(through)
    front.on_request = answering(lambda request: request.method == "DELETE" and "/base/" in request.path, 503)
    with pytest.raises(SinkError):
        await through.remove(CLAIM, [base])
    await direct.store(CLAIM, *BASE)

    await direct.remove(CLAIM, [one])

    assert [await direct.read(GENERATION, found) for found in await listed(direct)] == [BASE[0]]


async def test_pruning_beside_the_node_that_writes_disturbs_nobody(through: Any, direct: Any) -> None:
    """It removes under the claim that stands, and the writer goes on with what it knew."""
    await ready(through)
    claimant = await direct.claimant(GENERATION)
    assert claimant == CLAIM
    await direct.remove(claimant, (await listed(direct))[:1])

    await through.store(CLAIM, *TWO)

    assert [one.last for one in await listed(direct)] == [ONE[1].header.last, TWO[1].header.last]
    assert await direct.claimant(b"never-heard-of-1") is None


# ---- the way there
async def test_the_server_must_prove_its_name(
    s3: Server, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an authority that is trusted; no variable of the library changes that, or where it goes."""
    for name, value in {
        "AWS_ALLOW_INVALID_CERTIFICATES": "true", "AWS_ENDPOINT_URL_S3": s3.endpoint, "AWS_SKIP_SIGNATURE": "true",
        "AWS_ENDPOINT_URL": s3.endpoint, "AWS_SESSION_TOKEN": "hunter2", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_ACCESS_KEY_ID": "hunter2", "AWS_S3_EXPRESS": "true", "AWS_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    async with running_front(s3, write_tls_files(tmp_path)) as front:
        url = s3.url(prefix, endpoint=f"https://localhost:{front.port}")

        for options in ("", f"&ca_file={tmp_path / 'stranger.pem'}"):
            with pytest.raises(SinkRefusedError, match="prove its name"):
                await open_sink(url + options, password=KEYS).open()
        assert front.seen == []
        other = s3.url(prefix, endpoint=f"https://127.0.0.1:{front.port}")
        with pytest.raises(SinkRefusedError, match="prove its name"):
            await open_sink(f"{other}&ca_file={tmp_path / 'ca.pem'}", password=KEYS).open()

        sink = await ready(open_sink(f"{url}&ca_file={tmp_path / 'ca.pem'}", password=KEYS))
        assert len(await listed(sink)) == 2
        assert front.seen


def test_a_file_of_authorities_that_is_none_is_refused(tmp_path: Path) -> None:
    """It must not count as none at all."""
    (tmp_path / "empty.pem").write_text("nothing")

    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(SinkRefusedError, match="ca_file"):
            open_sink(f"s3://bucket?ca_file={tmp_path / name}", password=KEYS)


# ---- what lies there
async def test_a_place_that_holds_something_else_is_refused(s3: Server, prefix: str, front: Front) -> None:
    """Or backups of a format that this program does not know."""
    sink = open_sink(s3.url(prefix, endpoint=front.endpoint), password=KEYS)
    front.on_request = answering(lambda request: request.method == "GET", 200, b"Format 2.")

    with pytest.raises(SinkRefusedError, match="another format"):
        await sink.open()


async def test_a_record_that_is_damaged_is_said_loudly(through: Any, front: Front) -> None:
    """It cannot be left out: whatever follows would not be what was stored."""
    await ready(through)
    front.on_request = answering(
        lambda request: request.method == "GET" and request.path.endswith(f"{LOG}{2:020}"), 200, b"damaged"
    )

    with pytest.raises(SinkRefusedError, match="does not decode"):
        await listed(through)


async def test_a_record_cannot_lead_out_of_its_generation(through: Any, front: Front) -> None:
    """Names are checked before they are read or deleted."""
    await ready(through)
    data = s3_log.encode(s3_log.decode(s3_log.encode(_dropping("batch/0"))))
    front.on_request = answering(
        lambda request: request.method == "GET" and request.path.endswith(f"{LOG}{2:020}"),
        200, data.replace(b"batch/0", b"../oops"),
    )  # fmt: skip

    with pytest.raises(SinkRefusedError, match="no object of a backup"):
        await listed(through)


def _dropping(*names: str) -> Any:
    from cluster.backup.sinks.s3_records import Dropping

    return Dropping(list(names))


@pytest.mark.parametrize("is_broken", [False, True])
async def test_segments_save_reading_and_nothing_depends_on_them(
    through: Any, front: Front, monkeypatch: pytest.MonkeyPatch, *, is_broken: bool
) -> None:
    """With them few requests are made; broken, everything is still found."""
    monkeypatch.setattr(s3_log, "SEGMENT_RECORDS", 8)
    objects = chain(40)
    await through.open()
    await through.begin(LINE)
    await through.claim(CLAIM)
    for data, parsed in objects:
        await through.store(CLAIM, data, parsed)
    if is_broken:
        front.on_request = answering(
            lambda request: request.method == "GET" and "/index/" in request.path and "list-type" not in request.query,
            200, b"damaged",
        )  # fmt: skip
    await through.close()
    front.seen.clear()

    assert last_of(await through.claim(CLAIM)) == objects[-1][1].header.last
    reads = [line for line in front.seen if line.startswith("GET") and LOG in line]
    assert (len(reads) > len(objects)) is is_broken
    assert [one.hash for one in await listed(through)] == [parsed.hash for _, parsed in objects]


async def test_a_segment_of_a_torn_log_is_right(
    s3: Server, prefix: str, direct: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest objects were removed; who reads the segment hears what is left."""
    monkeypatch.setattr(s3_log, "SEGMENT_RECORDS", 2)
    await ready(direct)
    await direct.remove(CLAIM, (await listed(direct))[1:])
    second = batch(2, 5, BASE, box=b"second")
    await direct.store(CLAIM, *second)
    other: Any = open_sink(s3.url(prefix), password=KEYS)

    assert last_of(await other.claim(CLAIM)) == 5
    assert [one.last for one in await listed(other)] == [1, 5]


async def test_an_object_larger_than_any_is_not_read(direct: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile server does not fill our memory."""
    await ready(direct)
    monkeypatch.setattr(s3_sink, "OBJECT_BYTES_MAX", 100)
    large = (await listed(direct))[0]

    with pytest.raises(SinkError, match="larger"):
        await direct.read(GENERATION, large)


async def test_parts_of_a_base_go_on_where_they_stopped(through: Any, front: Front) -> None:
    """What is stored is not stored again, and the base is whole at the end."""
    await ready(through)
    parts = [part(11, 0, name=b"base-two", final=False, box=b"x" * 1_000_000)]
    parts += [part(11, 1, name=b"base-two", follows=parts[0], box=b"y" * 1_000_000)]
    await through.store(CLAIM, *parts[0])
    front.on_request = losing_answers(is_put("/base/"))
    with pytest.raises(SinkError):
        await through.store(CLAIM, *parts[1])
    front.on_request = answering(lambda _: False, 0)

    for data, parsed in parts:
        await through.store(CLAIM, data, parsed)

    found = await listed(through)
    assert [one.part for one in found if one.base == b"base-two"] == [0, 1]
    assert last_of(await through.claim(CLAIM)) == 11


async def test_a_backup_through_a_bad_server_is_restored(s3: Server, prefix: str, front: Front, direct: Any) -> None:
    """What is sent fails, and answers are lost; in the end the state comes back by its digest."""
    count = itertools.count()

    async def on_request(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        number = next(count) if request.method == "PUT" else 0
        if number % 11 == 5:
            return web.Response(status=503)
        answer = await forward(request)
        if number % 13 == 3:
            assert request.transport is not None
            request.transport.abort()
        return answer

    front.on_request = on_request
    history = History(7)
    source = WiredSource(history.node)
    source.sealed_keyring = keys().envelope
    sink = open_sink(s3.url(prefix, endpoint=front.endpoint), password=KEYS)
    pipeline = pipeline_of(source, sink)
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(WAIT_S):
        for _ in range(3):
            history.write(40)
            pipeline.base_wanted = True
            while pipeline.base_wanted or not reached(pipeline, history.state.applied_index)():
                await asyncio.wait([running], timeout=0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    [generation] = await direct.generations()
    unsealed: Any = Unsealing(history.node.sealer.keyring)
    restore = Restore(direct, generation, opens(unsealed), SystemLikeRandom(5))
    await restore.open()
    assert (await restore.replay(Point())).digest == history.state.digest
    assert pipeline.standing.retries > 0


class Unsealing:
    """Keys as an unsealer gives them."""

    def __init__(self, keyring: Any) -> None:
        self.keyring = keyring

    def wipe(self) -> None:
        """Nothing of it was secret."""
