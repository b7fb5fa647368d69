"""What hvac's suite runs as `vault`: says a version, becomes our server, and decodes a generated root token.

The version decides which tests run; below 1.15 it would bring in five of quotas, `+ent` those of the Enterprise. The
process id stays the same through both exec calls, because the suite ends the server by SIGKILL to it.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

VERSION = "1.16.3"
ADAPTER = Path(__file__).parent.parent / "adapter.py"


def decode_root_token(encoded: str, otp: str) -> str:
    """The token of `generate-root -decode`: base64 of token XOR one-time password."""
    masked = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    return bytes(byte ^ mask for byte, mask in zip(masked, otp.encode(), strict=True)).decode()


def main(arguments: list[str]) -> int:
    """Run one command line; the exit code."""
    if arguments[:1] in (["-version"], ["--version"], ["version"]):
        print(f"Vault v{VERSION} ({'0' * 40}), built 2024-01-01T00:00:00Z")
        return 0
    if arguments[:1] == ["server"]:
        config = next(one.partition("=")[2] for one in arguments[1:] if one.startswith("-config="))
        os.execv(sys.executable, [sys.executable, str(ADAPTER), config])
    if "generate-root" in arguments and "-decode" in arguments:
        encoded = arguments[arguments.index("-decode") + 1]
        print(decode_root_token(encoded, arguments[arguments.index("-otp") + 1]))
        return 0
    print(f"no such command: {arguments[:2]}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
