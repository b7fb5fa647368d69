"""Into PostgreSQL: only with SCRAM, only over verified TLS beyond this machine, and nothing from the environment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from cluster.backup.sinks.base import SinkError, SinkRefusedError
from cluster.backup.sinks.postgres_link import Target, connect
from cluster.backup.sinks.urls import open_sink
from tests.cluster.backup.crafting import LINE
from tests.cluster.backup.postgres_server import PASSWORD, make_roles
from tests.cluster.backup.proxy import SSL_REQUEST, asks, message, proxy, script
from tests.cluster.backup.tls_files import write_tls_files

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.backup.sinks.base import Generation
    from tests.cluster.backup.postgres_server import Server

SASL = asks(10, b"SCRAM-SHA-256\0\0")


# ---- SCRAM
async def test_a_password_is_proved_with_scram(roles: Server, schema: str) -> None:
    """Both sides prove that they know it."""
    sink = open_sink(roles.tcp_url("scram", schema=schema), password=PASSWORD)

    await sink.open()

    assert await sink.generations() == []
    await sink.close()


@pytest.mark.parametrize("password", ["wrong", None, ""])
async def test_a_wrong_password_is_refused_until_an_operator_acts(roles: Server, password: str | None) -> None:
    """It is not tried again and again, and it is not repeated."""
    with pytest.raises(SinkRefusedError, match="refuses the user or its password") as raised:
        await open_sink(roles.tcp_url("scram"), password=password).open()

    assert "wrong" not in str(raised.value)


@pytest.mark.parametrize(
    ("role", "words"),
    [("md5", "the password as MD5"), ("plain", "in clear text"), ("trusting", "without asking for the password")],
)
async def test_a_server_that_asks_for_less_than_scram_is_refused(roles: Server, role: str, words: str) -> None:
    """A real one, set up like that."""
    with pytest.raises(SinkRefusedError, match=words):
        await open_sink(roles.tcp_url(role), password=PASSWORD).open()


async def test_without_a_password_a_server_of_this_machine_may_let_us_in(roles: Server, schema: str) -> None:
    """As over a socket whose peer it knows: nothing secret is sent."""
    sink = open_sink(roles.tcp_url("trusting", schema=schema))

    await sink.open()

    await sink.close()


@pytest.mark.parametrize("bytewise", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize(
    "answers",
    [
        [asks(3)],
        [asks(5, b"salt")],
        [asks(2)],
        [asks(7)],
        [asks(9)],
        [asks(99)],
        [asks(0)],
        [asks(0) + message(b"Z", b"I")],
        [message(b"Z", b"I")],
        [message(b"S", b"a\0b\0")],
        [SASL, asks(0)],
        [SASL, asks(12, b"v=AAAA")],
        [SASL, asks(3)],
        [SASL + asks(5, b"salt")],
        [b"R\xff\xff\xff\xff\0\0\0\3"],
        [b"R\0\0\0\2\0\0\0\3"],
        [message(b"N", b"SNOTICE\0\0") + asks(3)],
    ],
    ids=str,
)
async def test_a_server_that_skips_scram_gets_no_password(
    answers: list[bytes], bytewise: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in clear, nor as MD5, whatever it says and however its bytes arrive; the loop has nothing to log."""
    async with script(*answers, bytewise=bytewise) as server:
        url = f"postgresql://user@127.0.0.1:{server.port}/database"
        with pytest.raises(SinkRefusedError):
            await open_sink(url, password=PASSWORD).open()

    sent = b"".join(server.got[1:])
    assert PASSWORD.encode() not in sent
    assert b"md5" not in sent
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_a_server_that_asks_for_a_password_nobody_gave_is_refused() -> None:
    """An empty one is a password too."""
    async with script(asks(3)) as server:
        with pytest.raises(SinkRefusedError):
            await open_sink(f"postgresql://user@127.0.0.1:{server.port}/database").open()

    assert len(server.got) == 1


async def test_a_pooler_that_refuses_the_password_is_not_tried_again_and_again() -> None:
    """It says so with the code of a broken protocol, behind its question."""
    async with script(SASL, message(b"E", b"SFATAL\0C08P01\0MSASL authentication failed\0\0")) as server:
        url = f"postgresql://user@127.0.0.1:{server.port}/database"
        with pytest.raises(SinkRefusedError, match="refuses the user or its password"):
            await open_sink(url, password=PASSWORD).open()


@pytest.mark.parametrize(
    "answers",
    [
        [b""],
        [SASL, b""],
        [message(b"E", b"SFATAL\0C57P03\0Mnot yet\0\0")],
        [message(b"E", b"SFATAL\0C08P01\0Mno more connections allowed\0\0")],
    ],
)
async def test_a_server_that_is_not_ready_is_tried_again(answers: list[bytes]) -> None:
    """That is no refusal."""
    async with script(*answers) as server:
        sink = open_sink(f"postgresql://user@127.0.0.1:{server.port}/database", password=PASSWORD, timeout_s=0.3)
        with pytest.raises(SinkError) as raised:
            await sink.open()

    assert not isinstance(raised.value, SinkRefusedError)


