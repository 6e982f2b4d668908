"""Writes ``requirements/sbom.json``: every pinned package with version and licence, as a CycloneDX bill of materials.

The licences also go into a table of ``book/same.md``.

``python requirements/sbom.py [ENVIRONMENT ...]`` reads the licences from the packages that are installed where it runs
and in other environments, given by their folders.  No environment holds everything that is pinned, as some packages
are for other platforms: what an earlier run found of the same version is kept.
"""

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE / "sbom.json"
PAGE = HERE.parent / "book" / "same.md"


def plain(name: str) -> str:
    """The name of a package as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """The pinned versions by name, in lower case."""
    text = (HERE / "constraints.txt").read_text(encoding="utf-8")
    return {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def licence(package: importlib.metadata.Distribution) -> str:
    """What a package says of its licence, in a line; '' if it says nothing."""
    about = package.metadata
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    said = about.get("License-Expression") or " / ".join(classifiers) or about.get("License") or ""
    if not said:  # the first line of a licence is its name by custom
        files = [file for file in package.files or () if file.name.upper().startswith("LICEN")]
        said = "\n".join(file.read_text(encoding="utf-8").strip() for file in files)
    return said.strip().partition("\n")[0][:120]


def licences(environments: Iterable[str]) -> dict[tuple[str, str], str]:
    """The licences of all installed packages, by name and version without its local part."""
    folders = [str(p) for e in environments for p in Path(e).glob("lib/python*/site-packages")]
    installed = importlib.metadata.distributions(path=[*sys.path, *folders])
    return {(plain(d.metadata["Name"]), d.version.partition("+")[0]): licence(d) for d in installed}


def bill(environments: Iterable[str] = ()) -> dict:
    """The bill of materials."""
    known = {
        (plain(c["name"]), c["version"]): c["licenses"][0]["license"]["name"]
        for c in json.loads(PLACE.read_text(encoding="utf-8"))["components"]
        if "licenses" in c
    }
    known |= {key: said for key, said in licences(environments).items() if said}
    components = []
    for name, version in sorted(pins().items()):
        component = {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{plain(name)}@{version}"}
        if said := known.get((plain(name), version)):
            component["licenses"] = [{"license": {"name": said}}]
        components.append(component)
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def table(components: list[dict]) -> str:
    """What has which licence, in Markdown; the licences that most packages have come first."""
    by_licence: dict[str, list[str]] = {}
    for component in components:
        said = component.get("licenses", [{"license": {"name": "none stated"}}])[0]["license"]["name"]
        by_licence.setdefault(said, []).append(component["name"])
    rows = sorted(by_licence.items(), key=lambda item: (-len(item[1]), item[0]))
    lines = ["| licence, as the package states it | packages |", "|---|---|"]
    return "\n".join([*lines, *(f"| {said} | {', '.join(names)} |" for said, names in rows)])


if __name__ == "__main__":
    content = bill(sys.argv[1:])
    PLACE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    block = re.compile(r"(<!-- licences -->\n).*?(<!-- end -->)", re.DOTALL)
    page, text = PAGE.read_text(encoding="utf-8"), table(content["components"])
    PAGE.write_text(block.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page), encoding="utf-8")
