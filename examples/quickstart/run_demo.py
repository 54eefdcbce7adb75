"""Watch real tasks go from Markdown files through routing, leases and a runner to `done`.

The same as `autopilotctl demo`; `--keep` keeps the folder, to look round in it.
"""

import sys

from autopilot.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
