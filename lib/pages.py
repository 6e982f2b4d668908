"""Blocks that the chapters of both papers share: claims, provenance, and what stands where tickets are missing."""

import contextlib
import dataclasses
import html
import re
import textwrap
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lib import (
    claims,
    deviations,
    evidence,
    figures,
    paper_a,
    scoring,
    sources,
    statistics,
)
from lib.claims import Scored
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, Experiment, find, train_command, trials
from lib.notebook import markdown, png, show_html, table
from lib.pruning import Level
from lib.sources import Source
from lib.tickets import Store

_NETWORKS = {
    "lenet-28x28x1": "LeNet",
    "lenet-32x32x3": "LeNet",
    "lenet-equal": "LeNet with equal layers",
    "resnet18-small": "ResNet18",
}
_IMAGES = {"fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "mnist": "MNIST"}


def network_words(experiment: str, partner: str = "") -> str:
    """Return which network an experiment trains on which images, in words; with a partner also on which others."""
    images = [images_words(name) for name in (experiment, partner) if name]
    network = find(experiment).architecture.name
    return f"{_NETWORKS.get(network, network)} on {' with '.join(images)}"


def images_words(experiment: str) -> str:
    """Return what an experiment's images are called."""
    return _IMAGES.get(find(experiment).dataset, find(experiment).dataset)


def claims_block(scored: Sequence[Scored]) -> str:
    """Return a section's claims with their verdicts, and the count of each verdict, over the width of the page."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in claims.summary(scored).items() if count)
    return f"{len(scored)} entries of the ledger: {counts}.\n\n:::{{div}} full-width\n{claims.table(scored)}:::\n"


def ledger(scored: Sequence[Scored]) -> str:
    """Return the whole ledger, a heading and a table for each section."""
    parts = []
    for paper in dict.fromkeys(s.claim.paper for s in scored):
        parts.append(f"## Paper {paper}")
        for section in dict.fromkeys(s.claim.section for s in scored if s.claim.paper == paper):
            own = [s for s in scored if (s.claim.paper, s.claim.section) == (paper, section)]
            parts.append(f"### {paper} {claims.escaped(section)}\n\n{claims.table(own)}")
    return "\n\n".join(parts)


_CLAIMS_PAGE = "notebooks/claims.html"  # as the landing page links to it


_TITLES = {
    claims.Verdict.REPRODUCED: "What held",
    claims.Verdict.PARTLY: "What held in part",
    claims.Verdict.NOT_REPRODUCED: "What did not hold",
    claims.Verdict.NOT_TESTABLE: "What cannot be said yet",
    claims.Verdict.OPEN: "What is not measured yet",
}


def answers(store: Store, scored: Sequence[Scored]) -> str:
    """Return what became of the claims of the papers' abstracts, and why, by verdict, for the landing page."""
    parts = []
    for verdict, title in _TITLES.items():
        own = [s for s in scored if s.claim.section == "Abstract" and s.verdict == verdict]
        items = [
            f'- <a href="{_CLAIMS_PAGE}#claim-{s.claim.id}">{s.claim.paper}</a>: '
            f"*{claims.escaped(s.claim.claimed.statement)}.* Here: {_because(store, s)}"
            for s in own
        ]
        if items:
            parts.append(f"**{title}**\n" + "\n".join(items))
    return ":::{div} answers\n" + "\n\n".join(parts) + "\n:::\n"


def _because(store: Store, scored: Scored) -> str:
    """Return in a sentence or two what decided a claim of an abstract."""
    measured = [(name, words) for name, verdict, words in scored.readings if verdict != claims.Verdict.NOT_TESTABLE]
    if not measured:
        return f"its tickets are not trained: {', '.join(scored.lacking)}."
    if scored.claim.id == "A-ABS-3":
        with contextlib.suppress(evidence.Missing):
            return _not_by_chance(store, paper_a.FASHION, "50")
    said = [
        f"{claims.escaped(_whole_checks(words.removeprefix('holds: '), 200))}{_on(name)}" for name, words in measured
    ]
    trials = scoring.trials_words(store, scored.experiments)
    only = f" Trained: {trials}." if trials else ""
    return f"{'; '.join(said)}.".replace("; above chance in ", ", in ") + only


def _whole_checks(words: str, most: int) -> str:
    """Return the first checks of a list, none cut in its middle, in about `most` characters."""
    # Commas between brackets are within a check.
    ends = [comma.start() for comma in re.finditer(r", (?![^()]*\))", words)]
    if len(words) <= most or not ends:
        return words
    return words[: max((end for end in ends if end <= most), default=ends[0])] + ", and more"


def _on(reading: str) -> str:
    """Return network and images of a reading that is named after experiments, for the end of a sentence."""
    names = [name for name in reading.split(" with ") if name in EXPERIMENTS]
    return f" ({network_words(*names)})" if names else ""


def _not_by_chance(store: Store, experiment: str, level: str) -> str:
    """Return by how much tickets of one initialisation share more than by chance, and what explains it."""
    layers = evidence.origins(store, experiment, level)
    shared, alone = [y.overlap for y in layers], [y.from_initial for y in layers]
    learned = [y.updates_within for y in layers]
    return (
        f"at {level} % pruned two tickets of one start share {min(shared):.0f} to {max(shared):.0f} % of a mask, by "
        f"layer; chance gives {layers[0].chance:.0f} %{_on(experiment)}. Why: the same weights start large, which "
        f"alone would give {min(alone):.0f} to {max(alone):.0f} %, and two runs learn alike (correlation "
        f"{min(learned):.2f} to {max(learned):.2f}): {{ref}}`appendix A <a-appendix-a>`."
    )


def ledger_chart(store: Store, scored: Sequence[Scored], name: str) -> None:
    """Show how many claims of each section have which verdict; each part of the chart leads to its claims.

    Where HTML is not shown stands a picture of it.

    Parameters
    ----------
    store : Store
    scored : sequence of Scored
    name : str
        By which the text refers to the figure.
    """
    sections: dict[str, Counter[claims.Verdict]] = {}
    for s in scored:
        if s.verdict != claims.Verdict.NOT_A_CLAIM:
            sections.setdefault(f"{s.claim.paper} {s.claim.section}", Counter())[s.verdict] += 1
    most = max(counts.total() for counts in sections.values())
    rows = []
    for section, counts in sections.items():
        anchor = re.sub(r"[^a-z0-9]+", "-", section.lower())

        def link(words: str, kind: str = "", style: str = "", anchor: str = anchor, **chosen: str) -> str:
            where = f"{_CLAIMS_PAGE}?{urllib.parse.urlencode(chosen)}#{anchor}"
            return f'<a{kind} href="{html.escape(where)}"{style}>{words}</a>'

        bar = "".join(
            link(
                f"{counts[v]}<span> {v}</span>",
                f' class="verdict-{v.removesuffix(" here").replace(" ", "-")}" title="{section}: {counts[v]} {v}"',
                f' style="flex-grow:{counts[v]}"',
                section=section,
                verdict=v.value,
            )
            for v in claims.Verdict
            if counts[v]
        )
        width = 100 * counts.total() / most
        rows.append(f'<li>{link(section, section=section)}<div style="width:{width:.1f}%">{bar}</div></li>')
    said = ", ".join(f"{count} {verdict}" for verdict, count in claims.summary(scored).items() if count)
    keys = "".join(f"<li>{claims.badge(v)}</li>" for v in claims.Verdict if any(c[v] for c in sections.values()))
    show_html(
        f'<ul class="ledger-key" aria-label="Verdicts">{keys}</ul>'
        f'<ul class="ledger-chart" aria-label="Claims by section">{"".join(rows)}</ul>',
        lambda: figures.verdict_bars(scored),
        name,
        f"Claims by section of the two papers, and by verdict: each part leads to its claims. Of the {len(scored)} "
        f"entries of the ledger: {said}; the last are not drawn.",
        f"Stacked bars, one for each section of the papers, coloured by verdict: {said}.",
        sources.tickets(store, *(experiment.name for experiment in store.experiments())),
    )


def state_of_the_ledger(store: Store, scored: Sequence[Scored]) -> str:
    """Return in a few sentences how many entries there are and what became of them."""
    counts = claims.summary(scored)
    nothing = counts[claims.Verdict.NOT_A_CLAIM]
    decided = [v for v in claims.Verdict if v not in (claims.Verdict.NOT_A_CLAIM, claims.Verdict.OPEN)]
    words = ", ".join(f"{counts[v]} {claims.badge(v)}" for v in decided if counts[v])
    unwritten = counts[claims.Verdict.OPEN]
    if unwritten:
        words += f"; {unwritten} {claims.badge(claims.Verdict.OPEN)} until their chapter is written"
    return (
        f"The ledger has {len(scored)} entries. {nothing} of them claim nothing (set-up, background). Of the other "
        f"{len(scored) - nothing}: {words}."
    )


def trained_table(store: Store) -> None:
    """Show for every experiment how much of it is trained, when and on what, or the command that trains it."""
    rows = [
        [
            f"`{name}`",
            *_size(store, name),
            sources.how_trained(store, name)
            if store.finished(store.find(name))
            else f"missing: `{train_command(whole)}`",
        ]
        for name, whole in EXPERIMENTS.items()
    ]
    there = sources.tickets(store, *EXPERIMENTS)
    table(
        ["experiment", "networks", "pruned levels", "trained"],
        rows,
        sources.TRAINED_TABLE,
        "Every experiment of the book: its networks, at how many levels they are pruned, when, in which time and on "
        "what they were trained. `python -m lib train NAME` goes on where one is not whole.",
        [dataclasses.replace(source, detail="") for source in there] or [sources.SPECIFIED],
    )


def _size(store: Store, name: str) -> tuple[int | str, int | str]:
    """Return how many networks an experiment has, such as 25, or '5 of 25' trained, and at how many pruned levels."""
    whole, experiment = find(name), store.find(name)
    levels = len(store.finished(experiment))
    if not levels:
        return whole.replicas, "–"
    return experiment.replicas if experiment == whole else f"{experiment.replicas} of {whole.replicas}", levels - 1


def _trained_words(store: Store) -> str:
    """Return which experiments are trained, those of one size together, as a Markdown list."""
    sizes: dict[str, list[str]] = {}
    for e in store.experiments():
        networks, levels = _size(store, e.name)
        sizes.setdefault(f"{networks} networks x {levels} pruned levels", []).append(f"`{e.name}`")
    items = (
        textwrap.fill(f"* {size}: {', '.join(names)}", 120, subsequent_indent="  ", break_on_hyphens=False)
        for size, names in sizes.items()
    )
    return "Trained so far:\n\n" + "\n".join(items) if sizes else "Trained so far: nothing yet."


def origin(store: Store, experiments: Iterable[str], paper: str = "") -> list[Source]:
    """Return where a figure or table comes from: tickets, and numbers that a paper prints, 'A' or 'B'; '' for none."""
    quoted = {"": [], "A": [sources.PAPER_A], "B": [sources.PAPER_B]}[paper]
    return [*sources.tickets(store, *experiments), *quoted]


def beside(scored: Sequence[Scored], *keys: str) -> str:
    """Return a Markdown table of what the paper's text says of some panels, with the verdicts: it stands by the figure.

    Before what it says stands what tells the rows apart: what is measured, data set, network and level. A claim that is
    read in several ways has the verdict of each that could be tested.

    Parameters
    ----------
    scored : sequence of Scored
    *keys : str
        With which the ids of the panels' claims begin, up to a number: 'A-F10a', or 'A-F4a-F' for one network's.
    """

    def broken(text: str) -> str:
        """Escape a text; names of experiments may break after their last slash, so that a phone has room for them."""
        return re.sub(r"(?<=\w\w)/", "/<wbr>", claims.escaped(text))

    chosen = [s for s in scored if any(re.match(re.escape(key) + r"(-[\dS]|\d)", s.claim.id) for key in keys)]
    if not chosen:
        raise UserError(f"keys is {', '.join(keys)!r}: no claim that was scored begins with it")
    abouts = [_about(s.claim) for s in chosen]
    alike = [len(set(values)) == 1 for values in zip(*abouts, strict=True)]
    rows = []
    for s, about in zip(chosen, abouts, strict=True):
        tested = [(name, verdict) for name, verdict, _ in s.readings if verdict != claims.Verdict.NOT_TESTABLE]
        verdicts = [
            f"{claims.badge(verdict)} {broken(name).replace(' %', '&nbsp;%')}" for name, verdict in tested if name
        ]
        here = "<br>".join(verdicts) or claims.badge(s.verdict)
        apart = ", ".join(part for part, same in zip(about, alike, strict=True) if part and not same)
        said = ": ".join(part for part in (apart, s.paper.split(": ", 1)[-1]) if part)
        link = f'<a href="#claim-{html.escape(s.claim.id)}">{html.escape(s.claim.id)}</a>'
        # In one column: a table of four is wider than a phone.
        rows.append(f"| {link}<br>{broken(s.claim.layer)} | {broken(said)} | {here} |")
    return "\n".join(["| claim, layer | the paper says | here |", "| --- | --- | --- |", *rows]) + "\n"


def _about(claim: claims.Claim) -> tuple[str, ...]:
    """Return what a claim measures, and its data set, network and level where it is about one of them."""
    model = re.split(r": | \(", claim.setting.get("model", ""))[0].replace('"', "")
    of = (claim.setting.get("dataset", ""), model, claim.setting.get("pruning_level", ""))
    return (claim.quantity, *("" if part == "all" else part for part in of))


def mean_interval(values: NDArray[np.float64], init: NDArray[np.int64], digits: int) -> str:
    """Return a mean and its 95 % interval by bootstrap over initialisations, such as '0.71 (0.68 to 0.74)'.

    Parameters
    ----------
    values : float array, shape (n,)
    init : int array, shape (n,)
        The initialisation of each; of a single one there is no interval.
    digits : int
        After the point.
    """
    by_init = [values[init == number] for number in np.unique(init)]
    if len(by_init) < 2:
        return f"{values.mean():.{digits}f}"
    low, high = statistics.bootstrap_over_inits(by_init)
    return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def marks(readings: Mapping[str, str]) -> dict[str, str]:
    """Return by level how it is read, such as 'captioned'; nothing of a reading that has no words of its own."""
    return {at: words.rsplit(", ", 1)[0].removesuffix(" level") for words, at in readings.items() if ", " in words}


def summary_table(parts: Mapping[str, Sequence[Scored]]) -> str:
    """Return a Markdown table of how many claims of each section have each verdict."""
    shown = [v for v in claims.Verdict if any(claims.summary(scored)[v] for scored in parts.values())]
    head = f"| section | {' | '.join(claims.badge(v) for v in shown)} |\n| --- |{' ---: |' * len(shown)}\n"
    rows = (
        f"| {section} | {' | '.join(str(claims.summary(scored)[v]) for v in shown)} |"
        for section, scored in parts.items()
    )
    return ":::{div} full-width\n" + head + "\n".join(rows) + "\n:::\n"


def effect_table(store: Store, name: str) -> None:
    """Show how many claims have another verdict when what a paper leaves open is decided otherwise, and which."""
    rows, changed, lacks = [], [], []
    for effect in deviations.effects(store):
        lacks += [effect.lacking] if effect.lacking else []
        rows.append(
            [
                effect.paper,
                effect.departure,
                effect.otherwise,
                len(effect.verdicts),
                len(effect.measured) or "none yet",
                len(effect.changed) if effect.measured else "–",
            ]
        )
        if effect.changed:
            words = (f"{claims.escaped(c)} {' → '.join(map(str, effect.verdicts[c]))}" for c in effect.changed)
            changed.append(f"- *{effect.departure}; otherwise: {effect.otherwise}.* {'; '.join(words)}")
    table(
        ["paper", "decided here", "otherwise", "claims touched", "testable both ways", "other verdict"],
        rows,
        name,
        "Claims whose verdict is another when what a paper leaves open is decided otherwise. Touched are, of paper A, "
        "those about the same figure, of CKA and of paper B those of which another value is measured. Claims of paper "
        "A about whole figures, which follow from the others, are left out.",
        sources.tickets(store, *(experiment.name for experiment in store.experiments())),
    )
    if lacks:
        markdown(f"Not trained yet, of what the table needs: {named(dict.fromkeys(lacks))}.")
    if changed:
        markdown("Claims with another verdict, as decided here and otherwise:\n\n" + "\n".join(changed))


def named(lacks: Iterable[claims.Lack]) -> str:
    """Return what is not there, in Markdown."""
    return ", ".join(f"`{lack.experiment}`{lack.detail}" for lack in lacks)


def missing_panel(title: str, lacks: Sequence[claims.Lack]) -> str:
    """Return what stands in the place of a panel whose tickets are not there.

    Parameters
    ----------
    title : str
        Of the panel, such as 'Figure 3b, CIFAR-10'.
    lacks : sequence of Lack
        Why; at least one.
    """
    needed = f"This panel needs tickets of {named(lacks)}"
    if any(lack.such for lack in lacks):
        state, remedy = "nothing to show", f"{needed}: there are none."
    else:
        state = "too few are trained" if all(lack.beyond for lack in lacks) else "not trained yet"
        names = " ".join(dict.fromkeys(lack.experiment for lack in lacks))
        remedy = f"{needed}. {how_to_train(names)} It fills itself at the next `python -m lib build`."
    return f":::{{admonition}} {title}: {state}\n:class: note missing-panel\n{remedy}\n:::\n"


def how_to_train(name: str) -> str:
    """Return the sentence that says how experiments are trained, names with blanks between, or cannot be yet."""
    if all(part in EXPERIMENTS for part in name.split()):
        return f"`python -m lib train {name}` trains them."
    return f"`python -m lib train {name}` will train them; its specification is not in `lib.experiments` yet."


def provenance(store: Store, names: Sequence[str]) -> str:
    """Return where a chapter's numbers come from: ticket files, hashes, device, versions, data, command.

    Parameters
    ----------
    store : Store
    names : sequence of str
        Of the experiments that the chapter uses; those that are not trained are named as such.
    """
    parts = []
    for name in names:
        levels = store.finished(store.find(name)) if name in EXPERIMENTS else []
        if not levels:
            parts.append(f"**`{name}`**: not trained. {how_to_train(name)}")
            continue
        parts += [_part_provenance(store, part, levels) for part in store.parts(store.find(name))]
    return ":::{dropdown} Where these numbers come from\n" + "\n\n".join(parts) + "\n:::\n"


def _part_provenance(store: Store, experiment: Experiment, levels: Sequence[Level]) -> str:
    """Return where the tickets of an experiment come from that are stored together: all of them, or one part."""
    manifest, folder = store.manifest(experiment), store.folder(experiment).relative_to(store.root).as_posix()
    entries = {level.name: manifest["levels"][level.name] for level in levels}
    first = next(iter(entries.values()))
    # What a manifest says is text from elsewhere.
    versions, data = (
        {key: claims.escaped(said) if isinstance(said, str) else said for key, said in first[about].items()}
        for about in ("versions", "data")
    )
    days = sorted({entry["finished"][:10] for entry in entries.values()})
    lacking = [level.name for level in experiment.levels if level.name not in entries]
    rounded = claims.escaped(str(first.get("precision", "fp32")))
    precision = "" if rounded == "fp32" else f" --precision {rounded}"
    rows = "\n".join(
        f"| {evidence.level_words(level)} | `{entry['file']}` | {entry['bytes']:,} | `{entry['sha256'][:16]}…` |"
        for level, entry in entries.items()
    )
    return (
        f"**`{experiment.name}`**: {trials(experiment) or f'{experiment.inits} initialisations'} x {experiment.runs} "
        f"{'run' if experiment.runs == 1 else 'runs'}, fingerprint "
        f"`{manifest['fingerprint']}`, trained on {' and '.join(dict.fromkeys((days[0], days[-1])))} in "
        f"{sources.cost(list(entries.values()))}, "
        f"Python {versions['python']}, torch {versions['torch']}, NumPy {versions['numpy']}. Images: "
        f"{data['name']} ({data['source']}; {data['training images']:,} for training, {data['test images']:,} for "
        f"the test), SHA-256 `{data['sha256'][:16]}…`. "
        + (f"Levels not trained yet: {', '.join(lacking)}. " if lacking else "")
        + f"To train it again: `{train_command(experiment)}{precision}`.\n\n"
        f"| pruned | file in `data/tickets/{folder}` | bytes | SHA-256 |\n| --- | --- | ---: | --- |\n{rows}"
    )


_STATE = re.compile(r"(<!-- state:.*?-->\n).*?(<!-- end of state -->)", re.DOTALL)


def readme(text: str, store: Store | None = None) -> tuple[str, bytes]:
    """Return the README with the state of the ledger brought up to date, and its figure.

    Parameters
    ----------
    text : str
        The README as it is.
    store : Store, optional
        The project's own if not given.

    Returns
    -------
    text : str
    figure : bytes
        A PNG file, for ``book/readme.png``.
    """
    store = store or Store()
    panel, level = paper_a.PANELS["A-F8a"], "50"
    layers = evidence.overlaps(store, panel.experiment, level)
    plain = re.sub(r"<[^>]*>", "", state_of_the_ledger(store, scoring.score_all(store=store)))
    spread = ", ".join(f"{y.layer} {y.values.mean():.0f} %" for y in layers)
    block = (
        f"\n{textwrap.fill(plain, 120, break_on_hyphens=False)}\n\n{_trained_words(store)}\n\n"
        "![Overlap of pairs of tickets by layer, over what chance gives](book/readme.png)\n\n"
        + textwrap.fill(
            f"*One figure of the book, the paper's Figure 8a: how much two tickets of the same initialisation share "
            f"when {level} % of the weights are pruned (Fashion-MNIST, {len(layers[0].values)} pairs). Grey is what "
            f"chance gives, orange what the paper says. Means: {spread}.*",
            120,
            break_on_hyphens=False,
        )
        + "\n\n"
    )
    return _STATE.sub(lambda m: m[1] + block + m[2], text), png(
        figures.overlap_strips(layers, paper_a.paper_ranges("A-F8a"))
    )
