"""Paper B's claims: which tickets each needs, and which measurement decides it.

One function a section gives the measurements of that section's claims, which `lib.claims` judges.  Where the paper
gives no number ("similar", "very low") the limit is fixed here, beside the claim, and named in its words.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lib import claims, comparisons, evidence, kernels, patterns, statistics, streams, topology
from lib.claims import Claim, Claimed, Lack, Measurement
from lib.comparisons import Comparison, Difference, Group
from lib.errors import UserError
from lib.evidence import Missing
from lib.experiments import find
from lib.models import Architecture, Layer
from lib.pruning import kept_counts
from lib.tickets import Store

CIFAR, CINIC, SVHN = "b/conv2/cifar10", "b/conv2/cinic10", "b/conv2/svhn"
# The paper's names of its data sets, in the order of its tables, and the experiments on them.
DATASETS = {"CIFAR": CIFAR, "CINIC": CINIC, "SVHN": SVHN}
# Shown beside them under names of their own; no claim about CINIC-10 or SVHN is ever scored on them.
STAND_INS = {"super10": "b/conv2/cifar100-super10", "photo": "b/conv2/mnist-photo"}
STANDARDISED = "b/conv2/cifar10-standardised"
SAMPLE = 50  # comparisons of each condition; paper B, section 5
# Tickets that a group needs to be compared: two give one pair, which has no spread.
LEAST_TICKETS = 3
# Pairs from which on a test of normality can say anything: it hardly ever refutes it of fewer.
LEAST_NORMAL = 10
# The groups of tickets in the paper's statistics of kernels, as it calls them ...
KERNEL_GROUPS = ("random", "CIFAR-WTs", "CINIC-WTs", "SVHN-WTs")
# ... the number of tickets in each (281 weights a position are 14 x 64 x 0.9^11), which it does not explain ...
KERNEL_TICKETS = 14
# ... and the winning tickets that are shown here.
KERNEL_LABELS = {
    "CIFAR-10": CIFAR,
    "CINIC-10": CINIC,
    "SVHN": SVHN,
    "CIFAR-100\n(stand-in)": STAND_INS["super10"],
    "digits on photos\n(stand-in)": STAND_INS["photo"],
    "CIFAR-10,\nstandardised": STANDARDISED,
}
# What the ledger calls the statistics that `patterns.measure` returns.
KERNEL_VALUES = {"sdfilter": "filters", "sdpos": "positions", "signratio": "ratio", "adj": "positive"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the paper leaves open: the switches of the chapters. The ledger is scored at the defaults.

    Attributes
    ----------
    carry : bool
        Whether the match of a layer's units is carried to the inputs of the next layer.
    trained : bool
        Signs at the end of the tickets' training, not those of their initial weights.
    same_start : bool
        Whether pairs count whose two tickets have the same initial weights.
    tickets : int
        How many of a group's tickets are used, the first ones; 0 for all.
    kernel_tickets : int
        The same for the statistics of kernels.
    diagonal : bool
        Whether places of a kernel that share a corner are neighbours, or only those that share an edge.
    pooled : bool
        Whether all pairs of weights of a group are counted together, or the shares of its kernels averaged. Claims
        about them are scored both ways.
    sample : int
        How many pairs of tickets are drawn of those that there are; 0 for all.
    """

    carry: bool = True
    trained: bool = False
    same_start: bool = False
    tickets: int = 0
    kernel_tickets: int = KERNEL_TICKETS
    diagonal: bool = False
    pooled: bool = True
    sample: int = SAMPLE


_DEFAULT = Settings()


# One switch turned at a time.
SWITCHES = {
    "as the ledger is scored": Settings(),
    "match not carried": Settings(carry=False),
    "signs after training": Settings(trained=True),
    "pairs of one start count": Settings(same_start=True),
    "at most 14 tickets": Settings(tickets=14, kernel_tickets=14),
    "at most 20 tickets": Settings(kernel_tickets=20),
    "eight neighbours": Settings(diagonal=True),
    "kernel by kernel": Settings(pooled=False),
}
# Not a switch: random tickets that share numbers with the winning ones take their place.
CONTROLS = "controls instead"


# --- conditions --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Condition:
    """Which pairs are compared: a row of paper B's tables.

    Attributes
    ----------
    name : str
        As in the tables.
    category : {'WTs', 'mixed', 'random', 'between_DS', 'controls'}
        Two winning tickets of one data set; a winning and a random one; two random ones; winning ones of two data
        sets.  Controls are not in the paper: two random tickets that share with winning ones what
        `comparisons.control_tickets` says.
    a, b : str
        Keys of `DATASETS` or `STAND_INS`.
    """

    name: str
    category: str
    a: str
    b: str


def conditions(datasets: Iterable[str]) -> list[Condition]:
    """Return the conditions of paper B's tables for some data sets, in their order; the control, random, is last."""
    keys = list(datasets)
    return [
        *(Condition(f"WTs_{key}", "WTs", key, key) for key in keys),
        *(Condition(f"mixed_{key}", "mixed", key, key) for key in keys),
        *(Condition(f"{y}_{x}", "between_DS", y, x) for x, y in itertools.combinations(keys, 2)),
        Condition("random", "random", keys[0], keys[0]),
    ]


CONDITIONS = {c.name: c for c in conditions(DATASETS)}
WINNING = [c for c in CONDITIONS.values() if c.category in ("WTs", "between_DS")]
MIXED = [c for c in CONDITIONS.values() if c.category == "mixed"]
# A claim about all conditions is read once for each of these: those that one data set, or a pair of them, decides.
READINGS = {
    **{key: [CONDITIONS[f"WTs_{key}"], CONDITIONS[f"mixed_{key}"], CONDITIONS["random"]] for key in DATASETS},
    **{f"{c.a} and {c.b}": [c] for c in CONDITIONS.values() if c.category == "between_DS"},
}


def experiment_of(key: str) -> str:
    """Return the experiment on a data set of the paper or on a stand-in."""
    return {**DATASETS, **STAND_INS}[key]


def printed_differences(signed: bool, layer: str = "") -> dict[str, Claimed]:
    """Return what the paper prints of each condition against *random*, by the condition's name.

    Parameters
    ----------
    signed : bool
        NNSTD with signs, not NNSTD.
    layer : str
        Its name, for Tables A.1 and A.2; '' for the mean over the layers, Table 1.
    """
    return {
        c.setting["dataset"]: c.claimed
        for c in claims.load().values()
        if c.paper == "B"
        and c.check == "table-row"
        and c.claimed.cohen_d is not None
        and ("+-" in c.quantity) == signed
        and c.layer == (layer or "mean of five layers")
    }


def compared(store: Store, condition: Condition, signed: bool, settings: Settings = _DEFAULT) -> Comparison:
    """Compare the tickets of one condition, and the random ones that are its control.

    Parameters
    ----------
    store : Store
    condition : Condition
    signed : bool
        NNSTD with signs, not NNSTD.
    settings : Settings

    Returns
    -------
    Comparison

    Raises
    ------
    Missing
        If tickets are lacking; it names all experiments that are.
    """
    a, b, control = groups(store, condition, settings)
    return comparisons.compare(
        store, a, b, control, signed, settings.carry, settings.same_start, settings.sample, settings.tickets
    )


