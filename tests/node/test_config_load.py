"""Loading: who wins, which words are refused, and that no refusal repeats a value."""

from __future__ import annotations

import pickle

import pytest

from node.config import FIELDS, Config, SecretText, load, read_secret

GOOD = 'profile = "dev"\n[node]\nid = "n1"\ndata_dir = "/d"\n'


@pytest.fixture
def write(tmp_path):
    """Write a TOML file and give its path."""

    def to(text, name="a.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return to


def test_nothing_said_is_the_defaults():
    """Each key has one."""
    loaded = load([], {})

    assert loaded.config == Config()
    assert loaded.sources == dict.fromkeys(FIELDS, "default")


def test_flags_win_over_environment_over_later_files_over_earlier_ones(write):
    """And each key remembers who said it."""
    first, second = write(f'{GOOD}[log]\nlevel = "debug"\n'), write('[log]\nlevel = "error"\n', "b.toml")
    environ = {"STRONGROOM_RAFT__HEARTBEAT_MS": "40", "STRONGROOM_LIMITS__PER_TURN": "8"}
    loaded = load([first, second], environ, {"limits.per_turn": "9"})

    assert loaded.problems == []
    assert (loaded.config.log.level, loaded.sources["log.level"]) == ("error", f"file {second}")
    assert (loaded.config.node.id, loaded.sources["node.id"]) == ("n1", f"file {first}")
    assert loaded.config.raft.heartbeat_ms == 40
    assert loaded.sources["raft.heartbeat_ms"] == "environment STRONGROOM_RAFT__HEARTBEAT_MS"
    assert (loaded.config.limits.per_turn, loaded.sources["limits.per_turn"]) == (9, "flag")


@pytest.mark.parametrize(
    ("name", "text", "key", "expected"),
    [
        ("STRONGROOM_PROFILE", "dev", "profile", "dev"),
        ("STRONGROOM_CONSISTENCY__LEASE", "false", "consistency.lease", False),
        ("STRONGROOM_CONSISTENCY__RHO", "0.02", "consistency.rho", 0.02),
        ("STRONGROOM_SEAL__PEERS", "true", "seal.peers", True),
        ("STRONGROOM_API__HOST_NAMES", "a.example, b.example", "api.host_names", ("a.example", "b.example")),
        ("STRONGROOM_API__HOST_NAMES", '["a.example"]', "api.host_names", ("a.example",)),
        ("STRONGROOM_API__HOST_NAMES", "", "api.host_names", ()),
        ("STRONGROOM_SEAL__KEY", "k", "seal.key", SecretText("k")),
        ("STRONGROOM_SEAL__KEY_FILE", "/run/k", "seal.key_file", "/run/k"),
    ],
)
def test_text_of_the_environment_becomes_the_type_of_the_key(name, text, key, expected):
    """Numbers, truths, lists."""
    assert load([], {name: text}).config.value(key) == expected


def test_tables_come_from_toml_or_as_json_from_the_environment(write):
    """Members, devices and sinks."""
    toml = f"{GOOD}[peer]\nmembers = [{{ id = 'n1', peer = 'h:1', api = 'http://h:2' }}]\n"
    toml += "[[audit.devices]]\npath = 'f'\noptions = { file_path = 'x' }\n"
    environ = {"STRONGROOM_BACKUP__SINKS": '[{"name": "s", "url": "memory:", "required": false}]'}
    config = load([write(toml)], environ).config

    assert (config.peer.members[0].api, config.audit.devices[0].options) == ("http://h:2", {"file_path": "x"})
    assert (config.backup.sinks[0].name, config.backup.sinks[0].required) == ("s", False)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[raft]\nhartbeat_ms = 5", "raft.hartbeat_ms (file X): there is no such key; did you mean raft.heartbeat_ms?"),
        ("[planted_section]\nkey = 'planted_value'", "planted_section.key (file X): there is no such key"),
        ("[empty]", "empty. (file X): there is no such key"),
        ("colour = 'planted_value'", "colour (file X): there is no such key"),
        ("[raft]\nheartbeat_ms = 'planted_value'", "raft.heartbeat_ms (file X): must be a whole number, at least 1"),
        ("[raft]\nheartbeat_ms = 0", "raft.heartbeat_ms (file X): must be a whole number, at least 1"),
        ("[raft]\nheartbeat_ms = 1.5", "raft.heartbeat_ms (file X): must be a whole number, at least 1"),
        ("[consistency]\nrho = 0.2", "consistency.rho (file X): must be a number, at least 0, at most 0.1"),
        ("[log]\nformat = 'planted_value'", 'log.format (file X): must be "json" or "text"'),
        ("[seal]\npeers = 'planted_value'", "seal.peers (file X): must be true or false"),
        ("[seal]\nkey = 7", "seal.key (file X): must be text"),
        ("[api]\ntls = 'planted_value'", 'api.tls (file X): must be "on", "off" or "off-i-know"'),
        (
            "[peer]\nmembers = [{ id = 'n1', peer = 'h', api = 'a', extra = 'planted_value' }]",
            "peer.members (file X): must be a list of tables { id, peer, api }; wrong at [0]: unknown field extra",
        ),
        (
            "[peer]\nmembers = [{ id = 'n1' }]",
            "{ id, peer, api }; wrong at [0]: missing required field peer",
        ),
        ("[node\nid = 'planted_value'", "file X: is not TOML (line 1, column 6)"),
    ],
)
def test_what_cannot_be_used_is_named_with_key_and_source(write, toml, said):
    """A value may be a secret in the wrong place: none is repeated."""
    path = write(toml + "\n")
    problems = [problem.replace(str(path), "X") for problem in load([path], {}).problems]

    assert said in "\n".join(problems)
    assert "planted_value" not in "\n".join(problems)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("STRONGROOM_RAFT__X", "1", "raft.x (environment STRONGROOM_RAFT__X): there is no such key"),
        ("STRONGROOM_NOWHERE__X", "1", "nowhere.x (environment STRONGROOM_NOWHERE__X): there is no such key"),
        (
            "STRONGROOM_RAFT__HEARTBEAT_MS",
            "planted",
            "(environment STRONGROOM_RAFT__HEARTBEAT_MS): must be a whole number",
        ),
        ("STRONGROOM_BACKUP__SINKS", "[planted", "must be a list of tables"),
        ("STRONGROOM_BACKUP__SINKS", "planted", "must be a list of tables"),
        ("STRONGROOM_BACKUP__SINKS", '[{"name":"a","url":"b","scope":"planted"}]', "wrong at [0].scope"),
    ],
)
def test_the_environment_is_held_to_the_same_rules(name, text, said):
    """A variable with two underscores is a setting, and a wrong one is never ignored."""
    problems = "\n".join(load([], {name: text}).problems)

    assert said in problems
    assert "planted" not in problems


