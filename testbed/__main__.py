"""The command line: `python -m testbed COMMAND`. Owns arguments, exit statuses and messages.

Results go to stdout, progress and failures to stderr. Exit status 1 is a failure that says what
to do, 2 is wrong usage.
"""

from __future__ import annotations

import argparse
import sys

from testbed import binaries, failures


def main(arguments: list[str]) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    subcommands.add_parser("binaries", help="build the programs of a cluster, print their folder")
    options = parser.parse_args(arguments)
    try:
        if options.command == "binaries":
            print(binaries.ensure())
    except failures.Failure as failure:
        print(f"testbed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("testbed: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
