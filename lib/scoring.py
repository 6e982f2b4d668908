"""Scores the ledger: every claim with its measurements, and the verdict that they earn."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from lib import claims, paper_a, paper_b
from lib.claims import Claim, Scored
from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.paper_a import Panel
from lib.paper_b import Settings
from lib.tickets import Store


def score(
    paper: str,
    section: str,
    store: Store | None = None,
    panels: Mapping[str, Panel] | None = None,
    settings: Settings | None = None,
) -> list[Scored]:
    """Score every claim of one section.

    Parameters
    ----------
    paper : str
        'A' or 'B'.
    section : str
        As in the ledger, such as '3.1' or 'Appendix A'.
    store : Store, optional
        The project's own if not given.
    panels : mapping, optional
        Panels to use in place of those of `paper_a.PANELS`; for a chapter of paper A executed with other levels.
    settings : Settings, optional
        How tickets are compared; for a chapter of paper B executed with other settings.

    Returns
    -------
    list of Scored
        In the ledger's order.
    """
    ledger = [c for c in claims.load().values() if (c.paper, c.section) == (paper, section)]
    if not ledger:
        raise UserError(f"section is {section!r}: the ledger has no entry for it in paper {paper}")
    return _score(ledger, store or Store(), panels or {}, settings or Settings())


def _score(ledger: Sequence[Claim], store: Store, panels: Mapping[str, Panel], settings: Settings) -> list[Scored]:
    """Score the claims of one section."""
    paper, section = ledger[0].paper, ledger[0].section
    measure = paper_a.SECTIONS.get((paper, section)) or paper_b.SECTIONS.get((paper, section))
    variant = {**paper_a.PANELS, **panels} if paper == "A" else settings
    measured = measure(store, ledger, variant) if measure else {}
    scored = [claims.judge(c, measured.get(c.id, [])) for c in ledger]
    return [
        _with_trials(
            store,
            claims.figure_verdict(s.claim, scored)
            if measure and s.claim.check == "figure" and s.claim.id not in measured
            else s,
        )
        for s in scored
    ]


def _with_trials(store: Store, scored: Scored) -> Scored:
    """Say of what was measured on experiments of which only some trials are trained how many these are."""
    said = trials_words(store, scored.experiments)
    return dataclasses.replace(scored, measured=f"{scored.measured}; {said}") if said and scored.measured else scored


def trials_words(store: Store, names: Iterable[str]) -> str:
    """Return how many trials of some experiments are trained, such as '6 of the 20 trials of b/conv2/cifar10'.

    Experiments that are trained whole are left out; of none it is ''.
    """
    held = {name: store.trials(name) for name in dict.fromkeys(names) if name in EXPERIMENTS}
    return ", ".join(f"{trials} of {name}" for name, trials in held.items() if trials)


def score_all(
    paper: str | None = None,
    section: str | None = None,
    store: Store | None = None,
    settings: Settings | None = None,
) -> list[Scored]:
    """Score the whole ledger, or one paper, or one section, in the ledger's order; `settings` as for `score`."""
    sections: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims.load().values():
        sections.setdefault((claim.paper, claim.section), []).append(claim)
    wanted = [own for (p, s), own in sections.items() if paper in (None, p) and section in (None, s)]
    if not wanted:
        raise UserError(f"section is {section!r}: the ledger has {', '.join(sorted({s for _, s in sections}))}")
    store = store or Store()
    return [scored for own in wanted for scored in _score(own, store, {}, settings or Settings())]
