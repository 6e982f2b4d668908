"""Where the content of a figure or a table comes from: the badge below it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lib.claims import escaped
from lib.experiments import EXPERIMENTS
from lib.tickets import Store

TRAINED_TABLE = "tab-trained"  # on the landing page: every experiment, when and on what it was trained
_MOST_NAMED = 8  # experiments of which the line of badges says this itself


@dataclasses.dataclass(frozen=True)
class Source:
    """One kind of source, with what is to be said of it.

    Attributes
    ----------
    words : str
        What stands on the badge.
    kind : str
        One word, by which the style sheet knows the badge.
    detail : str
        What stands beside it, in MyST Markdown; may be empty.
    """

    words: str
    kind: str
    detail: str = ""


COMPUTED = Source("computed", "computed", "without tickets")
SPECIFIED = Source("specified", "specified", "how the experiments of this book are made")
PAPER_A = Source("quoted from the paper", "quoted", "{cite:t}`grosse2020`")
PAPER_B = Source("quoted from the paper", "quoted", "{cite:t}`signs2022`")


def tickets(store: Store, *experiments: str) -> list[Source]:
    """Return the sources of what was measured on tickets: replayed from those of the book, or trained by the reader.

    Parameters
    ----------
    store : Store
    *experiments : str
        Names; those that have no tickets are left out.

    Returns
    -------
    list of Source
        One for the tickets that came with the book, one for those that were trained here; either only if there are any.
        Of many experiments it is their number, and where they are listed.
    """
    said: dict[bool, list[str]] = {True: [], False: []}
    for name in dict.fromkeys(experiments):
        if name in EXPERIMENTS and store.finished(store.find(name)):
            said[store.shipped(store.find(name))].append(name)
    kinds = {True: ("replayed from stored tickets", "replayed"), False: ("trained here", "trained")}
    return [Source(*kind, _detail(store, said[shipped])) for shipped, kind in kinds.items() if said[shipped]]


def _detail(store: Store, names: Sequence[str]) -> str:
    """Return how each of some experiments was trained or, of many, where that stands."""
    if len(names) > _MOST_NAMED:
        return f"{len(names)} experiments, listed in {{numref}}`{TRAINED_TABLE}`"
    return ", ".join(f"`{name}` ({how_trained(store, name)})" for name in names)


def how_trained(store: Store, name: str) -> str:
    """Return when, in which time and on what the tickets of an experiment were trained, in Markdown.

    If they are those of its first trials only, that is said first.
    """
    experiment = store.find(name)
    entries = [entry for level in store.finished(experiment) for entry in store.entries(experiment, level)]
    days = sorted({entry["finished"][:10] for entry in entries})
    trials = store.trials(name)
    return f"{f'{trials}, ' if trials else ''}{' to '.join(dict.fromkeys((days[0], days[-1])))}, {cost(entries)}"


def cost(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the time that some levels took and on what, from their entries in a manifest, in Markdown."""
    parts = []
    for processes in sorted({entry["processes"] for entry in entries}):
        own = [entry for entry in entries if entry["processes"] == processes]
        seconds = sum(entry["wall seconds"] for entry in own)
        time = f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
        # What a manifest says of the machine is text from elsewhere.
        devices = " and ".join(dict.fromkeys(escaped(entry["device"]) for entry in own))
        parts.append(f"{time} x {processes} process{'es' if processes > 1 else ''} on {devices}{rounding(own)}")
    return "; ".join(parts)


def rounding(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return ', in bf16' if operands were rounded so when some levels were trained; '' if only to fp32."""
    # Entries that do not name a precision are from when there was but one.
    found = dict.fromkeys(escaped(str(entry.get("precision", "fp32"))) for entry in entries)
    return "" if list(found) == ["fp32"] else f", in {' and '.join(found)}"


def in_book(sources: Sequence[Source]) -> str:
    """Return the line of badges as the book shows it, in MyST Markdown."""
    parts = [f"[{source.words}]{{.source .source-{source.kind}}} {source.detail}".strip() for source in sources]
    return f"[{' '.join(parts)}]{{.sources}}"


def in_words(sources: Sequence[Source]) -> str:
    """Return the same line in plain Markdown."""
    return "; ".join(
        f"{source.words[0].upper()}{source.words[1:]}: {source.detail}".removesuffix(": ") for source in sources
    )