def groups(store: Store, condition: Condition, settings: Settings) -> tuple[Group, Group, Group]:
    """Return the two groups of a condition, and the random tickets that are its control; `Missing` names all."""
    # Before training the random tickets of all data sets are the same: they have the same initial weights.
    random_key = condition.a if settings.trained else "CIFAR"
    kinds = {
        "WTs": ("winning", "winning"),
        "mixed": ("winning", "random"),
        "random": ("random", "random"),
        "between_DS": ("winning", "winning"),
        "controls": ("control", "control"),
    }[condition.category]

    def group(key: str, kind: str) -> Group:
        label = {"winning": key, "random": "random", "control": f"control_{key}"}[kind]
        return _group(store, key, kind, label, settings.trained)

    # What is missing is said before anything is drawn.
    keys = [] if condition.category == "random" else list(dict.fromkeys((condition.a, condition.b)))
    absent = lacking(store, keys, settings)
    if absent:
        raise Missing(*absent)
    a, b = (
        group(random_key if kind == "random" else key, kind)
        for key, kind in zip((condition.a, condition.b), kinds, strict=True)
    )
    return a, b, group(random_key, "random")


def _group(store: Store, key: str, kind: str, label: str, trained: bool) -> Group:
    """Return the tickets of one kind on a data set; raise `Missing` if they are not trained, or too few to compare."""
    name = experiment_of(key)
    group = comparisons.group(store, name, kind, label, trained)
    if len(group.starts) < LEAST_TICKETS:
        raise Missing(evidence.beyond(store, name))
    return group


def measured(
    store: Store, chosen: Iterable[Condition], signed: bool, settings: Settings = _DEFAULT
) -> dict[str, Comparison]:
    """Return the comparisons, by the condition's name, of those conditions whose tickets are trained."""
    found = {}
    for condition in chosen:
        try:
            found[condition.name] = compared(store, condition, signed, settings)
        except Missing:
            continue
    return found


def distinguished(store: Store, switch: str) -> dict[str, tuple[Difference, float, bool]]:
    """Tell which pairs of winning tickets are closer than random ones, with signs, when one switch is turned.

    Parameters
    ----------
    store : Store
    switch : str
        A key of `SWITCHES`, or `CONTROLS`.

    Returns
    -------
    dict of str to (Difference, float, bool)
        By the condition's name, of two tickets of one data set or of two, stand-ins included: the difference from
        random pairs, the p-value of the test that permutes tickets, and whether both say closer.  Conditions whose
        tickets are not trained, or so few that no permutation could say it, are left out.
    """
    settings = SWITCHES.get(switch, _DEFAULT)
    every = {c.name: c for c in (*WINNING, *conditions(["CIFAR", *STAND_INS])) if c.category in ("WTs", "between_DS")}
    found = {}
    for name, c in every.items():
        condition = dataclasses.replace(c, name=f"controls of {name}", category="controls") if switch == CONTROLS else c
        for both in measured(store, [condition], True, settings).values():
            if both.least_permutation_p >= statistics.SIGNIFICANCE:
                continue
            d, p = both.difference(), both.permutation_p()
            below = both.difference(drawn=False).diff_mean < 0
            found[name] = (d, p, d.lower and below and p < statistics.SIGNIFICANCE)
    return found


def grouped_signs(store: Store, switch: str) -> dict[str, tuple[float, float, bool]]:
    """Tell in which tickets weights of one sign are neighbours more often than in their controls, by switch.

    Returns
    -------
    dict of str to (float, float, bool)
        By the name of the winning tickets, where there are enough to compare: the share of positive pairs that are
        neighbours, in %, the upper end of what 95 % of the controls have, and whether both signs lie above their
        controls.
    """
    settings = SWITCHES[switch]
    found = {}
    for label, group in _every_kernel_group(store, settings)[0].items():  # each beside its own controls
        own = patterns.statistics(group, settings.diagonal, settings.pooled)
        if not group.random and len(group.signs) >= LEAST_TICKETS and {"positive", "negative"} <= set(own):
            above = all(own[key].value > own[key].control_high for key in ("positive", "negative"))
            found[label] = (own["positive"].value, own["positive"].control_high, above)
    return found


def lacking(store: Store, keys: Iterable[str], settings: Settings = _DEFAULT) -> list[Lack]:
    """Return what of the winning tickets on some data sets is not trained, or too little."""
    found: list[Lack] = []
    for key in keys:
        try:
            _group(store, key, "winning", key, settings.trained)
        except Missing as missing:
            found += missing.lacks
    return found


def small_network(*layers: str) -> tuple[Architecture, NDArray[np.int8]]:
    """Return a small dense network from its connections, written as text.

    Parameters
    ----------
    *layers : str
        One word a unit, one letter a connection: '+', '-', or '0' where there is none; such as '+0- 0++'.

    Returns
    -------
    Architecture
    signs : int8 array, shape (weight_count,)

    Raises
    ------
    UserError
        If a text is not of that kind, or a layer has other inputs than the layer before has units.
    """
    signs: list[int] = []
    shapes: list[tuple[int, int]] = []
    for number, text in enumerate(layers, 1):
        units = text.split()
        if not units or len({len(unit) for unit in units}) > 1 or set("".join(units)) - set("+-0"):
            raise UserError(
                f"layer {number} is {text!r}: it should be words of one length, one a unit, of the letters + - 0"
            )
        if shapes and len(units[0]) != shapes[-1][0]:
            raise UserError(f"layer {number} is {text!r}: its words should have {shapes[-1][0]} letters")
        shapes.append((len(units), len(units[0])))
        signs += ["-0+".index(letter) - 1 for letter in "".join(units)]
    made = tuple(Layer(f"layer {number}", shape) for number, shape in enumerate(shapes, 1))
    return Architecture("small", (1, 1, shapes[0][1]), made), np.array(signs, np.int8)


def layer_number(claim: Claim) -> int | None:
    """Return the index of the layer of Conv-2 that a claim is about; None for the mean over the layers."""
    names = [layer.name for layer in find(CIFAR).architecture.layers]
    return names.index(claim.layer) if claim.layer in names else None


# --- how a claim is measured -------------------------------------------------------------------------------------


def attempt(reading: str, keys: Iterable[str], make: Callable[[], Measurement]) -> Measurement:
    """Return a measurement on the data sets of some keys, or one that says which tickets it lacks."""
    try:
        names = tuple(experiment_of(key) for key in keys)
        return dataclasses.replace(make(), reading=reading, experiments=names)
    except Missing as missing:
        return Measurement(reading=reading, missing=missing.lacks)


def _setup(**checks: bool) -> list[Measurement]:
    return [Measurement(checks={name.replace("_", " "): holds for name, holds in checks.items()})]


Rows = Callable[[Condition, bool], Difference]


def _differences(store: Store, settings: Settings, layer: int | None = None) -> Rows:
    return lambda condition, signed: compared(store, condition, signed, settings).difference(layer)