async def test_nothing_comes_from_the_environment(roles: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No password, host or mode of TLS that somebody set for another program."""
    for name, value in (("PGPASSWORD", PASSWORD), ("PGSSLMODE", "prefer"), ("PGHOST", "192.0.2.1"), ("PGUSER", "md5")):
        monkeypatch.setenv(name, value)

    with pytest.raises(SinkRefusedError):
        await open_sink(roles.tcp_url("scram")).open()


# ---- TLS
def test_the_loop_of_the_server_connects_too(postgres: Server, tmp_path: Path) -> None:
    """It hands bytes and sockets over in its own way: TLS, SCRAM, a call, and one that is cancelled."""

    async def scenario() -> list[Generation]:
        context = write_tls_files(tmp_path)
        await make_roles(postgres)
        async with proxy(postgres.port, context) as tls:
            options = {"sslmode": "verify-full", "sslrootcert": f"{tmp_path}/ca.pem", "schema": "looping"}
            url = postgres.tcp_url("scram", "localhost", tls.port, **options)
            sink = open_sink(url, password=PASSWORD)
            await sink.open()
            waiting = asyncio.ensure_future(sink.begin(LINE))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await sink.begin(LINE)
            found = await sink.generations()
            await sink.close()
            return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scenario()) == [LINE]


async def test_over_tls_the_server_proves_its_name(roles: Server, schema: str, tmp_path: Path) -> None:
    """Then the password is proved inside."""
    context = write_tls_files(tmp_path)
    async with proxy(roles.port, context) as tls:
        url = roles.tcp_url(
            "scram", "localhost", tls.port, sslmode="verify-full", sslrootcert=str(tmp_path / "ca.pem"), schema=schema
        )
        sink = open_sink(url, password=PASSWORD)

        await sink.open()

        assert await sink.generations() == []
        await sink.close()


@pytest.mark.parametrize(("host", "authority"), [("127.0.0.1", "ca.pem"), ("localhost", "stranger.pem")])
async def test_a_certificate_of_another_name_or_authority_is_refused(
    roles: Server, tmp_path: Path, host: str, authority: str
) -> None:
    """Before a byte of ours is sent."""
    context = write_tls_files(tmp_path)
    async with proxy(roles.port, context) as tls:
        url = roles.tcp_url("scram", host, tls.port, sslmode="verify-full", sslrootcert=str(tmp_path / authority))
        with pytest.raises(SinkRefusedError, match="does not prove its name"):
            await open_sink(url, password=PASSWORD).open()

        assert tls.sent == b""


@pytest.mark.parametrize("answer", [b"N", b"E", b"R\0\0\0\x08\0\0\0\0"])
async def test_a_server_without_tls_is_not_spoken_to_in_clear(answer: bytes) -> None:
    """It gets the question whether it speaks TLS and nothing else."""
    async with script(answer) as server:
        url = f"postgresql://user@localhost:{server.port}/database?sslmode=verify-full"
        with pytest.raises(SinkRefusedError, match="does not speak TLS"):
            await open_sink(url, password=PASSWORD).open()

    assert b"".join(server.got) == SSL_REQUEST


async def test_what_is_said_in_clear_beside_the_yes_is_no_answer(tmp_path: Path) -> None:
    """Bytes that come with it are read as TLS, where they mean nothing."""
    write_tls_files(tmp_path)
    async with script(b"S" + asks(0) + message(b"Z", b"I")) as server:
        url = f"postgresql://user@localhost:{server.port}/database?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"
        with pytest.raises(SinkError):
            await open_sink(url, password=PASSWORD).open()


async def test_a_file_of_authorities_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The system's own are not taken instead."""
    url = f"postgresql://user@localhost/database?sslmode=verify-full&sslrootcert={tmp_path}/nothing.pem"

    with pytest.raises(SinkRefusedError, match="sslrootcert"):
        await open_sink(url, password=PASSWORD).open()


async def test_beyond_this_machine_nothing_is_sent_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the target: the connection itself refuses."""

    async def never(*_arguments: object, **_more: object) -> None:
        raise AssertionError("a connection was tried")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", never)

    for target, password in (
        (Target("db.example.com", 5432, "user", "database", tls=False), PASSWORD),
        (Target("192.0.2.1", 5432, "user", "database", tls=False), PASSWORD),
        (Target("db.example.com", 5432, "user", "database"), None),
    ):
        with pytest.raises(SinkRefusedError):
            await connect(target, password)
