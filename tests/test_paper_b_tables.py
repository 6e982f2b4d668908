"""Every rule about distances, on distances that are planted: those of the paper's tables, their mirror image, and none.

The tables give for every condition and layer the difference from random pairs, and its effect, so the spread as well.
Distances that have exactly these are what the paper measured, so each row is reproduced, and each sentence about them,
but for those that the paper's own rows contradict; these are named.
"""

import functools

import numpy as np
from scipy import stats

from lib import claims, paper_b, scoring, streams
from lib.claims import Verdict
from lib.comparisons import Comparison, Group
from lib.experiments import find
from lib.paper_b import CIFAR, CONDITIONS, DATASETS
from lib.tickets import Store

ARCHITECTURE = find(CIFAR).architecture
LAYERS = [layer.name for layer in ARCHITECTURE.layers]
TICKETS = 20
# What the printed effects and p-values imply together (`paper_b.implied_group_size`); the text says 50.
PAIRS = 30
PERMUTATION_P = Comparison.permutation_p
# Of random pairs: layers far from each other, the convolutions closest, larger with signs, as the paper says.
BASE = {False: np.array([0.55, 0.75, 0.93, 0.90, 0.80]), True: np.array([0.65, 0.85, 0.96, 0.95, 0.90])}


def printed(signed, whole):
    """Return difference and spread in every layer, by condition: of Table 1, the same in all, or of A.1 and A.2."""
    rows = {c: (np.zeros(5), np.full(5, np.nan)) for c in CONDITIONS if c != "random"}
    for claim in claims.load().values():
        said, where = claim.claimed, [claim.layer == layer or whole for layer in LAYERS]
        if claim.paper != "B" or claim.check != "table-row" or said.cohen_d is None:
            continue
        if ("+-" in claim.quantity) == signed and (claim.layer == "mean of five layers") == whole:
            difference, spread = rows[claim.setting["dataset"]]
            difference[where] = said.diff_mean
            # What is printed as 0 says nothing of the spread; an effect at an edge, such as 0.8, lies above it.
            spread[where] = said.diff_mean / said.cohen_d / 1.000001 if said.diff_mean and said.cohen_d else 0.002
    # The printed spread is pooled, so the random pairs' own is free, up to the least of these.
    random = np.min([spread for _, spread in rows.values()], axis=0)
    return {c: (d, np.sqrt(2 * s**2 - random**2)) for c, (d, s) in rows.items()} | {"random": (np.zeros(5), random)}


def plant(monkeypatch, rows, together):
    """Let all tickets be there; of each kind of pairs those drawn have exactly the mean and deviation of some row."""
    signs, starts = np.zeros((TICKETS, 1), np.int8), np.arange(TICKETS)
    groups = {key: Group.of(key, ARCHITECTURE, signs, starts) for key in (*DATASETS, "random")}
    names = {frozenset((c.a, c.b)): c.name for c in CONDITIONS.values() if c.category == "between_DS"}
    names |= {frozenset((key, "random")): f"mixed_{key}" for key in DATASETS} | {frozenset(("random",)): "random"}
    names |= {frozenset((key,)): f"WTs_{key}" for key in DATASETS}

    def block(a, b, signed):
        name = names[frozenset((a, b))]
        rng = np.random.default_rng([signed, *name.encode()])
        pairs = np.argwhere(np.triu(np.ones((TICKETS, TICKETS)), 1) if a == b else ~np.eye(TICKETS, dtype=bool))
        noise = rng.normal(size=(len(pairs), 1 if together else len(LAYERS)))
        scores = stats.norm.ppf((np.arange(PAIRS) + 0.5) / PAIRS)
        drawn = streams.permutation(f"comparisons/{a}/{b}", len(pairs))[:PAIRS]
        noise[drawn] = rng.permuted(np.tile(scores / scores.std(ddof=1), (noise.shape[1], 1)), axis=1).T
        difference, spread = rows[signed][name]
        i, j = pairs.T
        values = np.full((TICKETS, TICKETS, len(LAYERS)), np.nan)
        values[i, j] = BASE[signed] + difference + spread * noise
        if a == b:
            values[j, i] = values[i, j]
        return values

    @functools.cache
    def compared(store, condition, signed, settings=None):
        a = groups["random" if condition.category == "random" else condition.a]
        b = groups["random" if condition.category in ("random", "mixed") else condition.b]
        used = list({g.label: g for g in (a, b, groups["random"])})
        rows = [
            np.concatenate(
                [block(x, y, signed) if n <= m else block(y, x, signed).transpose(1, 0, 2) for m, y in enumerate(used)],
                axis=1,
            )
            for n, x in enumerate(used)
        ]
        labels = tuple(label for label in used for _ in range(TICKETS))
        return Comparison(a, b, groups["random"], np.concatenate(rows), labels, PAIRS)

    monkeypatch.setattr(paper_b, "compared", compared)
    monkeypatch.setattr(Comparison, "permutation_p", functools.partialmethod(PERMUTATION_P, repetitions=499))
    monkeypatch.setattr(paper_b, "lacking", lambda *_: [])


