"""What tests of processes share."""

import time
from collections.abc import Callable

import numpy as np

from lib.experiments import Experiment


class Endless(Experiment):
    """An experiment of which no epoch ever ends."""

    def batch_order(self, *_: int) -> np.ndarray:
        time.sleep(3600)
        raise AssertionError("an hour is over")


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    """Return whether something comes true before so many seconds have passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return holds()
