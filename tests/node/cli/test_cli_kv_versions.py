"""`kv delete`, `undelete`, `destroy`, `rollback` and `metadata`: what becomes of versions."""

from __future__ import annotations

import pytest

DATA = "/v1/secret/data/app"
WRITTEN = {"data": {"version": 3, "created_time": "2026-01-01T00:00:00Z", "custom_metadata": None}}
DENIED = {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}


VERSIONS = [
    (["delete", "secret/app"], f"DELETE {DATA}", None),
    (["delete", "-versions=1,2", "secret/app"], "PUT /v1/secret/delete/app", [1, 2]),
    (["undelete", "-versions=1", "-versions=2", "secret/app"], "PUT /v1/secret/undelete/app", [1, 2]),
    (["destroy", "-versions=3", "secret/app"], "PUT /v1/secret/destroy/app", [3]),
]


@pytest.mark.parametrize(("words", "asked", "versions"), VERSIONS)
def test_versions_are_deleted_undeleted_and_destroyed(kv2, run, words, asked, versions):
    """Each answers 204 and a sentence."""
    kv2.answers[asked] = (204, None)
    result = run("kv", *words)

    assert (result.exit_code, result.stdout, kv2.seen[-1]) == (0, "", asked)
    assert (kv2.requests[-1].body or {}).get("versions") == versions


@pytest.mark.parametrize(("words", "asked", "versions"), VERSIONS)
@pytest.mark.parametrize(("status", "code"), [(403, 2), (503, 2), (504, 3)])
def test_versions_refused_sealed_and_unknown(kv2, run, words, asked, versions, status, code):
    """The twins."""
    kv2.answers[asked] = (status, {"errors": ["x"]})

    assert run("kv", *words).exit_code == code


@pytest.mark.parametrize("versions", ["0", "a", "1,,2", ""])
def test_versions_must_be_numbers(kv2, run, versions):
    """A usage error, before anything is asked."""
    assert (run("kv", "destroy", f"-versions={versions}", "secret/app").exit_code, kv2.seen) == (1, [])


def test_rollback_writes_the_old_data_over_the_version_it_saw(kv2, run):
    """Numbers survive; cas is the current version."""
    kv2.answers["GET /v1/secret/metadata/app"] = (200, {"data": {"current_version": 9}})
    kv2.answers[f"PUT {DATA}"] = (200, WRITTEN)
    result = run("kv", "rollback", "-version=3", "secret/app")

    assert result.exit_code == 0
    assert kv2.requests[-1].raw.endswith(b'"name":"x"},"options":{"cas":9}}')


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, {"errors": []}), 2),
        ((404, {"data": {"data": None}}), 2),
        ((403, DENIED), 2),
        ((503, {"errors": ["Vault is sealed"]}), 2),
    ],
)
def test_rollback_to_what_is_not_there_writes_nothing(kv2, run, answer, code):
    """The twin."""
    kv2.answers["GET /v1/secret/metadata/app"] = (200, {"data": {"current_version": 9}})
    kv2.answers[f"GET {DATA}"] = answer
    result = run("kv", "rollback", "-version=3", "secret/app")

    assert (result.exit_code, kv2.requests[-1].method) == (code, "GET")


def test_metadata_is_shown_with_its_versions(kv2, run):
    """Versions in numeric order."""
    versions = {"10": {"destroyed": False}, "9": {"destroyed": True}}
    kv2.answers["GET /v1/secret/metadata/app"] = (200, {"data": {"current_version": 10, "versions": versions}})
    result = run("kv", "metadata", "get", "secret/app")

    assert result.exit_code == 0
    assert result.stdout.index("Version 9") < result.stdout.index("Version 10")


METADATA_WRITES = [
    (
        ["put", "-max-versions=5", "-cas-required=true", "-custom-metadata=a=b", "secret/app"],
        "PUT",
        {"max_versions": 5, "cas_required": True, "custom_metadata": {"a": "b"}},
    ),
    (
        ["patch", "-delete-version-after=1h", "-remove-custom-metadata=old", "secret/app"],
        "PATCH",
        {"delete_version_after": "1h", "custom_metadata": {"old": None}},
    ),
    (["delete", "secret/app"], "DELETE", None),
]


@pytest.mark.parametrize(("words", "method", "body"), METADATA_WRITES)
def test_metadata_is_written(kv2, run, words, method, body):
    """Only what was named is sent."""
    kv2.answers[f"{method} /v1/secret/metadata/app"] = (204, None)
    result = run("kv", "metadata", *words)

    assert (result.exit_code, kv2.requests[-1].body) == (0, body)


@pytest.mark.parametrize(("words", "method", "body"), [*METADATA_WRITES, (["get", "secret/app"], "GET", None)])
@pytest.mark.parametrize("status", [403, 404, 503, 504])
def test_metadata_refused_sealed_and_unknown(kv2, run, words, method, body, status):
    """The twins; a read whose time was up changed nothing, so it is refused and not unknown."""
    kv2.answers[f"{method} /v1/secret/metadata/app"] = (status, {"errors": []})
    code = 3 if status == 504 and method != "GET" else 2

    assert run("kv", "metadata", *words).exit_code == code
