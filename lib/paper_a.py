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
from numpy.typing import NDArray

from lib import baselines, claims, evidence, overlap, statistics, topology
from lib.claims import ChanceGroup, Claim, Lack, Measurement
from lib.errors import UserError
from lib.evidence import Missing, chance_group
from lib.experiments import EXPERIMENTS, find
from lib.pruning import kept_counts, random_masks
from lib.tickets import Store

FASHION, CIFAR, RESNET = "a/fashion-lenet/free", "a/cifar-lenet/free", "a/cifar-resnet18/free"
SMALL = (FASHION, CIFAR)
FASHION_PARTIAL, CIFAR_PARTIAL = "a/fashion-lenet/partial", "a/cifar-lenet/partial"
RESNET_PARTIAL, MNIST_PARTIAL = "a/cifar-resnet18/partial", "a/mnist-lenet/partial"
EQUAL, FIXED = "a/fashion-equal/partial", "a/fashion-lenet/fixed"
SMALL_PARTIAL = (FASHION_PARTIAL, CIFAR_PARTIAL)
ALL_PARTIAL = (*SMALL_PARTIAL, RESNET_PARTIAL)
# The same network and images with a free batch order, which the paper compares with.
FREE = {FASHION_PARTIAL: FASHION, CIFAR_PARTIAL: CIFAR, RESNET_PARTIAL: RESNET}
# The layers of the ResNet that the paper plots. It numbers them without saying from where: both ways are read.
PLOTTED = (1, 11, 12, 18, 19)
COUNTED = {"layers counted from one": 1, "layers counted from zero": 0}

