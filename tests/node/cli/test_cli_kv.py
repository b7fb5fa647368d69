"""`strongroom kv`: what it asks, what it prints, how it ends."""

from __future__ import annotations

import uuid

import pytest

DATA = "/v1/secret/data/app"
METADATA = {"version": 3, "created_time": "2026-01-01T00:00:00Z", "custom_metadata": None}
SECRET = b'{"data":{"data":{"n":1.10,"big":12345678901234567890123,"name":"x"},"metadata":{"version":3}}}\n'
WRITTEN = {"data": METADATA}
DENIED = {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}


def test_get_prints_the_bodys_bytes_unchanged_as_json(kv2, run):
    """Numbers keep their digits because nothing is decoded."""
    result = run("kv", "get", "-format=json", "secret/app")

    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, SECRET, "")


@pytest.mark.parametrize("option", ["-field=n", "--field=n"])
def test_a_field_is_printed_raw_with_one_or_two_dashes(kv2, run, option):
    """No newline when it is not a terminal, so that `$(…)` and pipes get the value alone."""
    assert run("kv", "get", option, "secret/app").stdout == "1.10"


def test_a_field_that_is_not_there_is_refused_with_the_names_that_are(kv2, run):
    """The twin: names are shown, values are not."""
    result = run("kv", "get", "-field=absent", "secret/app")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "big, n, name" in result.stderr


def test_get_shows_people_path_metadata_and_data(kv2, run):
    """The three parts of Vault's table."""
    result = run("kv", "get", "secret/app")

    assert "secret/data/app" in result.stdout
    assert "big     12345678901234567890123" in result.stdout


def test_get_as_yaml_keeps_numbers(kv2, run):
    """The third form of output."""
    result = run("kv", "get", "-o", "yaml", "secret/app")

    assert '    "n": 1.10\n    big: 12345678901234567890123\n    name: x\n' in result.stdout


def test_get_asks_for_a_version_and_below_a_named_mount(api, run):
    """-mount makes PATH the key below it."""
    api.mount(asked="secret")
    api.answers[f"GET {DATA}?version=2"] = (200, SECRET)
    result = run("kv", "get", "-mount=secret", "-version=2", "app")

    assert (result.exit_code, api.seen[1]) == (0, f"GET {DATA}?version=2")


def test_get_sends_token_and_namespace(kv2, run):
    """Both from the environment; STRONGROOM_TOKEN wins over VAULT_TOKEN."""
    run("kv", "get", "secret/app", env={"VAULT_TOKEN": "hvs.other", "VAULT_NAMESPACE": "root/"})
    headers = kv2.requests[-1].headers

    assert (headers["X-Vault-Token"], headers["X-Vault-Namespace"]) == ("hvs.caller", "root/")


def test_vault_variables_work_alone(kv2, run):
    """Without STRONGROOM_*, Vault's own variables are read."""
    env = {"STRONGROOM_ADDR": None, "STRONGROOM_TOKEN": None, "VAULT_ADDR": kv2.url, "VAULT_TOKEN": "hvs.vault"}
    result = run("kv", "get", "secret/app", env=env)

    assert (result.exit_code, kv2.requests[-1].headers["X-Vault-Token"]) == (0, "hvs.vault")


def test_get_on_version_1_reads_the_path_itself(api, run):
    """A server that does not know the question keeps version 1 alone."""
    api.mount(version="1", path="kv/", asked="kv/app")
    api.answers["GET /v1/kv/app"] = (200, {"data": {"a": "b"}})
    known = run("kv", "get", "-field=a", "kv/app")
    del api.answers["GET /v1/sys/internal/ui/mounts/kv/app"]
    unknown = run("kv", "get", "-field=a", "kv/app")

    assert (known.stdout, unknown.stdout) == ("b", "b")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((404, {"errors": []}), 2, "No value found at secret/data/app"),
        ((404, {"data": {"data": None, "metadata": {"deletion_time": "x"}}}), 2, "is deleted"),
        ((403, DENIED), 2, "* permission denied"),
        ((503, {"errors": ["Vault is sealed"]}), 2, "strongroom operator unseal"),
        ((503, {"errors": ["no leader"], "applied": "no"}, {"Retry-After": "7"}), 2, "try again in 7 s"),
        ((429, {"errors": ["too many"]}, {"Retry-After": "3"}), 2, "try again in 3 s"),
        (None, 1, "did not answer"),
    ],
)
def test_get_says_why_it_failed(kv2, run, answer, code, said):
    """Refused is 2; a read without an answer changed nothing and is 1."""
    kv2.answers[f"GET {DATA}"] = answer
    result = run("kv", "get", "-format=table", "secret/app")

    assert result.exit_code == code
    assert said in result.stderr


