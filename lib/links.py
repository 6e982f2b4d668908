"""Links from each claim to the figures and tables that decide it, and back, put into the built pages.

Whether a figure is there hangs on which tickets are trained, and its number on all figures before it: both are known
only when the book is built.
"""

import html
import os
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from lib.files import write_whole

# Which claims are decided by which figures and tables; of those that the book has. Names may hold '*'.
_DECIDED_BY: tuple[tuple[str, str], ...] = (
    ("A-ABS-*", "tab-a-1-contributions"),
    ("A-1-*", "tab-a-1-contributions"),
    ("A-2-S13", "fig-a-2-fashion"),
    ("A-F1b", "fig-a-1b-*"),
    ("A-F1b-1", "fig-a-1b-fashion"),
    ("A-F1b-1", "fig-a-1b-cifar"),
    ("A-F1b-2", "fig-a-1b-resnet"),
    ("A-F1b-3", "fig-a-1b-*"),
    ("A-F2-1", "fig-a-2-fashion"),
    ("A-F2-2", "fig-a-2-cifar"),
    ("A-F2-3", "fig-a-2-resnet"),
    ("A-3-1", "tab-a-3-1-excess"),
    ("A-3.1-C", "fig-a-3?"),
    ("A-F3a-*", "fig-a-3a"),
    ("A-F3b-*", "fig-a-3b"),
    ("A-F3c-*", "fig-a-3c"),
    ("A-F4a", "fig-a-4a-fashion"),
    ("A-F4a-[1-9]", "fig-a-4a-fashion"),
    ("A-F4a-[1-9]", "fig-a-4a-cifar"),
    ("A-F4a-[1-9]", "fig-a-4a-resnet"),
    ("A-F4a-F*", "fig-a-4a-fashion"),
    ("A-F4a-C*", "fig-a-4a-cifar"),
    ("A-F4a-R*", "fig-a-4a-resnet"),
    ("A-F4b", "fig-a-4b-*"),
    # Shares of a layer, of whatever network is asked; A-F4b-7 alone is about shares of the coverage.
    *(("A-F4b-[234568]", f"fig-a-4b-{which}") for which in ("layer", "cifar")),
    ("A-F4b-[23458]", "fig-a-4b-resnet"),
    ("A-F4b-7", "fig-a-4b-coverage"),
    ("A-F4b-7", "fig-a-4b-*-coverage"),
    ("A-F5a-*", "fig-a-5a"),
    ("A-F5b-*", "fig-a-5b"),
    ("A-F5c-*", "fig-a-5c"),
    ("A-3.2.4-1", "fig-a-4a-*"),
    *(("A-3.2.4-1", f"fig-a-4b-{which}") for which in ("layer", "cifar", "resnet")),
    ("A-3.2.4-[23]", "fig-a-5[ab]"),
    ("A-3.2.4-4", "fig-a-5?"),
    ("A-3.2.4-5", "fig-a-5c"),
    ("A-F6*", "fig-a-6"),
    ("A-3.3-C", "fig-a-6"),
    ("A-3.3-C", "tab-a-3-3-symmetry"),
    ("A-F7", "fig-a-7?"),
    ("A-F7a-*", "fig-a-7a*"),
    ("A-F7b-*", "fig-a-7b"),
    ("A-F7c-*", "fig-a-7c"),
    ("A-F7bc-*", "fig-a-7b"),
    ("A-F7bc-*", "fig-a-7c"),
    ("A-F7d-*", "fig-a-7d"),
    ("A-F7e-*", "fig-a-7e"),
    ("A-F7f-*", "fig-a-7f"),
    ("A-3.4-C1", "fig-a-7[be]"),
    ("A-3.4-C2", "tab-a-3-4-gain*"),
    ("A-3.4-C3", "tab-a-3-4-fixed"),
    ("A-3.5-1", "fig-a-2-*"),
    ("A-3.5-2", "fig-a-3?"),
    ("A-3.5-3", "fig-a-4a-*"),
    *(("A-3.5-3", f"fig-a-4b-{which}") for which in ("layer", "cifar", "resnet")),
    ("A-3.5-4", "fig-a-7b"),
    ("A-3.5-4", "tab-a-3-4-gain*"),
    ("A-4-1", "tab-a-3-4-gain*"),
    ("A-F8a-*", "fig-a-8a"),
    ("A-F8b-*", "fig-a-8b"),
    ("A-F8c-*", "fig-a-8c"),
    ("A-F8-C", "fig-a-8?"),
    ("A-B-eq[2345]", "fig-a-b-shared"),
    ("A-B-eq[2345]", "tab-a-b-shared"),
    ("A-B-sd", "tab-a-b-shared"),
    ("A-B-eq[67]", "fig-a-b-none"),
    ("A-B-sd-2", "tab-a-b-none"),
    ("A-B-eq[67]", "tab-a-b-none"),
    # CKA of the logits, or distances of the softmax; of the CKA of the softmax no claim is judged.
    *((claims, "fig-a-9-*l2") for claims in ("A-F9", "A-F9-[1245]")),
    *((claims, f"fig-a-9-{y}") for claims in ("A-F9", "A-F9-[2345]") for y in ("cka", "cifar", "resnet")),
    ("A-F10a-*", "fig-a-10a"),
    ("A-F10b-*", "fig-a-10b"),
    ("A-F10c-*", "fig-a-10c"),
    ("A-D1-C", "fig-a-10?"),
    ("A-F11", "fig-a-11-*"),
    ("A-F11-[12]", "fig-a-11-*"),
    ("A-F11-13", "fig-a-11-*"),
    ("A-F11-[4567]", "fig-a-11-9[59]"),
    ("A-F11-8", "fig-a-11-cifar-*"),
    *((f"A-F11-{which}", "fig-a-11-resnet-*") for which in ("3", "9", "1[012]")),
    ("A-D2-C", "fig-a-11-*"),
    ("A-F12a-*", "fig-a-12a"),
    ("A-F12b-*", "fig-a-12b"),
    ("A-F12c-*", "fig-a-12c"),
    ("A-D3-C", "fig-a-12?"),
    ("A-F13a-*", "fig-a-13a"),
    ("A-F13b-*", "fig-a-13b"),
    ("A-F13-*", "fig-a-13?"),
    ("A-D4-C", "fig-a-13?"),
    ("A-F14a-*", "fig-a-14a"),
    ("A-F14b-*", "fig-a-14b"),
    ("A-F14-0", "fig-a-14?"),
    ("A-D5-C*", "fig-a-14?"),
    ("A-D5-C*", "tab-a-d-5-*"),
    ("A-F15", "fig-a-15*"),
    ("A-F15-[1235]", "fig-a-15*"),
    ("A-F15-4", "fig-a-15"),
    ("A-F15-4", "fig-a-15-cifar"),
    ("A-D6-C", "fig-a-15*"),
    ("A-D6-C", "tab-a-d-6-symmetry"),
    ("B-ABS-1", "fig-b-1"),
    ("B-ABS-2", "tab-b-7-signs"),
    ("B-3-F[1-4]", "fig-b-3-match"),
    ("B-3-F[1-4]", "tab-b-3-example"),
    ("B-3-F5", "tab-b-3-balance"),
    ("B-F1-*", "fig-b-1"),
    ("B-5-*", "fig-b-1"),
    ("B-5-*", "tab-b-1-plain"),
    ("B-5-*", "tab-b-1-signed"),
    ("B-T1-NNSTD-*", "tab-b-1-plain"),
    ("B-T1-NNSTDpm-*", "tab-b-1-signed"),
    ("B-F2a", "fig-b-2a"),
    ("B-6-sdfilter-*", "fig-b-2a"),
    ("B-6-meanfilter", "fig-b-2a"),
    ("B-F2b", "fig-b-2b"),
    ("B-6-sdpos-*", "fig-b-2b"),
    ("B-6-meanpos", "fig-b-2b"),
    ("B-4-S13", "fig-b-4-ci*"),
    ("B-4-S13", "fig-b-4-svhn"),
    ("B-6-1", "tab-b-a1-conv1"),
    ("B-6-sd*", "tab-b-6-statistics"),
    ("B-6-signratio-*", "tab-b-6-statistics"),
    ("B-6-sd*", "fig-b-6-statistics"),
    ("B-6-signratio-*", "fig-b-6-statistics"),
    ("B-6-adj*", "fig-b-6-statistics"),
    ("B-6-adj*", "tab-b-6-statistics"),
    ("B-F3", "fig-b-3"),
    ("B-F4", "fig-b-4"),
    ("B-6-adj*", "tab-b-6-neighbours"),
    ("B-6-adj*", "fig-b-3"),
    ("B-6-adjneg", "fig-b-4"),
    ("B-6-group", "tab-b-6-neighbours"),
    ("B-F5", "fig-b-5"),
    ("B-F6", "fig-b-6"),
    ("B-6-pat", "fig-b-[56]"),
    ("B-6-pat", "tab-b-6-neighbours"),
    ("B-6-pat", "tab-b-6-grouped"),
    ("B-7-[12]", "fig-b-1"),
    ("B-7-[12]", "tab-b-5-switches"),
    ("B-7-3", "tab-b-7-signs"),
    ("B-FA1", "fig-b-a1-*"),
    ("B-FA2", "fig-b-a2-*"),
    ("B-FA3", "fig-b-a3-*"),
    ("B-FA4", "fig-b-a4-*"),
    ("B-A1-*", "fig-b-a2-layers"),
    ("B-A2-*", "fig-b-a4-layers"),
    *((f"B-TA{n}-{y}-*", f"tab-b-a{n}-{y}") for n in (1, 2) for y in ("conv1", "conv2", "dense1", "dense2", "output")),
    *((f"B-FA{n}", f"fig-b-a-{n}") for n in (5, 6, 7, 8)),
    ("B-TA3-*", "tab-b-a-3"),
    ("B-A3-S1", "tab-b-a-3"),
)