# "Seems related" and "strongly correlated" have no number in the paper; fixed here as these correlations, and
# "no clear correlation" as less than the first.
RELATED, STRONG = 0.5, 0.8


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel of a figure of paper A that shows overlaps, or rank correlations.

    Attributes
    ----------
    experiment : str
    levels : mapping of str to str
        How the paper's level can be read, in words, to the name of that level. Where a caption and the
        numbers of the text do not fit each other there are two readings, and a claim is scored at both.
    within : bool
        Pairs of tickets of one initialisation, or else of different ones.
    partners : tuple of str
        Experiments on other images whose tickets are compared with those of the first, from the same initial
        weights; none to compare the tickets of the experiment with each other.
    ranks : bool
        Rank correlations of initial and final weights, ticket by ticket, in place of overlaps.
    of, over : str
        What is ranked, and which weights, as `evidence.rank_correlations` has them.
    """

    experiment: str
    levels: Mapping[str, str]
    within: bool = True
    partners: tuple[str, ...] = ()
    ranks: bool = False
    of: str = "signed"
    over: str = "survivors"


_AT_80_90 = {"captioned level, 80 %": "80", "implied level, 90 %": "90"}
_AT_90_95 = {"captioned level, 90 %": "90", "implied level, 95 %": "95"}
_AT_90_98 = {"captioned level, 90 %": "90", "implied level, 98 %": "98"}
_TASKS = (MNIST_PARTIAL, CIFAR_PARTIAL)


# The levels of Figure 3: the captions say 80, 90 and 90 %; the expected overlaps that the text gives, and
# for the second and third panel its own words, are those of the next level (90, 95 and 98 %).
PANELS: dict[str, Panel] = {
    "A-1": Panel(FASHION, {f"{level.name} %": level.name for level in find(FASHION).levels[1:]}),
    "A-F2-1": Panel(FASHION, {"first step, 50 %": "50"}, within=False),
    "A-F2-2": Panel(CIFAR, {"fifth step, 95 %": "95"}, within=False),
    "A-F2-3": Panel(RESNET, {"third step, 90 %": "90"}, within=False),
    "A-F3a": Panel(FASHION, _AT_80_90),
    "A-F3b": Panel(CIFAR, _AT_90_95),
    "A-F3c": Panel(RESNET, _AT_90_98),
    "A-F5a": Panel(FASHION, _AT_80_90, ranks=True),
    "A-F5b": Panel(CIFAR, _AT_90_95, ranks=True),
    "A-F5c": Panel(RESNET, _AT_90_98, ranks=True),
    "A-F7b": Panel(CIFAR_PARTIAL, _AT_90_95),
    "A-F7c": Panel(RESNET_PARTIAL, _AT_90_98),
    "A-F7e": Panel(FASHION_PARTIAL, _AT_90_95, partners=_TASKS),
    "A-F7f": Panel(RESNET_PARTIAL, _AT_90_98, ranks=True),
    "A-F8a": Panel(FASHION, {"first step, 50 %": "50"}),
    "A-F8b": Panel(CIFAR, {"first step, 50 %": "50"}),
    "A-F8c": Panel(RESNET, {"first step, 50 %": "50"}),
    "A-F10a": Panel(FASHION_PARTIAL, _AT_80_90),
    "A-F10b": Panel(CIFAR_PARTIAL, _AT_90_95),
    "A-F10c": Panel(RESNET_PARTIAL, _AT_90_98),
    "A-F12a": Panel(FASHION_PARTIAL, _AT_80_90, ranks=True),
    "A-F12b": Panel(CIFAR_PARTIAL, _AT_90_95, ranks=True),
    "A-F12c": Panel(RESNET_PARTIAL, _AT_90_98, ranks=True),
    "A-F13a": Panel(FASHION_PARTIAL, {"first step, 50 %": "50"}, partners=_TASKS),
    "A-F13b": Panel(FASHION_PARTIAL, _AT_90_95, partners=_TASKS),
    "A-F14a": Panel(EQUAL, {"first step, 50 %": "50"}),
    "A-F14b": Panel(EQUAL, _AT_90_95),
}


def panels_at(key: str, levels: Mapping[str, float | str], experiment: str = "") -> dict[str, Panel]:
    """Return the panels of `PANELS` with one of them read at other levels, or made from other tickets.

    Parameters
    ----------
    key : str
        Of the panel.
    levels : mapping of str to float or str
        How a level is called, to the fraction of the weights that is pruned.
    experiment : str
        Whose tickets the panel shows, and its claims are scored on; '' for the panel's own.

    Raises
    ------
    UserError
        If there is no such experiment, or it has no such level.
    """
    panel = dataclasses.replace(PANELS[key], experiment=find(experiment or PANELS[key].experiment).name)
    network = find(panel.experiment)
    names = {}
    for words, fraction in levels.items():
        known = {level.name: level.pruned for level in network.levels[1:]}
        try:
            match = [name for name, pruned in known.items() if abs(pruned - float(fraction)) < 1e-9]
        except ValueError:
            match = []
        if not match:
            listed = ", ".join(f"{pruned:g}" for pruned in known.values())
            raise UserError(f"level is {fraction} ({words}): {network.name} has levels at {listed} pruned")
        names[f"{words}, {match[0]} %"] = match[0]
    return {**PANELS, key: dataclasses.replace(panel, levels=names)}


def layer_readings(experiment: str, number: int) -> dict[str, str]:
    """Return how a number that the paper gives a layer can be read: in words, to the name of the layer.

    The small networks have five layers, counted from one. Of the ResNet the projections of its shortcuts are not
    counted, and the paper does not say whether it counts from one or from zero: its "last layer", 19, is the last
    convolution of the one count and the dense layer of the other.
    """
    counted = [layer.name for layer in find(experiment).architecture.layers if not layer.linear]
    if find(experiment).architecture != find(RESNET).architecture:
        return {"": counted[number - 1]}
    return {words: counted[number - start] for words, start in COUNTED.items()}


def counted_from(start: int) -> str:
    """Return the words for counting layers of the ResNet from one, or from zero."""
    return next(words for words, first in COUNTED.items() if first == start)


def plotted_layers(experiment: str) -> list[str]:
    """Return the layers that figures of an experiment show: all, or those of the ResNet that the paper may mean."""
    layers = find(experiment).architecture.layers
    if find(experiment).architecture != find(RESNET).architecture:
        return [layer.name for layer in layers]
    meant = {name for number in PLOTTED for name in layer_readings(experiment, number).values()}
    return [layer.name for layer in layers if layer.name in meant]


def paper_ranges(key: str, experiment: str = "", start: int = 1) -> dict[str, tuple[float, float]]:
    """Return what the paper's text says of each layer in a panel, in % of the mask or as correlations, by layer.

    A value, such as 'around 10 %', is a range of no width; a range without one of its ends is left out.

    Parameters
    ----------
    key : str
        Of the panel; '' for none, of which nothing is said.
    experiment : str
        Whose layers are meant; '' for the panel's own.
    start : int
        Layers of the ResNet are counted from it, one or zero; those of small networks are not counted from zero.
    """
    found: dict[str, tuple[float, float]] = {}
    if not key:
        return found
    experiment = experiment or PANELS[key].experiment
    words = "" if find(experiment).architecture != find(RESNET).architecture else counted_from(start)
    if not words and start == 0:
        return found
    for claim in claims.load().values():
        said = claim.claimed
        numbers = layer_numbers(claim)
        if not claim.id.startswith(key + "-") or not numbers:
            continue
        layer = layer_readings(experiment, numbers[-1])[words]
        if claim.check == "range" and said.low is not None and said.high is not None:
            found[layer] = (said.low, said.high)
        elif claim.check == "value" and isinstance(said.value, int | float):
            found[layer] = (float(said.value), float(said.value))
    return found


# --- how one claim is measured -------------------------------------------------------------------------------


def _attempt(reading: str, names: Sequence[str], make: Callable[[], Measurement]) -> Measurement:
    """Return the measurement, or one that says which tickets it lacks."""
    try:
        found = make()
    except Missing as missing:
        return Measurement(reading=reading, missing=missing.lacks)
    return dataclasses.replace(found, reading=reading, experiments=tuple(dict.fromkeys((*names, *found.experiments))))


def layer_numbers(claim: Claim) -> list[int]:
    """Return the ways to read the number of the layer that a claim is about; none if it is about several."""
    match = re.match(r"(\d+)(?: \[(\d+)\?\])?", claim.layer)
    return [int(number) for number in match.groups() if number] if match else []


def panel_measurements(store: Store, claim: Claim, panel: Panel) -> list[Measurement]:
    """Measure a claim about what one panel shows, at every reading of its level, its layer and its partner.

    A statement about all layers but some is not held against those that the paper names as exceptions.
    """

    def layers(level: str, partner: str) -> Sequence[evidence.LayerOverlap | evidence.LayerCorrelation]:
        if panel.ranks:
            return evidence.rank_correlations(store, panel.experiment, level, panel.of, panel.over)
        if partner:
            return evidence.task_overlaps(store, panel.experiment, partner, level)
        return evidence.overlaps(store, panel.experiment, level, panel.within)

    def make(level: str, layer: str, without: Sequence[str], partner: str) -> Measurement:
        found = [y for y in layers(level, partner) if y.layer not in without]
        left_out = evidence.left_out(panel.experiment, level)
        notes = [f"without {', '.join(without)}, which the paper excepts"] * bool(without)
        notes += [f"without {', '.join(left_out)}, where no weight is left"] * bool(left_out and not layer)
        note = "; ".join(notes)
        if claim.check in ("chance-match", "above-chance"):
            groups = tuple(chance_group(y) for y in found if isinstance(y, evidence.LayerOverlap))
            return Measurement(groups=groups, note=note)
        if claim.layer == "expected":
            expected = [y.expected for y in found if isinstance(y, evidence.LayerOverlap)]
            return Measurement(values=np.array(expected), note=note)
        chosen = [y.values for y in found if layer in ("", y.layer)]
        if not chosen:
            raise Missing(Lack(panel.experiment, f"{level} %", such=f"with weights enough in {layer}"))
        return Measurement(values=np.concatenate(chosen), note=note)

    numbers = layer_numbers(claim)
    # By how the layer is read: the one that is meant, '' for all; and those of all that are excepted.
    named: dict[str, tuple[str, tuple[str, ...]]] = {} if numbers or claim.excepted else {"": ("", ())}
    for number in numbers:
        for counted, name in layer_readings(panel.experiment, number).items():
            named[", ".join(part for part in (f"layer {number}" if numbers[1:] else "", counted) if part)] = name, ()
    for number in claim.excepted:
        for counted, name in layer_readings(panel.experiment, number).items():
            named[counted] = "", (*named.get(counted, ("", ()))[1], name)
    result = []
    for partner in panel.partners or ("",):
        for words, level in panel.levels.items():
            for which, (layer, without) in named.items():
                if partner and layer and layer not in evidence.common_layers(panel.experiment, partner):
                    continue
                parts = (
                    f"with {partner}" if partner else "",
                    words if len(panel.levels) > 1 else "",
                    which if len(named) > 1 else "",
                )
                reading = ", ".join(part for part in parts if part)
                names = (panel.experiment, partner) if partner else (panel.experiment,)
                result.append(_attempt(reading, names, functools.partial(make, level, layer, without, partner)))
    return result


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


def _as_by_chance(store: Store, levels: Sequence[str], name: str = FASHION) -> Measurement:
    """Check overlaps within an initialisation, weights shared by all runs and rank correlations against chance.

    Of each, as large a share of layers and levels must match as of a claim's groups (`claims.CHANCE_SHARE`).
    """
    found: dict[str, list[tuple[str, bool]]] = {"overlap": [], "in all five": [], "rank correlation": []}
    for level in levels:
        for group in (chance_group(y, f"{y.layer} at {level} %") for y in evidence.overlaps(store, name, level)):
            found["overlap"].append((_against(group), claims.matches_chance(group)))
        for group in (_share_group(y, f"{y.layer} at {level} %") for y in evidence.shared(store, name, level)):
            found["in all five"].append((_against(group), claims.matches_chance(group)))
        try:
            correlations = evidence.rank_correlations(store, name, level)
        except Missing:
            continue  # the ResNet's last level: no layer has a correlation
        for ranks in correlations:
            mean = float(ranks.values.mean())
            found["rank correlation"].append((f"{ranks.layer} at {level} % ({mean:.2f})", abs(mean) <= ranks.null))
    checks = {}
    for what, pairs in found.items():
        good = [words for words, match in pairs if match]
        said = f"{what}: as by chance in {len(good)} of {len(pairs)} layers and levels"
        checks[said + f" ({', '.join(good)})" * bool(good)] = len(good) >= claims.CHANCE_SHARE * len(pairs)
    return Measurement(checks=checks)


def _against(group: ChanceGroup) -> str:
    return f"{group.name} ({np.mean(np.asarray(group.values)):.1f}, chance {group.expected:.1f})"


def _section_1(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    name, levels = panels["A-1"].experiment, list(panels["A-1"].levels.values())

    def different() -> Measurement:
        checks = {}
        for level in levels:
            masks = evidence.part(store, name, level, "masks")
            i, j = overlap.within_pairs(store.find(name).inits, store.find(name).runs)
            checks[f"no two of the masks of an initialisation are equal at {level} %"] = bool(
                (masks[i] != masks[j]).any(axis=1).all()
            )
        return Measurement(checks=checks)

    return {
        "A-1-C1": [_attempt("", (name,), different)],
        "A-1-C2": [_attempt("", (name,), functools.partial(_as_by_chance, store, levels, name))],
        "A-1-C3": [_attempt("", (name,), functools.partial(_no_symmetry, store, name))],
        "A-1-C4": _across_tasks(functools.partial(_some_above, store)),
        "A-1-C5": _networks(functools.partial(_more_accurate, store), ALL_PARTIAL),
    }


def _section_2(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    fashion = store.find(FASHION)
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
            raise Missing(Lack(name, f"{', '.join(lacking)} %"))
        best = 3 if name == RESNET else 2
        small = {level.name for level in fashion.levels[1:]} if name == RESNET else set()
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
        for level in (v for v in pruned if v in small):
            # "Fairly stable" at the levels of the small networks has no number in the paper; fixed here as nine tenths.
            words = (
                f"stable: at {level} % nine tenths of the dense accuracy ({mean[level]:.2f} of {mean['dense']:.2f} %)"
            )
            checks[words] = bool(mean[level] >= 0.9 * mean["dense"])
        return Measurement(checks=checks)

    def smallest(name: str) -> Measurement:
        mean = {level: values.mean() for level, values in evidence.accuracies(store, name).items()}
        last = find(name).levels[-1].name
        if last not in mean:
            raise Missing(Lack(name, f"{last} %"))
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
        "A-2-S3": [
            Measurement(
                checks={
                    f"{len(plotted_layers(RESNET))} layers are shown, those of both ways to count": True,
                    "the dense layer is the last, counted from zero": layer_readings(RESNET, PLOTTED[-1])[
                        "layers counted from zero"
                    ]
                    == find(RESNET).architecture.layers[-1].name,
                }
            )
        ],
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
    fashion = store.find(FASHION)
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
        "A-3.1-C": _chance_everywhere(store, tuple(levels), levels),
    }


def _section_appendix_a(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]
) -> dict[str, list[Measurement]]:
    figure = {key: panels[key] for key in ("A-F8a", "A-F8b", "A-F8c")}
    levels = {p.experiment: list(p.levels.values()) for p in figure.values()}
    return {
        **_by_panel(store, ledger, panels),
        "A-F8-C": _chance_everywhere(store, tuple(levels), levels),
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
        "A-B-sd-2": by_level(
            "half the printed difference over the exact standard deviation",
            agree(
                lambda n, k: baselines.printed_spread(
                    n - baselines.printed_uncovered(n, k), baselines.printed_covered_max(n, k)
                ),
                lambda n, k: float(np.sqrt(baselines.uncovered_variance(n, k))),
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
            raise Missing(Lack(name))
        return make(name)

    return [_attempt(name if len(names) > 1 else "", (name,), functools.partial(known, name)) for name in names]


def _trained(store: Store, name: str) -> list[str]:
    """Return the pruned levels of an experiment; raise `Missing` if one is not trained."""
    if name not in EXPERIMENTS:
        raise Missing(Lack(name))
    levels = [level.name for level in find(name).levels[1:]]
    for level in levels:
        evidence.record(store, name, level)
    return levels


def _share_group(share: evidence.LayerShare, name: str) -> ChanceGroup:
    return ChanceGroup(name, share.values, share.expected, share.low, share.high)


def _masks(store: Store, name: str, level: str, random: bool) -> NDArray[np.bool_]:
    """Return the masks of an experiment at one level; or as many random ones with as many weights in every layer."""
    if not random:
        return evidence.part(store, name, level, "masks")
    experiment = store.find(name)
    return random_masks(experiment.architecture, experiment.level(level), experiment.replicas)


def fewest_other_degrees(store: Store, name: str, level: str, random: bool = False) -> tuple[int, int]:
    """Return in how many units any two masks of an experiment differ at least by the number of inputs, however the
    units of a layer are matched; and the number of units.  Above zero no two networks are the same up to a permutation
    of their hidden units."""
    architecture = store.find(name).architecture
    degrees = topology.degrees(architecture, _masks(store, name, level, random))
    layer = np.repeat(np.arange(len(architecture.layers)), [y.shape[0] for y in architecture.layers])
    keys = layer * (degrees.max() + 1) + degrees
    # How many units of each layer keep each number: what two masks have in common of that can be matched.
    counts = np.stack([np.bincount(row, minlength=keys.max() + 1) for row in keys])
    return min(int(np.abs(a - b).sum()) // 2 for a, b in itertools.combinations(counts, 2)), degrees.shape[1]


def _no_symmetry(store: Store, name: str) -> Measurement:
    """Test weight-space symmetry on the masks themselves, by the numbers of inputs that the units of a layer keep.

    The distance of outputs, which the paper takes, cannot refute it: a ticket that is retrained ends elsewhere than
    its mirror image would.  Nor can NNSTD where units keep equal connections: these are matched in any order, and the
    layer behind then has a distance from its own mirror image.
    """
    checks = {}
    for level in _trained(store, name):
        differ, units = fewest_other_degrees(store, name, level)
        found = f"{differ} or more of {units} units differ in inputs kept"
        checks[f"no two masks are equal up to a permutation of units at {level} % ({found})"] = differ > 0
    return Measurement(checks=checks)


def _plotted(name: str, start: int) -> list[str]:
    """Return the five layers that the paper's figures show: of the ResNet, counted from `start`."""
    if find(name).architecture != find(RESNET).architecture:
        return plotted_layers(name)
    return [layer_readings(name, number)[counted_from(start)] for number in PLOTTED]


