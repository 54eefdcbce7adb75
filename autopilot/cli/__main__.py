"""``python -m autopilot.cli``: the same as ``autopilotctl``."""

import sys

from autopilot.cli.main import main

sys.exit(main())
