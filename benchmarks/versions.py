"""Are the numbers the same bits with other versions of Python, NumPy and SciPy, and with one thread or two?

``python benchmarks/versions.py [--pages] [--keep DIR]`` makes an environment for each row of `ENVIRONMENTS` whose
Python is on this machine, and runs in each

- ``tests/promised_bits.py`` with one thread and with two: a hash for each kind of number that the library makes,
- ``python -m lib claims --format json``: every number that is said of a claim, as it stands in the book.

PyTorch has no part in these numbers, which the script checks: it is not installed in any of the environments.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "same.md"
# Python, what is installed beside the rest; the first row is what everything else is compared with.
PINNED = ("-c", str(ROOT / "requirements" / "constraints.txt"), "numpy", "scipy")
ENVIRONMENTS = (
    ("3.11", PINNED),
    ("3.11", ("numpy==2.0.0", "scipy==1.13.0")),
    ("3.12", PINNED),
    ("3.13", ("numpy==2.5.1", "scipy==1.18.1")),
)
REST = ("filelock", "pyyaml", "tqdm")


def python(version: str) -> str | None:
    """Return the Python of a version, if there is one on this machine."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    return str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")


def environment(folder: Path, version: str, packages: tuple[str, ...]) -> str | None:
    """Make an environment; return its Python, or None if that version is not there or a package does not install."""
    inside = folder / "bin" / "python"
    if not inside.exists():
        base = python(version)
        if base is None:
            return None
        subprocess.run([base, "-m", "venv", str(folder)], check=True)
        install = [str(inside), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages, *REST]
        if subprocess.run(install, check=False, capture_output=True).returncode:
            shutil.rmtree(folder)
            return None
    return str(inside)


def output(command: list[str], threads: int = 1) -> str:
    """Return what a command prints, run from the root of the repository with a number of threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    search = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    settings = {**os.environ, **dict.fromkeys(names, str(threads)), "PYTHONPATH": search}
    done = subprocess.run(command, cwd=ROOT, env=settings, check=True, capture_output=True, text=True)
    return done.stdout


_VERSIONS = (
    "import sys, platform, numpy, scipy, importlib.util as u; assert u.find_spec('torch') is None;"
    "print(platform.python_version(), numpy.__version__, scipy.__version__)"
)


def row(inside: str) -> tuple[list[str], dict[str, dict[str, str]], list[dict[str, str]]]:
    """Return versions, hashes by number of threads, and the claims, of one environment."""
    versions = output([inside, "-c", _VERSIONS]).split()
    bits = {str(n): json.loads(output([inside, "tests/promised_bits.py"], n)) for n in (1, 2)}
    return versions, bits, json.loads(output([inside, "-m", "lib", "claims", "--format", "json"]))


def main() -> int:
    """Print the table; return 1 if a promised number differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the environments here, and keep them")
    parser.add_argument("--pages", action="store_true", help="write the table into book/same.md")
    options = parser.parse_args()
    lines = [
        "| Python | NumPy | SciPy | kinds of number with the same bits | other bits | claims with the same words |",
        "|---|---|---|---|---|---|",
    ]
    first = None
    worst = 0
    with tempfile.TemporaryDirectory() as temporary:
        for number, (version, packages) in enumerate(ENVIRONMENTS):
            inside = environment((options.keep or Path(temporary)) / str(number), version, packages)
            if inside is None:
                print(f"Python {version} with {' '.join(packages)} cannot be installed here", file=sys.stderr)
                continue
            versions, bits, claims = row(inside)
            first = first or (bits["1"], claims)
            others = sorted({k for found in bits.values() for k in found if found[k] != first[0][k]})
            same = sum(a == b for a, b in zip(claims, first[1], strict=True))
            worst |= bool(others) or same < len(claims)
            lines.append(
                f"| {' | '.join(versions)} | {len(first[0]) - len(others)} of {len(first[0])} "
                f"| {', '.join(others) or 'none'} | {same} of {len(claims)} |"
            )
            print(lines[-1], flush=True)
    assert first is not None
    digest = hashlib.sha256(json.dumps(first[1]).encode()).hexdigest()[:16]
    today = datetime.datetime.now(tz=datetime.UTC).date()
    said = f"Each row with one thread and with two. SHA-256 of what was said of all claims on {today}: `{digest}`."
    lines += ["", said]
    if options.pages:
        page = PAGE.read_text(encoding="utf-8")
        block = re.compile(r"(<!-- versions -->\n).*?(<!-- end -->)", re.DOTALL)
        text = "\n".join(lines)
        PAGE.write_text(block.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page), encoding="utf-8")
    return worst


if __name__ == "__main__":
    sys.exit(main())
