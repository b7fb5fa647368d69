"""`operator init`, `unseal` and `certs`: keys come in by stdin or prompt and go out once."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

INIT = {"keys": ["aa", "bb"], "keys_base64": ["qg==", "uw=="], "root_token": "hvs.root"}


def unsealing(progress: int, *, sealed: bool) -> tuple[int, dict[str, object]]:
    return 200, {"type": "shamir", "sealed": sealed, "t": 2, "n": 3, "progress": progress}


def test_init_shows_keys_and_root_token_once(api, run):
    """On stdout alone, so that they can be sent somewhere safe."""
    api.answers["PUT /v1/sys/init"] = (200, INIT)
    result = run("operator", "init", "-key-shares=2", "-t=2")

    assert result.exit_code == 0
    assert result.stdout == "Unseal Key 1: qg==\nUnseal Key 2: uw==\n\nInitial Root Token: hvs.root\n"
    assert "hvs.root" not in result.stderr
    assert api.requests[-1].body == {"secret_shares": 2, "secret_threshold": 2}


def test_init_of_a_cluster_that_opens_itself_makes_recovery_keys(api, run):
    """The server refuses to make unseal keys where a key file opens the nodes."""
    api.answers["GET /v1/sys/seal-status"] = (200, {"type": "static", "sealed": True})
    api.answers["PUT /v1/sys/init"] = (200, {"keys": [], "recovery_keys_base64": ["qg=="], "root_token": "hvs.root"})
    result = run("operator", "init", "-n=1", "-t=1")

    assert result.stdout == "Recovery Key 1: qg==\n\nInitial Root Token: hvs.root\n"
    assert api.requests[-1].body == {"recovery_shares": 1, "recovery_threshold": 1}


def test_init_sends_the_secret_of_the_nodes_folder_and_pgp_keys(api, run, tmp_path):
    """The secret goes in a header; it is read from a file, not from argv."""
    api.answers["PUT /v1/sys/init"] = (200, INIT)
    (tmp_path / "secret").write_text("one-time\n")
    (tmp_path / "a.asc").write_text("pgp-a")
    run("operator", "init", "-n=1", "-t=1", f"-init-secret-file={tmp_path}/secret", f"-pgp-keys={tmp_path}/a.asc")
    request = api.requests[-1]

    assert (request.headers["X-Strongroom-Init-Secret"], request.body["pgp_keys"]) == ("one-time", ["pgp-a"])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((400, {"errors": ["Vault is already initialized"]}), 2),
        ((403, {"errors": ["permission denied"]}), 2),
        ((503, {"errors": ["not every member is there"]}), 2),
        ((504, {"errors": ["deadline"], "applied": "unknown"}), 3),
        (None, 3),
    ],
)
def test_init_refused_or_unknown(api, run, answer, code):
    """The twin; nothing is printed that could be taken for a key."""
    api.answers["PUT /v1/sys/init"] = answer
    result = run("operator", "init")

    assert (result.exit_code, result.stdout) == (code, "")


@pytest.mark.parametrize(("initialized", "code"), [(True, 0), (False, 2)])
def test_init_status_is_an_exit_code(api, run, initialized, code):
    """For scripts that must not init twice."""
    api.answers["GET /v1/sys/init"] = (200, {"initialized": initialized})

    assert run("operator", "init", "-status").exit_code == code


def test_init_checks_the_threshold_before_it_asks(api, run):
    """A usage error."""
    assert (run("operator", "init", "-n=2", "-t=3").exit_code, api.seen) == (1, [])


def test_unseal_reads_keys_from_standard_input_until_it_is_open(api, run):
    """One a line; keys beyond the threshold are not sent."""
    api.answers["PUT /v1/sys/unseal"] = unsealing(0, sealed=False)
    result = run("operator", "unseal", stdin="key-a\n\nkey-b\n")

    assert result.exit_code == 0
    assert [request.body for request in api.requests] == [{"key": "key-a"}]
    assert "key-" not in result.stdout + result.stderr


def test_unseal_with_too_few_keys_is_2_and_says_how_many(api, run):
    """The twin: it is still sealed."""
    api.answers["PUT /v1/sys/unseal"] = unsealing(1, sealed=True)
    result = run("operator", "unseal", stdin="key-a\n")

    assert result.exit_code == 2
    assert "1 of 2 keys" in result.stderr


def test_a_key_in_the_command_line_works_and_is_warned_of(api, run):
    """As Vault's fingers do it."""
    api.answers["PUT /v1/sys/unseal"] = unsealing(0, sealed=False)
    result = run("operator", "unseal", "key-a")

    assert (result.exit_code, api.requests[-1].body) == (0, {"key": "key-a"})
    assert "WARNING" in result.stderr


