"""Commands on backups: what they are told, what they refuse, how they end. Sinks are SQLite files of the test's own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from cluster import grants_sql, open_sink
from node.cli.backup_options import generation_of, time_of
from node.cli.backup_progress import line_of, watcher
from node.cli.failures import LocalError
from node.cli.operator_recover import _assessed
from node.restore.keys import Keys
from node.restore.places import Place
from node.restore.wanted import WantedError, expected_of, of_words

if TYPE_CHECKING:
    from pathlib import Path

MEMBER = ("--member", "n1=127.0.0.1:8201,http://127.0.0.1:8200")
BROKEN_PEER = """
[peer]
tls_cert_file = "{0}/bad"
tls_key_file = "{0}/bad"
tls_ca_file = "{0}/bad"
address = "127.0.0.1:8201"
members = [
  {{ id = "n1", peer = "127.0.0.1:8201", api = "https://127.0.0.1:8200" }},
  {{ id = "n2", peer = "127.0.0.1:8203", api = "https://127.0.0.1:8202" }},
]
"""


# ---- words
@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:01.000000001Z", 1_000_000_001),
        ("1970-01-01 01:00:01+01:00", 10**9),
    ],
)
def test_a_time_is_exact_to_the_nanosecond(text: str, expected_ns: int) -> None:
    """And says its zone."""
    assert time_of(text) == expected_ns


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z"])
def test_a_time_that_could_mean_two_things_is_refused(text: str) -> None:
    """A zone must be said."""
    with pytest.raises(LocalError, match="with its zone"):
        time_of(text)


def test_a_generation_is_named_as_it_is_printed() -> None:
    """With hyphens or without."""
    raw = bytes(range(16))

    assert generation_of("00010203-0405-0607-0809-0a0b0c0d0e0f") == raw == generation_of(raw.hex())
    for text in ("", "00", "x" * 32):
        with pytest.raises(LocalError):
            generation_of(text)


def test_what_is_expected_is_an_index_and_a_hash() -> None:
    """Nothing else."""
    assert expected_of(f"12:{'ab' * 32}") == (12, b"\xab" * 32)
    for word in ("", "12", "12:ab", f"x:{'ab' * 32}", "12:" + "zz" * 32, f"{'9' * 5000}:{'ab' * 32}"):
        with pytest.raises(WantedError):
            expected_of(word)


@pytest.mark.parametrize("words", [["n1"], ["n1=a:1"], ["n1=a,http://b"], ["n1=a:1,b"], ["n1=a:1,http://b"] * 2, []])
def test_members_are_told_whole_or_refused(words: list[str], tmp_path: Path) -> None:
    """Address of the links and URL of the API, each member once."""
    with pytest.raises(WantedError):
        of_words(words, [tmp_path], "dev", "")


# ---- progress
def test_a_bar_shows_how_much_is_done() -> None:
    """Without a total, only how much."""
    from cluster import Progress

    assert line_of(Progress("replay", 1_000_000, 2_000_000)).endswith("50% of 2.0 MB")
    assert line_of(Progress("write", 1_500_000, 0)) == "write: 1.5 MB"


def test_progress_as_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr; silent where there is no terminal."""
    from cluster import Progress

    watcher("json")(Progress("replay", 1, 2))
    watcher("auto")(Progress("replay", 1, 2))
    shown = capsys.readouterr()

    assert (shown.out, json.loads(shown.err)) == ("", {"step": "replay", "done_bytes": 1, "total_bytes": 2})


def test_a_bar_is_written_over_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """And ends its line at the end of a step."""
    from cluster import Progress

    bar = watcher("bar")
    for done in range(0, 1001, 1):
        bar(Progress("replay", done, 1000))
    shown = capsys.readouterr().err

    assert shown.count("\n") == 1
    assert shown.count("\r") < 300
    assert shown.endswith("100% of 0.0 MB\n")


# ---- secrets
def test_nothing_that_opens_a_backup_is_shown() -> None:
    """Neither keys nor passwords, by no accident of printing."""
    shown = repr(Keys(["planted"])) + repr(Place("postgresql://u@h/planted", "planted"))

    assert "planted" not in shown


@pytest.mark.parametrize("url", ["postgresql://u:planted@h/db", "postgresql://u@h/db?password=planted"])
def test_a_password_in_a_url_is_refused_without_repeating_it(run: Any, url: str) -> None:
    """Everybody on the machine could read it."""
    result = run("backup", "list", "--from", url)

    assert result.exit_code == 2
    assert "must not hold a password" in result.stderr
    assert "planted" not in result.stderr + result.stdout