def test_a_hidden_mount_is_refused(api, run):
    """The preflight's own answer is shown."""
    api.answers["GET /v1/sys/internal/ui/mounts/secret/app"] = (403, {"errors": ["preflight capability check"]})
    result = run("kv", "get", "secret/app", env={"STRONGROOM_TOKEN": None})

    assert result.exit_code == 2
    assert "preflight capability check" in result.stderr
    assert "STRONGROOM_TOKEN" in result.stderr


def test_list_prints_names_and_an_empty_list_is_refused(api, run):
    """A folder is asked for with a slash at its end."""
    api.mount(asked="secret/dir")
    api.answers["GET /v1/secret/metadata/dir/?list=true"] = (200, {"data": {"keys": ["a", "b/"]}})
    full = run("kv", "list", "secret/dir")
    api.answers["GET /v1/secret/metadata/dir/?list=true"] = (404, {"errors": []})
    empty = run("kv", "list", "secret/dir")

    assert (full.exit_code, full.stdout) == (0, "Keys\n----\na\nb/\n")
    assert empty.exit_code == 2


def test_list_needs_a_path_or_a_mount(run):
    """A usage error is 1, not click's 2."""
    assert run("kv", "list").exit_code == 1


def test_put_sends_text_files_and_standard_input(kv2, run, tmp_path):
    """Numbers of a JSON file keep their digits on the way to the server."""
    kv2.answers[f"PUT {DATA}"] = (200, WRITTEN)
    (tmp_path / "pem").write_text("line\n")
    (tmp_path / "more.json").write_text('{"n": 1.10, "big": 12345678901234567890123}')
    result = run(
        "kv",
        "put",
        "-cas=0",
        "secret/app",
        "a=b=c",
        f"f=@{tmp_path}/pem",
        f"@{tmp_path}/more.json",
        "s=-",
        stdin="typed",
    )

    assert result.exit_code == 0
    assert kv2.requests[-1].raw == (
        b'{"data":{"a":"b=c","f":"line\\n","n":1.10,"big":12345678901234567890123,"s":"typed"},"options":{"cas":0}}'
    )


def test_put_reads_an_object_from_standard_input(kv2, run):
    """`-` alone is a JSON object."""
    kv2.answers[f"PUT {DATA}"] = (200, WRITTEN)
    run("kv", "put", "secret/app", "-", stdin='{"a": {"b": [1]}}')

    assert kv2.requests[-1].body == {"data": {"a": {"b": [1]}}, "options": {}}


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["no-equals-marker"], None),
        (["@/nonexistent-file"], None),
        (["-"], "[1]"),
        (["-"], "marker{"),
        (["a=-", "b=-"], "x"),
        ([], None),
    ],
)
def test_put_refuses_what_is_no_value_before_it_asks_anybody(kv2, run, words, stdin):
    """Local errors are 1; what was typed is not repeated, it may be a secret."""
    result = run("kv", "put", "secret/app", *words, stdin=stdin)

    assert (result.exit_code, kv2.seen) == (1, [])
    assert "marker" not in result.stderr


def test_put_on_version_1_sends_the_object_itself_and_knows_no_cas(api, run):
    """204 without a body: the sentence goes to stderr."""
    api.mount(version="1", path="kv/", asked="kv/app")
    api.answers["PUT /v1/kv/app"] = (204, None)
    done = run("kv", "put", "kv/app", "a=b")
    refused = run("kv", "put", "-cas=1", "kv/app", "a=b")

    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Success! Data written to: kv/app\n")
    assert (refused.exit_code, api.requests[1].body) == (1, {"a": "b"})


