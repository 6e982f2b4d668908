"""Paper A's claims: at which level each is read, and which measurement decides it.

One function a section gives the measurements of that section's claims, which `lib.claims` judges.  Where the paper
gives no number ("low", "roughly the same") the limit is fixed here, beside the claim, and named in its words.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lib import baselines, claims, evidence, overlap, topology
from lib.claims import Claim, Measurement
from lib.errors import UserError
from lib.evidence import Missing, chance_group
from lib.experiments import EXPERIMENTS, find
from lib.pruning import kept_counts
from lib.tickets import Store

FASHION, CIFAR, RESNET = "a/fashion-lenet/free", "a/cifar-lenet/free", "a/cifar-resnet18/free"
SMALL = (FASHION, CIFAR)
LADDER_PARTIAL = "a/fashion-lenet/partial"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel of a figure of paper A that shows overlaps.

    Attributes
    ----------
    experiment : str
    levels : mapping of str to str
        How the paper's level can be read, in words, to the name of that level. Where a caption and the
        numbers of the text do not fit each other there are two readings, and a claim is scored at both.
    within : bool
        Pairs of tickets of one initialisation, or else of different ones.
    """

    experiment: str
    levels: Mapping[str, str]
    within: bool = True


# The levels of Figure 3: the captions say 80, 90 and 90 %; the expected overlaps that the text gives, and
# for the second and third panel its own words, are those of the next level (90, 95 and 98 %).
PANELS: dict[str, Panel] = {
    "A-1": Panel(FASHION, {f"{level.name} %": level.name for level in find(FASHION).levels[1:]}),
    "A-F2-1": Panel(FASHION, {"first step, 50 %": "50"}, within=False),
    "A-F2-2": Panel(CIFAR, {"fifth step, 95 %": "95"}, within=False),
    "A-F2-3": Panel(RESNET, {"third step, 90 %": "90"}, within=False),
    "A-F3a": Panel(FASHION, {"captioned level, 80 %": "80", "implied level, 90 %": "90"}),
    "A-F3b": Panel(CIFAR, {"captioned level, 90 %": "90", "implied level, 95 %": "95"}),
    "A-F3c": Panel(RESNET, {"captioned level, 90 %": "90", "implied level, 98 %": "98"}),
    "A-F5a": Panel(FASHION, {"captioned level, 80 %": "80", "implied level, 90 %": "90"}),
    "A-F5b": Panel(CIFAR, {"captioned level, 90 %": "90", "implied level, 95 %": "95"}),
    "A-F5c": Panel(RESNET, {"captioned level, 90 %": "90", "implied level, 98 %": "98"}),
    "A-F8a": Panel(FASHION, {"first step, 50 %": "50"}),
    "A-F8b": Panel(CIFAR, {"first step, 50 %": "50"}),
    "A-F8c": Panel(RESNET, {"first step, 50 %": "50"}),
}


def panels_at(key: str, levels: Mapping[str, float | str]) -> dict[str, Panel]:
    """Return the panels of `PANELS` with one of them read at other levels.

    Parameters
    ----------
    key : str
        Of the panel.
    levels : mapping of str to float or str
        How a level is called, to the fraction of the weights that is pruned.

    Raises
    ------
    UserError
        If the panel's experiment has no such level.
    """
    panel = PANELS[key]
    experiment = find(panel.experiment)
    names = {}
    for words, fraction in levels.items():
        known = {level.name: level.pruned for level in experiment.levels[1:]}
        try:
            match = [name for name, pruned in known.items() if abs(pruned - float(fraction)) < 1e-9]
        except ValueError:
            match = []
        if not match:
            listed = ", ".join(f"{pruned:g}" for pruned in known.values())
            raise UserError(f"level is {fraction} ({words}): {experiment.name} has levels at {listed} pruned")
        names[f"{words}, {match[0]} %"] = match[0]
    return {**PANELS, key: dataclasses.replace(panel, levels=names)}


def paper_ranges(key: str) -> dict[str, tuple[float, float]]:
    """Return what the paper's text says of the overlaps in each layer of a panel, in % of the mask, by layer.

    A value, such as 'around 10 %', is a range of no width; a range without one of its ends is left out.
    """
    layers = find(PANELS[key].experiment).architecture.layers
    found = {}
    for claim in claims.load().values():
        said, number = claim.claimed, layer_number(claim)
        if not claim.id.startswith(key + "-") or not number:
            continue
        if claim.check == "range" and said.low is not None and said.high is not None:
            found[layers[number - 1].name] = (said.low, said.high)
        elif claim.check == "value" and isinstance(said.value, int | float):
            found[layers[number - 1].name] = (float(said.value), float(said.value))
    return found


# --- how one claim is measured -------------------------------------------------------------------------------


