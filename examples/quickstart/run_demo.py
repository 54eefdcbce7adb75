"""Watch real tasks go from Markdown files through routing, leases and a runner to `done`.

The same as `autopilotctl demo`; `--keep` keeps the folder, to look round in it.
"""

import sys

try:
    from autopilot.cli.main import main
except ImportError:
    print(
        "Autopilot is not installed for this Python. `scripts/demo` sets everything up and runs this.",
        file=sys.stderr,
    )
    sys.exit(4)

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
