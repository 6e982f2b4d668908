"""What tests of processes share."""

import time
from collections.abc import Callable


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    """Return whether something comes true before so many seconds have passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return holds()
