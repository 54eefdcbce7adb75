"""What all tests need of their process."""

from __future__ import annotations

import signal

# A shell starts background jobs with SIGINT ignored, and children inherit that: programs under test could not be
# interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
