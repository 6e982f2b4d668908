"""The same numbers with one thread and with two; every pinned package with its licence in the bill of materials."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def bits(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, ROOT / "tests" / "promised_bits.py"]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


def test_one_thread_or_two():
    one = bits(1)
    assert len(one) >= 16
    assert bits(2) == one


def test_every_pin_is_in_the_bill_of_materials():
    text = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8")
    pins = {(name.lower(), version) for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}
    components = json.loads((ROOT / "requirements" / "sbom.json").read_text(encoding="utf-8"))["components"]
    assert {(c["name"], c["version"]) for c in components} == pins, "write it anew: python requirements/sbom.py"
    # A package without content, which only names others.
    assert {c["name"] for c in components if "licenses" not in c} == {"cuda-toolkit"}


def test_no_promised_number_needs_torch():
    """Its version cannot matter, then."""
    code = (
        "import sys, promised_bits; promised_bits.numbers(); assert not any(m.startswith('torch') for m in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    code = "import sys, lib.scoring; assert not any(m.startswith('torch') for m in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
