"""The connection: redirects, TLS, what a broken answer means, what is never shown."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from node.cli.http import Reply, Settings, target

LOOKUP = "GET /v1/auth/token/lookup-self"


def test_one_redirect_is_followed(api, run):
    """A node that does not serve the request names the one that does."""
    api.answers[LOOKUP] = (307, b"", {"Location": f"{api.url}/v1/other?a=b"})
    api.answers["GET /v1/other?a=b"] = (200, {"data": {"ttl": 1}})

    assert run("token", "lookup", "-field=ttl").stdout == "1"


def test_a_second_redirect_is_refused(api, run):
    """Otherwise a loop."""
    api.answers[LOOKUP] = (307, b"", {"Location": "/v1/auth/token/lookup-self"})
    result = run("token", "lookup")

    assert (result.exit_code, len(api.requests)) == (2, 2)


@pytest.mark.parametrize("token", ["hvs.planted\nX: y", "hvs.plantedü€"])
def test_a_token_that_no_header_carries_is_a_local_error_that_does_not_show_it(api, run, token):
    """http.client quotes the header in its own error."""
    result = run("token", "lookup", env={"STRONGROOM_TOKEN": token})

    assert (result.exit_code, api.seen) == (1, [])
    assert "planted" not in result.stdout + result.stderr


@pytest.mark.parametrize("address", ["ftp://h", "h:8200", "http://", "http://u:planted@h", "http://h:99999"])
def test_an_address_that_is_no_url_is_a_local_error(run, address):
    """With an example; a password in it is not repeated."""
    result = run("token", "lookup", f"-address={address}")

    assert result.exit_code == 1
    assert "must be a URL such as" in result.stderr
    assert "planted" not in result.stderr


def test_a_body_that_is_not_json_is_no_crash(api, run):
    """A proxy's HTML page is a refusal like any other."""
    api.answers[LOOKUP] = (502, b"<html>planted</html>")
    result = run("token", "lookup")

    assert result.exit_code == 2
    assert "the server answered 502" in result.stderr


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (504, b"", "unknown"),
        (504, b'{"applied":"no"}', "no"),
        (500, b'{"applied":"yes"}', "yes"),
        (503, b'{"errors":[]}', None),
        (400, b"[1]", None),
    ],
)
def test_what_a_failed_write_says_of_itself(status, body, expected):
    """A 504 that says nothing is unknown."""
    assert Reply(status, body, {}).applied == expected


def test_gos_list_marks_are_removed_from_errors():
    """One line for each cause."""
    reply = Reply(403, b'{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n", "more"]}', {})

    assert reply.errors == ["permission denied", "more"]


def test_neither_token_nor_body_is_in_a_repr():
    """They may end in a traceback."""
    shown = repr(Settings(token="hvs.planted")) + repr(Reply(200, b"planted", {"x": "planted"}))

    assert "planted" not in shown


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("secret/data/a b", None, "/v1/secret/data/a%20b"),
        ("secret/data/ü?#%", {"version": 2}, "/v1/secret/data/%C3%BC%3F%23%25?version=2"),
        ("/readyz", None, "/readyz"),
    ],
)
def test_paths_are_encoded(path, query, expected):
    """A name may hold what a URL gives meaning to."""
    assert target(path, query) == expected


class _Yes(BaseHTTPRequestHandler):
    def do_GET(self):
        moved = self.server.moved
        body = b'{"data":{"ttl":1}}'
        self.send_response(307 if moved else 200)
        if moved:
            self.send_header("Location", moved)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server with a certificate of an authority of its own."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Yes)
    server.moved = None
    server.handle_error = lambda *_: None
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.ca_file = str(tmp_path_factory.mktemp("tls") / "ca.pem")
    authority.cert_pem.write_to_path(server.ca_file)
    server.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("trust", ["-ca-cert", "VAULT_CACERT", "STRONGROOM_CACERT", "-tls-skip-verify"])
def test_a_server_whose_authority_is_named_is_trusted(run, tls, trust):
    """By option or variable."""
    words = [f"-ca-cert={tls.ca_file}"] if trust == "-ca-cert" else [trust] if trust.startswith("-") else []
    env = {trust: tls.ca_file} if trust.endswith("CACERT") else {}

    assert run("token", "lookup", f"-address={tls.url}", *words, env=env).exit_code == 0


def test_another_server_is_not_trusted(run, tls):
    """The twin: nothing is sent, and the error says which option is missing."""
    result = run("token", "lookup", f"-address={tls.url}")

    assert result.exit_code == 1
    assert "-ca-cert=FILE" in result.stderr


def test_a_file_without_certificates_is_a_local_error(run, tls, tmp_path):
    """So is one that is not there."""
    (tmp_path / "empty").write_text("x")

    assert run("token", "lookup", f"-address={tls.url}", f"-ca-cert={tmp_path}/empty").exit_code == 1
    assert run("token", "lookup", f"-address={tls.url}", f"-ca-cert={tmp_path}/absent").exit_code == 1


def test_a_redirect_from_https_to_http_is_refused(api, run, tls, monkeypatch):
    """It would send the token in the clear."""
    monkeypatch.setattr(tls, "moved", f"{api.url}/v1/auth/token/lookup-self")
    result = run("token", "lookup", f"-address={tls.url}", f"-ca-cert={tls.ca_file}")

    assert (result.exit_code, api.seen) == (1, [])


def test_https_to_a_plain_server_says_what_is_wrong(api, run):
    """The commonest mistake with a development cluster."""
    result = run("token", "lookup", f"-address={api.url.replace('http:', 'https:')}")

    assert result.exit_code == 1
    assert "-address=http://" in result.stderr
