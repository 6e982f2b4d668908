"""Writes ``requirements/sbom.json``: every pinned package with version and licence, as a CycloneDX bill of materials.

Run it in an environment that has everything: ``python requirements/sbom.py``.  What no environment needs (a package for
another platform) has no licence in the list, as only installed packages say theirs.
"""

import importlib.metadata
import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent


def pins() -> dict[str, str]:
    """The pinned versions by name, in lower case."""
    text = (HERE / "constraints.txt").read_text(encoding="utf-8")
    return {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def licence(name: str) -> str:
    """What an installed package says of its licence, in a line; '' if it is not installed or says nothing."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    said = about.get("License-Expression") or " / ".join(classifiers) or (about.get("License") or "").splitlines()[:1]
    words = said if isinstance(said, str) else "".join(said)[:80]
    return words or _first_line(name)


def _first_line(name: str) -> str:
    """The first line of the licence that a package brings, which is its name by custom; '' if it brings none."""
    files = importlib.metadata.files(name) or ()
    texts = [file.read_text(encoding="utf-8") for file in files if file.name.upper().startswith("LICEN")]
    return next((line.strip() for line in "\n".join(texts).splitlines() if line.strip()), "")


def bill() -> dict:
    """The bill of materials."""
    components = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.replace('_', '-')}@{version}",
            **({"licenses": [{"license": {"name": licence(name)}}]} if licence(name) else {}),
        }
        for name, version in sorted(pins().items())
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


if __name__ == "__main__":
    (HERE / "sbom.json").write_text(json.dumps(bill(), indent=1) + "\n", encoding="utf-8")
