"""What decides whether hvac's suite is passed: pinned sources, counts, no skips; nothing here uses the network."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from tests.conformance import hvac_suite
from tests.conformance.hvac_suite import (
    Expected,
    FileCounts,
    SuiteError,
    problems,
    read_report,
    requirement,
    source_distribution,
)

FILES = {"api/system_backend/test_init.py": Expected(2), "api/system_backend/test_seal.py": Expected(1)}
REPORT = """<testsuites><testsuite>
<testcase classname="tests.integration_tests.api.system_backend.test_init.TestInit" name="test_one"/>
<testcase classname="tests.integration_tests.api.system_backend.test_init.TestInit" name="test_two">
<failure message="no"/></testcase>
<testcase classname="tests.integration_tests.api.system_backend.test_seal.TestSeal" name="test_three">
<skipped message="no vault"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_counted_by_file():
    """Passed, failed and skipped are told apart, each under its own file."""
    counts = read_report(REPORT, FILES)
    assert counts["api/system_backend/test_init.py"] == FileCounts(2, 1, 0, ("test_two",))
    assert counts["api/system_backend/test_seal.py"] == FileCounts(1, 0, 1, ())


def test_an_error_in_set_up_is_a_failure():
    """A class whose server did not start has failed, not passed."""
    report = REPORT.replace("<failure", "<error")
    assert read_report(report, FILES)["api/system_backend/test_init.py"].failures == ("test_two",)


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        (FileCounts(2, 2, 0, ()), []),
        (FileCounts(2, 1, 0, ("test_two",)), ["f: test_two failed"]),
        (FileCounts(2, 1, 1, ()), ["f: 1 skipped, 0 by hvac's own decorators"]),
        (FileCounts(0, 0, 0, ()), [f"f: 0 tests collected, hvac {hvac_suite.VERSION} has 2"]),
        (FileCounts(3, 3, 0, ()), [f"f: 3 tests collected, hvac {hvac_suite.VERSION} has 2"]),
    ],
)
def test_only_the_full_number_of_passes_is_a_pass(counts: FileCounts, found: list[str]):
    """Too few, too many, skipped or failed: each is said."""
    assert problems({"f": counts}, {"f": Expected(2)}) == found


@pytest.mark.parametrize(("skipped", "found"), [(1, []), (0, ["f: 0 skipped, 1 by hvac's own decorators"])])
def test_a_test_that_hvac_skips_by_itself_is_expected_to_be_skipped(skipped: int, found: list[str]):
    """Neither more nor fewer."""
    assert problems({"f": FileCounts(2, 2 - skipped, skipped, ())}, {"f": Expected(2, skipped=1)}) == found


def test_what_is_required_is_the_whole_of_ring_1():
    """262 tests in 22 files; hvac skips 26 of them by itself, 236 are to pass."""
    files = hvac_suite.REQUIRED.values()
    assert (len(files), sum(one.collected for one in files), sum(one.to_pass for one in files)) == (22, 262, 236)


def test_every_package_of_the_suite_is_pinned_by_hash():
    """Each requirement has a version and at least one SHA-256."""
    for listed in (hvac_suite.BUILD, hvac_suite.REQUIREMENTS):
        text = listed.read_text(encoding="utf-8")
        names = [line.partition("==")[0] for line in text.splitlines() if "==" in line]
        assert names
        for name in names:
            assert "--hash=sha256:" in requirement(text, name)


def test_an_unlisted_package_is_no_requirement():
    """A name that is not pinned is an error, not an empty list."""
    with pytest.raises(SuiteError, match="not among the pinned"):
        requirement("a==1 \\\n    --hash=sha256:00\n", "b")


def test_the_archive_with_the_pinned_hash_is_taken_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is there and right is not fetched again."""
    archive = tmp_path / f"hvac-{hvac_suite.VERSION}.tar.gz"
    archive.write_bytes(b"the real one")
    _pin(tmp_path, monkeypatch, b"the real one")
    assert source_distribution(tmp_path, Path("/nowhere/python")) == archive


def test_an_archive_that_cannot_be_had_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No network, no package index, no file: an error, never a skip."""
    _pin(tmp_path, monkeypatch, b"the real one")
    with pytest.raises(SuiteError, match="cannot be had"):
        source_distribution(tmp_path, _failing_python(tmp_path))


def test_another_archive_than_the_pinned_one_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A changed file in the cache is thrown away and fetched; here that fails, so the run fails."""
    archive = tmp_path / f"hvac-{hvac_suite.VERSION}.tar.gz"
    archive.write_bytes(b"another one")
    _pin(tmp_path, monkeypatch, b"the real one")
    with pytest.raises(SuiteError, match="cannot be had"):
        source_distribution(tmp_path, _failing_python(tmp_path))
    assert not archive.exists()


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch):
    """XDG_CACHE_HOME if it is set, else ~/.cache; never the repository."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert hvac_suite.cache_folder() == Path("/caches/strongroom") / f"hvac-{hvac_suite.VERSION}"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert hvac_suite.cache_folder() == Path("/home/me/.cache/strongroom") / f"hvac-{hvac_suite.VERSION}"


def test_the_suite_finds_our_vault_first_and_none_of_the_callers_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`vault` and `consul` are ours; addresses, tokens and Python paths of the caller stay behind."""
    monkeypatch.setenv("VAULT_TOKEN", "planted")
    monkeypatch.setenv("STRONGROOM_NODE__ID", "planted")
    monkeypatch.setenv("PYTHONPATH", "planted")
    environ = hvac_suite._environ(tmp_path)
    assert environ["PATH"].split(":")[0] == str(tmp_path / "bin")
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["consul", "vault"]
    assert "planted" not in environ.values()


def _pin(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    listed = folder / "requirements.txt"
    listed.write_text(f"hvac=={hvac_suite.VERSION} \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n")
    monkeypatch.setattr(hvac_suite, "REQUIREMENTS", listed)


def _failing_python(folder: Path) -> Path:
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    program.chmod(0o700)
    return program