def _across_tasks(make: Callable[[str, str], Measurement], pairs: Sequence[tuple[str, str]] = ()) -> list[Measurement]:
    """Measure the same thing on tickets of Fashion-MNIST beside those of other images, one reading a data set."""
    pairs = pairs or [(FASHION_PARTIAL, other) for other in _TASKS]
    return [_attempt(f"{one} with {other}", (one, other), functools.partial(make, one, other)) for one, other in pairs]


def _pairs_of(store: Store, name: str, partner: str, level: str) -> list[evidence.LayerOverlap]:
    """Return the overlaps of the tickets of an experiment with each other, or with those of a partner."""
    return evidence.task_overlaps(store, name, partner, level) if partner else evidence.overlaps(store, name, level)


def _some_above(store: Store, name: str, partner: str = "") -> Measurement:
    """Check that overlaps above chance occur: in one layer at one level at least, and say in how many."""
    above, total = [], 0
    for level in _trained(store, name):
        layers = _pairs_of(store, name, partner, level)
        total += len(layers)
        above += [f"{y.layer} at {level} %" for y in layers if claims.above_chance(chance_group(y))]
    said = f"above chance in {len(above)} of {total} layers and levels"
    return Measurement(checks={said: bool(above)})


def _more_accurate(store: Store, name: str) -> Measurement:
    """Compare the accuracy of an experiment's tickets with that of tickets whose batch order was free.

    They are if the whole interval is above zero: a mean is above it by chance half of the time.
    """
    levels = _trained(store, name)
    _trained(store, FREE[name])
    evidence.several(store, name)  # of one there is no interval
    gains = evidence.accuracy_gains(store, name, FREE[name])
    return Measurement(
        checks={
            f"{level} %: {gain.accuracy:.2f} % against {gain.reference:.2f} % (difference {gain.difference:+.2f}, "
            f"95 % interval: {gain.interval})": bool(gain.low > 0)
            for level, gain in gains.items()
            if level in levels
        },
        experiments=(FREE[name],),
    )


def _more_overlap(store: Store, name: str, partner: str = "") -> Measurement:
    """Compare the overlap of an experiment's tickets with that of tickets whose batch order was free."""
    free, free_partner = FREE[name], FREE.get(partner, "")
    _trained(store, free)
    checks = {}
    for level in _trained(store, name):
        less, more = (_mean_of(_pairs_of(store, *who, level)) for who in ((free, free_partner), (name, partner)))
        checks[f"{level} %: mean of the layers {more:.1f} %, free {less:.1f} %"] = more > less
    return Measurement(checks=checks, experiments=(free, *([free_partner] if free_partner else [])))


def _ranking(store: Store, measure: str, names: Sequence[str]) -> Measurement:
    """Check the order of networks, the one with the most similar outputs first, by the levels that all of them have."""
    found = {name: _by_level(store, name, measure) for name in names}
    levels = [level for level in found[names[0]] if all(level in by_level for by_level in found.values())]
    means = {
        name: float(np.mean([np.concatenate(by_level[level]).mean() for level in levels]))
        for name, by_level in found.items()
    }
    return Measurement(
        checks={
            f"{measure}, {one} before {other}: {means[one]:.3f} and {means[other]:.3f}": bool(
                means[one] < means[other] if measure == "L2" else means[one] > means[other]
            )
            for one, other in itertools.pairwise(names)
        },
        note=_constant(store, names, f"means of all pairs at {', '.join(levels)} %"),
    )


def _mean_of(layers: Sequence[evidence.LayerOverlap | evidence.LayerShare]) -> float:
    """Return the mean over layers of what is measured in each on average."""
    return float(np.mean([y.values.mean() for y in layers]))


def _spread_of(layers: Sequence[evidence.LayerOverlap]) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviations of the overlaps, and of the hypergeometric distribution, layer by layer."""
    measured = np.array([y.values.std(ddof=1) for y in layers])
    chance = np.array([100 * np.sqrt(baselines.overlap_variance(y.weights, y.kept)) / y.kept for y in layers])
    return measured, chance


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the correlation of two rows of numbers; zero, which claims nothing, where one of them does not vary."""
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0


def _at_levels(
    panel: Panel, make: Callable[[str], Measurement], name: str = "", others: Sequence[str] = ()
) -> list[Measurement]:
    """Measure something at every reading of a panel's level."""
    prefix = f"{name}, " if name else ""
    return [
        _attempt(prefix + words, (panel.experiment, *others), functools.partial(make, level))
        for words, level in panel.levels.items()
    ]


def _once(readings: Sequence[Measurement]) -> list[Measurement]:
    """Return readings of distinct names, the first of each: two panels may be of the same tickets (`panels_at`)."""
    return list({reading.reading: reading for reading in reversed(readings)}.values())[::-1]


def _section_abstract(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]
) -> dict[str, list[Measurement]]:
    def several(name: str) -> Measurement:
        masks, design = evidence.part(store, name, "50", "masks"), (store.find(name).inits, store.find(name).runs)
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
        "A-ABS-3": _networks(lambda name: _as_by_chance(store, _trained(store, name), name)),
        "A-ABS-4": [
            *_networks(functools.partial(_some_above, store), ALL_PARTIAL),
            *_across_tasks(functools.partial(_some_above, store)),
        ],
    }