@pytest.mark.parametrize("answer", [(400, {"errors": ["invalid key"]}), (503, {"errors": ["x"]})])
def test_a_wrong_key_is_refused(api, run, answer):
    """The key is not repeated."""
    api.answers["PUT /v1/sys/unseal"] = answer
    result = run("operator", "unseal", stdin="key-a\n")

    assert result.exit_code == 2
    assert "key-a" not in result.stderr


def test_unseal_without_a_key_is_a_local_error(api, run):
    """Nothing is asked."""
    assert (run("operator", "unseal", stdin="\n").exit_code, api.seen) == (1, [])


def test_unseal_reset_forgets(api, run):
    """Still sealed afterwards: 2."""
    api.answers["PUT /v1/sys/unseal"] = unsealing(0, sealed=True)

    assert (run("operator", "unseal", "-reset").exit_code, api.requests[-1].body) == (2, {"reset": True})


def test_a_prompt_does_not_echo(api, run, monkeypatch):
    """On a terminal the key is asked for, hidden."""
    asked = {}
    monkeypatch.setattr(
        "node.cli.operator_seal.sys", types.SimpleNamespace(stdin=types.SimpleNamespace(isatty=lambda: True))
    )
    monkeypatch.setattr("node.cli.operator_seal.click.prompt", lambda text, **how: asked.update(how) or "key-a")
    api.answers["PUT /v1/sys/unseal"] = unsealing(0, sealed=False)
    result = run("operator", "unseal")

    assert (result.exit_code, asked["hide_input"], api.requests[-1].body) == (0, True, {"key": "key-a"})


@pytest.fixture
def certificates(monkeypatch):
    """The room of certificates, replaced by one that remembers what it was asked."""
    calls = []

    def write_certificates(out, nodes, ca, cluster_name):
        calls.append((out, nodes, ca, cluster_name))
        return [out / "ca.pem"]

    monkeypatch.setattr("cluster.links.certs.write_certificates", write_certificates)
    return calls


def test_certs_are_made_for_each_node(run, certificates, tmp_path):
    """The paths are printed, one a line."""
    result = run("operator", "certs", "-out", str(tmp_path), "-cluster-name=c1", "n1=h1,10.0.0.1", "n2=h2")

    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/ca.pem\n")
    assert certificates == [(Path(tmp_path), {"n1": ["h1", "10.0.0.1"], "n2": ["h2"]}, None, "c1")]


@pytest.mark.parametrize("words", [["n1"], ["n1="], ["N1=h"], ["n1=h", "n1=h"], ["n1=h,,g"], []])
def test_certs_refuses_what_is_no_node(run, certificates, tmp_path, words):
    """The twin: nothing is made."""
    result = run("operator", "certs", "-out", str(tmp_path), *words)

    assert (result.exit_code, certificates) == (1, [])


@pytest.mark.parametrize(
    "words",
    [["transit"], ["login"]],
)
def test_a_part_that_is_not_there_says_so(run, words):
    """A local error with something to do instead."""
    result = run(*words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "not available in this version" in result.stderr


@pytest.mark.parametrize(
    ("errors", "advised"), [([], True), (["Vault is not initialized"], True), (["not built yet"], False)]
)
def test_501_means_init_only_where_it_speaks_of_that(api, run, errors, advised):
    """A server may also lack what was asked for."""
    api.answers["PUT /v1/sys/seal"] = (501, {"errors": errors})
    result = run("operator", "seal", "-cluster")

    assert (result.exit_code, "operator init" in result.stderr) == (2, advised)