def _every(store: Store, chosen: Iterable[Condition], make: Callable[[], Measurement]) -> list[Measurement]:
    """Measure a claim that only all its conditions together decide; what is lacking to any of them is named."""
    keys = dict.fromkeys(key for c in chosen for key in (c.a, c.b))
    absent = lacking(store, keys)
    return [Measurement(missing=tuple(absent))] if absent else [attempt("", keys, make)]


def _by_reading(make: Callable[[Condition], Mapping[str, bool]], *categories: str) -> list[Measurement]:
    """Measure a claim about the conditions of some categories, one reading a data set or pair of them."""
    found = []
    for reading, members in READINGS.items():
        chosen = [c for c in members if c.category in categories]

        def checks(chosen: Sequence[Condition] = chosen) -> Measurement:
            return Measurement(checks={words: holds for c in chosen for words, holds in make(c).items()})

        if chosen:
            found.append(attempt(reading, dict.fromkeys((chosen[0].a, chosen[0].b)), checks))
    return found


def _by_dataset(make: Callable[[str], Measurement]) -> list[Measurement]:
    """Measure a claim about winning tickets, one reading a data set."""
    return [attempt(key, (key,), functools.partial(make, key)) for key in DATASETS]


def _words(name: str, d: Difference) -> str:
    return f"{name} (d = {d.cohen_d:.2f}, p = {d.p_value:.2g})"


