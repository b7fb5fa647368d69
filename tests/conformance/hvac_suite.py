"""hvac's own integration tests against our server: an independent test of the contract, run unchanged.

The source distribution of hvac carries its tests. It is fetched with pip into a cache folder outside the repository,
by its hash, and so is a virtual environment with what the tests need; both are made anew when their lists change. The
suite finds `vault` and `consul` on PATH: ours (see shim/). A run that collects another number of tests than stands
here, or skips one, has failed: without `vault` on PATH hvac skips nearly everything and is green.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Expected:
    """How many tests a file of hvac 2.4.0 has, and how many of them its own decorators skip."""

    collected: int
    skipped: int = 0

    @property
    def to_pass(self) -> int:
        """What is left to pass."""
        return self.collected - self.skipped


VERSION = "2.4.0"
HERE = Path(__file__).parent
BUILD, REQUIREMENTS = HERE / "hvac-build.txt", HERE / "hvac-requirements.txt"
TESTS = "tests/integration_tests/"
REQUIRED: dict[str, Expected] = {
    "api/secrets_engines/test_kv_v2.py": Expected(84),
    "api/secrets_engines/test_kv_v1.py": Expected(12),
    "api/system_backend/test_health.py": Expected(6),
    "api/system_backend/test_init.py": Expected(2),
    "api/system_backend/test_leader.py": Expected(1),
    "api/system_backend/test_seal.py": Expected(2),
    "api/auth_methods/test_token.py": Expected(13),
    "api/auth_methods/test_approle.py": Expected(20),
    "v1/test_approle.py": Expected(8),
    "api/system_backend/test_policies.py": Expected(17, skipped=10),  # Sentinel, Enterprise
    "api/system_backend/test_policy.py": Expected(4),
    "api/system_backend/test_audit.py": Expected(3),
    "api/system_backend/test_auth.py": Expected(2),
    "api/system_backend/test_key.py": Expected(6),
    "api/system_backend/test_lease.py": Expected(5),
    "api/system_backend/test_mount.py": Expected(2),
    "api/system_backend/test_wrapping.py": Expected(5),
    "api/system_backend/test_quota.py": Expected(9, skipped=9),  # Enterprise, and versions below 1.15
    "api/system_backend/test_raft.py": Expected(6, skipped=6),  # Enterprise
    "api/system_backend/test_namespace.py": Expected(1, skipped=1),  # Enterprise
    "v1/test_integration.py": Expected(26),
    "v1/test_system_backend.py": Expected(28),
}
"""Ring 1: files whose every test must pass, but for those that hvac 2.4.0 skips by itself for a Vault like ours."""


class SuiteError(Exception):
    """The suite could not be run; the text says why."""


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What became of the tests of one file."""

    collected: int
    passed: int
    skipped: int
    failures: tuple[str, ...]


def cache_folder() -> Path:
    """Where sdist and environment are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "strongroom" / f"hvac-{VERSION}"


def requirement(text: str, name: str) -> str:
    """The lines of one pinned package with its hashes. Raises SuiteError if it is not listed."""
    found = re.search(rf"(?m)^{re.escape(name)}==(?:.*\\\n)*.*$", text)
    if found is None:
        raise SuiteError(f"{name} is not among the pinned requirements")
    return found.group() + "\n"


def environment(cache: Path) -> Path:
    """The Python of the suite's environment, which holds exactly the pinned packages. Raises SuiteError."""
    wanted = hashlib.sha256(BUILD.read_bytes() + REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    venv, stamp = cache / "venv", cache / "venv" / "installed"
    python = venv / "bin" / "python"
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return python
    shutil.rmtree(venv, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(venv)], "the environment of hvac's tests cannot be made")
    why = "the packages that hvac's tests need cannot be had"
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", "--require-hashes"]
    _run([*install, "--only-binary", ":all:", "-r", str(BUILD)], why)
    source = ["--only-binary", ":all:", "--no-binary", "pyhcl", "--no-build-isolation"]  # pyhcl exists as source only
    _run([*install, *source, "-r", str(REQUIREMENTS)], why)
    stamp.write_text(wanted, encoding="ascii")
    return python


