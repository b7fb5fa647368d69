"""`strongroom` and `python -m node`: start the command line, nothing else."""

from __future__ import annotations


def main() -> None:
    """Run one command; the process ends with its exit code."""
    from .cli.root import root

    root.main()


if __name__ == "__main__":
    main()
