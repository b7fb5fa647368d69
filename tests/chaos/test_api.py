"""Requests that reached nobody are told from those that may have been done; an answer is that of its own request."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from chaos import api
from chaos.api import Admin, NoAnswer, Reply, Session
from chaos.targets.base import TargetError
from tests.chaos.raw_http import CLOSE, NEVER, RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Callable

SOON_S = 0.3


async def asked(session: Session, url: str, method: str = "POST") -> Reply | NoAnswer:
    return await session.ask(url, method, "secret/data/x", {"a": 1} if method == "POST" else None, "root", {"X-A": "b"})


# ---- what was sent
async def test_a_request_is_what_the_node_is_told() -> None:
    """Method, path below /v1/, token, headers and the length of the body; an answer's index and data are found."""
    said = b'{"data": {"version": 3}, "request_id": "r"}'
    async with RawServer(lambda *_: answer(200, said, more="X-Strongroom-Index: 7\r\n")) as server:
        session = Session(None)
        reply = await asked(session, server.url)
        session.close()

    assert isinstance(reply, Reply)
    assert (reply.status, reply.data, reply.raft_index) == (200, {"version": 3}, 7)
    assert server.asked[0].startswith("POST /v1/secret/data/x HTTP/1.1\r\n")
    assert "X-Vault-Token: root\r\n" in server.asked[0]
    assert "X-A: b\r\n" in server.asked[0]
    assert server.bodies == [b'{"a": 1}']


async def test_a_connection_is_used_again() -> None:
    """One for all requests to a node."""
    async with RawServer(lambda *_: answer(204, b"")) as server:
        session = Session(None)
        for _ in range(3):
            assert isinstance(await asked(session, server.url), Reply)
        session.close()

    assert server.connections == 1


async def test_one_that_says_close_is_made_again() -> None:
    """And nothing of it is unknown."""
    async with RawServer(lambda *_: answer(204, b"", more="Connection: close\r\n"), then_close=True) as server:
        session = Session(None)
        replies = [await asked(session, server.url) for _ in range(3)]
        session.close()

    assert [type(one) for one in replies] == [Reply] * 3
    assert server.connections == 3


# ---- what was never sent
async def test_a_refused_connection_was_never_sent() -> None:
    """Nobody listens there."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        reply = await asked(Session(None), f"http://127.0.0.1:{closed.getsockname()[1]}")

    assert reply == NoAnswer("ConnectionRefusedError", never_sent=True)


async def test_a_handshake_that_hangs_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP is there and TLS is not: no byte of the request has left."""
    monkeypatch.setattr(api, "tls_of", lambda _file: ssl.create_default_context())
    async with RawServer(lambda *_: NEVER) as server:
        reply = await asked(Session(None, SOON_S), server.url.replace("http:", "https:"))

    assert reply == NoAnswer("TimeoutError", never_sent=True)
    assert server.asked == []


async def test_authorities_of_a_cluster_do_not_turn_http_into_tls() -> None:
    """The URL says which it is."""
    async with RawServer(lambda *_: answer(200)) as server:
        session = Session(None)
        session._tls = ssl.create_default_context()
        reply = await asked(session, server.url)
        session.close()

    assert isinstance(reply, Reply)