def _table_rows(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    """Measure the rows of tables 1, A.1 and A.2."""

    def row(claim: Claim, condition: Condition) -> Measurement:
        found = compared(store, condition, "+-" in claim.quantity, settings).difference(layer_number(claim))
        return Measurement(row=dataclasses.asdict(found))

    result = {}
    for claim in ledger:
        if claim.check == "table-row":
            condition = CONDITIONS[claim.setting["dataset"]]
            keys = dict.fromkeys((condition.a, condition.b))
            result[claim.id] = [attempt("", keys, functools.partial(row, claim, condition))]
    return result


# --- the sections ------------------------------------------------------------------------------------------------


def _distinguishes(store: Store, settings: Settings, condition: Condition) -> dict[str, bool]:
    """Check that two winning tickets are closer than two random ones, by the paper's test and by one over tickets."""
    both = compared(store, condition, True, settings)
    found, p = both.difference(), both.permutation_p()
    below = both.difference(drawn=False).diff_mean < 0  # the test is two-sided, and of all pairs
    return {
        _words(f"{condition.name} below random", found): found.lower,
        f"permutation of tickets, p = {p:.2g}": below and p < statistics.SIGNIFICANCE,
    }


def _section_abstract(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    return {
        "B-ABS-1": _by_reading(functools.partial(_distinguishes, store, settings), "WTs", "between_DS"),
        "B-ABS-2": _by_dataset(functools.partial(_like_trained, store, settings)),
    }


def first_layer(name: str, signs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the signs of the first convolution, shape (tickets, filters, channels, 3, 3)."""
    layer = find(name).architecture.layers[0]
    return signs[:, : layer.size].reshape(len(signs), *layer.shape)


def same_sign(signs: NDArray[np.int8], diagonal: bool = False) -> tuple[float, float]:
    """Return which share of the neighbours in the first layer have one sign, in %, beside signs dealt anew.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    diagonal : bool
        As for `kernels.neighbour_share`.

    Returns
    -------
    (float, float)
        The share, and the upper end of the central 95 % of the shares when the signs of every ticket are dealt anew
        among its survivors.
    """
    draws = (kernels.deal_signs(signs, seed) for seed in range(patterns.CONTROL_DRAWS))
    dealt = [kernels.same_sign_share(drawn, diagonal) for drawn in draws]
    return 100 * kernels.same_sign_share(signs, diagonal), 100 * float(np.quantile(dealt, 0.975))


def dense_signs(store: Store, name: str) -> NDArray[np.int8]:
    """Return the signs of the first layer of as many trained dense networks as a group has tickets, or all."""
    return first_layer(name, evidence.part(store, name, "dense", "signs")[:KERNEL_TICKETS])


def _same_sign(signs: NDArray[np.int8], what: str, diagonal: bool) -> dict[str, bool]:
    """Check that neighbours have one sign more often than where signs are dealt anew."""
    share, most = same_sign(signs, diagonal)
    return {f"neighbours of one sign in {what}: {share:.1f} % (dealt anew up to {most:.1f} %)": share > most}


def _like_trained(store: Store, settings: Settings, key: str) -> Measurement:
    """Check neighbours of the same sign: more than by chance in the ticket before training, and in trained networks."""
    ticket = kernel_group(store, key, dataclasses.replace(settings, trained=False)).signs
    dense = dense_signs(store, experiment_of(key))
    return Measurement(
        checks=_same_sign(ticket, "tickets before training", settings.diagonal)
        | _same_sign(dense, "trained dense networks", settings.diagonal)
    )


def _section_3(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    return {
        "B-3-F1": [Measurement(checks=_nnstd_by_definition())],
        "B-3-F2": [Measurement(checks=_signed_by_definition())],
        "B-3-F3": [Measurement(checks=_opposite_sign_costs_more())],
        "B-3-F4": [Measurement(checks=_filters_are_units())],
        "B-3-F5": _by_dataset(functools.partial(_unequal_signs, store, settings)),
    }


def _ned(first: set[int], second: set[int]) -> float:
    """Return the normalised edit distance of two sets, as it is defined."""
    return len(first ^ second) / len(first | second) if first or second else 0.0


def _sets(rows: NDArray[np.bool_]) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in rows]


_SMALL = Architecture("small", (1, 1, 5), (Layer("hidden", (4, 5)), Layer("output", (3, 4))))


def _small_signs(count: int) -> NDArray[np.int8]:
    words = streams.raw("paper B/section 3", count * _SMALL.weight_count).reshape(count, -1)
    return (words % np.uint64(3)).astype(np.int8) - np.int8(1)


def _nnstd_by_definition() -> dict[str, bool]:
    """Compare with sets, and with every permutation of the units in the place of the solver."""
    masks = _small_signs(12) != 0
    least, layered = [], []
    for a, b in itertools.pairwise(masks):
        found = topology.matching(_SMALL, a, b)
        order, total = np.arange(5), 0.0
        for match, layer, where in zip(found, _SMALL.layers, _SMALL.weight_slices().values(), strict=True):
            first, second = a[where].reshape(layer.shape), b[where].reshape(layer.shape)[:, order]
            costs = np.array([[_ned(x, y) for y in _sets(second)] for x in _sets(first)])
            units = range(len(costs))
            best = min(costs[units, list(p)].mean() for p in itertools.permutations(units))
            least.append(abs(match.distance - best) < 1e-12)
            total += best
            order = match.partner
        layered.append(abs(topology.nnstd(_SMALL, a, b) - total / 2) < 1e-12)
    return {
        f"layer distances are the least over all permutations of units, with sets ({len(least)} layers)": all(least),
        f"network distances are the means of the layers' ({len(layered)} pairs)": all(layered),
        "a network is at distance 0 from itself": all(topology.nnstd(_SMALL, m, m) == 0 for m in masks),
    }


def _signed_by_definition() -> dict[str, bool]:
    signs = _small_signs(12)[:, :20].reshape(12, 4, 5)
    equal = []
    for a, b in itertools.pairwise(signs):
        found = topology.unit_distances(a, b)
        for i, j in np.ndindex(found.shape):
            plus, minus = (_ned(set(np.flatnonzero(a[i] == s)), set(np.flatnonzero(b[j] == s))) for s in (1, -1))
            equal.append(abs(found[i, j] - (plus + minus) / 2) < 1e-12)
    return {f"the mean of the two distances of sets, in {len(equal)} pairs of units": all(equal)}


def _opposite_sign_costs_more() -> dict[str, bool]:
    """Compare, for units of every make-up, one connection of the other sign with the same connection gone."""
    dearer = []
    for positive, negative in itertools.product(range(1, 13), range(13)):
        unit = np.array([[1] * positive + [-1] * negative], np.int8)
        flipped, gone = unit.copy(), unit.copy()
        flipped[0, 0], gone[0, 0] = -1, 0
        dearer.append(bool(topology.unit_distances(unit, flipped) > topology.unit_distances(unit, gone)))
    return {f"units of 1 to 12 positive and 0 to 12 negative connections ({len(dearer)})": all(dearer)}


def _filters_are_units() -> dict[str, bool]:
    network = Architecture("small", (2, 8, 8), (Layer("conv1", (4, 2, 3, 3)),))
    words = streams.raw("paper B/section 3/filters", 2 * network.weight_count).reshape(2, -1)
    a, b = words % np.uint64(3) == 0
    (match,) = topology.matching(network, a, b)
    costs = [[_ned(x, y) for y in _sets(b.reshape(4, -1))] for x in _sets(a.reshape(4, -1))]
    return {
        "one unit a filter": match.costs.shape == (4, 4),
        "its connections are all unpruned entries of its kernels": bool(np.allclose(match.costs, costs)),
    }


def positive_shares(signs: NDArray[np.int8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return which share of the survivors of each ticket is positive, and whether a fair coin would hardly give it.

    Parameters
    ----------
    signs : int8 array, shape (tickets, weights)
        1, -1, or 0 where pruned.

    Returns
    -------
    shares : float array, shape (tickets,)
        Between 0 and 1.
    outside : bool array, shape (tickets,)
        Outside of the central 95 % of the binomial distribution of as many throws.
    """
    positive, kept = (signs > 0).sum(axis=1), (signs != 0).sum(axis=1)
    low, high = stats.binom.interval(0.95, kept, 0.5)
    return positive / kept, (positive < low) | (positive > high)


def _unequal_signs(store: Store, settings: Settings, key: str) -> Measurement:
    signs = comparisons.winning_tickets(store, experiment_of(key), settings.trained)
    shares, outside = positive_shares(signs)
    # "Usually" is more than half of the tickets; "not equally" is outside of the central 95 % of a fair coin.
    return Measurement(
        checks={
            f"in {outside.sum()} of {len(outside)} tickets the share of positive weights (mean "
            f"{100 * shares.mean():.2f} %) is not that of a fair coin": bool(outside.mean() > 0.5)
        }
    )


def _section_4(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    e = store.find(CIFAR)
    layers = {layer.name: layer for layer in e.architecture.layers}
    first, last = e.levels[1], e.last
    counts = kept_counts(e.architecture, last)
    pruned = {name: 100 * (1 - counts[name] / layers[name].size) for name in layers}
    total = 100 * (1 - sum(counts.values()) / e.architecture.weight_count)

    def wins(key: str) -> Measurement:
        means = {level: values.mean() for level, values in evidence.accuracies(store, experiment_of(key)).items()}
        absent = [level for level in (e.last.name, "random") if level not in means]
        if absent:
            raise Missing(Lack(experiment_of(key), " and ".join(absent)))
        ticket, dense, drawn = (means[level] for level in (e.last.name, "dense", "random"))
        # "To the same performance": at most one percentage point worse.
        return Measurement(
            checks={
                f"winning ticket {ticket:.2f} %, at most one point below the dense network's {dense:.2f} %": bool(
                    ticket >= dense - 1
                ),
                f"random ticket {drawn:.2f} %": bool(ticket > drawn),
            }
        )

    return {
        "B-4-S1": _setup(
            **{
                "two convolutions of 64 filters of 3 x 3": all(
                    layers[n].shape[0] == 64 and layers[n].shape[2:] == (3, 3) for n in ("conv1", "conv2")
                ),
                "two dense layers of 256 units, 10 outputs": [
                    layers[n].shape[0] for n in ("dense1", "dense2", "output")
                ]
                == [256, 256, 10],
            }
        ),
        "B-4-S2": _setup(
            **{
                f"{key}: 32 x 32 pixels, RGB, 10 classes": find(name).architecture.input_shape == (3, 32, 32)
                and find(name).architecture.layers[-1].shape[0] == 10
                for key, name in DATASETS.items()
            }
        ),
        "B-4-S3": _setup(**{f"{e.levels.index(last)} rounds": e.levels.index(last) == 11}),
        "B-4-S4": _setup(**{f"{e.epochs} epochs": e.epochs == 10}),
        **{
            claim: _setup(**{f"{', '.join(n)}: {pruned[n[0]]:.2f} %": all(round(pruned[x], 1) == said for x in n)})
            for claim, n, said in (
                ("B-4-S5", ("conv1", "conv2"), 68.6),
                ("B-4-S6", ("dense1", "dense2"), 91.4),
                ("B-4-S7", ("output",), 68.6),
            )
        },
        "B-4-S8": _setup(
            **{f"{100 * float(1 - first.kept_of('conv1')):g} %": first.kept_of("conv1") == Fraction(9, 10)}
        ),
        "B-4-S9": _setup(
            **{f"{100 * float(1 - first.kept_of('dense1')):g} %": first.kept_of("dense1") == Fraction(8, 10)}
        ),
        "B-4-S10": _setup(biases_are_not_pruned="biases kept" in e.specification()["criterion"]),
        "B-4-S11": _setup(**{f"{total:.2f} %": round(total, 1) == 91.2}),
        "B-4-S12": _setup(
            **{f"{store.trials(CIFAR) or f'{e.inits} trials'}, {e.runs} run each": (e.inits, e.runs) == (20, 1)}
        ),
        "B-4-S13": _by_dataset(wins),
        "B-4-S14": _setup(
            the_same_initial_weights_and_the_same_counts_in_every_layer=bool(
                kept_counts(e.architecture, e.level("random")) == counts
            )
        ),
        "B-4-S15": _setup(survivors_are_reset="survivors reset" in e.specification()["criterion"]),
    }


def implied_group_size(d: float, p: float) -> float:
    """Return how large two equally large groups are from which an effect `d` has the p-value `p`.

    Welch's statistic of two groups of n values is ``d * sqrt(n / 2)`` if their variances are equal, with 2 n - 2
    degrees of freedom; if they are not, the degrees of freedom are fewer.
    """
    low, high = 2.0, 1e5
    while high - low > 1e-3:
        n = (low + high) / 2
        low, high = (n, high) if 2 * stats.t.sf(abs(d) * math.sqrt(n / 2), 2 * n - 2) > p else (low, n)
    return high


def _section_5(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    of = _differences(store, settings)
    tickets = store.find(CIFAR).replicas
    edges = [(0.1, "negligible"), (0.2, "small"), (0.5, "medium"), (0.8, "large"), (1.2, "very large"), (2.0, "huge")]

    def normal(c: Condition) -> dict[str, bool]:
        checks = {}
        for signed in (False, True):
            values = compared(store, c, signed, settings).values().mean(axis=1)
            if len(values) < LEAST_NORMAL:
                raise Missing(evidence.beyond(store, experiment_of(c.a)))
            p, spread = stats.shapiro(values).pvalue, values.std(ddof=1)
            # "Approximately normal": not refuted at the paper's level; "very low": 0.01 of a scale of 0 to 1.
            name = f"{c.name}, NNSTD{'±' if signed else ''}"
            checks[f"{name}: normal (Shapiro-Wilk p = {p:.2g})"] = bool(p >= statistics.SIGNIFICANCE)
            checks[f"{name}: standard deviation {spread:.4f}"] = bool(spread <= 0.01)
        return checks

    def level(c: Condition) -> dict[str, bool]:
        plain, signed = (compared(store, c, s, settings).values().mean() for s in (False, True))
        return {f"{c.name}: {plain:.4f} without signs, {signed:.4f} with": bool(plain < signed)}

    def closer(c: Condition) -> dict[str, bool]:
        plain, signed = of(c, False), of(c, True)
        return {
            _words(f"{c.name} below random with signs", signed): signed.lower,
            f"and more so than without (d = {plain.cohen_d:.2f})": signed.lower and signed.cohen_d < plain.cohen_d,
        }

    def consistent(c: Condition) -> dict[str, bool]:
        plain, signed = of(c, False), of(c, True)
        huge = signed.cohen_d <= -2
        return {
            f"{c.name} huge and negative with signs (d = {signed.cohen_d:.2f})": huge,
            f"further from 0 than without (d = {plain.cohen_d:.2f})": huge and signed.cohen_d < plain.cohen_d,
        }

    def by_sign(c: Condition) -> dict[str, bool]:
        plain, signed = of(c, False), of(c, True)
        return {
            _words(f"{c.name} below random with signs", signed): signed.lower,
            # Where signs show nothing either, that nothing shows without them is no difference.
            _words("not without", plain): signed.lower and not plain.lower,
        }

    def mixed() -> Measurement:
        found = {c.name: of(c, False) for c in MIXED}
        higher = sum(d.higher for d in found.values())
        said = ", ".join(_words(n, d) for n, d in found.items())
        return Measurement(checks={f"{higher} of 3 above random: {said}": higher >= 2})

    def within() -> Measurement:
        found = {key: of(CONDITIONS[f"WTs_{key}"], False) for key in DATASETS}
        below = found["SVHN"].lower
        # "Only": what sets the others apart, and so nothing where WTs_SVHN is like them.
        checks = {
            _words(f"WTs_{key} not below random", found[key]): below and not found[key].lower
            for key in ("CIFAR", "CINIC")
        }
        checks[_words("WTs_SVHN below random", found["SVHN"])] = below
        checks["its effect is large"] = found["SVHN"].cohen_d <= -0.8
        return Measurement(checks=checks)

    def between() -> Measurement:
        found = {c.name: of(c, False) for c in CONDITIONS.values() if c.category == "between_DS"}
        base = found["CINIC_CIFAR"]
        checks = {
            _words(f"{name} above random and above CINIC_CIFAR", d): d.diff_mean > max(0, base.diff_mean)
            for name, d in found.items()
            if d is not base
        }
        checks["only SVHN_CIFAR significantly"] = found["SVHN_CIFAR"].higher and not found["SVHN_CINIC"].higher
        return Measurement(checks=checks)

    def significant() -> Measurement:
        found = [of(c, True).p_value < statistics.SIGNIFICANCE for c in CONDITIONS.values() if c.name != "random"]
        return Measurement(values=np.array([float(sum(found))]))

    def mostly_large() -> Measurement:
        found = {c.name: of(c, True) for c in CONDITIONS.values() if c.name != "random"}
        said = {name: d for name, d in found.items() if d.p_value < statistics.SIGNIFICANCE}
        large = [name for name, d in said.items() if abs(d.cohen_d) >= 0.8]
        words = f"a large effect or more in {len(large)} of {len(said)} significant ones ({', '.join(large) or 'none'})"
        return Measurement(checks={words: 2 * len(large) > len(said)})

    def effect(c: Condition) -> Measurement:
        return Measurement(values=np.array([of(c, True).cohen_d]))

    def effects(category: Sequence[str]) -> list[Measurement]:
        return [
            attempt(c.name, dict.fromkeys((c.a, c.b)), functools.partial(effect, c))
            for c in CONDITIONS.values()
            if c.category in category
        ]

    return {
        **_table_rows(store, ledger, settings),
        "B-5-S1": _setup(**{f"{math.comb(tickets, 2)} pairs of {tickets}": math.comb(tickets, 2) == 190}),
        "B-5-S2": _setup(**{f"{SAMPLE} comparisons are drawn": SAMPLE == 50, **_fits_fifty(ledger)}),
        "B-5-S3": _setup(**{f"{len(CONDITIONS)} conditions": len(CONDITIONS) == 10}),
        "B-5-S4": [Measurement(checks=_statistics_by_scipy())],
        "B-5-S5": _setup(**{f"{d} is {word}": statistics.effect_word(d) == word for d, word in edges}),
        "B-5-S6": _by_reading(normal, "WTs", "mixed", "random", "between_DS"),
        "B-F1-1": _by_reading(level, "WTs", "mixed", "random", "between_DS"),
        "B-F1-2": _by_reading(closer, "WTs", "between_DS"),
        "B-5-1": _every(store, MIXED, mixed),
        "B-5-2": _every(store, [CONDITIONS[f"WTs_{key}"] for key in DATASETS], within),
        "B-5-3": _every(store, [c for c in WINNING if c.category == "between_DS"], between),
        "B-5-4": _every(store, CONDITIONS.values(), significant),
        "B-5-5": effects(("mixed",)),
        "B-5-6": effects(("WTs", "between_DS")),
        "B-5-8": _every(store, CONDITIONS.values(), mostly_large),
        "B-5-7": _by_reading(consistent, "WTs", "between_DS"),
        "B-5-C1": _by_reading(functools.partial(_distinguishes, store, settings), "WTs", "between_DS"),
        "B-5-C2": _by_reading(by_sign, "WTs", "between_DS"),
    }


def printed_rows(ledger: Iterable[Claim]) -> list[tuple[Claim, float]]:
    """Return the printed rows of paper B's tables with the size of the groups that each implies.

    Rows whose effect or p-value is printed in a single digit, such as 0.02 or 0.001, say too little and are left out.
    """
    return [
        (c, implied_group_size(c.claimed.cohen_d, c.claimed.p_value))
        for c in ledger
        if c.claimed.cohen_d is not None
        and c.claimed.p_value is not None
        and abs(c.claimed.cohen_d) >= 0.5
        and c.claimed.p_value < 1e-3
    ]


def _fits_fifty(ledger: Iterable[Claim]) -> dict[str, bool]:
    implied = np.median([n for _, n in printed_rows(ledger)])
    # A tenth on either side allows for rounding; unequal variances make the implied size smaller by less than that.
    return {f"printed p and d imply groups of about 50 (median {implied:.0f})": bool(abs(implied - 50) <= 5)}


def _statistics_by_scipy() -> dict[str, bool]:
    a, b = streams.normal("paper B/a", 50), streams.normal("paper B/b", 40) * 1.5 + 0.4
    welch = stats.ttest_ind(a, b, equal_var=False)
    pooled = math.sqrt((49 * a.var(ddof=1) + 39 * b.var(ddof=1)) / 88)
    return {
        "Welch's test, two-tailed": math.isclose(statistics.welch(a, b)[1], welch.pvalue),
        "d with the pooled standard deviation": math.isclose(statistics.cohen_d(a, b), (a.mean() - b.mean()) / pooled),
        f"level {statistics.SIGNIFICANCE}": statistics.SIGNIFICANCE == 0.01,
    }


def _section_7(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    of = _differences(store, settings)

    def closest(c: Condition) -> dict[str, bool]:
        found = of(c, True)
        keys = dict.fromkeys((c.a, c.b))
        own = compared(store, c, True, settings).values().mean(axis=1)
        checks = {_words(f"{c.name} below two random tickets", found): found.lower}
        for key in keys:
            mixed = compared(store, CONDITIONS[f"mixed_{key}"], True, settings).values().mean(axis=1)
            against = comparisons.difference(own, mixed)
            checks[_words(f"{c.name} below mixed_{key}", against)] = against.lower
        return checks

    def everywhere(c: Condition) -> dict[str, bool]:
        found = of(c, True)
        return {_words(f"{c.name} below random", found): found.lower}

    def grouped(key: str) -> Measurement:
        group = kernel_group(store, key, settings)
        own = patterns.statistics(group, settings.diagonal)["any"]
        # The three parts of the claim: weights of one sign lie together; other than in randomly pruned kernels; and
        # whoever ignores the signs sees no more than chance.
        return Measurement(
            checks={
                **_same_sign(group.signs, "tickets", settings.diagonal),
                **_beyond(group, settings, "positive", False),
                f"any two survivors that are neighbours: {own.value:.1f} %, random {own.low:.1f} to {own.high:.1f} %": (
                    own.low <= own.value <= own.high
                ),
            }
        )

    return {
        "B-7-1": _by_reading(closest, "WTs", "between_DS"),
        # That it holds within a data set is B-7-1; what this one adds needs the tickets of two.
        "B-7-2": _by_reading(everywhere, "between_DS"),
        "B-7-3": _by_dataset(grouped),
        "B-7-4": _setup(signs_of_the_initial_weights=not settings.trained),
    }


def _layers(store: Store, settings: Settings, c: Condition, signed: bool) -> dict[str, Difference]:
    names = [layer.name for layer in find(CIFAR).architecture.layers]
    both = compared(store, c, signed, settings)
    return {name: both.difference(number) for number, name in enumerate(names)}


def _spread_of_layers(store: Store, settings: Settings, signed: bool, c: Condition) -> dict[str, bool]:
    names = [layer.name for layer in find(CIFAR).architecture.layers]
    means = dict(zip(names, compared(store, c, signed, settings).values().mean(axis=0).tolist(), strict=True))
    said = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    # "Huge", and "high", have no number in the paper; fixed here as a tenth of the scale of 0 to 1.
    return {f"{c.name}: layers differ by more than 0.1 ({said})": max(means.values()) - min(means.values()) > 0.1}


def _section_appendix_a1(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    def layers(c: Condition) -> dict[str, Difference]:
        return _layers(store, settings, c, True)

    def early(c: Condition) -> dict[str, bool]:
        names = [layer.name for layer in find(CIFAR).architecture.layers]
        means = dict(zip(names, compared(store, c, True, settings).values().mean(axis=0), strict=True))
        first, later = max(means["conv1"], means["conv2"]), min(means[n] for n in ("dense1", "dense2", "output"))
        closer = {f"{c.name}: convolutions up to {first:.3f}, later layers from {later:.3f}": bool(first < later)}
        return {**_spread_of_layers(store, settings, True, c), **closer}

    def trend(c: Condition) -> dict[str, bool]:
        checks = {}
        for name, d in layers(c).items():
            if name == "dense1":
                checks[_words(f"{c.name} above random in dense1", d)] = d.higher
            elif c.category == "mixed":
                checks[_words(f"{c.name} not below random in {name}", d)] = not d.lower
            else:
                checks[_words(f"{c.name} below random in {name}", d)] = d.lower
        return checks

    def lower(c: Condition) -> dict[str, bool]:
        found = layers(c)
        return {
            _words(f"{c.name} below random in {n}", found[n]): found[n].lower for n in ("conv2", "dense2", "output")
        }

    def mixed() -> Measurement:
        found = {c.name: layers(c) for c in MIXED}
        checks = {
            _words(f"{name} above random in dense2", row["dense2"]): row["dense2"].higher for name, row in found.items()
        }
        every = all(checks.values())
        for layer in ("conv1", "conv2", "output"):
            # "Only in dense2": nothing where it is not so there.
            checks[f"not all of them in {layer}"] = every and not all(row[layer].higher for row in found.values())
        return Measurement(checks=checks)

    return {
        **_table_rows(store, ledger, settings),
        "B-FA1": _by_reading(early, "WTs", "mixed", "between_DS"),
        "B-A1-1": _by_reading(trend, "WTs", "mixed", "between_DS"),
        "B-A1-2": _by_reading(lower, "WTs", "between_DS"),
        "B-A1-3": _every(store, MIXED, mixed),
        "B-A1-4": _by_reading(functools.partial(_huge_in_dense1, store, settings, True), "WTs", "mixed", "between_DS"),
    }


def _huge_in_dense1(store: Store, settings: Settings, signed: bool, c: Condition) -> dict[str, bool]:
    d = _layers(store, settings, c, signed)["dense1"]
    return {
        _words(f"{c.name} above random in dense1", d): d.higher,
        f"{c.name}: a huge effect": d.cohen_d >= 2,
    }


def _section_appendix_a2(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    def output(c: Condition) -> dict[str, bool]:
        d = _layers(store, settings, c, False)["output"]
        checks = {_words(f"{c.name} below random in output", d): d.diff_mean < 0}
        if c.category != "mixed":
            checks[f"{c.name}: at least a large effect"] = d.cohen_d <= -0.8
            checks[f"{c.name}: significant"] = d.lower
        return checks

    def similar() -> Measurement:
        checks: dict[str, bool] = {}
        below: dict[str, list[str]] = {}
        for c in CONDITIONS.values():
            found = {n: d for n, d in _layers(store, settings, c, False).items() if n in ("conv1", "conv2", "dense2")}
            if c.category == "WTs":
                below[c.name] = [layer for layer, d in found.items() if d.lower]
            elif c.category != "random":
                checks |= {f"{c.name} above random in {layer}": d.diff_mean > 0 for layer, d in found.items()}
        # "Only" that of SVHN is "mostly" below random: in two of the three layers; what sets the others apart is
        # nothing where it is like them.
        mostly = len(below["WTs_SVHN"]) >= 2
        for name, where in below.items():
            said = f"{name} below random in {', '.join(where) or 'none of them'}"
            checks[said] = mostly and (len(where) >= 2) == (name == "WTs_SVHN")
        return Measurement(checks=checks)

    return {
        **_table_rows(store, ledger, settings),
        "B-FA3": _by_reading(
            functools.partial(_spread_of_layers, store, settings, False), "WTs", "mixed", "between_DS"
        ),
        "B-A2-1": _every(store, CONDITIONS.values(), similar),
        "B-A2-2": _by_reading(functools.partial(_huge_in_dense1, store, settings, False), "WTs", "mixed", "between_DS"),
        "B-A2-3": _by_reading(output, "WTs", "mixed", "between_DS"),
    }


# --- sections 6 and A.3: signs in the first layer ---------------------------------------------------------------

PLACE_NAMES = [f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right")]


def kernel_settings(tickets: int, trained: bool, neighbours: int = 4, pooled: bool = True) -> Settings:
    """Return the settings of a chapter about kernels.

    Parameters
    ----------
    tickets : int
        In a group: 1 to 20; there are fewer where fewer trials are trained.
    trained : bool
        Signs at the end of the tickets' training, not those of their initial weights.
    neighbours : int
        Places that count as next to a place: 4 or 8.
    pooled : bool
        All pairs of weights of a group in one share.

    Raises
    ------
    UserError
        If a number is not one of these.
    """
    if neighbours not in (4, 8):
        raise UserError(f"neighbours is {neighbours}: a place has 4 neighbours, or 8 with the diagonal ones")
    if not 1 <= tickets <= find(CIFAR).replicas:
        raise UserError(f"tickets is {tickets}: it should be 1 to {find(CIFAR).replicas}")
    return Settings(trained=trained, kernel_tickets=tickets, diagonal=neighbours == 8, pooled=pooled)


def printed(name: str) -> tuple[float, ...]:
    """Return the number, or the row of numbers, that the paper prints, by the id of its claim."""
    value = claims.load()[name].claimed.value
    if value is None:
        raise UserError(f"claim {name}: it should have a value")
    return value if isinstance(value, tuple) else (value,)


def printed_kernels(part: str) -> dict[str, float]:
    """Return a number that the paper prints of every group of kernels, by the label under which ours is shown.

    Parameters
    ----------
    part : str
        Of the ids of its claims: a key of `KERNEL_VALUES`.
    """
    keys = {name: key for key, name in DATASETS.items()}
    labels = {"random": "random"} | {k: f"{keys[n]}-WTs" for k, n in KERNEL_LABELS.items() if n in keys}
    return {label: printed(f"B-6-{part}-{group}")[0] for label, group in labels.items()}


def kernel_group(store: Store, dataset: str, settings: Settings) -> patterns.Group:
    """Return the tickets whose kernels are looked at: 'random', or a key of `DATASETS`; raise `Missing` without."""
    if dataset == "random":
        return patterns.random(store, CIFAR, settings.kernel_tickets, settings.trained)
    return patterns.winning(store, DATASETS[dataset], settings.kernel_tickets, settings.trained)


def kernel_groups(store: Store, settings: Settings) -> tuple[dict[str, patterns.Group], list[Lack]]:
    """Return the groups of tickets that are shown side by side, by name, and what is not trained, or too little.

    The stand-ins' tickets are among them, under names of their own.  All groups have as many tickets, the first ones,
    for some of their statistics hang on that: as few as there are on any of the paper's data sets.  Tickets of others
    that are fewer still are left out, and not the paper's cut down for their sake.
    """
    groups, lacking = _every_kernel_group(store, settings)
    papers = [group for group in groups.values() if not group.random and group.experiment in DATASETS.values()]
    least = min((len(group.signs) for group in papers or groups.values()), default=0)
    lacking += [evidence.beyond(store, group.experiment) for group in groups.values() if len(group.signs) < least]
    cut = {
        label: dataclasses.replace(group, signs=group.signs[:least])
        for label, group in groups.items()
        if len(group.signs) >= least
    }
    return cut, list(dict.fromkeys(lacking))


def _every_kernel_group(store: Store, settings: Settings) -> tuple[dict[str, patterns.Group], list[Lack]]:
    """Return all groups of tickets there are, by the name they are shown under, and what is not trained."""
    groups: dict[str, patterns.Group] = {}
    lacking: list[Lack] = []
    for label, name in {"random": "", **KERNEL_LABELS}.items():
        try:
            if name:
                groups[label] = patterns.winning(store, name, settings.kernel_tickets, settings.trained)
            else:
                groups[label] = kernel_group(store, "random", settings)
        except Missing as missing:
            lacking += missing.lacks
    return groups, lacking


def _by_group(store: Store, settings: Settings, make: Callable[[patterns.Group], Measurement]) -> list[Measurement]:
    """Measure a claim about the kernels of winning tickets, one reading a data set."""
    return _by_dataset(lambda key: make(kernel_group(store, key, settings)))


def _random_as_by_chance(store: Store, settings: Settings, key: str) -> dict[str, bool]:
    """Check a statistic of the random tickets against many other random ones."""
    own = patterns.statistics(kernel_group(store, "random", settings), settings.diagonal)[key]
    words = patterns.STATISTICS[key][0]
    name = f"random tickets as by chance: {words} {own.value:.3g} ({own.low:.3g} to {own.high:.3g})"
    return {name: own.low <= own.value <= own.high}


def _beyond(group: patterns.Group, settings: Settings, key: str, control: bool, more: bool = True) -> dict[str, bool]:
    """Check that a statistic lies beyond the central 95 % of random tickets, or of the group's control."""
    own = patterns.statistics(group, settings.diagonal)[key]
    words, unit = patterns.STATISTICS[key]
    low, high = (own.control_low, own.control_high) if control else (own.low, own.high)
    said = f"{words}: {own.value:.3g}{f' {unit}' if unit else ''}, {'control' if control else 'random'}"
    if more:
        return {f"{said} up to {high:.3g}": own.value > high}
    return {f"{said} down to {low:.3g}": own.value < low}


def _by_place(group: patterns.Group, settings: Settings, other: int, nearer: bool) -> dict[str, bool]:
    """Check for each place with a positive weight whether others of a sign lie rather beside it, or rather not."""
    near, far = patterns.near_and_far(kernels.together(group.signs, 1, other), settings.diagonal)
    kind = "positive" if other == 1 else "negative"
    return {
        f"{name}: {beside:.0f} {kind} ones at a neighbour, {away:.0f} elsewhere": bool((beside > away) is nearer)
        for name, beside, away in zip(PLACE_NAMES, near.ravel().tolist(), far.ravel().tolist(), strict=True)
        if not np.isnan(away)  # with diagonals the centre has none but neighbours
    }


def _same_signs_together(group: patterns.Group, settings: Settings) -> dict[str, bool]:
    """Check that weights of one sign are neighbours more often than in controls with as many of either sign."""
    return _beyond(group, settings, "positive", True) | _beyond(group, settings, "negative", True)


def _typical_patterns(group: patterns.Group, settings: Settings) -> dict[str, bool]:
    """Check what can be checked of "most frequent patterns resemble filters for an edge, a corner or a surface".

    The paper does not define it.  Here: the weights of each sign lie in one block, more often than in controls, and in
    most of the nine most frequent patterns.
    """
    checks: dict[str, bool] = {}
    for weights in (3, 4):
        checks |= _beyond(group, settings, f"grouped{weights}", True)
        found, _ = kernels.frequent_patterns(group.signs, weights)
        good = int(kernels.grouped(found, settings.diagonal).sum())
        checks[f"{good} of the {len(found)} most frequent patterns with {weights} weights are grouped"] = (
            2 * good > len(found)
        )
    return checks


def _section_6(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    def value(dataset: str, key: str, pooled: bool = True) -> Measurement:
        group = kernel_group(store, dataset, settings)
        if key == "positions" and len(group.signs) < settings.kernel_tickets:
            # How often a position keeps its weight, and so how far that scatters, hangs on the number of tickets.
            raise Missing(evidence.beyond(store, group.experiment))
        own = patterns.statistics(group, settings.diagonal, pooled)[key]
        return Measurement(values=[own.value], note=f"95 % of random tickets have {own.low:.3g} to {own.high:.3g}")

    def sparse_and_dense(group: patterns.Group) -> Measurement:
        return Measurement(checks=_beyond(group, settings, "sparse", False) | _beyond(group, settings, "dense", False))

    def uneven(group: patterns.Group) -> Measurement:
        return Measurement(
            checks=_random_as_by_chance(store, settings, "positions") | _beyond(group, settings, "positions", False),
            note='"no special structure evident" and "possibly dependent on the data set" are not checked',
        )

    def positive_pairs(group: patterns.Group) -> Measurement:
        return Measurement(
            checks=_random_as_by_chance(store, settings, "positive") | _by_place(group, settings, 1, True)
        )

    def similar(group: patterns.Group) -> Measurement:
        share = patterns.measure(group.signs, settings.diagonal)
        plus, minus = share["positive"], share["negative"]
        # "Similar" has no number in the paper; fixed here as a tenth.
        holds = plus > 0 and abs(minus - plus) <= plus / 10
        return Measurement(checks={f"{minus:.1f} % of the negative pairs, {plus:.1f} % of the positive": holds})

    def resemble(group: patterns.Group) -> Measurement:
        return Measurement(
            checks=_same_signs_together(group, settings)
            | _beyond(group, settings, "opposite", True, more=False)
            | _typical_patterns(group, settings)
        )

    def mean(per: float) -> list[Measurement]:
        # Every group keeps as many weights of the layer, so this needs no training.
        group = kernel_group(store, "random", dataclasses.replace(settings, trained=False))
        return [Measurement(values=[int((group.signs != 0).sum()) / per])]

    def like_the_mean(c: Condition) -> dict[str, bool]:
        both = compared(store, c, True, settings)
        first, mean = both.difference(0), both.difference()
        checks = {_words(f"{c.name} below random in conv1", first): first.lower} if c in WINNING else {}
        # That both show nothing is no likeness of winning tickets.
        same = (first.lower, first.higher) == (mean.lower, mean.higher) and all(checks.values())
        return checks | {_words(f"{c.name}, as over all layers", mean): same}

    first = find(CIFAR).architecture.layers[0]
    found = {
        "B-6-1": _by_reading(like_the_mean, "WTs", "mixed", "between_DS"),
        "B-6-meanfilter": mean(settings.kernel_tickets * first.shape[0]),
        # Summed over the tickets: as many as the paper has.
        "B-6-meanpos": mean(first.size / first.shape[0] * settings.kernel_tickets / KERNEL_TICKETS),
        "B-F2a": _by_group(store, settings, sparse_and_dense),
        "B-F2b": _by_group(store, settings, uneven),
        "B-6-signratio-range": _by_group(
            store, settings, lambda group: Measurement(values=[kernels.sign_ratio(group.signs)])
        ),
        "B-F3": _by_group(store, settings, positive_pairs),
        "B-6-adjneg": _by_group(store, settings, similar),
        "B-6-group": _by_group(
            store, settings, lambda group: Measurement(checks=_same_signs_together(group, settings))
        ),
        "B-F4": _by_group(store, settings, lambda group: Measurement(checks=_by_place(group, settings, -1, False))),
        "B-6-pat": _by_group(store, settings, resemble),
    }
    for claim in ledger:
        part, _, dataset = claim.id.removeprefix("B-6-").partition("-")
        if part not in KERNEL_VALUES or dataset == "range":
            continue
        dataset, key = dataset.removesuffix("-WTs"), KERNEL_VALUES[part]
        keys = (dataset,) if dataset in DATASETS else ()
        # The paper does not say whether it counts all pairs together or kernel by kernel.
        readings = {"all pairs together": True, "kernel by kernel": False} if part == "adj" else {"": True}
        found[claim.id] = [
            attempt(words, keys, functools.partial(value, dataset, key, pooled)) for words, pooled in readings.items()
        ]
    return found


def _section_appendix_a3(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    def counts(dataset: str) -> Measurement:
        group = kernel_group(store, dataset, settings)
        tickets = len(group.signs)
        scaled = KERNEL_TICKETS / tickets
        return Measurement(
            values=kernels.kernel_histogram(group.signs) * scaled,
            scaled=scaled,
            note="" if tickets == KERNEL_TICKETS else f"{tickets} tickets, counts scaled to {KERNEL_TICKETS}",
        )

    def empty(group: patterns.Group) -> Measurement:
        return Measurement(checks=_beyond(group, settings, "empty", False))

    filters, channels = find(CIFAR).architecture.layers[0].shape[:2]
    kernels_in_all = KERNEL_TICKETS * filters * channels
    found = {
        "B-A3-S1": [
            Measurement(
                checks={f"{KERNEL_TICKETS} x {filters} x {channels} = {kernels_in_all}": kernels_in_all == 2688}
            )
        ],
        "B-TA3-zero": _by_group(store, settings, empty),
    }
    for claim in ledger:
        if claim.id.startswith("B-TA3-") and claim.id not in found:
            dataset = claim.setting["dataset"].removesuffix("-WTs")
            keys = (dataset,) if dataset in DATASETS else ()
            found[claim.id] = [attempt("", keys, functools.partial(counts, dataset))]
    return found


SECTIONS: dict[tuple[str, str], Callable[..., dict[str, list[Measurement]]]] = {
    ("B", "Abstract"): _section_abstract,
    ("B", "2"): lambda store, ledger, settings: {},  # background
    ("B", "3"): _section_3,
    ("B", "4"): _section_4,
    ("B", "5"): _section_5,
    ("B", "6"): _section_6,
    ("B", "7"): _section_7,
    ("B", "Appendix A.1"): _section_appendix_a1,
    ("B", "Appendix A.2"): _section_appendix_a2,
    ("B", "Appendix A.3"): _section_appendix_a3,
}
