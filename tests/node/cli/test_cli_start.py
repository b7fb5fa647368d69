"""Starting: what is imported, how options are spelt, what unknown words are told, what `server` and `dev` hand over."""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.cli.jsontext import NumberText, decode, encode, one_line, yaml
from node.cli.root import root
from node.cli.write_id import uuid7

HEAVY = ("cluster", "aiohttp", "cryptography", "asyncio", "uvloop", "orjson", "structlog", "msgspec")


@pytest.mark.parametrize("words", [["kv", "get", "secret/x"], ["status"], ["operator", "unseal", "x"], ["--help"]])
def test_a_command_that_asks_a_server_imports_nothing_heavy(words):
    """A shell loop starts it a hundred times."""
    program = (
        "import sys\n"
        "from node.__main__ import main\n"
        f"sys.argv = ['strongroom', *{words!r}]\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        f"    print(','.join(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    env = {"STRONGROOM_ADDR": "http://127.0.0.1:1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1:] in ([""], [])


def test_python_m_node_is_the_same_program():
    """And ends with the exit code of the command."""
    done = subprocess.run([sys.executable, "-m", "node", "kv", "gte"], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "Did you mean 'get'?" in done.stderr


def test_every_command_of_every_group_is_there(run):
    """The tables name modules; each name must open."""

    def walk(command, words):
        assert run(*words, "--help").exit_code == 0
        for name in command.list_commands(None) if hasattr(command, "list_commands") else []:
            walk(command.get_command(None, name), [*words, name])

    walk(root, [])


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["statsu"], "status"),
        (["operator", "unsael"], "unseal"),
        (["kv", "get", "-filed=x", "p"], "--field"),
        (["kv", "get", "--formt=json", "p"], "--format"),
        (["kv", "metadata", "gett"], "get"),
    ],
)
def test_an_unknown_word_is_answered_with_a_near_one(run, words, near):
    """Exit 1, because no server was asked."""
    result = run(*words)

    assert result.exit_code == 1
    assert "Did you mean" in result.stderr
    assert near in result.stderr


@pytest.mark.parametrize("spelling", [["-o", "json"], ["-o=json"], ["-ojson"], ["-format", "json"], ["--format=json"]])
def test_options_are_spelt_as_fingers_expect(run, spelling):
    """One dash, two dashes, a letter; with and without an equals sign."""
    assert set(json.loads(run("version", *spelling).stdout)) == {"version"}


def test_words_behind_two_dashes_are_no_options(api, run):
    """A key may begin with a dash."""
    api.mount()
    api.answers["PUT /v1/secret/data/app"] = (204, None)
    run("kv", "put", "secret/app", "--", "-o=x")

    assert api.requests[-1].body["data"] == {"-o": "x"}


def test_no_command_at_all_shows_the_help(run):
    """A usage error, on stderr."""
    result = run()

    assert result.exit_code == 1
    assert "operator" in result.stderr


@pytest.fixture
def built(monkeypatch):
    """The rooms that serve, replaced by ones that remember what they were given."""
    given = []
    for name, call in (("node.build", "serve"), ("node.dev", "run")):
        module = types.ModuleType(name)
        setattr(module, call, lambda value, *_: given.append(value) or 0)
        monkeypatch.setitem(sys.modules, name, module)
    return given


def test_server_without_a_file_is_one_node_of_profile_dev(run, built, tmp_path):
    """For test suites: rekey without a token on the main listener, off at the locked one."""
    result = run(
        "server", "-data", str(tmp_path), "--listen", "127.0.0.1:9", "-locked-listener=127.0.0.1:10", "-dev-http",
        f"-audit-dir={tmp_path}/a",
    )  # fmt: skip
    config = built[0]

    assert result.exit_code == 0
    assert (config.profile, config.node.id, config.node.data_dir) == ("dev", "n1", str(tmp_path))
    assert (config.api.address, config.api.locked_address, config.api.tls) == ("127.0.0.1:9", "127.0.0.1:10", "off")
    assert (config.api.unauthenticated_rekey, config.peer.address) == (True, "")
    assert config.audit_directory == f"{tmp_path}/a"


def test_the_collector_runs_when_the_node_does(run, built, tmp_path, monkeypatch):
    """It rests while the rooms are loaded, and only then."""
    imported, seen = importlib.import_module, []

    def watched(name, *package):
        if name == "node.build":
            seen.append(gc.isenabled())
        return imported(name, *package)

    monkeypatch.setattr(importlib, "import_module", watched)
    monkeypatch.setattr(sys.modules["node.build"], "serve", lambda *_: seen.append(gc.isenabled()) or 0)

    assert run("server", "-data", str(tmp_path)).exit_code == 0
    assert seen == [False, True]


def test_server_without_dev_http_speaks_tls(run, built, tmp_path):
    """The twin: plain HTTP is asked for or not there."""
    run("server", "-data", str(tmp_path))

    assert built[0].api.tls == "on"


def test_server_takes_file_environment_and_settings(run, built, tmp_path):
    """In rising order."""
    (tmp_path / "n1.toml").write_text(
        f'profile = "dev"\n[node]\nid = "n1"\ndata_dir = "{tmp_path}"\n[log]\nlevel = "debug"\nformat = "text"\n'
    )
    env = {"STRONGROOM_LOG__LEVEL": "warning", "STRONGROOM_RAFT__HEARTBEAT_MS": "40"}
    result = run("server", f"-config={tmp_path}/n1.toml", "-set=log.level=error", env=env)

    assert result.exit_code == 0
    assert (built[0].log.level, built[0].log.format, built[0].raft.heartbeat_ms) == ("error", "text", 40)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "seal: peers must be said"),
        (["-config=/nonexistent"], "cannot be read"),
        (["-listen=127.0.0.1:1"], "goes with -data"),
        (["-dev-http"], "goes with -data"),
        (["-data=/x", "-config=/y"], "leave out"),
        (["-data=/x", "-listen=0.0.0.0:8200"], "must be on loopback"),
        (["-data=/x", "-set=seal.key=planted"], "not given on the command line"),
        (["-data=/x", "-set=planted"], "needs KEY=VALUE"),
    ],
)
def test_server_refuses_what_it_should_not_serve(run, built, words, said):
    """Exit 1 with every objection; nothing is started, no value repeated."""
    result = run("server", *words)

    assert (result.exit_code, built) == (1, [])
    assert said in result.stderr
    assert "planted" not in result.stderr