# ---- what may have been done
BROKEN: dict[str, Callable[[int, str], bytes | None]] = {
    "nothing": lambda *_: CLOSE,
    "silence": lambda *_: NEVER,
    "half a status line": lambda *_: b"HTTP/1.1 20",
    "a status line": lambda *_: b"HTTP/1.1 200 OK\r\n",
    "half a head": lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    "half a body": lambda *_: answer(200, b"{", length=2),
    "no length": lambda *_: b"HTTP/1.1 200 OK\r\n\r\n{}",
    "chunks": lambda *_: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a length that is none": lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "a length below nothing": lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "no status": lambda *_: b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "something else": lambda *_: b"SSH-2.0-x\r\n\r\n\r\n",
    "go on": lambda *_: b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_whole_answer_may_have_been_done(name: str) -> None:
    """Wherever it breaks off after the request was sent; the next request has a connection of its own."""
    async with RawServer(BROKEN[name], then_close=name != "silence") as server:
        session = Session(None, SOON_S)
        reply = await asked(session, server.url)
        again = await asked(session, server.url)
        session.close()

    assert isinstance(reply, NoAnswer)
    assert isinstance(again, NoAnswer)
    assert (reply.never_sent, again.never_sent) == (False, False)
    assert server.connections == 2


async def test_a_request_is_sent_once_whatever_comes_of_it() -> None:
    """Nothing is repeated behind the history's back."""
    async with RawServer(lambda *_: CLOSE) as server:
        await asked(Session(None, SOON_S), server.url)

    assert len(server.asked) == 1


async def test_who_is_cancelled_leaves_no_answer_behind() -> None:
    """The next request on that session does not get it."""
    async with RawServer(lambda number, _: NEVER if number == 1 else answer(201)) as server:
        session = Session(None, 10)
        task = asyncio.create_task(asked(session, server.url))
        await server.heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.send(answer(418))
        reply = await asked(session, server.url)
        session.close()

    assert isinstance(reply, Reply)
    assert reply.status == 201


# ---- whose answer it is (AP1)
async def test_an_answer_to_no_request_is_not_taken_for_one() -> None:
    """Such as a 408 that an edge says to a silent connection: it would else refuse the next write, which is done."""
    async with RawServer(lambda *_: answer(200)) as server:
        session = Session(None)
        await asked(session, server.url)
        await server.send(answer(408))
        await asyncio.sleep(0.05)
        reply = await asked(session, server.url)
        session.close()

    assert isinstance(reply, Reply)
    assert (reply.status, server.connections) == (200, 2)


async def test_what_comes_behind_an_answer_is_no_answer() -> None:
    """In the same piece."""
    async with RawServer(lambda number, _: answer(200) + (answer(400) if number == 1 else b"")) as server:
        session = Session(None)
        await asked(session, server.url)
        reply = await asked(session, server.url)
        session.close()

    assert isinstance(reply, Reply)
    assert (reply.status, server.connections) == (200, 2)


async def test_a_connection_that_its_node_closed_costs_no_operation() -> None:
    """A node that was restarted: what is asked next is sent on a new one, and its outcome is known."""
    async with RawServer(lambda *_: answer(200)) as server:
        session = Session(None)
        await asked(session, server.url)
        await server.hang_up()
        await asyncio.sleep(0.05)
        reply = await asked(session, server.url)
        session.close()

    assert isinstance(reply, Reply)
    assert server.connections == 2


async def test_redirects_are_answers() -> None:
    """Nobody follows them, neither clients nor the administrator: the other node was not asked."""
    async with RawServer(lambda *_: answer(307, b"", more="Location: http://127.0.0.1:9/\r\n")) as server:
        session = Session(None)
        reply = await asked(session, server.url)
        session.close()
        admin = Admin({"n1": server.url}, "root", None)
        statuses = [(await asyncio.to_thread(admin.ask, method, "x", node="n1")).status for method in ("GET", "POST")]

    assert isinstance(reply, Reply)
    assert (reply.status, statuses) == (307, [307, 307])


# ---- the administrator
async def test_the_administrator_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says: it would be asked with the administrator's token."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with RawServer(lambda *_: answer(200, b'{"data": {"a": 1}}')) as server:
        reply = await asyncio.to_thread(Admin({"n1": server.url}, "root", None).ask, "GET", "x")

    assert reply.data == {"a": 1}


@pytest.mark.parametrize("name", ["nothing", "half a body", "something else", "a status line"])
async def test_half_an_answer_is_an_error_of_the_connection(name: str) -> None:
    """So that whoever tries again, or says that nobody answered, hears of it."""
    async with RawServer(BROKEN[name], then_close=True) as server:
        with pytest.raises(OSError):  # noqa: PT011 - whichever
            await asyncio.to_thread(Admin({"n1": server.url}, "root", None).ask, "GET", "x")


async def test_the_first_node_that_answers_is_heard() -> None:
    """Unless one is named."""
    async with RawServer(lambda *_: CLOSE) as dead, RawServer(lambda *_: answer(200)) as alive:
        admin = Admin({"n1": dead.url, "n2": alive.url}, "root", None)
        reply = await asyncio.to_thread(admin.ask, "GET", "x")
        with pytest.raises((OSError, http.client.HTTPException)):
            await asyncio.to_thread(admin.ask, "GET", "x", node="n1")

    assert reply.status == 200


async def test_what_must_be_made_is_remembered_before_it_is() -> None:
    """And forgotten if it was refused: then it is somebody else's."""
    made: list[str] = []
    said = [CLOSE, answer(400, b""), answer(204, b"")]
    async with RawServer(lambda number, _: said[number - 1]) as server:
        admin = Admin({"n1": server.url}, "root", None, made)
        with pytest.raises(TargetError, match="POST sys/mounts/a"):
            await asyncio.to_thread(admin.must, "POST", "sys/mounts/a")
        with pytest.raises(TargetError, match="answered 400"):
            await asyncio.to_thread(admin.must, "POST", "sys/mounts/b")
        await asyncio.to_thread(admin.must, "PUT", "sys/policies/acl/c")

    assert made == ["sys/mounts/a", "sys/policies/acl/c"]


async def test_nothing_is_made_after_the_end() -> None:
    """What was under way has ended when `close` returns; what comes later fails."""
    made: list[str] = []

    def say(_number: int, head: str) -> bytes:
        made.append(head.split()[1])
        return answer(204, b"")

    async with RawServer(say) as server:
        admin = Admin({"n1": server.url}, "root", None)
        await asyncio.to_thread(admin.must, "POST", "sys/mounts/a")
        admin.close()
        with pytest.raises(TargetError, match="over"):
            await asyncio.to_thread(admin.must, "POST", "sys/mounts/b")

    assert made == ["/v1/sys/mounts/a"]
