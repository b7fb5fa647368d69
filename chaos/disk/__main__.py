"""`python -m chaos.disk` removes mounts and images that a killed run has left."""

from __future__ import annotations

from .loop import clean

if __name__ == "__main__":
    print("\n".join(clean()) or "nothing was left")
