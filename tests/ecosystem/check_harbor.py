"""Run where harbor is installed: its validator on each file of a folder; exits 1 if one fails."""

import sys
from pathlib import Path


def main() -> int:
    from harbor.utils.trajectory_validator import TrajectoryValidator

    files = sorted(Path(sys.argv[1]).iterdir())
    validator, wrong = TrajectoryValidator(), 0
    for path in files:
        if not validator.validate(path):
            wrong += 1
            print(path.name, *validator.get_errors(), sep="\n  ")
    print(f"{len(files) - wrong} of {len(files)} valid")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