def _attempt(reading: str, names: Sequence[str], make: Callable[[], Measurement]) -> Measurement:
    """Return the measurement, or one that says which tickets it lacks."""
    try:
        return dataclasses.replace(make(), reading=reading, experiments=tuple(names))
    except Missing as missing:
        return Measurement(reading=reading, missing=str(missing))


def layer_number(claim: Claim) -> int:
    """Return the layer that a claim is about, counted from one, or 0 if it is about all."""
    match = re.match(r"\d+", claim.layer)
    return int(match.group()) if match else 0


def panel_measurements(store: Store, claim: Claim, panel: Panel) -> list[Measurement]:
    """Measure a claim about the overlaps that one panel shows, at every reading of its level."""

    def make(level: str) -> Measurement:
        layers = evidence.overlaps(store, panel.experiment, level, panel.within)
        if claim.check == "chance-match":
            return Measurement(groups=tuple(chance_group(layer) for layer in layers))
        if claim.layer == "expected":
            return Measurement(values=np.array([layer.expected for layer in layers]))
        return Measurement(values=layers[layer_number(claim) - 1].values)

    several = len(panel.levels) > 1
    return [
        _attempt(words if several else "", (panel.experiment,), functools.partial(make, level))
        for words, level in panel.levels.items()
    ]