# ---- what must be said
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backup", "list"], "name a sink with -from"),
        (["backup", "verify"], "name a sink with -from"),
        (["backup", "drill"], "name a sink with -from"),
        (["backup", "restore", *MEMBER, "--data", "x"], "name a sink with -from"),
        (["backup", "restore", "--from", "memory:"], "-config FILE, or -member"),
        (["backup", "restore", "--from", "memory:", *MEMBER], "name the data folder"),
        (["backup", "restore", "--from", "memory:", "--to-index=1", "--to-time=1970-01-01T00:00:00Z"], "two points"),
        (["backup", "restore", "--from", "memory:", "--expect", "1"], "INDEX:HASH"),
        (["backup", "restore", "--from", "memory:", "--path", "secret/a"], "-out FILE"),
        (["backup", "copy", "--from", "memory:", "--from", "memory:", "--to", "memory:"], "one sink"),
        (["backup", "prune"], "one sink"),
        (["backup", "prepare"], "--to"),
        (["backup", "grants"], "--role"),
        (["backup", "grants", "--role", ""], "name the role"),
        (["backup", "grants", "--role", "a", "--schema", "A b"], "small letters"),
        (["operator", "recover"], "--survivor"),
        (["dev", "-restore"], "needs -data DIR"),
    ],
)
def test_what_is_missing_is_named(run: Any, words: list[str], said: str) -> None:
    """A usage or local error; nothing was touched."""
    result = run(*words)

    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize("flag", ["keep-tokens", "old-access"])
def test_access_of_an_earlier_point_needs_a_word(run: Any, tmp_path: Path, flag: str) -> None:
    """Nobody is at the terminal here: the flag that says it, or nothing is done."""
    words = ["backup", "restore", "--from", f"sqlite://{tmp_path}/none.db", *MEMBER, "--data", str(tmp_path / "d")]
    denied = run(*words, f"-{flag}")
    allowed = run(*words, f"-{flag}", f"-yes-{flag}")

    assert (denied.exit_code, f"repeat the command with -yes-{flag}" in denied.stderr) == (1, True)
    assert (allowed.exit_code, "no such file" in allowed.stderr) == (2, True)


def test_recover_keeps_tokens_only_on_a_word(run: Any, tmp_path: Path) -> None:
    """It is asked for before anything is read."""
    words = ["operator", "recover", "-survivor", str(tmp_path), *MEMBER, "--data", str(tmp_path / "d"), "-keep-tokens"]
    denied = run(*words)
    allowed = run(*words, "-yes-keep-tokens")

    assert (denied.exit_code, "repeat the command with -yes-keep-tokens" in denied.stderr) == (1, True)
    assert (allowed.exit_code, "none of the folders is a member's" in allowed.stderr) == (1, True)


