"""A tiny HTTP server that answers as a test says, and a runner for commands against it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from node.cli.root import root


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


@dataclass
class StubApi:
    """`answers` maps "METHOD /path?query" to (status, body) or (status, body, headers); None hangs up."""

    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def mount(self, version: str = "2", path: str = "secret/", asked: str = "secret/app") -> None:
        """The server shows a KV mount."""
        self.answers[f"GET /v1/sys/internal/ui/mounts/{asked}"] = (
            200,
            {"data": {"path": path, "type": "kv", "options": {"version": version}}},
        )

    @property
    def seen(self) -> list[str]:
        return [f"{request.method} {request.target}" for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        api: StubApi = self.server.api  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length", "0"))
        api.requests.append(Request(self.command, self.path, dict(self.headers), self.rfile.read(length)))
        key = f"{self.command} {self.path}"
        path_key = f"{self.command} {urlsplit(self.path).path}"
        answer = api.answers.get(key, api.answers.get(path_key, (404, {"errors": []})))
        if answer is None:
            self.close_connection = True
            return
        status, body, headers = (*answer, {})[:3]
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode() + b"\n"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names http.server calls


@pytest.fixture
def api():
    """A server that answers what the test puts into `answers`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    stub = StubApi(url=f"http://127.0.0.1:{server.server_address[1]}")
    server.api = stub
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(api):
    """Run one command against the server; `.exit_code`, `.stdout`, `.stdout_bytes`, `.stderr` say what became of it."""

    def invoke(*words: str, stdin: str | None = None, env: dict[str, str | None] | None = None) -> Any:
        clean = {"VAULT_ADDR": None, "VAULT_TOKEN": None, "VAULT_FORMAT": None, "STRONGROOM_FORMAT": None}
        settings = {**clean, "STRONGROOM_ADDR": api.url, "STRONGROOM_TOKEN": "hvs.caller", **(env or {})}
        return CliRunner(env=settings).invoke(root, words, input=stdin)

    return invoke


@pytest.fixture
def kv2(api):
    """A server with one secret on a KV version 2 mount, whose numbers no float can hold."""
    api.mount()
    api.answers["GET /v1/secret/data/app"] = (
        200,
        b'{"data":{"data":{"n":1.10,"big":12345678901234567890123,"name":"x"},"metadata":{"version":3}}}\n',
    )
    return api
