"""`make conformance`: the recorded contract, hvac's own tests, the real hvac client against three nodes, and everything
that the OpenAPI document promises.

`--hvac NAME` runs nothing but those files of hvac's tests that have NAME in their path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .contract_check import EQUAL_MIN, SERVER, run_contract
from .hvac_suite import REQUIRED, Expected, SuiteError, prepared, problems, run_suite
from .openapi_check import run_openapi

CLIENT = Path(__file__).parent / "hvac_client.py"


def check_contract() -> list[str]:
    """Run the contract and print what differs; reasons why it is not passed."""
    counts = run_contract()
    print(counts.report)
    equal = counts.contract[0]
    return [] if equal >= EQUAL_MIN else [f"contract: {equal} answers are equal, {EQUAL_MIN} were"]


def check_hvac(files: dict[str, Expected]) -> list[str]:
    """Run hvac's tests and print the counts; reasons why they are not passed."""
    counts = run_suite(files)
    for name, one in counts.items():
        print(f"hvac {name}: {one.passed} of {files[name].to_pass} passed, {one.skipped} skipped")
    print(f"ring1: {sum(one.passed for one in counts.values())} of {sum(one.to_pass for one in files.values())}")
    return problems(counts, files)


def check_client() -> list[str]:
    """Run the real client against three nodes; reasons why it is not passed."""
    python, _ = prepared()
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(CLIENT)]
    environ = os.environ | {"STRONGROOM_SERVER": str(SERVER)}
    done = subprocess.run([*command, f"--rootdir={CLIENT.parent}"], check=False, env=environ)
    return [] if done.returncode == 0 else [f"the client against three nodes: pytest ended with {done.returncode}"]


def main(arguments: list[str]) -> int:
    """0 if everything that is required passes."""
    if "--hvac" in arguments:
        wanted = arguments[arguments.index("--hvac") + 1]
        files = {name: expected for name, expected in REQUIRED.items() if wanted in name}
        found = check_hvac(files)
        print("\n".join(found))
        return 1 if found else 0
    found = check_contract()
    try:
        found += check_hvac(REQUIRED)
        found += check_client()
        found += [f"openapi: {problem}" for problem in run_openapi()]
    except SuiteError as error:
        found.append(str(error))
    for problem in found:
        print(f"FAILED {problem}")
    print("conformance: " + ("failed" if found else "passed"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
