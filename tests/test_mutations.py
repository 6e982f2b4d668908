"""A wrong library does not pass its tests: thirty random changes of it, one at a time, are all noticed."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "mutations.py"


def test_thirty_changes_of_the_library_are_noticed():
    done = subprocess.run([sys.executable, SCRIPT, "--count", "30"], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("30 of 30 caught\n"), done.stdout + done.stderr