def _section_3(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    def vary(name: str) -> Measurement:
        checks = {}
        i, j = overlap.within_pairs(store.find(name).inits, store.find(name).runs)
        for level in _trained(store, name):
            masks = evidence.part(store, name, level, "masks")
            mean = max(layer.values.mean() for layer in evidence.overlaps(store, name, level))
            checks[f"at {level} % no two masks are equal"] = bool((masks[i] != masks[j]).any(axis=1).all())
            # "Vary greatly" has no number in the paper; fixed here as a tenth of the mask, on average, in every layer.
            said = f"at {level} % at least a tenth of a mask differs on average"
            checks[f"{said} (mean overlap of a layer {mean:.1f} % at most)"] = bool(mean <= 90)
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

    def late(counted: str) -> Measurement:
        """Take the ResNet's layers 18 and 19."""
        meant = [layer_readings(RESNET, number)[counted] for number in (18, 19)]
        shared = {y.layer: y.values for y in evidence.shared(store, RESNET, "60")}
        return Measurement(values=np.concatenate([shared[layer] for layer in meant]), note=" and ".join(meant))

    def low(level: str) -> Callable[[str], Measurement]:
        # "Low" has no number in the paper; fixed here as at most twice what chance gives.
        def make(name: str) -> Measurement:
            layers = evidence.shared(store, name, level)
            mean, chance = _mean_of(layers), float(np.mean([y.expected for y in layers]))
            return Measurement(
                checks={
                    f"mean of the layers at {level} %: {mean:.1f} %, chance {chance:.1f} %": bool(mean <= 2 * chance)
                }
            )

        return make

    def similar(one: str, others: Sequence[str]) -> Measurement:
        checks = {}
        for other in others:
            for level in (v for v in _trained(store, one) if v in _trained(store, other)):
                mean, beside = (_mean_of(evidence.shared(store, x, level)) for x in (one, other))
                # "Similar", "roughly the same" have no number in the paper; two points, as for weights left out.
                said = f"at {level} %: {mean:.1f} % in {one}, {beside:.1f} % in {other}"
                checks[said] = abs(mean - beside) <= 2
        return Measurement(checks=checks)

    def all_low() -> Measurement:
        """Ask of each network whether little is shared, and of each two whether it is as much."""
        networks = (*SMALL, RESNET)
        checks = {f"{name}: {k}": v for name in networks for k, v in low("50")(name).checks.items()}
        for number, name in enumerate(networks):
            checks |= similar(name, networks[number + 1 :]).checks
        return Measurement(checks=checks)

    def fewer(layers: slice) -> Measurement:
        cifar, fashion = (_mean_of(evidence.shared(store, name, "50")[layers]) for name in (CIFAR, FASHION))
        return Measurement(checks={f"{cifar:.1f} % on CIFAR-10, {fashion:.1f} % on Fashion-MNIST": cifar < fashion})

    def falls(name: str) -> Measurement:
        rows = {level: evidence.shared(store, name, level) for level in _trained(store, name)}
        checks = {}
        for layer in next(iter(rows.values())):
            row = [y for found in rows.values() for y in found if y.layer == layer.layer]  # not where it keeps nothing
            means = [y.values.mean() for y in row]
            checks[f"{layer.layer} falls with every level"] = all(
                b < a or a == b == 0 for a, b in itertools.pairwise(means)
            )
            inside = [y.low <= mean <= y.high for mean, y in zip(means, row, strict=True)]
            checks[
                f"{layer.layer} as predicted: mean within chance's 95 % at {sum(inside)} of {len(inside)} levels"
            ] = all(inside)
        return Measurement(checks=checks)

    def by_depth(name: str) -> Measurement:
        # The projections of the ResNet's shortcuts lie beside its layers, not behind them.
        deep = [layer.name for layer in find(name).architecture.layers if not layer.linear]
        layers = [y for y in evidence.shared(store, name, find(name).levels[1].name) if y.layer in deep]
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
        # "Generally low" and "overall very small" have no number in the paper; fixed here as two percentage points in
        # the mean over the layers: not in the worst of them, for the sentences are general ones.
        checks, levels = {}, _trained(store, name)
        evidence.several(store, name)  # of one there is one value a layer, which has no spread
        for level in levels:
            spread = float(np.mean([y.values.std(ddof=1) for y in evidence.shared(store, name, level)]))
            checks[f"standard deviation at {level} %, mean of the layers: {spread:.1f} points"] = spread <= 2
        return Measurement(checks=checks)

    return {
        "A-F4a-1": [_attempt("", (*SMALL, RESNET), all_low)],
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
        "A-F4a-C6": [
            _attempt(words, (CIFAR, FASHION), functools.partial(fewer, layers))
            for words, layers in (("first layer", slice(0, 1)), ("all layers", slice(None)))
        ],
        "A-F4a-R1": [_attempt("", (RESNET, *SMALL), lambda: similar(RESNET, SMALL))],
        "A-F4a-R2": _networks(no_depth, (RESNET,)),
        "A-F4a-R3": _networks(at("90", slice(0, 1)), (RESNET,)),
        "A-F4a-R4": [_attempt(words, (RESNET,), functools.partial(late, words)) for words in COUNTED],
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

    def normalised(name: str, level: str) -> tuple[list[float], str]:
        """Return the mean of each layer in % of what the masks can cover or of its size, whichever is smaller."""
        by_coverage = level in small(name)
        layers = evidence.unused(store, name, level, of_coverage=by_coverage)
        return [float(y.values.mean()) for y in layers], "the coverage" if by_coverage else "the layers"

    def falls(name: str) -> Measurement:
        _trained(store, name)
        means = {level: _mean_of(evidence.unused(store, name, level, of_coverage=True)) for level in small(name)}
        steps = zip(means.items(), list(means.items())[1:], strict=False)
        return Measurement(
            checks={
                f"from {a} to {b} %: {m:.1f} % to {n:.1f} % of the coverage": bool(n < m) for (a, m), (b, n) in steps
            }
        )

    def even(name: str) -> Measurement:
        checks = {}
        for level in _trained(store, name):
            means, of = normalised(name, level)
            apart = max(means) - min(means)
            # No number in the paper; fixed here as five percentage points.
            checks[f"layers differ by {apart:.1f} points of {of} at {level} %"] = apart <= 5
        return Measurement(checks=checks)

    def same(name: str) -> Measurement:
        checks = {}
        for level in (v for v in _trained(store, FASHION) if v in _trained(store, name)):
            mean, other = (float(np.mean(normalised(x, level)[0])) for x in (FASHION, name))
            # "The same" has no number in the paper; fixed here as two percentage points.
            said = f"at {level} %: {mean:.1f} % of {normalised(name, level)[1]} for Fashion-MNIST, {other:.1f} %"
            checks[said] = abs(mean - other) <= 2
        return Measurement(checks=checks)

    beyond = small(FASHION)
    return {
        "A-F4b-1": [
            Measurement(
                checks={f"the second normalisation is used at {', '.join(beyond)} %": beyond == ["90", "95", "98"]}
            )
        ],
        "A-F4b-2": _networks(same, (CIFAR, RESNET)),
        "A-F4b-3": _networks(baseline),
        "A-F4b-4": _networks(at("50")),
        "A-F4b-5": _networks(at("60")),
        "A-F4b-6": _networks(at("80"), SMALL),
        "A-F4b-7": _networks(falls),
        "A-F4b-8": _networks(even),
    }


def _section_3_2_3(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    fashion, cifar = panels["A-F5a"], panels["A-F5b"]

    def same_pattern(level: str, other: str) -> Measurement:
        """Compare the layers of the two small networks: where they lie, and which of them vary."""
        found = evidence.rank_correlations(store, cifar.experiment, level, cifar.of, cifar.over)
        beside = evidence.rank_correlations(store, fashion.experiment, other, fashion.of, fashion.over)
        spread, spread_beside = (np.array([y.values.std(ddof=1) for y in layers]) for layers in (found, beside))
        alike = _correlation(spread, spread_beside)
        means = {y.layer: (float(y.values.mean()), float(z.values.mean())) for y, z in zip(found, beside, strict=True)}
        # "The same" has no number in the paper; fixed here as two of the steps in which it reads correlations.
        checks = {
            f"{layer}: mean {one:.2f}, {other:.2f} on Fashion-MNIST": abs(one - other) <= 0.1
            for layer, (one, other) in means.items()
        }
        said = f"over the layers, the spreads of the two networks correlate by {alike:.2f} (at least {STRONG:g})"
        return Measurement(checks={**checks, said: alike >= STRONG})

    levels = zip(cifar.levels.items(), fashion.levels.values(), strict=False)
    return {
        **_by_panel(store, ledger, panels),
        "A-F5b-6": [
            _attempt(
                f"{words}, Fashion-MNIST at {other} %",
                (cifar.experiment, fashion.experiment),
                functools.partial(same_pattern, level, other),
            )
            for (words, level), other in levels
        ],
    }


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

    def less_variance(start: int, level: str) -> Measurement:
        """Compare standard deviations at a level that all three networks have."""
        spread = {y.layer: y.values.std(ddof=1) for y in evidence.rank_correlations(store, RESNET, level)}
        first, *inner, last = (spread[layer] for layer in _plotted(RESNET, start))
        checks = {
            f"first layer {first:.3f}, inner layers up to {max(inner):.3f}": bool(first > max(inner)),
            f"last layer {last:.3f}, inner layers up to {max(inner):.3f}": bool(last > max(inner)),
        }
        for name in SMALL:
            middle = [y.values.std(ddof=1) for y in evidence.rank_correlations(store, name, level)][1:-1]
            checks[f"inner layers {np.mean(inner):.3f} on average, those of {name} {np.mean(middle):.3f}"] = bool(
                np.mean(inner) < np.mean(middle)
            )
        return Measurement(checks=checks)

    def never_negative(name: str) -> Measurement:
        # "Never" is of every single correlation, as "all" is in A-F7f-1: a mean can hide one that is negative.
        checks = {}
        for level in ("90", "98"):
            layers = evidence.rank_correlations(store, name, level)
            below = [f"{y.layer} {value:.3f}" for y in layers for value in np.sort(y.values[y.values < 0])]
            size = sum(y.values.size for y in layers)
            said = f"{size - len(below)} of {size} correlations at {level} % are zero or positive"
            checks[said + f" (negative: {', '.join(below)})" * bool(below)] = not below
        return Measurement(checks=checks)

    return {
        "A-3.2.4-1": _networks(functools.partial(_no_structure, store)),
        "A-3.2.4-2": _networks(centred, SMALL),
        "A-3.2.4-3": [
            _attempt(f"{name} at {level} %", (name,), functools.partial(ends(level), name))
            for name, level in ((FASHION, "80"), (FASHION, "90"), (CIFAR, "90"), (CIFAR, "95"))
        ],
        "A-3.2.4-4": [
            _attempt(f"{words}, at {level} %", (RESNET, *SMALL), functools.partial(less_variance, start, level))
            for words, start in COUNTED.items()
            for level in ("90", "98")
        ],
        "A-3.2.4-5": _networks(never_negative, (RESNET,)),
    }


def _no_structure(store: Store, name: str) -> Measurement:
    """Hold shared and unused weights of every level and layer against chance."""
    groups = []
    for level in _trained(store, name):
        for what, measure in (("shared", evidence.shared), ("unused", evidence.unused)):
            groups += [_share_group(y, f"{what}, {y.layer} at {level} %") for y in measure(store, name, level)]
    return Measurement(groups=tuple(groups))


def _by_level(store: Store, name: str, measure: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the similarities of all pruned levels within and across; of a level without outputs to compare none."""
    _trained(store, name)
    found = evidence.similarities_by_level(store, name, measure)
    return {level: both for level, both in found.items() if level != "dense"}


def _constant(store: Store, names: Iterable[str], said: str = "") -> str:
    """Add to a note how many tickets are in no comparison of outputs, as their own are the same for all images."""
    found = [
        f"{count} of {store.find(name).replicas} tickets of {name} at {level} %"
        for name in names
        for level in _by_level(store, name, "CKA")
        if (count := evidence.constant_tickets(store, name, level))
    ]
    without = f"CKA without {', '.join(found)}, which give every image the same output" if found else ""
    return "; ".join(part for part in (said, without) if part)


def _never_equal(store: Store, measure: str, name: str) -> Measurement:
    pairs = {level: np.concatenate(both) for level, both in _by_level(store, name, measure).items()}
    # Where the output layer keeps no weight, outputs are its biases alone, which half precision, in which outputs are
    # kept, does not tell apart.
    alike = [v for v in pairs if evidence.constant_tickets(store, name, v) == store.find(name).replicas]
    return Measurement(
        checks={
            f"smallest distance of outputs at {level} %: {values.min():.3f}": bool(values.min() > 0)
            for level, values in pairs.items()
            if level not in alike
        },
        note=f"without {', '.join(alike)} %, where no ticket looks at the image" if alike else "",
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
                "then it rises at every step": all(b > a for a, b in itertools.pairwise(means[2:])),
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


def _section_3_4(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    cifar, resnet, equal = panels["A-F7b"], panels["A-F7c"], panels["A-F14b"]

    def shape(name: str) -> Measurement:
        mean = {level: values.mean() for level, values in evidence.accuracies(store, name).items()}
        levels = _trained(store, name)
        first, _, third, *_ = levels
        checks = {
            f"rises to {first} % ({mean['dense']:.2f} to {mean[first]:.2f} %)": bool(mean[first] > mean["dense"]),
            # A decrease after the third step has not begun at it.
            f"not lower at the third step ({mean[first]:.2f} to {mean[third]:.2f} %)": bool(mean[third] >= mean[first]),
        }
        for a, b in itertools.pairwise(levels[2:]):
            checks[f"falls from {a} to {b} % ({mean[a]:.2f} to {mean[b]:.2f} %)"] = bool(mean[b] < mean[a])
        return Measurement(checks=checks)

    def now_rises(name: str) -> Measurement:
        checks = {}
        for words, network, sign in (("now rises", name, 1), ("did not with randomness free", FREE[name], -1)):
            mean = {level: float(values.mean()) for level, values in evidence.accuracies(store, network).items()}
            first = _trained(store, network)[0]
            rises = mean[first] > mean["dense"]
            checks[f"{words}: dense {mean['dense']:.2f} %, at {first} % {mean[first]:.2f} %"] = rises == (sign > 0)
        return Measurement(checks=checks, experiments=(FREE[name],))

    def wide(layer: str) -> Callable[[str], Measurement]:
        """Take half of the range that the paper names, 0 to 1, for large variability: no number is said of it."""

        def make(level: str) -> Measurement:
            evidence.several(store, panels["A-F7f"].experiment)  # tickets of one initialisation start alike
            layers = evidence.rank_correlations(store, panels["A-F7f"].experiment, level)
            values = next(y.values for y in layers if y.layer == layer)
            said = f"{values.size} correlations from {values.min():.2f} to {values.max():.2f}, over half of 0 to 1"
            return Measurement(checks={said: bool(np.ptp(values) >= 0.5)})

        return make

    def vary_most(name: str, layers: Sequence[str]) -> Callable[[str], Measurement]:
        """Compare the first, second and last of the five layers that are shown with the other two."""

        def make(level: str) -> Measurement:
            spread = {y.layer: y.values.std(ddof=1) for y in evidence.overlaps(store, name, level)}
            rest = max(spread[layer] for layer in layers[2:4])
            return Measurement(
                checks={
                    f"{layer}: spread {spread[layer]:.1f}, {layers[2]} and {layers[3]} up to {rest:.1f}": bool(
                        spread[layer] > rest
                    )
                    for layer in (layers[0], layers[1], layers[4])
                }
            )

        return make

    def related(name: str, enough: float) -> Callable[[str], Measurement]:
        def make(level: str) -> Measurement:
            found = _correlation(*_spread_of(evidence.overlaps(store, name, level)))
            said = f"over the layers, standard deviations measured and by chance correlate by {found:.2f}"
            return Measurement(checks={f"{said} (at least {enough:g})": found >= enough})

        return make

    def not_the_baseline(level: str) -> Measurement:
        layers = evidence.overlaps(store, equal.experiment, level)
        means, expected = (np.array([f(y) for y in layers]) for f in (lambda y: y.values.mean(), lambda y: y.expected))
        # No number in the paper; fixed here as a mean outside of chance's interval, and as two percentage points.
        outside = sum(not y.low <= y.values.mean() <= y.high for y in layers)
        return Measurement(
            checks={
                f"the mean lies outside of chance's 95 % in {outside} of {len(layers)} layers": outside == len(layers),
                f"layers differ by {np.ptp(means):.1f} points, expected ones by {np.ptp(expected):.1f}": bool(
                    np.ptp(means) > 2 > np.ptp(expected)
                ),
            }
        )

    def all_positive(level: str) -> Measurement:
        layers = evidence.rank_correlations(store, RESNET_PARTIAL, level)
        values = np.concatenate([y.values for y in layers])
        near = [y.layer for y in layers if abs(y.values.mean()) <= y.null]
        return Measurement(
            checks={
                f"{int((values > 0).sum())} of {values.size} correlations are positive": bool((values > 0).all()),
                f"{len(near)} of {len(layers)} layers have a mean within one null deviation of zero": not near,
            }
        )

    return {
        **_by_panel(store, ledger, panels),
        "A-F7a-1": _networks(functools.partial(_more_accurate, store), ALL_PARTIAL),
        "A-F7a-2": _networks(shape, ALL_PARTIAL),
        "A-F7a-3": _networks(now_rises, SMALL_PARTIAL),
        "A-F7bc-1": _once(
            [
                *_at_levels(cifar, vary_most(cifar.experiment, plotted_layers(cifar.experiment)), cifar.experiment),
                *(
                    reading
                    for words, start in COUNTED.items()
                    for reading in _at_levels(
                        resnet, vary_most(RESNET_PARTIAL, _plotted(RESNET_PARTIAL, start)), f"{RESNET_PARTIAL}, {words}"
                    )
                ),
            ]
        ),
        "A-F7bc-2": _once(
            [
                *_at_levels(cifar, related(cifar.experiment, RELATED), cifar.experiment),
                *_at_levels(resnet, related(RESNET_PARTIAL, RELATED), RESNET_PARTIAL),
            ]
        ),
        "A-F7d-S": [_sizes_of_equal()],
        "A-F7d-1": _at_levels(equal, related(EQUAL, STRONG)),
        "A-F7d-2": _at_levels(equal, not_the_baseline),
        "A-F7e-2": _task_checks(store, panels["A-F7e"], 1, _as_expected),
        "A-F7e-3": _task_checks(store, panels["A-F7e"], 2, _slightly_more),
        "A-F7f-1": _at_levels(panels["A-F7f"], all_positive),
        "A-F7f-7": [
            reading
            for words, layer in layer_readings(panels["A-F7f"].experiment, PLOTTED[-1]).items()
            for reading in _at_levels(panels["A-F7f"], wide(layer), words)
        ],
        "A-3.4-C1": [
            *_networks(functools.partial(_more_overlap, store), ALL_PARTIAL),
            *_across_tasks(functools.partial(_more_overlap, store), [(FASHION_PARTIAL, CIFAR_PARTIAL)]),
        ],
        "A-3.4-C2": _networks(functools.partial(_more_accurate, store), ALL_PARTIAL),
        "A-3.4-C3": _networks(functools.partial(_all_overlaps, store), (FIXED,)),
    }


def _all_overlaps(store: Store, name: str) -> Measurement:
    layers = [y.values for level in _trained(store, name) for y in evidence.overlaps(store, name, level)]
    return Measurement(values=np.concatenate(layers), note="all layers at all levels")


def _sizes_of_equal() -> Measurement:
    sizes = [layer.size for layer in find(EQUAL).architecture.layers]
    return Measurement(
        experiments=(EQUAL,),
        checks={
            f"layers of {', '.join(f'{n:,}' for n in sizes)} weights": sizes[0] == 400
            and sizes[-1] == 250
            and set(sizes[1:-1]) <= {2400, 2500}
        },
    )


def _as_expected(layer: evidence.LayerOverlap) -> dict[str, bool]:
    return {"as by chance": claims.matches_chance(chance_group(layer))}


def _slightly_more(layer: evidence.LayerOverlap) -> dict[str, bool]:
    # "Slightly", "marginally" have no number in the paper; fixed here as above chance on average, but not by the rule.
    return {
        "more than chance on average": bool(layer.values.mean() > layer.expected),
        "by less than the rule for more than chance asks": not claims.above_chance(chance_group(layer)),
    }


def _few_high(layer: evidence.LayerOverlap) -> dict[str, bool]:
    # "Only few" has no number in the paper; fixed here as some, but at most a quarter.
    share = float((layer.values > layer.high + 1e-9).mean())
    return {
        f"some overlaps lie above chance's 95 % ({100 * share:.0f} %)": share > 0,
        "at most a quarter of them": share <= 0.25,
    }


def _task_checks(
    store: Store, panel: Panel, number: int, check: Callable[[evidence.LayerOverlap], dict[str, bool]]
) -> list[Measurement]:
    """Check the overlaps across tasks in one layer at every reading of a panel's level, one reading a partner."""
    layer = next(iter(layer_readings(panel.experiment, number).values()))

    def make(level: str, partner: str) -> Measurement:
        found = {y.layer: y for y in evidence.task_overlaps(store, panel.experiment, partner, level)}[layer]
        said = f"{found.values.min():.1f} to {found.values.max():.1f} %, mean {found.values.mean():.1f} %"
        chance = f"chance {found.low:.1f} to {found.high:.1f} %, mean {found.expected:.1f} %"
        return Measurement(checks=check(found), note=f"{said}; {chance}")

    return [
        _attempt(
            ", ".join(part for part in (f"with {partner}", words if len(panel.levels) > 1 else "") if part),
            (panel.experiment, partner),
            functools.partial(make, level, partner),
        )
        for partner in panel.partners
        if layer in evidence.common_layers(panel.experiment, partner)
        for words, level in panel.levels.items()
    ]


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

    def both(name: str) -> Measurement:
        overlap, accuracy = _more_overlap(store, name), _more_accurate(store, name)
        checks = {f"overlap at {k}": v for k, v in overlap.checks.items()}
        return Measurement(
            checks=checks | {f"accuracy at {k}": v for k, v in accuracy.checks.items()},
            experiments=accuracy.experiments,
        )

    return {
        "A-3.5-1": _networks(pairs(False)),
        "A-3.5-2": _networks(pairs(True)),
        "A-3.5-3": _networks(functools.partial(_no_structure, store)),
        "A-3.5-4": _networks(both, ALL_PARTIAL),
    }


def _section_4(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    return {"A-4-1": _networks(functools.partial(_more_accurate, store), ALL_PARTIAL)}


def _section_appendix_c(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel], cka: str = "CKA"
) -> dict[str, list[Measurement]]:
    """Measure the claims; `cka` is one of `evidence.MEASURES`, of the logits if not given."""

    def late_fall(name: str) -> Measurement:
        means = [within.mean() for within, _ in _by_level(store, name, cka).values()]
        change = max(means[:4]) - min(means[:4])
        # "Stable" has no number in the paper; fixed here as 0.05 of CKA, which runs from 0 to 1.
        return Measurement(
            checks={
                f"the first four steps differ by {change:.3f}": bool(change <= 0.05),
                # Without a sixth step where no output depends on the image any more.
                **{f"it falls from step {k} to {k + 1}": bool(means[k] < means[k - 1]) for k in range(4, len(means))},
            },
            note=_constant(store, [name], f"mean {cka} {', '.join(f'{m:.3f}' for m in means)}"),
        )

    def across_closer(name: str) -> Measurement:
        checks = {}
        for measure, sign in ((cka, 1), ("L2", -1)):
            for level, (within, across) in _by_level(store, name, measure).items():
                checks[f"{measure} at {level} %: {across.mean():.3f} across, {within.mean():.3f} within"] = bool(
                    sign * across.mean() > sign * within.mean()
                )
        return Measurement(checks=checks, note=_constant(store, [name]))

    def diverge(name: str) -> Measurement:
        checks = {}
        for measure, sign in ((cka, -1), ("L2", 1)):
            means = [np.concatenate(both).mean() for both in _by_level(store, name, measure).values()]
            checks[f"{measure} from {means[0]:.3f} at the first to {means[-1]:.3f} at the last step"] = bool(
                sign * means[-1] > sign * means[0]
            )
        return Measurement(checks=checks, note=_constant(store, [name]))

    ranked = FASHION, RESNET, CIFAR
    return {
        "A-F9-1": _networks(functools.partial(_never_equal, store, "L2")),
        "A-F9-2": [
            _attempt(measure, ranked, functools.partial(_ranking, store, measure, ranked)) for measure in (cka, "L2")
        ],
        "A-F9-3": _networks(late_fall),
        "A-F9-4": _networks(across_closer),
        "A-F9-5": _networks(diverge),
    }


def _section_d_1(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    figure = [panels[key] for key in ("A-F10a", "A-F10b", "A-F10c")]

    def lower(which: int, first: str) -> Callable[[], Measurement]:
        """Compare the ResNet, but for its first layer, with the small networks, all at one reading of their level."""

        def make() -> Measurement:
            numbers = []
            for panel in figure:
                layers = evidence.overlaps(store, panel.experiment, list(panel.levels.values())[which])
                layers = [y for y in layers if panel.experiment != RESNET_PARTIAL or y.layer != first]
                numbers.append([float(np.mean([f(y.values) for y in layers])) for f in (np.mean, _deviation)])
            *small, resnet = numbers
            # "Much" has no number in the paper; fixed here as half.
            return Measurement(
                checks={
                    f"{what} {resnet[k]:.1f}, that of {panel.experiment} {other[k]:.1f}": resnet[k] <= other[k] / 2
                    for panel, other in zip(figure, small, strict=False)
                    for k, what in enumerate(("mean", "standard deviation"))
                },
                note=f"of the ResNet without {first}, which the paper excepts; of the small networks all layers",
            )

        return make

    def larger(panel: Panel, level: str) -> Measurement:
        masks = evidence.part(store, panel.experiment, level, "masks")
        i, j = overlap.within_pairs(store.find(panel.experiment).inits, store.find(panel.experiment).runs)
        equal = int((masks[i] == masks[j]).all(axis=1).sum())
        groups = tuple(chance_group(y) for y in evidence.overlaps(store, panel.experiment, level))
        return Measurement(groups=groups, note=f"{equal} of {len(i)} pairs are equal")

    return {
        **_by_panel(store, ledger, panels),
        "A-F10c-2": [
            _attempt(f"{words}, {counted}", [panel.experiment for panel in figure], lower(k, first))
            for counted, first in layer_readings(RESNET_PARTIAL, 1).items()
            for k, words in enumerate(("captioned levels", "implied levels"))
        ],
        "A-D1-C": _once(
            [
                reading
                for panel in figure
                for reading in _at_levels(panel, functools.partial(larger, panel), panel.experiment)
            ]
        ),
    }


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1))


PROBABILITIES = (0.95, 0.99)


def significant_shares(store: Store, name: str, probability: float) -> dict[str, dict[str, float]]:
    """Return the share of overlaps outside of chance's interval in %, by level and layer, at all pruned levels.

    Raises
    ------
    Missing
        If a level is not trained.
    """
    return {
        level: {y.layer: float(y.values.mean()) for y in evidence.significance(store, name, level, probability)}
        for level in _trained(store, name)
    }


def _section_d_2(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    @functools.cache
    def shares(name: str, probability: float) -> list[dict[str, float]]:
        """Return the shares of each pruning step; what `significant_shares` names by level."""
        return list(significant_shares(store, name, probability).values())

    # One pair of the 50 of a layer: less is no decrease.
    one_pair = 100 / len(overlap.within_pairs(5, 5)[0])

    def by_interval(make: Callable[[str, float], Measurement], names: Sequence[str]) -> list[Measurement]:
        return [
            _attempt(
                f"{name + ', ' if len(names) > 1 else ''}{100 * p:g} % interval",
                (name,),
                functools.partial(make, name, p),
            )
            for name in names
            for p in PROBABILITIES
        ]

    def around(steps: slice) -> Callable[[str, float], Measurement]:
        def make(name: str, probability: float) -> Measurement:
            return Measurement(values=np.array([v for step in shares(name, probability)[steps] for v in step.values()]))

        return make

    def ends_decrease(name: str, probability: float) -> Measurement:
        steps, layers = shares(name, probability), plotted_layers(name)
        checks = {}
        for layer in (layers[0], layers[-1]):
            seen = [step[layer] for step in steps if layer in step]
            checks[f"{layer} from {seen[0]:.0f} to {seen[-1]:.0f} %"] = seen[-1] < seen[0]
        return Measurement(checks=checks)

    def decreases(name: str, probability: float) -> Measurement:
        means = [float(np.mean(list(step.values()))) for step in shares(name, probability)]
        return Measurement(
            checks={f"mean of the layers from {means[0]:.0f} to {means[-1]:.0f} %": means[-1] < means[0]},
            note=f"by step {', '.join(f'{m:.0f}' for m in means)} %",
        )

    def late(layer: str, slight: bool) -> Callable[[str, float], Measurement]:
        """Check that one layer has fewer significant overlaps at the last step, and not before."""

        def make(name: str, probability: float) -> Measurement:
            seen = [step[layer] for step in shares(name, probability)]
            checks = {
                "no decrease before the sixth step": min(seen[:5]) >= seen[0] - one_pair,
                f"a decrease at the sixth, {seen[4]:.0f} to {seen[5]:.0f} %": seen[5] < seen[4],
            }
            if slight:
                # "Slight" has no number in the paper; fixed here as a quarter of all pairs.
                checks["by at most 25 points"] = seen[4] - seen[5] <= 25
            return Measurement(checks=checks)

        return make

    def steady(name: str, probability: float) -> Measurement:
        steps, layers = shares(name, probability), plotted_layers(name)[1:4]
        return Measurement(
            checks={
                f"{layer} {least:.0f} % at least, {steps[0][layer]:.0f} % at the first": least
                >= steps[0][layer] - one_pair
                for layer, least in ((layer, min(step[layer] for step in steps)) for layer in layers)
            }
        )

    def analogous(name: str, probability: float) -> Measurement:
        """Check for CIFAR-10 all that the paper says of Fashion-MNIST."""
        first, *_, last = plotted_layers(name)
        early = [v for step in shares(name, probability)[:3] for v in step.values()]
        # The rule for "around 100 %": a tenth.
        checks = {f"steps 1 to 3: mean {np.mean(early):.0f} %": bool(np.mean(early) >= 90)}
        parts = {first: late(first, True), last: late(last, False), "inner layers": steady}
        for what, make in parts.items():
            checks |= {f"{what}: {k}": v for k, v in make(name, probability).checks.items()}
        return Measurement(checks=checks)

    def resnet(make: Callable[[list[list[float]]], Measurement]) -> list[Measurement]:
        """Measure something on the five layers of the ResNet that are shown, at both intervals and ways to count."""

        def measure(start: int, probability: float) -> Measurement:
            layers = _plotted(RESNET_PARTIAL, start)
            steps = shares(RESNET_PARTIAL, probability)
            lost = sorted({layer for layer in layers for step in steps if layer not in step})
            found = make([[step[layer] for layer in layers if layer in step] for step in steps])
            note = f"at the last steps without {', '.join(lost)}, where no weight is left" if lost else ""
            return dataclasses.replace(found, note=note)

        return [
            _attempt(f"{words}, {100 * p:g} % interval", (RESNET_PARTIAL,), functools.partial(measure, start, p))
            for words, start in COUNTED.items()
            for p in PROBABILITIES
        ]

    def falls(steps: list[list[float]]) -> Measurement:
        means = [float(np.mean(step)) for step in steps]
        return Measurement(
            checks={
                f"step {k} to {k + 1}: {means[k - 1]:.0f} to {means[k]:.0f} %": means[k] < means[k - 1]
                for k in range(3, 6)
            }
        )

    def at_step(number: int) -> Callable[[list[list[float]]], Measurement]:
        return lambda steps: Measurement(values=np.array(steps[number - 1]))

    def little_difference(name: str) -> Measurement:
        wider, narrower = (
            [float(np.mean(list(step.values()))) for step in shares(name, probability)] for probability in PROBABILITIES
        )
        # "Little" has no number in the paper; fixed here as five percentage points.
        return Measurement(
            checks={
                f"step {k}: {one:.0f} and {other:.0f} %": abs(one - other) <= 5
                for k, (one, other) in enumerate(zip(wider, narrower, strict=True), 1)
            },
            note=f"mean of the layers, outside of the {' and '.join(f'{100 * p:g}' for p in PROBABILITIES)} % interval",
        )

    def unusual(name: str, probability: float) -> Measurement:
        steps = shares(name, probability)
        mean = float(np.mean([v for step in steps for v in step.values()]))
        checks = {f"{mean:.0f} % of all overlaps are significant": mean > 50}
        return Measurement(checks=checks | dict(decreases(name, probability).checks))

    fashion = (FASHION_PARTIAL,)
    return {
        "A-F11-1": by_interval(around(slice(None)), ALL_PARTIAL),
        "A-F11-2": by_interval(ends_decrease, ALL_PARTIAL),
        "A-F11-3": by_interval(decreases, (RESNET_PARTIAL,)),
        "A-F11-4": by_interval(around(slice(0, 3)), fashion),
        "A-F11-5": by_interval(late("conv1", True), fashion),
        "A-F11-6": by_interval(steady, fashion),
        "A-F11-7": by_interval(late("output", False), fashion),
        "A-F11-8": by_interval(analogous, (CIFAR_PARTIAL,)),
        "A-F11-9": resnet(falls),
        "A-F11-10": resnet(at_step(4)),
        "A-F11-11": resnet(at_step(5)),
        "A-F11-12": resnet(at_step(6)),
        "A-F11-13": _networks(little_difference, ALL_PARTIAL),
        "A-D2-C": by_interval(unusual, ALL_PARTIAL),
    }


def _section_d_3(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    figure = [panels[key] for key in ("A-F12a", "A-F12b", "A-F12c")]

    def values(panel: Panel, level: str) -> np.ndarray:
        return np.concatenate([y.values for y in evidence.rank_correlations(store, panel.experiment, level)])

    def positive(panel: Panel, level: str) -> Measurement:
        found = values(panel, level)
        said = f"{int((found > 0).sum())} of {found.size} correlations are positive"
        return Measurement(checks={said: bool((found > 0).all())}, note=f"mean {found.mean():.2f}")

    def weaker() -> Measurement:
        *small, resnet = (float(values(panel, next(iter(panel.levels.values()))).mean()) for panel in figure)
        # "Much less" has no number in the paper; fixed here as half.
        return Measurement(
            checks={
                f"the ResNet's mean {resnet:.2f} is at most half of that of {panel.experiment}, {mean:.2f}": resnet
                <= mean / 2
                for panel, mean in zip(figure, small, strict=False)
            }
        )

    return {
        **_by_panel(store, ledger, panels),
        "A-D3-C": _once(
            [
                *(
                    reading
                    for panel in figure
                    for reading in _at_levels(panel, functools.partial(positive, panel), panel.experiment)
                ),
                _attempt("the ResNet beside the small networks", [panel.experiment for panel in figure], weaker),
            ]
        ),
    }


def _by_init(layer: evidence.LayerOverlap) -> list[float]:
    """Return the mean overlap of each initialisation: pairs of one share tickets, initialisations nothing."""
    return [float(layer.values[layer.first == init].mean()) for init in np.unique(layer.first)]


def _same_means(pairs: Mapping[str, tuple[evidence.LayerOverlap, evidence.LayerOverlap]]) -> dict[str, bool]:
    """Check that pairs of layers have the same mean overlap, as far as t tests over initialisations can say.

    Both layers of a pair are of the same initialisations, which are compared one by one.
    """
    said, p_values = [], []
    for name, both in pairs.items():
        one, other = (np.array(_by_init(layer)) for layer in both)
        varies = np.ptp(one - other) > 0
        p_values.append(statistics.paired(one, other)[1] if varies else float(np.array_equal(one, other)))
        said.append(f"{name}: {one.mean():.1f} and {other.mean():.1f} %, p = ")
    adjusted = statistics.holm(p_values)
    return {f"{words}{p:.2g}": bool(p >= 0.05) for words, p in zip(said, adjusted, strict=True)}


# What is said of them.
_PAIRED = "paired t tests over initialisations, 5 % by Holm's method"


def _section_d_4(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    figure = panels["A-F13a"], panels["A-F13b"]
    levels = list(dict.fromkeys(level for panel in figure for level in panel.levels.values()))

    def higher(one: str, other: str) -> Measurement:
        return Measurement(
            groups=tuple(
                chance_group(y, f"{y.layer} at {level} %")
                for level in levels
                for y in evidence.task_overlaps(store, one, other, level)
            )
        )

    def less(one: str, other: str) -> Measurement:
        checks = {}
        for level in levels:
            same = {y.layer: float(y.values.mean()) for y in evidence.overlaps(store, one, level)}
            for y in evidence.task_overlaps(store, one, other, level):
                mean = float(y.values.mean())
                checks[f"{y.layer} at {level} %: {mean:.1f} %, same images {same[y.layer]:.1f} %"] = (
                    mean < same[y.layer]
                )
        return Measurement(checks=checks)

    def alike() -> Measurement:
        pairs: dict[str, tuple[evidence.LayerOverlap, evidence.LayerOverlap]] = {}
        for level in levels:
            mnist, cifar = (
                {y.layer: y for y in evidence.task_overlaps(store, FASHION_PARTIAL, other, level)} for other in _TASKS
            )
            pairs |= {f"{layer} at {level} %": (mnist[layer], cifar[layer]) for layer in cifar}
        return Measurement(checks=_same_means(pairs), note=f"MNIST and CIFAR-10, {_PAIRED}")

    def some(one: str, other: str) -> Measurement:
        above = [
            f"{y.layer} at {level} %"
            for level in levels
            for y in evidence.task_overlaps(store, one, other, level)
            if claims.above_chance(chance_group(y))
        ]
        return Measurement(checks={f"above chance: {', '.join(above) or 'nowhere'}": bool(above)})

    return {
        **_by_panel(store, ledger, panels),
        "A-F13-1": _across_tasks(higher),
        "A-F13-2": _across_tasks(less),
        "A-F13-3": [_attempt("", (FASHION_PARTIAL, *_TASKS), alike)],
        "A-F13a-2": _task_checks(store, panels["A-F13a"], 2, _slightly_more),
        "A-F13b-2": _task_checks(store, panels["A-F13b"], 2, _slightly_more),
        "A-F13b-5": _task_checks(store, panels["A-F13b"], 5, _few_high),
        "A-D4-C": _across_tasks(some),
    }


def _section_d_5(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    levels = {f"{level} %": level for key in ("A-F14a", "A-F14b") for level in panels[key].levels.values()}

    def each(make: Callable[[str], Measurement], *others: str) -> list[Measurement]:
        return [_attempt(words, (EQUAL, *others), functools.partial(make, level)) for words, level in levels.items()]

    def gap(name: str, level: str, measure: Callable[[np.ndarray], float]) -> float:
        """Return how far inner layers, the third and fourth as in the paper's text, are from outer ones on average."""
        first, second, *inner, last = (measure(y.values) for y in evidence.overlaps(store, name, level))
        return abs(float(np.mean(inner)) - float(np.mean([first, second, last])))

    def closer(level: str) -> Measurement:
        checks = {}
        for what, measure in (("mean", np.mean), ("standard deviation", _deviation)):
            equal, usual = (gap(name, level, measure) for name in (EQUAL, FASHION_PARTIAL))
            said = f"{what}: layers 3 and 4 differ from the others by {equal:.3f} points"
            checks[f"{said}, in the usual network by {usual:.3f}"] = equal < usual
        return Measurement(checks=checks)

    def position(level: str) -> Measurement:
        inner = evidence.overlaps(store, EQUAL, level)[1:4]
        pairs = {f"{one.layer} and {other.layer}": (one, other) for one, other in itertools.combinations(inner, 2)}
        return Measurement(checks=_same_means(pairs), note=f"layers of nearly equal size, {_PAIRED}")

    def size(level: str) -> Measurement:
        layers = evidence.overlaps(store, EQUAL, level)
        found = _correlation(np.array([y.weights for y in layers], float), _spread_of(layers)[0] ** 2)
        said = f"size and variance of the overlaps correlate by {found:.2f} over the layers"
        return Measurement(checks={f"{said} (less than {RELATED:g} either way)": abs(found) < RELATED})

    def spread(number: int, more: bool, times: float = 1.0) -> Callable[[str], Measurement]:
        """Compare how much one layer's overlaps spread with those of the usual network's, at the same level."""

        def make(level: str) -> Measurement:
            own, usual = (
                evidence.overlaps(store, name, level)[number - 1]
                for name in (panels["A-F14a"].experiment, FASHION_PARTIAL)
            )
            here, there = _deviation(own.values), _deviation(usual.values)
            said = f"{own.layer}: standard deviation {here:.2f} points, in the usual network {there:.2f}"
            asked = f" (at least {times:g} times)" if times != 1 else ""
            return Measurement(checks={said + asked: here > times * there if more else here < there})

        return make

    def alike(level: str) -> Measurement:
        third, fourth = (y.values for y in evidence.overlaps(store, panels["A-F14a"].experiment, level)[2:4])
        # "Similar" has no number in the paper; fixed here as two percentage points.
        both = {"mean": (third.mean(), fourth.mean()), "standard deviation": (_deviation(third), _deviation(fourth))}
        return Measurement(
            checks={f"{k} of layers 3 and 4: {a:.1f} and {b:.1f}": bool(abs(a - b) <= 2) for k, (a, b) in both.items()}
        )

    low, high = panels["A-F14a"], panels["A-F14b"]
    usual = (FASHION_PARTIAL,)
    return {
        **_by_panel(store, ledger, panels),
        "A-F14a-6": _at_levels(low, spread(1, more=True), others=usual),
        "A-F14a-7": _at_levels(low, spread(2, more=True), others=usual),
        "A-F14a-8": _at_levels(low, alike),
        "A-F14b-6": _at_levels(high, spread(1, more=False), others=usual),
        "A-F14b-7": _at_levels(high, spread(2, more=False), others=usual),
        "A-F14b-8": _at_levels(high, alike),
        # "Much more" has no number in the paper; fixed here as twice, as "much less" is half.
        "A-F14b-9": _at_levels(high, spread(5, more=True, times=2), others=usual),
        "A-F14-0": each(closer, FASHION_PARTIAL),
        "A-D5-C1": each(position),
        "A-D5-C2": each(size),
    }


def _section_d_6(
    store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel], cka: str = "CKA"
) -> dict[str, list[Measurement]]:
    """Measure the claims; `cka` is one of `evidence.MEASURES`, of the logits if not given."""

    def falls(name: str) -> Measurement:
        by_level = _by_level(store, name, cka)
        levels, means = list(by_level), [float(np.concatenate(both).mean()) for both in by_level.values()]
        found = _correlation(np.array(means), np.array([evidence.accuracies(store, name)[v].mean() for v in levels]))
        said = f"over the levels it correlates with the accuracy by {found:.2f} (at least {RELATED:g})"
        steps = itertools.pairwise(zip(levels, means, strict=True))
        falls = {f"falls from {a} to {b} % ({m:.3f} to {n:.3f})": n < m for (a, m), (b, n) in steps}
        return Measurement(checks={**falls, said: found >= RELATED}, note=_constant(store, [name]))

    def within_higher(name: str) -> Measurement:
        return Measurement(
            checks={
                f"{level} %: {across.mean():.3f} across, {within.mean():.3f} within": bool(
                    across.mean() < within.mean()
                )
                for level, (within, across) in _by_level(store, name, cka).items()
            },
            note=_constant(store, [name]),
        )

    def resnet() -> Measurement:
        def gap(name: str) -> float:
            return float(np.mean([abs(w.mean() - a.mean()) for w, a in _by_level(store, name, cka).values()]))

        own, small = gap(RESNET_PARTIAL), {name: gap(name) for name in SMALL_PARTIAL}
        checks = {
            f"within and across differ by {own:.3f}, for {name} by {other:.3f}": own < other
            for name, other in small.items()
        }
        for level, both in list(_by_level(store, RESNET_PARTIAL, cka).items())[:2]:
            values = np.concatenate(both)
            # An outlier, as box plots have it: below the first quartile by 1.5 times the interquartile range.
            first, third = np.quantile(values, [0.25, 0.75])
            below = int((values < first - 1.5 * (third - first)).sum())
            checks[f"{below} outliers of less similar outputs at {level} %"] = below > 0
        return Measurement(checks=checks)

    def similar(name: str) -> Measurement:
        equal, higher = _never_equal(store, "L2", name), within_higher(name)
        symmetry = _no_symmetry(store, name).checks  # which a distance of outputs cannot refute
        # "Now", compared with tickets whose randomness is not fixed: in those it is not so.
        free = within_higher(FREE[name])
        checks = {
            **equal.checks,
            **symmetry,
            **{f"{cka} at {k}": v for k, v in higher.checks.items()},
            **{f"randomness not fixed, not so at {k}": not v for k, v in free.checks.items()},
        }
        return Measurement(checks=checks, note=higher.note, experiments=(FREE[name],))

    return {
        "A-F15-1": _networks(functools.partial(_never_equal, store, "L2"), ALL_PARTIAL),
        "A-F15-2": [_attempt("", ALL_PARTIAL, functools.partial(_ranking, store, cka, ALL_PARTIAL))],
        "A-F15-3": _networks(falls, ALL_PARTIAL),
        "A-F15-4": _networks(within_higher, SMALL_PARTIAL),
        "A-F15-5": [_attempt("", ALL_PARTIAL, resnet)],
        "A-D6-C": _networks(similar, ALL_PARTIAL),
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
    ("A", "3.4"): _section_3_4,
    ("A", "3.5"): _section_3_5,
    ("A", "4"): _section_4,
    ("A", "Appendix A"): _section_appendix_a,
    ("A", "Appendix B"): _section_appendix_b,
    ("A", "Appendix C"): _section_appendix_c,
    ("A", "Appendix D.1"): _section_d_1,
    ("A", "Appendix D.2"): _section_d_2,
    ("A", "Appendix D.3"): _section_d_3,
    ("A", "Appendix D.4"): _section_d_4,
    ("A", "Appendix D.5"): _section_d_5,
    ("A", "Appendix D.6"): _section_d_6,
}