@pytest.mark.parametrize("name", ["STRONGROOM_TOKEN", "STRONGROOM_ADDR", "STRONGROOM_SERVICE_HOST", "OTHER__X"])
def test_variables_of_the_command_line_and_of_others_are_no_settings(name):
    """Kubernetes sets STRONGROOM_SERVICE_HOST beside a service of that name."""
    assert load([], {name: "x"}).problems == load([], {}).problems


@pytest.mark.parametrize("key", ["seal.key", "backup.sinks"])
def test_a_secret_is_not_taken_from_the_command_line(key):
    """Everyone on the machine can read it there."""
    loaded = load([], {}, {key: "planted"})

    assert f"{key} (flag): a secret is not given on the command line; use a file" in loaded.problems
    assert "planted" not in "\n".join(loaded.problems)


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    """So is one that is no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    problems = load([tmp_path / "absent", tmp_path / "binary"], {}).problems

    assert problems[0] == f"file {tmp_path}/absent: cannot be read: No such file or directory"
    assert problems[1] == f"file {tmp_path}/binary: is not TOML"


def test_all_problems_are_said_at_once(write):
    """Not the first alone: those of loading, then those of the whole."""
    problems = load([write("[raft]\nx = 1\ny = 2\nelection_max_ms = 400\n")], {}).problems

    assert len([problem for problem in problems if "no such key" in problem]) == 2
    assert "raft: election_max_ms must exceed election_min_ms" in problems


def test_a_secret_shows_itself_to_who_asks_and_to_nothing_else():
    """Neither repr nor text nor pickle."""
    config = load([], {"STRONGROOM_SEAL__KEY": "planted"}).config

    assert config.seal.key.reveal() == "planted"
    assert "planted" not in f"{config!r} {config.seal!r} {config.seal.key} {config.seal.key!r}"
    assert config.seal.key != SecretText("other")
    assert len({config.seal.key, SecretText("planted")}) == 1
    with pytest.raises(TypeError):
        pickle.dumps(config.seal.key)


def test_the_twin_of_a_secret_is_read_without_its_last_newline(tmp_path):
    """As container secrets are mounted."""
    (tmp_path / "s").write_text("from file\n")

    assert read_secret(SecretText("said"), "").reveal() == "said"
    assert read_secret(SecretText(), str(tmp_path / "s")).reveal() == "from file"
    with pytest.raises(OSError, match="absent"):
        read_secret(SecretText(), str(tmp_path / "absent"))
