"""node/http/openapi.yaml against a validator and against a live node: schemathesis asks everything that stands in it.

Both run in a virtual environment of their own, from hashed requirements, kept in a cache folder outside the repository
(as hvac_suite.py does it). One fresh node is started, initialised and filled with examples, so that answers are more
than refusals. Wrong are: a 5xx, an answer whose status, type or body the document does not have, and an operation that
was never answered with success, whose schema was then not looked at (NEVER_2XX has those that cannot be).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.plainyaml import load

from .hvac_suite import SuiteError, _run, cache_folder
from .openapi_node import NOBODY, Node, fill, running

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "schemathesis-requirements.txt"
YAML = HERE.parents[1] / "node" / "http" / "openapi.yaml"
PROBES = ("/livez", "/readyz", "/startupz")
BY_HAND = (*PROBES, "/v1/sys/health")
SEED, FUZZ_MAX, RUN_S_MAX = 1, 6, 300
CHECKS = (
    "says_when_to_ask_again",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
EXCLUDED = {
    "GET /sys/health": "it answers with the status it is asked for, whatever that means; asked by hand",
    "POST /sys/seal": "everything else would be 503",
    "POST /sys/step-down": "nobody leads for a moment, and writes may be 503",
    "POST /auth/token/revoke-self": "it is the token of the run",
    "POST /sys/audit/{path}": "a device that fails keeps every answer back",
    "POST /sys/quotas/rate-limit/{name}": "it would limit the run itself",
    "DELETE /pki/root": "certificates could not be asked for any more",
    "POST /auth/jwt/config": "the node would ask a host that was made up",
    "POST /auth/kubernetes/config": "the node would ask a host that was made up",
}
"""Operations that are not asked, and why. Probes stand beside /v1 and are asked by hand."""
NEVER_2XX: dict[str, set[str]] = {
    "the cluster is initialised": {"POST /sys/init"},
    "one such operation is under way already": {"POST /sys/generate-root/attempt", "POST /sys/rotate/root/init"},
    "it takes shares that nobody has but the check": {
        "POST /sys/generate-root/update", "POST /sys/generate-root-token/update", "POST /sys/rekey/update",
        "POST /sys/rotate/root/update", "GET /sys/rekey/verify", "POST /sys/rekey/verify", "DELETE /sys/rekey/verify",
        "GET /sys/rotate/root/verify", "POST /sys/rotate/root/verify", "DELETE /sys/rotate/root/verify",
    },
    "there are no recovery keys where shares open the node": {
        f"{method} /sys/{base}/{step}"
        for base in ("rekey-recovery-key", "rotate/recovery")
        for step in ("init", "update", "verify")
        for method in ("GET", "POST", "DELETE")
        if step != "update" or method == "POST"
    },
    "PGP keys are refused, so no shares are kept": {
        "GET /sys/rekey/backup", "GET /sys/rekey/recovery-key-backup", "GET /sys/rotate/root/backup",
        "GET /sys/rotate/recovery/backup",
    },
    "it is always refused": {
        "POST /sys/storage/raft/join", "POST /sys/storage/raft/remove-peer", "POST /sys/storage/raft/promote",
        "POST /sys/storage/raft/demote", "POST /sys/config/cors",
    },
    "what is sent is no snapshot": {"POST /sys/storage/raft/snapshot", "POST /sys/storage/raft/snapshot-force"},
    "there is never any": {"GET /sys/namespaces"},
    "no sink is configured": {"POST /strongroom/backup/trigger"},
    "a root token is not renewable, nor is the lease of a certificate": {
        "POST /auth/token/renew-self", "POST /sys/leases/renew", "POST /sys/leases/renew/{url_lease_id}",
        "POST /sys/renew", "POST /sys/renew/{url_lease_id}",
    },
    "it needs the header X-Vault-Wrap-TTL": {"POST /sys/wrapping/wrap"},
    "it is about the token of the request, which wraps nothing": {
        "GET /sys/wrapping/lookup",
    },
    "no accessor that exists stands in a query": {"DELETE /auth/approle/role/{name}/secret-id-accessor/destroy"},
    "there is no certificate, JWT or provider that would be believed": {
        "POST /auth/cert/login", "POST /auth/jwt/login", "POST /auth/kubernetes/login", "POST /auth/jwt/oidc/auth_url",
        "GET /auth/jwt/oidc/callback", "POST /auth/jwt/oidc/callback",
    },
    "the mount has an authority": {"POST /pki/root/generate/{exported}"},
    "no name of one that may go is asked for": {"DELETE /auth/cert/crls/{name}"},
    "the key has but one version, and may not be deleted": {
        "POST /transit/keys/{name}/trim", "DELETE /transit/keys/{name}",
    },
}  # fmt: skip
"""Why an operation is not answered with success here → the operations."""


# ---- the document
def asked(whole: dict[str, Any], bodies: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The document without what is not asked, its examples meaning what exists. Raises SuiteError for a stale list."""
    whole = json.loads(json.dumps(whole))
    paths = {path: dict(item) for path, item in whole["paths"].items() if path not in PROBES}
    for operation in EXCLUDED:
        method, path = operation.split(" ")
        if method.lower() not in paths.get(path, {}):
            raise SuiteError(f"{operation} is excluded, and is not in the document")
        del paths[path][method.lower()]
    said = dict(whole["components"]["requestBodies"])
    for name, example in bodies.items():
        method, _, path = name.partition(" ")
        if path:
            operation = paths[path][method.lower()]
            body = _with_example(resolved(whole, operation["requestBody"]), example)
            paths[path][method.lower()] = operation | {"requestBody": body}
        else:
            said[name] = _with_example(said[name], example)
    parameters = dict(whole["components"]["parameters"])
    parameters["prefix"] |= {"example": NOBODY}  # or the leases that are there would be revoked
    components = whole["components"] | {"requestBodies": said, "parameters": parameters}
    return whole | {"paths": paths, "components": components}


