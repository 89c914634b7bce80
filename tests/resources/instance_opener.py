"""A program for `test_instance.py`: opens the instance of a home as soon as it is told to."""

import sys
from pathlib import Path

from resources.instance import open_instance


def main() -> None:
    """Wait for a line on standard input, then open the instance and ask it something."""
    print("ready", flush=True)
    sys.stdin.readline()
    with open_instance(Path(sys.argv[1])) as instance:
        print(len(instance.get_runs()), flush=True)


if __name__ == "__main__":
    main()
