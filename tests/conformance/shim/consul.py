"""What hvac's suite runs as `consul`: a rendezvous, no more. It answers the two reads that the suite makes.

A pair of nodes names the same consul, and that is how they know that they are a pair. A new consul is a new cluster:
whatever an earlier one on the same port left is removed first.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """/v1/catalog/nodes and /v1/health/node/<name>."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing: nobody reads this process's output."""

    def do_GET(self) -> None:
        """One node, and it is well."""
        body = json.dumps([{"Node": "n1"}] if "catalog" in self.path else [{"Status": "passing"}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(arguments: list[str]) -> None:
    """Serve until killed."""
    options = dict(one[1:].split("=", 1) for one in arguments if one.startswith("-") and "=" in one)
    port = int(options["http-port"])
    folder = Path(os.environ["STRONGROOM_SHIM_HOME"]) / f"consul-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    ThreadingHTTPServer((options.get("bind", "127.0.0.1"), port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
