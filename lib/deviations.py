"""What hangs on departures from the papers: the verdicts of the claims they touch, decided as we did and otherwise."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from lib import claims, evidence, paper_a, scoring
from lib.claims import Claim, Lack, Scored, Verdict
from lib.experiments import find
from lib.paper_b import Settings
from lib.tickets import Store


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one departure does to the claims that it touches.

    Attributes
    ----------
    paper : str
    departure : str
        What is decided, in words.
    otherwise : str
        How it could be decided as well.
    verdicts : mapping of str to (Verdict, Verdict)
        By claim: as decided, and otherwise.
    lacking : Lack, optional
        What the comparison needs that is not trained.
    """

    paper: str
    departure: str
    otherwise: str
    verdicts: Mapping[str, tuple[Verdict, Verdict]]
    lacking: Lack | None = None

    @property
    def measured(self) -> list[str]:
        """The claims that could be tested both ways."""
        return [claim for claim, both in self.verdicts.items() if Verdict.NOT_TESTABLE not in both]

    @property
    def changed(self) -> list[str]:
        """Those of them whose verdict is another."""
        return [claim for claim in self.measured if len(set(self.verdicts[claim])) > 1]


# Experiments with another setting of training where the papers state none.
SETTINGS = ("a/fashion-lenet/sgd", "a/fashion-lenet/slow", "a/fashion-lenet/fast", "a/fashion-lenet/standardised")


def _setting(name: str, other: str) -> str:
    """Return in words what of an experiment's training differs from another's."""
    experiment, from_this = find(name), find(other)
    words = {
        "optimiser": f"{experiment.optimiser} at {experiment.learning_rate:g}",
        "learning_rate": f"{experiment.optimiser} at {experiment.learning_rate:g}",
        "scaling": {"unit": "pixels divided by 255", "standardised": "standardised pixels"}[experiment.scaling],
    }
    return next(said for key, said in words.items() if getattr(experiment, key) != getattr(from_this, key))


def effects(store: Store) -> list[Effect]:
    """Return what each departure does whose effect can be measured, or could be with more tickets.

    Parameters
    ----------
    store : Store

    Returns
    -------
    list of Effect
    """
    result = []
    for experiment in SETTINGS:
        panel = dataclasses.replace(paper_a.PANELS["A-F8a"], experiment=experiment)
        found = _panel(store, "A-F8a", panel)
        trained = len(store.finished(store.find(experiment))) > 1
        ours, otherwise = _setting(paper_a.FASHION, experiment), _setting(experiment, paper_a.FASHION)
        result.append(Effect("A", ours, otherwise, found, None if trained else Lack(experiment)))
    two = {key: panel for key, panel in paper_a.PANELS.items() if len(panel.levels) == 2}
    read = [s for key, panel in two.items() for s in _scores(store, key, panel)]
    result.append(_by_reading("A", "level: as captioned", "as the text implies", read, "captioned", "implied"))
    counted = [s for s in read if any("counted from one" in name for name, *_ in s.readings)]
    result.append(
        _by_reading("A", "layers of the ResNet: counted from one", "from zero", counted, "from one", "from zero")
    )
    ranked = paper_a.PANELS["A-F5a"]
    for otherwise, of, over in (("of magnitudes", "magnitude", "survivors"), ("over all weights", "signed", "all")):
        panel = dataclasses.replace(ranked, of=of, over=over)
        departure = "rank correlation: of signed weights, over the survivors"
        result.append(Effect("A", departure, otherwise, _panel(store, "A-F5a", panel)))
    partial = paper_a.PANELS["A-F10a"]
    free = dataclasses.replace(partial, experiment=paper_a.FREE[partial.experiment])
    departure = "partly fixed: same batches, noise of rounding"
    result.append(Effect("A", departure, "batch order free as well", _panel(store, "A-F10a", free)))
    result.append(_softmax(store))
    decided = scoring.score_all("B", store=store)
    for departure, otherwise, settings in (
        ("a match of units is carried to the next layer", "it is not", Settings(carry=False)),
        ("neighbours in a kernel: those that share an edge", "or a corner", Settings(diagonal=True)),
        ("kernels of at most 14 tickets", "of at most 20", Settings(kernel_tickets=20)),
        ("signs of initial weights", "of trained weights", Settings(trained=True)),
        (f"{Settings().sample} pairs of a condition, drawn", "all pairs", Settings(sample=0)),
    ):
        variant = scoring.score_all("B", store=store, settings=settings)
        base = decided
        if settings.kernel_tickets != Settings().kernel_tickets:
            # How far counts per position scatter grows with the tickets: of others it says nothing about the paper's.
            base = [s for s in base if not s.claim.id.startswith("B-6-sdpos")]
        result.append(Effect("B", departure, otherwise, _touched(base, variant)))
    fewer = (_fewer_trials(store, e.name) for e in store.experiments() if store.trials(e.name))
    return result + [effect for effect in fewer if effect.verdicts]  # no claim rests on a stand-in