def source_distribution(cache: Path, python: Path) -> Path:
    """The source distribution of hvac, whose hash is a pinned one. Raises SuiteError."""
    pinned = requirement(REQUIREMENTS.read_text(encoding="utf-8"), "hvac")
    archive = cache / f"hvac-{VERSION}.tar.gz"
    if not _is_pinned(archive, pinned):
        archive.unlink(missing_ok=True)
        wanted = cache / "sdist.txt"
        wanted.write_text(pinned, encoding="utf-8")
        options = ["--no-deps", "--no-binary", "hvac", "--no-build-isolation", "--require-hashes"]
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "download"]
        _run([*pip, *options, "-r", str(wanted), "-d", str(cache)], "hvac's source distribution cannot be had")
    if not _is_pinned(archive, pinned):
        raise SuiteError(f"{archive} is not the pinned source distribution of hvac")
    return archive


def _is_pinned(archive: Path, pinned: str) -> bool:
    return archive.exists() and f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}" in pinned


def _run(command: list[str], why: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SuiteError(f"{why}: {' '.join(command[:5])} … ended with {done.returncode}\n{done.stderr[-2000:]}")


def prepared() -> tuple[Path, Path]:
    """(Python with the client and the test tools, archive with the tests). Raises SuiteError."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    python = environment(cache)
    return python, source_distribution(cache, python)


def run_suite(files: dict[str, Expected]) -> dict[str, FileCounts]:
    """What became of every file's tests. Raises SuiteError if the suite could not be run."""
    python, archive = prepared()
    with tempfile.TemporaryDirectory(prefix="strongroom-hvac-") as folder:
        home = Path(folder)
        with tarfile.open(archive) as opened:
            opened.extractall(home, filter="data")
        root, report = home / f"hvac-{VERSION}", home / "report.xml"
        (root / "tests" / "config_files" / "generated").mkdir(exist_ok=True)
        command = [str(python), "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
        command += [f"--junitxml={report}", *(TESTS + name for name in files)]
        done = subprocess.run(command, cwd=root, env=_environ(home), check=False, stdout=sys.stderr)
        if not report.exists():
            raise SuiteError(f"hvac's tests ended with {done.returncode} and without a report")
        return read_report(report.read_text(encoding="utf-8"), files)


def _environ(home: Path) -> dict[str, str]:
    """`vault` and `consul` come first; nothing of the caller's Vault or Python settings comes along."""
    programs = home / "bin"
    programs.mkdir()
    for name in ("vault", "consul"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "shim" / name}.py" "$@"\n', encoding="utf-8")
        program.chmod(0o700)
    foreign = re.compile(r"VAULT_|STRONGROOM_|PYTHON|HVAC_|PYTEST_")
    environ = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    environ["PATH"] = f"{programs}{os.pathsep}{environ.get('PATH', '')}"
    environ["STRONGROOM_SHIM_HOME"] = str(home)
    return environ


def read_report(text: str, files: dict[str, Expected]) -> dict[str, FileCounts]:
    """Counts by file from pytest's JUnit report."""
    cases: dict[str, list[ET.Element]] = {name: [] for name in files}
    for case in ET.fromstring(text).iter("testcase"):
        where = case.get("classname", "").replace(".", "/") + "/"
        for name in files:
            if where.startswith(TESTS + name.removesuffix(".py") + "/"):
                cases[name].append(case)
    return {name: _counts(found) for name, found in cases.items()}


def _counts(cases: list[ET.Element]) -> FileCounts:
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    failures = tuple(case.get("name", "") for case in bad)
    return FileCounts(len(cases), len(cases) - len(bad) - skipped, skipped, failures)


def problems(counts: dict[str, FileCounts], files: dict[str, Expected]) -> list[str]:
    """Every reason why the suite is not passed: another number of tests, a skipped one, a failed one."""
    found = []
    for name, expected in files.items():
        one = counts[name]
        if one.collected != expected.collected:
            found.append(f"{name}: {one.collected} tests collected, hvac {VERSION} has {expected.collected}")
        if one.skipped != expected.skipped:
            found.append(f"{name}: {one.skipped} skipped, {expected.skipped} by hvac's own decorators")
        found += [f"{name}: {failure} failed" for failure in one.failures]
    return found