def _by_panel(store: Store, ledger: Iterable[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    """Measure every claim that belongs to a panel: its id is the panel's, or starts with it and a dash."""
    found = {}
    for claim in ledger:
        for key, panel in panels.items():
            if claim.id == key or claim.id.startswith(key + "-"):
                found[claim.id] = panel_measurements(store, claim, panel)
    return found


def _chance_everywhere(store: Store, names: Sequence[str], levels: Mapping[str, Sequence[str]]) -> list[Measurement]:
    """Measure whether the overlaps within an initialisation match chance, one reading an experiment."""

    def make(name: str) -> Measurement:
        groups = [
            chance_group(layer, f"{layer.layer} at {level} %")
            for level in levels[name]
            for layer in evidence.overlaps(store, name, level)
        ]
        return Measurement(groups=tuple(groups))

    return [_attempt(name, (name,), functools.partial(make, name)) for name in names]


# --- the sections -------------------------------------------------------------------------------------------------


def _as_by_chance(store: Store, levels: Sequence[str]) -> Measurement:
    """Check overlaps within an initialisation, weights shared by all runs and rank correlations against chance."""
    checks = {}
    for level in levels:
        for layer in evidence.overlaps(store, FASHION, level):
            match = claims.matches_chance(chance_group(layer))
            checks[f"overlap, {layer.layer} at {level} % ({layer.values.mean():.1f}, chance {layer.expected:.1f})"] = (
                match
            )
        for share in evidence.shared(store, FASHION, level):
            match = claims.matches_chance(_share_group(share, share.layer))
            checks[
                f"in all five, {share.layer} at {level} % ({share.values.mean():.1f}, chance {share.expected:.1f})"
            ] = match
        for ranks in evidence.rank_correlations(store, FASHION, level):
            mean = ranks.values.mean()
            checks[f"rank correlation, {ranks.layer} at {level} % ({mean:.2f})"] = bool(abs(mean) <= ranks.null)
    return Measurement(checks=checks)


def _section_1(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    levels = list(panels["A-1"].levels.values())

    def different() -> Measurement:
        checks = {}
        for level in levels:
            masks = evidence.record(store, FASHION, level).masks
            i, j = overlap.within_pairs(find(FASHION).inits, find(FASHION).runs)
            checks[f"no two of the masks of an initialisation are equal at {level} %"] = bool(
                (masks[i] != masks[j]).any(axis=1).all()
            )
        return Measurement(checks=checks)

    partial = [Measurement(missing=LADDER_PARTIAL)]
    return {
        "A-1-C1": [_attempt("", (FASHION,), different)],
        "A-1-C2": [_attempt("", (FASHION,), functools.partial(_as_by_chance, store, levels))],
        "A-1-C3": [_attempt("", (FASHION,), functools.partial(_no_symmetry, store, FASHION))],
        "A-1-C4": partial,
        "A-1-C5": partial,
    }


def _section_2(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    fashion = find(FASHION)
    layers = fashion.architecture.layers
    percent = [100 * level.pruned for level in fashion.levels[1:]]
    kept = [float(level.kept) for level in fashion.levels[1:]]
    resnet = [level.name for level in find(RESNET).levels[1:]]

    def setup(**checks: bool) -> list[Measurement]:
        return [Measurement(experiments=(FASHION,), checks={k.replace("_", " "): v for k, v in checks.items()})]

    def shape(name: str) -> Measurement:
        mean = {level: values.mean() for level, values in evidence.accuracies(store, name).items()}
        pruned = [level.name for level in find(name).levels[1:]]
        lacking = [level for level in pruned if level not in mean]
        if lacking:
            raise Missing(f"{name} at {', '.join(lacking)} %")
        best = 3 if name == RESNET else 2
        ranked = sorted(pruned, key=lambda level: -mean[level])
        checks = {
            f"the best {best} of the pruned levels are the first {best} (best: {', '.join(ranked[:best])} %)": set(
                ranked[:best]
            )
            == set(pruned[:best])
        }
        for before, after in zip(pruned[best - 1 :], pruned[best:], strict=False):
            checks[
                f"from {before} to {after} % the mean accuracy falls ({mean[before]:.2f} to {mean[after]:.2f} %)"
            ] = bool(mean[after] < mean[before])
        return Measurement(checks=checks)

    def smallest(name: str) -> Measurement:
        mean = {level: values.mean() for level, values in evidence.accuracies(store, name).items()}
        last = find(name).levels[-1].name
        if last not in mean:
            raise Missing(f"{name} at {last} %")
        # "Good for its size" has no number in the paper; fixed here as three quarters of the dense accuracy.
        return Measurement(
            checks={
                f"at {last} % the mean accuracy ({mean[last]:.2f}) is below the dense one ({mean['dense']:.2f})": bool(
                    mean[last] < mean["dense"]
                ),
                f"at {last} % it is at least three quarters of the dense one": bool(mean[last] >= 0.75 * mean["dense"]),
            }
        )

    return {
        **_by_panel(store, ledger, panels),
        "A-2-S1": setup(
            Fashion_MNIST_is_used=fashion.dataset == "fashion-mnist", CIFAR_10_is_used=CIFAR in EXPERIMENTS
        ),
        "A-2-S2": setup(
            convolutions_of_6_and_16_filters_of_5_x_5=[y.shape[0] for y in layers[:2]] == [6, 16]
            and all(y.shape[2:] == (5, 5) for y in layers[:2]),
            max_pooling_after_each=all(y.pool for y in layers[:2]),
            dense_layers_of_120_and_84_units_then_10=[y.shape[0] for y in layers[2:]] == [120, 84, 10],
        ),
        "A-2-S3": [Measurement(missing=RESNET)],
        "A-2-S4": setup(**{f"{fashion.epochs}_epochs_for_every_step": fashion.epochs == 15}),
        "A-2-S5": setup(large_final_within_every_layer="large final" in fashion.specification()["criterion"]),
        "A-2-S6": setup(**{f"{fashion.inits}_initialisations": fashion.inits == 5}),
        "A-2-S7": setup(**{f"{fashion.runs}_runs_from_each": fashion.runs == 5}),
        "A-2-S8": setup(**{f"{len(percent)}_steps": len(percent) == 6}),
        "A-2-S9": setup(**{f"levels_{', '.join(f'{p:g}' for p in percent)}_%": percent == [50, 60, 80, 90, 95, 98]}),
        "A-2-S10": [
            Measurement(checks={"levels 50, 60, 90, 98, 99, 99.9 %": resnet == ["50", "60", "90", "98", "99", "99.9"]})
        ],
        "A-2-S11": setup(
            **{f"{100 * (1 - kept[1] / kept[0]):.0f}_%_of_the_kept_weights": abs(1 - kept[1] / kept[0] - 0.2) < 1e-12}
        ),
        "A-2-S12": setup(**{f"kept_{', '.join(f'{k:g}' for k in kept)}": kept == [0.5, 0.4, 0.2, 0.1, 0.05, 0.02]}),
        "A-2-S13": [Measurement(checks=_equation_1())],
        "A-F1a": setup(
            **{
                f"{fashion.inits}_x_{fashion.runs}_runs_x_{len(percent)}_steps": (
                    fashion.inits,
                    fashion.runs,
                    len(percent),
                )
                == (5, 5, 6)
            }
        ),
        "A-F1b-1": [_attempt(name, (name,), functools.partial(shape, name)) for name in SMALL],
        "A-F1b-2": [_attempt("", (RESNET,), functools.partial(shape, RESNET))],
        "A-F1b-3": [_attempt(name, (name,), functools.partial(smallest, name)) for name in (*SMALL, RESNET)],
    }


def _equation_1() -> dict[str, bool]:
    """Check equation 1 against masks that were really drawn."""
    checks = {}
    for n, kept in ((150, 75), (840, 84), (2400, 48)):
        drawn = baselines.simulate(n, kept, masks=2, repetitions=2000, seed=1).overlap
        error = np.sqrt(baselines.overlap_variance(n, kept) / len(drawn))
        mean = baselines.overlap_mean(n, kept)
        checks[f"{kept} of {n} weights: simulated mean {drawn.mean():.2f}, exact {mean:.2f}"] = bool(
            abs(drawn.mean() - mean) < 4 * error
        )
    return checks


def _section_3_1(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    fashion = find(FASHION)
    first, _ = overlap.within_pairs(fashion.inits, fashion.runs)
    per_init = np.bincount(first // fashion.runs)
    figure = {key: panels[key] for key in ("A-F3a", "A-F3b", "A-F3c")}
    levels = {p.experiment: list(p.levels.values()) for p in figure.values()}
    return {
        **_by_panel(store, ledger, panels),
        "A-3.1-S1": [
            Measurement(
                checks={
                    f"{p.experiment} is looked at at {', '.join(p.levels.values())} %": True for p in figure.values()
                }
            )
        ],
        "A-3.1-S2": [
            Measurement(checks={f"{per_init.max()} pairs of {fashion.runs} runs": bool((per_init == 10).all())})
        ],
        "A-3.1-S3": [Measurement(checks={f"{len(first)} pairs in all": len(first) == 50})],
        "A-3.1-C": _chance_everywhere(store, (FASHION, CIFAR, RESNET), levels),
    }


def _section_appendix_a(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]
) -> dict[str, list[Measurement]]:
    figure = {key: panels[key] for key in ("A-F8a", "A-F8b", "A-F8c")}
    levels = {p.experiment: list(p.levels.values()) for p in figure.values()}
    return {
        **_by_panel(store, ledger, panels),
        "A-F8-C": _chance_everywhere(store, (FASHION, CIFAR, RESNET), levels),
    }


def formula_cases() -> list[tuple[str, str, int, int]]:
    """Return (level, layer, weights, kept) for every pruned level and layer of the Fashion-MNIST network."""
    experiment = find(FASHION)
    return [
        (level.name, layer.name, layer.size, kept_counts(experiment.architecture, level)[layer.name])
        for level in experiment.levels[1:]
        for layer in experiment.architecture.layers
    ]


def _section_appendix_b(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]
) -> dict[str, list[Measurement]]:
    cases = formula_cases()
    levels = list(dict.fromkeys(level for level, *_ in cases))

    def agree(printed: Callable[[int, int], float], exact: Callable[[int, int], float]) -> dict[str, bool]:
        """Compare a printed formula with the exact value, to 1 % in every layer, level by level."""
        checks = {}
        for level in levels:
            ratios = [printed(n, k) / exact(n, k) for name, _, n, k in cases if name == level]
            worst = max(ratios, key=lambda r: abs(r - 1))
            checks[f"{level} % ({f'{worst:,.0f}' if abs(worst) >= 100 else f'{worst:.3g}'})"] = abs(worst - 1) <= 0.01
        return checks

    def by_level(what: str, checks: dict[str, bool]) -> list[Measurement]:
        return [Measurement(checks=checks, note=f"by level, in brackets {what}, in the worst of the five layers")]

    def deviation(n: int, k: int) -> float:
        return float(np.sqrt(baselines.overlap_variance(n, k)))

    def shared_high(n: int, k: int) -> float:
        return baselines.shared_mean(n, k) + 3 * float(np.sqrt(baselines.shared_variance(n, k)))

    def covered_high(n: int, k: int) -> float:
        return n - baselines.uncovered_mean(n, k) + 3 * float(np.sqrt(baselines.uncovered_variance(n, k)))

    def everywhere(checks: dict[str, bool]) -> bool:
        return all(checks.values())

    mean = everywhere(agree(lambda n, k: baselines.printed_overlap(n, k)[0], baselines.overlap_mean))
    # Equation 2's expression, written out as it is printed.
    spread = functools.partial(agree, lambda n, k: k * (k / n) * ((n - k) / n) * ((n - k) / (n - 1)))
    return {
        "A-B-eq2": [
            Measurement(
                checks={
                    "the mean is exact": mean,
                    "what is called sigma is the standard deviation": everywhere(spread(deviation)),
                    "it is the variance": everywhere(spread(baselines.overlap_variance)),
                },
                note="at all levels, in all five layers",
            )
        ],
        "A-B-eq3": [
            Measurement(
                checks={
                    "the mean is exact": mean,
                    "the plus-minus is the standard deviation": everywhere(
                        agree(lambda n, k: baselines.printed_overlap(n, k)[1], deviation)
                    ),
                },
                note="at all levels, in all five layers",
            )
        ],
        "A-B-eq4": by_level(
            "printed over exact mean number of weights in all five masks",
            agree(lambda n, k: float(baselines.printed_shared(n, k)[-1]), baselines.shared_mean),
        ),
        "A-B-eq5": by_level(
            "printed upper end over exact mean + 3 standard deviations",
            agree(lambda n, k: float(baselines.printed_shared_max(n, k)[-1]), shared_high),
        ),
        "A-B-sd": by_level(
            "half the printed difference over the exact standard deviation",
            agree(
                lambda n, k: baselines.printed_spread(
                    float(baselines.printed_shared(n, k)[-1]), float(baselines.printed_shared_max(n, k)[-1])
                ),
                lambda n, k: float(np.sqrt(baselines.shared_variance(n, k))),
            ),
        ),
        "A-B-eq6": by_level(
            "printed over exact mean number of weights in no mask",
            agree(baselines.printed_uncovered, baselines.uncovered_mean),
        ),
        "A-B-eq7": by_level(
            "printed largest coverage over exact mean + 3 standard deviations",
            agree(baselines.printed_covered_max, covered_high),
        ),
    }


def _networks(make: Callable[[str], Measurement], names: Sequence[str] = (*SMALL, RESNET)) -> list[Measurement]:
    """Measure the same thing on several networks, one reading each."""

    def known(name: str) -> Measurement:
        if name not in EXPERIMENTS:
            raise Missing(name)
        return make(name)

    return [_attempt(name if len(names) > 1 else "", (name,), functools.partial(known, name)) for name in names]


def _trained(store: Store, name: str) -> list[str]:
    """Return the pruned levels of an experiment; raise `Missing` if one is not trained."""
    if name not in EXPERIMENTS:
        raise Missing(name)
    levels = [level.name for level in find(name).levels[1:]]
    for level in levels:
        evidence.record(store, name, level)
    return levels


def _share_group(share: evidence.LayerShare, name: str) -> claims.ChanceGroup:
    return claims.ChanceGroup(name, share.values, share.expected, share.low, share.high)


@functools.lru_cache(maxsize=64)
def smallest_nnstd(store: Store, name: str, level: str) -> float:
    """Return the smallest NNSTD of two masks of an experiment at one level: zero if two networks are the same up to a
    permutation of their hidden units."""
    experiment, masks = find(name), evidence.record(store, name, level).masks
    pairs = np.triu_indices(experiment.replicas, 1)
    return float(topology.distances(experiment.architecture, masks, pairs, quiet=True).mean(axis=1).min())


def _no_symmetry(store: Store, name: str) -> Measurement:
    """Test weight-space symmetry on the masks themselves, units matched first.

    The distance of outputs, which the paper takes, cannot refute it: a ticket that is retrained ends elsewhere than
    its mirror image would.
    """
    checks = {}
    for level in _trained(store, name):
        least = smallest_nnstd(store, name, level)
        checks[f"no two masks are equal up to a permutation of units at {level} % (smallest NNSTD {least:.3f})"] = (
            least > 0
        )
    return Measurement(checks=checks)


def _section_abstract(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]
) -> dict[str, list[Measurement]]:
    def several(name: str) -> Measurement:
        masks, design = evidence.record(store, name, "50").masks, (find(name).inits, find(name).runs)
        i, j = overlap.within_pairs(*design)
        accuracy = {level: values.mean() for level, values in evidence.accuracies(store, name).items()}
        return Measurement(
            checks={
                "no two masks of an initialisation are equal at 50 %": bool((masks[i] != masks[j]).any(axis=1).all()),
                f"they win: mean accuracy {accuracy['50']:.2f} % against {accuracy['dense']:.2f} % dense": bool(
                    accuracy["50"] >= accuracy["dense"]
                ),
            }
        )

    return {
        "A-ABS-1": _networks(several),
        "A-ABS-2": _networks(functools.partial(_no_symmetry, store)),
        "A-ABS-3": _networks(lambda name: _as_by_chance(store, _trained(store, name)), (FASHION,)),
        "A-ABS-4": [Measurement(missing=LADDER_PARTIAL)],
    }


def _section_3(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    def vary(name: str) -> Measurement:
        checks = {}
        i, j = overlap.within_pairs(find(name).inits, find(name).runs)
        for level in _trained(store, name):
            masks = evidence.record(store, name, level).masks
            mean = max(layer.values.mean() for layer in evidence.overlaps(store, name, level))
            checks[f"at {level} % no two masks are equal"] = bool((masks[i] != masks[j]).any(axis=1).all())
            # "Vary greatly" has no number in the paper; fixed here as a tenth of the mask, on average, in every layer.
            checks[f"at {level} % at least a tenth of a mask differs (overlap {mean:.1f} % at most)"] = bool(mean <= 90)
        return Measurement(checks=checks)

    return {"A-3-1": _networks(vary)}


def _section_3_2(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    runs = find(FASHION).runs
    return {"A-3.2-S1": [Measurement(checks={f"shared, unused, rank correlation, over {runs} runs": runs == 5})]}


def _section_3_2_1(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    def at(level: str, layers: slice = slice(None)) -> Callable[[str], Measurement]:
        def make(name: str) -> Measurement:
            return Measurement(values=np.concatenate([y.values for y in evidence.shared(store, name, level)[layers]]))

        return make

    def low(level: str) -> Callable[[str], Measurement]:
        # "Low" has no number in the paper; fixed here as at most twice what chance gives.
        def make(name: str) -> Measurement:
            layers = evidence.shared(store, name, level)
            mean, chance = (np.mean([y.values.mean() for y in layers]), np.mean([y.expected for y in layers]))
            return Measurement(
                checks={
                    f"mean of the layers at {level} %: {mean:.1f} %, chance {chance:.1f} %": bool(mean <= 2 * chance)
                }
            )

        return make

    def falls(name: str) -> Measurement:
        rows = {level: evidence.shared(store, name, level) for level in _trained(store, name)}
        checks = {}
        for number, layer in enumerate(next(iter(rows.values()))):
            means = [row[number].values.mean() for row in rows.values()]
            checks[f"{layer.layer} falls with every level"] = all(
                b < a or a == b == 0 for a, b in itertools.pairwise(means)
            )
            inside = [y[number].low <= m <= y[number].high for m, y in zip(means, rows.values(), strict=True)]
            checks[
                f"{layer.layer} as predicted: mean within chance's 95 % at {sum(inside)} of {len(inside)} levels"
            ] = all(inside)
        return Measurement(checks=checks)

    def by_depth(name: str) -> Measurement:
        layers = evidence.shared(store, name, find(name).levels[1].name)
        pairs = itertools.pairwise(layers)
        return Measurement(
            checks={
                f"{a.layer} {a.values.mean():.1f} % to {b.layer} {b.values.mean():.1f} %": bool(
                    b.values.mean() <= a.values.mean()
                )
                for a, b in pairs
            }
        )

    def no_depth(name: str) -> Measurement:
        means = [y.values.mean() for y in evidence.shared(store, name, find(name).levels[1].name)]
        # No number in the paper; fixed here as two percentage points.
        return Measurement(
            checks={
                f"layers differ by {max(means) - min(means):.1f} points at the first step": max(means) - min(means) <= 2
            }
        )

    def steady(name: str) -> Measurement:
        # "Low" and "very small" have no number in the paper; fixed here as two percentage points.
        checks = {}
        for level in _trained(store, name):
            worst = max(evidence.shared(store, name, level), key=lambda y: y.values.std(ddof=1))
            spread = worst.values.std(ddof=1)
            checks[f"largest standard deviation at {level} %: {spread:.1f} points ({worst.layer})"] = bool(spread <= 2)
        return Measurement(checks=checks)

    return {
        "A-F4a-1": _networks(low("50")),
        "A-F4a-2": _networks(falls),
        "A-F4a-3": _networks(by_depth),
        "A-F4a-4": _networks(steady),
        "A-F4a-F1": _networks(at("50", slice(0, 1)), (FASHION,)),
        "A-F4a-F2": _networks(at("50", slice(1, None)), (FASHION,)),
        "A-F4a-F3": _networks(at("80"), (FASHION,)),
        "A-F4a-F4": _networks(steady, (FASHION,)),
        "A-F4a-C1": _networks(at("50"), (CIFAR,)),
        "A-F4a-C2": _networks(at("80"), (CIFAR,)),
        "A-F4a-C3": _networks(no_depth, (CIFAR,)),
        "A-F4a-C4": _networks(low("60"), (CIFAR,)),
        "A-F4a-C5": _networks(steady, (CIFAR,)),
        "A-F4a-R1": _networks(low("50"), (RESNET,)),
        "A-F4a-R2": _networks(no_depth, (RESNET,)),
        "A-F4a-R3": _networks(at("90", slice(0, 1)), (RESNET,)),
        "A-F4a-R4": _networks(at("60", slice(17, 19)), (RESNET,)),
    }


def _section_3_2_2(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    def at(level: str) -> Callable[[str], Measurement]:
        def make(name: str) -> Measurement:
            return Measurement(values=np.concatenate([y.values for y in evidence.unused(store, name, level)]))

        return make

    def baseline(name: str) -> Measurement:
        return Measurement(
            groups=tuple(
                _share_group(share, f"{share.layer} at {level} %")
                for level in _trained(store, name)
                for share in evidence.unused(store, name, level)
            )
        )

    def small(name: str) -> list[str]:
        experiment = find(name)
        return [v.name for v in experiment.levels[1:] if v.kept * experiment.runs < 1]

    def falls(name: str) -> Measurement:
        _trained(store, name)
        means = {
            level: np.mean([y.values.mean() for y in evidence.unused(store, name, level, of_coverage=True)])
            for level in small(name)
        }
        steps = zip(means.items(), list(means.items())[1:], strict=False)
        return Measurement(
            checks={
                f"from {a} to {b} %: {m:.1f} % to {n:.1f} % of the coverage": bool(n < m) for (a, m), (b, n) in steps
            }
        )

    def even(name: str) -> Measurement:
        checks = {}
        for level in _trained(store, name):
            means = [y.values.mean() for y in evidence.unused(store, name, level)]
            # No number in the paper; fixed here as five percentage points.
            checks[f"layers differ by {max(means) - min(means):.1f} points at {level} %"] = max(means) - min(means) <= 5
        return Measurement(checks=checks)

    beyond = small(FASHION)
    return {
        "A-F4b-1": [
            Measurement(
                checks={f"the second normalisation is used at {', '.join(beyond)} %": beyond == ["90", "95", "98"]}
            )
        ],
        "A-F4b-2": [Measurement(missing=f"{CIFAR} and {RESNET}")],
        "A-F4b-3": _networks(baseline),
        "A-F4b-4": _networks(at("50")),
        "A-F4b-5": _networks(at("60")),
        "A-F4b-6": _networks(at("80"), SMALL),
        "A-F4b-7": _networks(falls),
        "A-F4b-8": _networks(even),
    }


def _section_3_2_3(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    found = {}
    for claim in ledger:
        panel = panels.get(claim.id[:5])
        if panel is not None:

            def make(level: str, name: str = panel.experiment, number: int = layer_number(claim)) -> Measurement:
                layers = evidence.rank_correlations(store, name, level)
                chosen = layers[number - 1 : number] if number else layers
                return Measurement(values=np.concatenate([y.values for y in chosen]))

            found[claim.id] = [
                _attempt(words, (panel.experiment,), functools.partial(make, level))
                for words, level in panel.levels.items()
            ]
    return found


def _section_3_2_4(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    def centred(name: str) -> Measurement:
        checks = {}
        for level in _trained(store, name)[3:]:
            for layer in evidence.rank_correlations(store, name, level):
                mean = layer.values.mean()
                # "Centred" has no number in the paper; fixed here as one standard deviation of no relationship.
                checks[f"{layer.layer} at {level} %: mean {mean:.2f}"] = bool(abs(mean) <= layer.null)
        return Measurement(checks=checks)

    def ends(level: str) -> Callable[[str], Measurement]:
        def make(name: str) -> Measurement:
            spread = {y.layer: y.values.std(ddof=1) for y in evidence.rank_correlations(store, name, level)}
            first, *inner, last = spread
            most = max(spread[layer] for layer in inner)
            return Measurement(
                checks={
                    f"{layer} at {level} %: {spread[layer]:.3f}, inner layers up to {most:.3f}": bool(
                        spread[layer] > most
                    )
                    for layer in (first, last)
                }
            )

        return make

    return {
        "A-3.2.4-1": _networks(functools.partial(_no_structure, store)),
        "A-3.2.4-2": _networks(centred, SMALL),
        "A-3.2.4-3": [
            _attempt(f"{name} at {level} %", (name,), functools.partial(ends(level), name))
            for name, level in ((FASHION, "80"), (FASHION, "90"), (CIFAR, "90"), (CIFAR, "95"))
        ],
        "A-3.2.4-4": [Measurement(missing=RESNET)],
        "A-3.2.4-5": [Measurement(missing=RESNET)],
    }


def _no_structure(store: Store, name: str) -> Measurement:
    """Hold shared and unused weights of every level and layer against chance."""
    groups = []
    for level in _trained(store, name):
        for what, measure in (("shared", evidence.shared), ("unused", evidence.unused)):
            groups += [_share_group(y, f"{what}, {y.layer} at {level} %") for y in measure(store, name, level)]
    return Measurement(groups=tuple(groups))


def _by_level(store: Store, name: str, measure: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {level: evidence.output_similarities(store, name, level, measure) for level in _trained(store, name)}


def _never_equal(store: Store, measure: str, name: str) -> Measurement:
    pairs = {level: np.concatenate(both) for level, both in _by_level(store, name, measure).items()}
    return Measurement(
        checks={
            f"smallest distance of outputs at {level} %: {values.min():.3f}": bool(values.min() > 0)
            for level, values in pairs.items()
        }
    )


def _section_3_3(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    def valley(name: str) -> Measurement:
        means = {level: within.mean() for level, (within, _) in _by_level(store, name, "L2").items()}
        levels = list(means)
        least = min(levels, key=lambda level: means[level])
        said = ", ".join(f"{level} %: {m:.3f}" for level, m in means.items())
        return Measurement(
            checks={
                f"it falls at first (least at {least} %)": least != levels[0],
                "then it rises": least != levels[-1],
            },
            note=f"mean distance {said}",
        )

    def stable(name: str) -> Measurement:
        means = [across.mean() for _, across in _by_level(store, name, "L2").values()]
        change = max(means[:3]) / min(means[:3]) - 1
        # "Stable" has no number in the paper; fixed here as a tenth.
        return Measurement(
            checks={
                f"the first three steps differ by {100 * change:.0f} %": bool(change <= 0.1),
                "then it rises at every step": all(b > a for a, b in itertools.pairwise(means)),
            },
            note=f"mean distance {', '.join(f'{m:.3f}' for m in means)}",
        )

    def lower(name: str) -> Measurement:
        return Measurement(
            checks={
                f"{level} %: {across.mean():.3f} across, {within.mean():.3f} within": bool(
                    across.mean() < within.mean()
                )
                for level, (within, across) in _by_level(store, name, "L2").items()
            }
        )

    def grows(name: str) -> Measurement:
        by_level = _by_level(store, name, "L2")
        means = [np.concatenate(both).mean() for both in by_level.values()]
        symmetry = _no_symmetry(store, name).checks
        return Measurement(
            checks={
                f"the distance grows from the first to the last step ({means[0]:.3f} to {means[-1]:.3f})": bool(
                    means[-1] > means[0]
                ),
                "it is never zero": all(np.concatenate(both).min() > 0 for both in by_level.values()),
                "no two masks are equal up to a permutation of units at any level": all(symmetry.values()),
            }
        )

    return {
        "A-F6-1": _networks(functools.partial(_never_equal, store, "L2"), (FASHION,)),
        "A-F6-2": _networks(valley, (FASHION,)),
        "A-F6-3": _networks(stable, (FASHION,)),
        "A-F6-4": _networks(lower, (FASHION,)),
        "A-3.3-C": _networks(grows, (FASHION,)),
    }


def _section_3_5(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    def pairs(within: bool) -> Callable[[str], Measurement]:
        def make(name: str) -> Measurement:
            return Measurement(
                groups=tuple(
                    chance_group(layer, f"{layer.layer} at {level} %")
                    for level in _trained(store, name)
                    for layer in evidence.overlaps(store, name, level, within)
                )
            )

        return make

    return {
        "A-3.5-1": _networks(pairs(False)),
        "A-3.5-2": _networks(pairs(True)),
        "A-3.5-3": _networks(functools.partial(_no_structure, store)),
        "A-3.5-4": [Measurement(missing=LADDER_PARTIAL)],
    }


def _section_4(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    return {"A-4-1": [Measurement(missing=LADDER_PARTIAL)]}


def _section_appendix_c(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]
) -> dict[str, list[Measurement]]:
    def late_fall(name: str) -> Measurement:
        means = [within.mean() for within, _ in _by_level(store, name, "CKA").values()]
        change = max(means[:4]) - min(means[:4])
        # "Stable" has no number in the paper; fixed here as 0.05 of CKA, which runs from 0 to 1.
        return Measurement(
            checks={
                f"the first four steps differ by {change:.3f}": bool(change <= 0.05),
                "it falls from step 4 to 5": bool(means[4] < means[3]),
                "and from 5 to 6": bool(means[5] < means[4]),
            },
            note=f"mean CKA {', '.join(f'{m:.3f}' for m in means)}",
        )

    def across_closer(name: str) -> Measurement:
        checks = {}
        for measure, sign in (("CKA", 1), ("L2", -1)):
            for level, (within, across) in _by_level(store, name, measure).items():
                checks[f"{measure} at {level} %: {across.mean():.3f} across, {within.mean():.3f} within"] = bool(
                    sign * across.mean() > sign * within.mean()
                )
        return Measurement(checks=checks)

    def diverge(name: str) -> Measurement:
        checks = {}
        for measure, sign in (("CKA", -1), ("L2", 1)):
            means = [np.concatenate(both).mean() for both in _by_level(store, name, measure).values()]
            checks[f"{measure} from {means[0]:.3f} at the first to {means[-1]:.3f} at the last step"] = bool(
                sign * means[-1] > sign * means[0]
            )
        return Measurement(checks=checks)

    return {
        "A-F9-1": _networks(functools.partial(_never_equal, store, "L2")),
        "A-F9-2": [Measurement(missing=f"{CIFAR} and {RESNET}")],
        "A-F9-3": _networks(late_fall),
        "A-F9-4": _networks(across_closer),
        "A-F9-5": _networks(diverge),
    }


SECTIONS: dict[tuple[str, str], Callable[..., dict[str, list[Measurement]]]] = {
    ("A", "Abstract"): _section_abstract,
    ("A", "1"): _section_1,
    ("A", "2"): _section_2,
    ("A", "3"): _section_3,
    ("A", "3.1"): _section_3_1,
    ("A", "3.2"): _section_3_2,
    ("A", "3.2.1"): _section_3_2_1,
    ("A", "3.2.2"): _section_3_2_2,
    ("A", "3.2.3"): _section_3_2_3,
    ("A", "3.2.4"): _section_3_2_4,
    ("A", "3.3"): _section_3_3,
    ("A", "3.5"): _section_3_5,
    ("A", "4"): _section_4,
    ("A", "Appendix A"): _section_appendix_a,
    ("A", "Appendix B"): _section_appendix_b,
    ("A", "Appendix C"): _section_appendix_c,
}