def test_dev_hands_its_options_over(run, built, tmp_path):
    """Paths become absolute, because children run elsewhere."""
    run("dev")
    run("dev", "-nodes=5", "--data", str(tmp_path), "-port-base=9200", "-json", "-restart")
    plain, full = built

    assert (plain.nodes, plain.data, plain.port_base, plain.json, plain.restart) == (3, None, 8200, False, False)
    assert (full.nodes, full.data, full.port_base, full.json, full.restart) == (5, tmp_path, 9200, True, True)


@pytest.mark.parametrize("words", [["-nodes=0"], ["-port-base=80"], ["-nodes=x"], ["extra"]])
def test_dev_refuses_what_it_cannot_run(run, built, words):
    """A usage error."""
    assert (run("dev", *words).exit_code, built) == (1, [])


def test_config_validate_is_an_exit_code(run, tmp_path):
    """Every objection on stderr, none when it is valid."""
    (tmp_path / "good.toml").write_text(f'profile = "dev"\n[node]\nid = "n1"\ndata_dir = "{tmp_path}"\n')
    good, bad = run("config", "validate", f"-config={tmp_path}/good.toml"), run("config", "validate")

    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert len(bad.stderr.splitlines()) > 2


def test_a_missing_file_is_named_before_anything_starts(run, built, tmp_path):
    """By `config validate` and by `server`, with its key; neither starts a node."""
    config = tmp_path / "n1.toml"
    files = f'tls_cert_file = "{tmp_path}/absent.pem"\ntls_key_file = "{tmp_path}/absent.key"\n'
    config.write_text(f'profile = "dev"\n[node]\nid = "n1"\ndata_dir = "{tmp_path}"\n[api]\n{files}')
    for words in (("config", "validate"), ("server",)):
        result = run(*words, f"-config={config}")

        assert result.exit_code != 0
        assert f"api: tls_key_file: {tmp_path}/absent.key cannot be read: No such file or directory" in result.stderr
    assert built == []


def test_config_show_names_sources_and_hides_secrets(run):
    """As a table and as JSON."""
    sinks = '[{"name":"a","url":"postgresql://u:planted@h/db?x=planted","password":"planted"}]'
    env = {"STRONGROOM_SEAL__KEY": "planted", "STRONGROOM_BACKUP__SINKS": sinks, "STRONGROOM_LOG__LEVEL": "debug"}
    table, tree = run("config", "show", env=env), run("config", "show", "-o", "json", env=env)
    shown = json.loads(tree.stdout)

    assert "planted" not in table.stdout + table.stderr + tree.stdout + tree.stderr
    assert "environment STRONGROOM_LOG__LEVEL" in table.stdout
    assert (shown["config"]["seal"]["key"], shown["config"]["backup"]["sinks"][0]["url"]) == (
        "***",
        "postgresql://h/db",
    )
    assert (shown["sources"]["log.level"], shown["sources"]["log.format"]) == (
        "environment STRONGROOM_LOG__LEVEL",
        "default",
    )


@pytest.mark.parametrize("form", ["markdown", "toml"])
def test_config_reference_prints_every_key(run, form):
    """Made from the code, so it cannot lag behind it."""
    result = run("config", "reference", f"-format={form}")

    assert result.exit_code == 0
    assert "follower_lease_ms" in result.stdout


@pytest.mark.parametrize(
    "text", ['{"a":1.10,"b":[1e3,-0,12345678901234567890123],"c":null,"d":"\\u00fc\\n"}', "[]", '"x"']
)
def test_numbers_keep_their_digits(text):
    """Decoded and encoded again."""
    assert encode(decode(text)) == text.replace("\\u00fc", "ü")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(JSON)
def test_any_json_survives(value):
    """What comes out means what went in."""
    assert json.loads(encode(decode(json.dumps(value)))) == value


@pytest.mark.parametrize("text", ["NaN", "{", "[" * 100000, "", "planted"])
def test_what_is_not_json_is_refused_without_quoting_it(text):
    """The text may be a secret."""
    with pytest.raises(ValueError, match=r"^not JSON$"):
        decode(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"b": [1, "x"], "c": {}}}, "a:\n  b:\n    - 1\n    - x\n  c: {}\n"),
        (["yes", "1", None, True, ""], '- "yes"\n- "1"\n- null\n- true\n- ""\n'),
        ({"a: b": "c # d"}, '"a: b": "c # d"\n'),
        ([["x"], [{"z": NumberText("1.0")}]], "-\n  - x\n-\n  -\n    z: 1.0\n"),
    ],
)
def test_yaml_quotes_what_could_be_read_as_something_else(value, expected):
    """Texts that look like numbers or truths stay texts."""
    assert yaml(value) == expected


def test_stored_control_characters_do_not_reach_a_terminal():
    """A name could otherwise rewrite what is on the screen."""
    assert one_line("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"


def test_a_write_id_has_its_time_its_version_and_its_randomness():
    """RFC 9562, version 7."""
    assert uuid7(0x017F22E279B0, bytes.fromhex("0cc318c4dc0c0c07398f")) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