WORLDS = ((True, ("Abstract", "5", "7")), (False, ("6", "Appendix A.1", "Appendix A.2")))
# Decided by distances: the rows of the tables, and these sentences about them.
SENTENCES = (
    *("B-ABS-1", "B-5-S6", "B-5-1", "B-5-2", "B-5-3", "B-5-4", "B-5-5", "B-5-6", "B-5-7", "B-5-8", "B-5-C1", "B-5-C2"),
    *("B-F1-1", "B-F1-2", "B-6-1", "B-7-1", "B-7-2", "B-FA1", "B-A1-1", "B-A1-2", "B-A1-3", "B-A1-4"),
    *("B-FA3", "B-A2-1", "B-A2-2", "B-A2-3"),
)
# What the paper says of its tables and they do not, with the words that name it.
CONTRADICTED = {
    "B-5-C2": "WTs_SVHN below random with signs (d = -7.94, p = 1e-30); fails: not without (d = -2.49",
    "B-6-1": "fails: mixed_CINIC, as over all layers",
    # Printed as 0.010, which is not below 0.01; before it was rounded it may have been.
    "B-TA2-conv2-SVHN_CIFAR": "p = 0.0099",
    # The tickets of SVHN are so much closer to each other than all others are that labels at random scatter widely.
    "B-ABS-1": "SVHN_CINIC below random (d = -2.64, p = 5.6e-14); fails: permutation of tickets, p = 0.0",
    "B-5-C1": "SVHN_CINIC below random (d = -2.64, p = 5.6e-14); fails: permutation of tickets, p = 0.0",
}


def scored(monkeypatch, change):
    """Score what distances decide, with every printed difference times `change`."""
    found = {}
    for whole, sections in WORLDS:
        rows = {signed: printed(signed, whole) for signed in (False, True)}
        rows = {signed: {c: (change * d, s) for c, (d, s) in rows[signed].items()} for signed in rows}
        plant(monkeypatch, rows, whole)
        found |= {s.claim.id: s for section in sections for s in scoring.score("B", section, Store())}
    return {k: s for k, s in found.items() if s.claim.claimed.cohen_d is not None or k in SENTENCES}


def test_the_paper_s_own_distances_reproduce_what_it_says_of_them(monkeypatch):
    found = scored(monkeypatch, 1)
    assert len(found) == 18 + 45 + 45 + len(SENTENCES)
    for name, s in found.items():
        if name in CONTRADICTED:
            assert s.verdict == Verdict.PARTLY and CONTRADICTED[name] in s.measured, (name, s.measured)
        else:
            assert s.verdict == Verdict.REPRODUCED, (name, s.measured)


# True in any of these worlds: distances are normal, layers differ, and signs make a distance larger.
ALWAYS = {"B-5-S6", "B-F1-1", "B-FA1", "B-FA3"}


def test_without_any_difference_nothing_is_found(monkeypatch):
    for name, s in scored(monkeypatch, 0).items():
        if name == "B-A2-3":  # it says "lower" of means, not of what is significant, so chance gives half of it
            assert s.verdict != Verdict.REPRODUCED, (name, s.measured)
        elif name in SENTENCES:
            assert s.verdict == (Verdict.REPRODUCED if name in ALWAYS else Verdict.NOT_REPRODUCED), (name, s.measured)
        elif s.claim.claimed.p_value < 0.01:
            assert s.verdict == Verdict.NOT_REPRODUCED, (name, s.measured)


def test_the_opposite_differences_reproduce_nothing(monkeypatch):
    for name, s in scored(monkeypatch, -1).items():
        # How many rows are significant, and how many effects large, says nothing of the direction.
        if name in SENTENCES:
            found = name in ALWAYS or name in ("B-5-4", "B-5-8")
            assert s.verdict == (Verdict.REPRODUCED if found else Verdict.NOT_REPRODUCED), (name, s.measured)
        elif s.claim.claimed.p_value < 0.01:
            assert s.verdict == Verdict.NOT_REPRODUCED, (name, s.measured)
