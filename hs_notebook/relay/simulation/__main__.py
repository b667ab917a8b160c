"""`python -m hs_notebook.relay.simulation`: the simulated relay in the foreground."""

from __future__ import annotations

import argparse
import sys

from hs_notebook.relay.simulation.serve import run


def main() -> int:
    """Read the command line and run until told to stop."""
    parser = argparse.ArgumentParser(
        prog="python -m hs_notebook.relay.simulation", description="The simulated relay."
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="times as fast; inf does not wait")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process is gone (POSIX)")
    options = parser.parse_args()
    try:
        return run(options.port, options.speed, parent=options.parent)
    except (OSError, OverflowError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