def deciding(claim: str, names: Iterable[str]) -> list[str]:
    """Return which of the figures and tables that there are decide a claim.

    Parameters
    ----------
    claim : str
        Its id.
    names : iterable of str
        Of all figures and tables.
    """
    patterns = [name for claims, name in _DECIDED_BY if fnmatchcase(claim, claims)]
    ladders = ("-ladder", "-rungs", "-level-")  # what the chapters add to the paper's figures
    return [
        name
        for name in names
        if any(fnmatchcase(name, pattern) for pattern in patterns) and not any(part in name for part in ladders)
    ]


_NUMBERED = re.compile(
    r'<(?P<kind>figure|table)\b[^>]* id="(?P<name>[^"]+)"(?P<rest>.*?caption-number">(?P<label>\w+ \d+) .*?)'
    r"(?P<end></figcaption>|</caption>)",
    re.DOTALL,
)
_CLAIM = re.compile(
    r'(?P<head><span id="claim-(?P<id>[^"]+)">[^<]*</span>)'
    r'(?P<rest>.*?<span class="verdict [^"]*">(?P<verdict>[^<]*)<)',
    re.DOTALL,
)


def weave(folder: Path) -> None:
    """Put the links into the pages of a built book.

    Parameters
    ----------
    folder : Path
        Of the HTML pages; nothing is linked in them yet.
    """
    paths = [p for p in sorted(folder.rglob("*.html")) if "_static" not in p.relative_to(folder).parts]
    pages = {path: path.read_text(encoding="utf-8") for path in paths}
    numbered = {m["name"]: (path, m["label"]) for path, text in pages.items() for m in _NUMBERED.finditer(text)}
    # A claim is at home in its chapter; the page of all claims, whose path is short, comes last.
    claims: dict[str, tuple[Path, str]] = {}
    for path in sorted(pages, key=lambda p: -len(p.relative_to(folder).parts)):
        for m in _CLAIM.finditer(pages[path]):
            claims.setdefault(html.unescape(m["id"]), (path, m["verdict"]))
    decides = _turned({claim: deciding(claim, numbered) for claim in claims})
    for path, text in pages.items():

        def link(target: Path, anchor: str, words: str, path: Path = path) -> str:
            place = "" if target == path else Path(os.path.relpath(target, path.parent)).as_posix()
            return f'<a class="reference internal" href="{place}#{html.escape(anchor)}">{html.escape(words)}</a>'

        def to_figures(m: re.Match[str], link: Callable[[Path, str, str], str] = link) -> str:
            found = [link(numbered[n][0], n, numbered[n][1]) for n in deciding(html.unescape(m["id"]), numbered)]
            if not found or m["verdict"] == "not a claim":
                return m[0]
            return f'{m["head"]}<span class="decided-by">{", ".join(found)}</span>{m["rest"]}'

        def to_claims(m: re.Match[str], link: Callable[[Path, str, str], str] = link) -> str:
            found = [
                f"{link(claims[c][0], f'claim-{c}', c)} {claims[c][1]}"
                for c in decides.get(m["name"], [])
                if claims[c][1] != "not a claim"
            ]
            if not found:
                return m[0]
            start = m[0][: -len(m["end"])]
            return f'{start}<span class="decides">Decides: {", ".join(found)}.</span>{m["end"]}'

        woven = _NUMBERED.sub(to_claims, _CLAIM.sub(to_figures, text))
        if woven != text:
            write_whole(path, woven.encode())


def _turned(found: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return a mapping of names to lists of names the other way round."""
    turned: dict[str, list[str]] = {}
    for key, values in found.items():
        for value in values:
            turned.setdefault(value, []).append(key)
    return turned