def _softmax(store: Store) -> Effect:
    """Return what hangs on of which outputs the CKA is: the paper speaks of outputs."""
    found: dict[str, tuple[Verdict, Verdict]] = {}
    for section in ("Appendix C", "Appendix D.6"):
        own = [c for c in claims.load().values() if (c.paper, c.section) == ("A", section)]
        base, variant = (
            [claims.judge(c, measured[c.id]) for c in own if c.id in measured]
            for measured in (
                paper_a.SECTIONS["A", section](store, own, paper_a.PANELS, cka=cka) for cka in ("CKA", "CKA of softmax")
            )
        )
        untested = [s for s in base if s.verdict == Verdict.NOT_TESTABLE]
        found |= _both(untested, variant) | _touched(base, variant)
    return Effect("A", "CKA of the logits", "of softmax outputs", found)


def _fewer_trials(store: Store, name: str) -> Effect:
    """Return the claims that rest on some trials of an experiment; what all would say is not known."""
    paper = name[0].upper()
    found = {
        s.claim.id: (s.verdict, Verdict.NOT_TESTABLE)
        for s in scoring.score_all(paper, store=store)
        if name in s.experiments and s.verdict != Verdict.NOT_A_CLAIM
    }
    departure = f"{store.trials(name)} of {name} are trained"
    return Effect(paper, departure, "all of them", found, evidence.beyond(store, name))


def _is_of(claim: Claim, key: str) -> bool:
    return claim.id == key or claim.id.startswith(f"{key}-")


def _scores(store: Store, key: str, panel: paper_a.Panel) -> list[Scored]:
    """Score the claims about one panel of paper A as another panel would show them."""
    own = [c for c in claims.load().values() if _is_of(c, key) and c.check not in _NOT_OF_A_PANEL]
    return [claims.judge(c, paper_a.panel_measurements(store, c, panel)) for c in own]


# Kinds that are measured by a section of their own, and those that claim nothing.
_NOT_OF_A_PANEL = (
    "figure",
    "ordering",
    "boolean",
    "qualitative",
    "formula",
    "setup",
    "interpretation",
    "background",
    "typo",
)


def _panel(store: Store, key: str, panel: paper_a.Panel) -> dict[str, tuple[Verdict, Verdict]]:
    """Compare the verdicts of the claims about one panel with those that another one would give."""
    return _both(_scores(store, key, paper_a.PANELS[key]), _scores(store, key, panel))


def _both(base: Sequence[Scored], variant: Sequence[Scored]) -> dict[str, tuple[Verdict, Verdict]]:
    other = {s.claim.id: s.verdict for s in variant}
    return {s.claim.id: (s.verdict, other[s.claim.id]) for s in base if s.verdict != Verdict.NOT_A_CLAIM}


def _touched(base: Sequence[Scored], variant: Sequence[Scored]) -> dict[str, tuple[Verdict, Verdict]]:
    """Compare the verdicts of the claims of which another value is measured: the others, nothing is known to touch."""
    other = {s.claim.id: s.measured for s in variant}
    return _both([s for s in base if s.measured != other[s.claim.id]], variant)


def _by_reading(paper: str, departure: str, otherwise: str, scored: Sequence[Scored], one: str, other: str) -> Effect:
    """Compare the verdicts of claims at those of their readings whose names hold one word or another."""
    verdicts = {}
    for s in scored:
        both = tuple(_together(v for name, v, _ in s.readings if word in name) for word in (one, other))
        if s.verdict != Verdict.NOT_A_CLAIM and None not in both:
            verdicts[s.claim.id] = both
    return Effect(paper, departure, otherwise, verdicts)  # type: ignore[arg-type]


def _together(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Return the verdict of several readings, as the ledger puts them together; None of none."""
    found = set(verdicts)
    decided = found - {Verdict.NOT_TESTABLE}
    if not decided:
        return Verdict.NOT_TESTABLE if found else None
    return decided.pop() if len(decided) == 1 else Verdict.PARTLY
