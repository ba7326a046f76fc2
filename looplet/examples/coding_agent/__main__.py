"""The example as a command: ``python -m looplet.examples.coding_agent``."""

import sys

from looplet.examples.coding_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
