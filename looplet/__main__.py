"""``looplet`` and ``python -m looplet``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Modules in the current directory are found."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    from looplet.cli import run

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