def test_an_unknown_outcome_is_3_and_names_the_id_to_repeat(kv2, run):
    """The same id on the repetition, so that it is not applied twice."""
    kv2.answers[f"PUT {DATA}"] = (504, {"errors": ["deadline"], "applied": "unknown"})
    first = run("kv", "put", "secret/app", "a=b")
    sent = kv2.requests[-1].headers["X-Strongroom-Write-Id"]
    run("kv", "put", f"-write-id={sent}", "secret/app", "a=b")

    assert first.exit_code == 3
    assert f"-write-id={sent}" in first.stderr
    assert kv2.requests[-1].headers["X-Strongroom-Write-Id"] == sent
    assert uuid.UUID(sent).version == 7


def test_a_write_without_an_answer_is_unknown_too(kv2, run):
    """The twin of a read without an answer, which is 1."""
    kv2.answers[f"PUT {DATA}"] = None
    result = run("kv", "put", "secret/app", "a=b")

    assert result.exit_code == 3
    assert "-write-id=" in result.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, {"errors": ["check-and-set parameter did not match the current version"]}), "did not match"),
        ((403, DENIED), "permission denied"),
        ((503, {"errors": ["Vault is sealed"], "applied": "no"}), "operator unseal"),
        ((500, {"errors": ["internal error"], "applied": "yes"}), "was applied; do not repeat it"),
    ],
)
def test_a_refused_write_is_2(kv2, run, answer, said):
    """Refused is told from unknown."""
    kv2.answers[f"PUT {DATA}"] = answer
    result = run("kv", "put", "secret/app", "a=b")

    assert result.exit_code == 2
    assert said in result.stderr


def test_patch_merges_at_the_server(kv2, run):
    """Removed fields are null in a merge patch."""
    kv2.answers[f"PATCH {DATA}"] = (200, WRITTEN)
    result = run("kv", "patch", "-remove-data=old", "secret/app", "a=b")

    assert result.exit_code == 0
    assert kv2.requests[-1].headers["Content-Type"] == "application/merge-patch+json"
    assert kv2.requests[-1].body["data"] == {"old": None, "a": "b"}


@pytest.mark.parametrize("status", [403, 405])
def test_patch_reads_and_writes_where_patching_is_refused(kv2, run, status):
    """The write names the version it read, so nothing written in between is lost."""
    kv2.answers[f"PATCH {DATA}"] = (status, {"errors": []})
    kv2.answers[f"PUT {DATA}"] = (200, WRITTEN)
    result = run("kv", "patch", "-remove-data=n", "secret/app", "a=b")

    assert result.exit_code == 0
    assert kv2.requests[-1].raw == (b'{"data":{"big":12345678901234567890123,"name":"x","a":"b"},"options":{"cas":3}}')


@pytest.mark.parametrize(("status", "code"), [(400, 2), (404, 2), (503, 2), (504, 3)])
def test_patch_does_not_fall_back_on_other_answers(kv2, run, status, code):
    """An unknown patch must not be followed by a write."""
    kv2.answers[f"PATCH {DATA}"] = (status, {"errors": []})
    result = run("kv", "patch", "secret/app", "a=b")

    assert (result.exit_code, kv2.requests[-1].method) == (code, "PATCH")


def test_patch_by_the_named_method_does_only_that(kv2, run):
    """-method=patch never reads."""
    kv2.answers[f"PATCH {DATA}"] = (405, {"errors": []})
    denied = run("kv", "patch", "-method=patch", "secret/app", "a=b")
    kv2.answers[f"PUT {DATA}"] = (200, WRITTEN)
    written = run("kv", "patch", "-method=rw", "secret/app", "a=b")

    assert (denied.exit_code, written.exit_code) == (2, 0)


@pytest.mark.parametrize(
    "command",
    [
        ["patch", "kv/app", "a=b"],
        ["undelete", "-versions=1", "kv/app"],
        ["destroy", "-versions=1", "kv/app"],
        ["rollback", "-version=1", "kv/app"],
        ["metadata", "get", "kv/app"],
        ["delete", "-versions=1", "kv/app"],
    ],
)
def test_commands_of_version_2_say_so_on_version_1(api, run, command):
    """A local error that names what is needed."""
    api.mount(version="1", path="kv/", asked="kv/app")
    result = run("kv", *command)

    assert (result.exit_code, len(api.requests)) == (1, 1)
    assert "KV version 2" in result.stderr