@pytest.mark.parametrize("command", [["backup", "restore"], ["operator", "recover", "-survivor", "{}"]])
@pytest.mark.parametrize(
    ("section", "said"),
    [
        (BROKEN_PEER, "bad must hold a certificate"),
        ('[backup]\nsinks = [{{ name = "s", url = "sqlite://{0}/b.db", password_file = "{0}/bad" }}]\n',
         "bad is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_file_of_the_configuration_that_is_broken_is_a_sentence(
    run: Any, tmp_path: Path, command: list[str], section: str, said: str
) -> None:
    """Whichever command reads it; what is in it is not repeated."""
    (tmp_path / "bad").write_bytes(b"planted\xff\xfe")
    config = tmp_path / "node.toml"
    config.write_text(f'profile = "dev"\n[node]\nid = "n1"\ndata_dir = "{tmp_path}/d"\n' + section.format(tmp_path))
    result = run(*[word.format(tmp_path) for word in command], "-config", str(config))

    assert result.exit_code == 1
    assert said in result.stderr
    assert "planted" not in result.stderr + result.stdout


def test_a_file_that_is_not_there_is_not_made(run: Any, tmp_path: Path) -> None:
    """Looking at a backup does not create one."""
    result = run("backup", "list", "--from", f"sqlite://{tmp_path}/none.db")

    assert result.exit_code == 2
    assert "no such file" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_sink_is_prepared_by_its_owner(run: Any, tmp_path: Path) -> None:
    """Twice is once; then it is an empty sink."""
    url = f"sqlite://{tmp_path}/new.db"
    results = [run("backup", "prepare", "-to", url) for _ in range(2)]

    assert [(one.exit_code, "can be used" in one.stderr) for one in results] == [(0, True)] * 2
    assert "nothing is stored" in run("backup", "list", "--from", url).stdout


@pytest.mark.parametrize(("words", "deletes"), [([], False), (["-prune"], True)])
def test_grants_prints_what_a_role_needs(run: Any, words: list[str], deletes: bool) -> None:
    """Either storing or deleting, never both; in the schema that is named."""
    result = run("backup", "grants", "-role", "Nodes", "-schema", "mine", *words)

    assert result.exit_code == 0
    assert result.stdout == grants_sql("Nodes", prune=bool(words), schema="mine")
    assert ("GRANT DELETE ON mine.objects" in result.stdout) == deletes
    assert ("GRANT INSERT ON mine.generations, mine.objects" in result.stdout) != deletes


def test_a_sink_that_recover_leaves_out_is_named() -> None:
    """In a sentence, before anybody says yes; otherwise nothing is said."""
    found = {
        "from": "/n1", "index": 4, "time": "then", "sources": [], "lost": None, "unsure": None,
        "left_out": "sqlite:///b.db was not used: nothing is stored there",
    }  # fmt: skip

    assert "sqlite:///b.db was not used: nothing is stored there." in _assessed(found)
    assert "not used" not in _assessed(found | {"left_out": None})


def test_an_empty_sink_is_said_to_be_empty(run: Any, tmp_path: Path) -> None:
    """By list, and by a restore."""

    async def make() -> None:
        sink = open_sink(f"sqlite://{tmp_path}/empty.db")
        await sink.open()
        await sink.close()

    asyncio.run(make())
    url = f"sqlite://{tmp_path}/empty.db"
    listed = run("backup", "list", "--from", url)
    restored = run("backup", "restore", "--from", url, *MEMBER, "--data", str(tmp_path / "d"), stdin="")

    assert "nothing is stored" in listed.stdout
    assert (restored.exit_code, "no backup is stored there" in restored.stderr) == (1, True)
    assert not (tmp_path / "d").exists()


# ---- a running node
def test_backup_status_prints_what_to_expect(api: Any, run: Any) -> None:
    """And ends with 2 while a sink has an error."""
    row = {"sink": "main", "index": 7, "lag_entries": 0, "lag_s": 0.0, "error": "", "expect": "7:ab"}
    api.answers["GET /v1/strongroom/backup/status"] = (200, {"data": {"mode": "async", "sinks": [row]}})
    well = run("backup", "status")
    api.answers["GET /v1/strongroom/backup/status"] = (
        200, {"data": {"mode": "async", "sinks": [row | {"error": "the disk is full"}]}},
    )  # fmt: skip
    ill = run("backup", "status")

    assert well.exit_code == 0
    assert "Expect of main: 7:ab" in well.stdout
    assert (ill.exit_code, "the disk is full" in ill.stdout) == (2, True)


def test_no_sink_at_all_is_said(api: Any, run: Any) -> None:
    """It is the most common way to lose everything."""
    api.answers["GET /v1/strongroom/backup/status"] = (200, {"data": {"mode": "async", "sinks": []}})

    assert "no backup sink is configured" in run("backup", "status").stderr


@pytest.mark.parametrize(("words", "audit"), [([], True), (["--without-audit"], False)])
def test_adopt_says_what_was_enabled(api: Any, run: Any, words: list[str], audit: bool) -> None:
    """The body says whether audit devices are wanted."""
    answer = {"data": {"restored": True, "parent": "p", "parent_index": 9, "audit_devices": ["file/"]}}
    api.answers["PUT /v1/strongroom/adopt"] = (200, answer)
    result = run("operator", "adopt", *words)

    assert result.exit_code == 0
    assert api.requests[-1].body == {"audit": audit}
    assert "file/" in result.stdout
    assert "The cluster is adopted." in result.stderr


def test_trigger_names_a_sink(api: Any, run: Any) -> None:
    """Or none, which means all."""
    api.answers["PUT /v1/strongroom/backup/trigger"] = (204, None)
    run("backup", "trigger", "--sink", "main")

    assert api.requests[-1].body == {"sink": "main"}


def test_what_nobody_knows_is_not_shown_as_nothing(api: Any, run: Any) -> None:
    """A sink without a known writer: no lag, the sentence, and 2; a sink that holds all has zeros, and 0."""
    row = {"sink": "main", "index": 7, "lag_entries": None, "lag_s": None, "error": "no leader is known"}
    api.answers["GET /v1/strongroom/backup/status"] = (200, {"data": {"sinks": [row]}})
    unknown = run("backup", "status")
    row = {"sink": "main", "index": 7, "lag_entries": 0, "lag_s": 0.0, "error": ""}
    api.answers["GET /v1/strongroom/backup/status"] = (200, {"data": {"sinks": [row]}})
    known = run("backup", "status")

    assert (unknown.exit_code, known.exit_code) == (2, 0)
    assert unknown.stdout.splitlines()[2].split("    ")[0] == "main"
    assert unknown.stdout.count("not known") == 2
    assert "not known" not in known.stdout


def test_a_trigger_that_was_refused_is_no_success(api: Any, run: Any) -> None:
    """The sentence of the server, and an exit code."""
    sentence = "the backup sink main is not being written: the role may not write; it is tried again in 40 s"
    api.answers["PUT /v1/strongroom/backup/trigger"] = (400, {"errors": [sentence]})
    result = run("backup", "trigger")

    assert result.exit_code != 0
    assert sentence in result.stderr
    assert "Success" not in result.stdout + result.stderr