def resolved(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What the part refers to."""
    found: Any = whole
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def _with_example(body: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    ((media, content),) = body["content"].items()
    return body | {"content": {media: content | {"example": example}}}


def operations(whole: dict[str, Any]) -> set[str]:
    """Each as "GET /path"."""
    methods = ("get", "post", "patch", "delete")
    return {f"{method.upper()} {path}" for path, item in whole["paths"].items() for method in methods if method in item}


def unseen(whole: dict[str, Any], seen: list[tuple[str, int]]) -> list[str]:
    """Operations that were never answered with success; those of NEVER_2XX that were."""
    done = {operation for operation, status in seen if 200 <= status < 300}
    never = set().union(*NEVER_2XX.values())
    found = [f"{name} was never answered with success" for name in sorted(operations(whole) - done - never)]
    return found + [f"{name} was answered with success, and is in NEVER_2XX" for name in sorted(done & never)]


# ---- running
def environment() -> Path:
    """The folder of programs of the environment, which holds exactly the pinned packages. Raises SuiteError."""
    cache = cache_folder().parent / "schemathesis"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = cache / "installed"
    if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
        shutil.rmtree(cache, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(cache)], "the environment of schemathesis cannot be made")
        pip = [str(cache / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        options = ["--require-hashes", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
        _run([*pip, *options], "the packages that schemathesis needs cannot be had")
        stamp.write_text(wanted, encoding="ascii")
    return cache / "bin"


def run_openapi() -> list[str]:
    """Everything that is wrong. Raises SuiteError if it cannot be told."""
    programs = environment()
    _run([str(programs / "python"), "-m", "openapi_spec_validator", str(YAML)], "openapi.yaml is not valid")
    with tempfile.TemporaryDirectory(prefix="strongroom-openapi-") as name, running(Path(name)) as node:
        folder = Path(name)
        known, bodies = fill(node)
        whole = asked(load(YAML.read_text(encoding="utf-8")), bodies)
        (folder / "openapi.json").write_text(json.dumps(whole), encoding="utf-8")
        found = [f"GET {path}: {status}" for path in BY_HAND if (status := node.ask("GET", path)[0]) != 200]
        environ = {key: value for key, value in os.environ.items() if not re.match(r"PYTHON|SCHEMATHESIS|PYTEST", key)}
        environ |= {
            "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "openapi_hooks", "STRONGROOM_KNOWN": json.dumps(known),
            "STRONGROOM_SEEN": str(folder / "seen.json"),
        }  # fmt: skip
        options: dict[str, Any] = {"env": environ, "cwd": folder, "stdout": sys.stderr}
        try:
            done = subprocess.run(_command(programs, folder, node), check=False, timeout=RUN_S_MAX, **options)
        except subprocess.TimeoutExpired:
            raise SuiteError(f"schemathesis was not done after {RUN_S_MAX} s") from None
        if not (folder / "seen.json").exists():
            raise SuiteError(f"schemathesis ended with {done.returncode} and has asked nothing")
        seen = json.loads((folder / "seen.json").read_text(encoding="utf-8"))
        if done.returncode:
            found.append(f"schemathesis ended with {done.returncode}: see above")
    print(f"openapi: {len({one for one, _ in seen})} of {len(operations(whole))} operations were asked")
    return found + unseen(whole, [(operation, status) for operation, status in seen])


def _command(programs: Path, folder: Path, node: Node) -> list[str]:
    return [
        str(programs / "st"), "run", str(folder / "openapi.json"), "--url", f"{node.url}/v1",
        "-H", f"X-Vault-Token: {node.token}", "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
        "--max-examples", str(FUZZ_MAX), "--seed", str(SEED), "--generation-deterministic",
        "--continue-on-failure", "--suppress-health-check", "all",
        "--request-timeout", "20", "--warnings", "off", "--no-color",
    ]  # fmt: skip


if __name__ == "__main__":
    problems = run_openapi()
    print("\n".join(problems) or "openapi: passed")
    sys.exit(1 if problems else 0)
