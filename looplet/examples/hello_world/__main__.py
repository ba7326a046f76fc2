"""The example as a command: ``python -m looplet.examples.hello_world``."""

import sys

from looplet.examples.hello_world.cli import main

if __name__ == "__main__":
    sys.exit(main())
