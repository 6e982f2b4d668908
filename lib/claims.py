"""The ledger of claims, and the rules by which a measured value earns a verdict.

One rule for each kind of claim, fixed before the values that it judges were looked at, with the exceptions that the
page ``book/rules.md`` names; it says them in plain words.  Verdicts and their words are made here from numbers, never
typed by hand.
"""

import dataclasses
import enum
import functools
import hashlib
import html
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from lib.errors import UserError
from lib.statistics import EFFECTS, SIGNIFICANCE, effect_word

DEFAULT = Path(__file__).resolve().parent.parent / "data" / "claims.yaml"
MAX_BYTES = 4 * 2**20
MAX_DEPTH = 8

# Share of the measured values that must lie inside a claimed range. The rest is what a reader of a plot overlooks.
RANGE_SHARE = 0.95
# Below "all" (or the share above), a verdict is "partly" while at least this share holds, and fails under it.
PARTLY_SHARE = 0.5
# Half of the step in which the papers read values of a unit off their plots: whole percents, correlations in
# steps of 0.05, everything else in steps of 0.1.
TOLERANCE_PERCENT = 0.5
TOLERANCE_CORRELATION = 0.025
TOLERANCE_OTHER = 0.05
# "Around v" allows this share of |v| where it is more than the tolerance of the unit; twice that is "partly".
VALUE_SHARE = 0.1
# What varies from one draw to the next varies in the paper as here: two standard deviations of the difference of both.
# A count of n kernels has about sqrt(n), a difference of means its standard error.
DRAW_DEVIATIONS = 2.0
# "Some are above v": a plural, so two of them; a single one is "partly".
SOME = 2
# A group matches chance if this share of its values lies in the central 95 % interval of chance (less than 95 %,
# for pairs of tickets are not independent and the interval is discrete); of so many values or more one may miss ...
CHANCE_SHARE = 0.9
CHANCE_FEW = 5
# ... and its mean differs from the expected value by at most this share of half the interval's width, unless that is a
# single count.  The same share of groups is enough: of many groups chance itself leaves some outside.
CHANCE_MEAN = 0.5
# A group is above chance if its mean is, and this share of its values lies above the interval.
ABOVE_SHARE = 0.5
# Rows of paper B's tables: how far the difference of means may be off, but never less than half of the last digit
# that is printed (the tables have four decimals, and one row prints 0).
ROW_SHARE = 0.2
# How many pairs the paper draws for each group of a row.
ROW_PAIRS = 50
ROW_DIGIT = 0.00005

# Comparisons at an edge are made in decimal numbers that binary floats only approach.
_SLACK = 1e-9


class Verdict(enum.StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    PARTLY = "partly"
    NOT_REPRODUCED = "not reproduced"
    NOT_TESTABLE = "not testable here"
    NOT_A_CLAIM = "not a claim"
    OPEN = "open"


@dataclasses.dataclass(frozen=True)
class Claimed:
    """What the paper says; which fields are filled depends on the kind of the claim.

    Attributes
    ----------
    statement : str
        In words.
    value : float, tuple of float, or None
        A value, or a row of them.
    of : int or None
        The total that `value` counts in ("8 of 9").
    low, high : float or None
        Bounds of a range; None is an open end.
    outliers : float, (float, float), str, or None
        Values named outside the range: one, an interval, or words that give no number to check against.
    clusters : tuple of (float, float)
        The clusters in which the values lie; one without a width has equal ends.
    some_above : float or None
        Some, not all, of the values are above this.
    diff_mean, p_value, cohen_d : float or None
        A row of paper B's tables.
    label : str
        The paper's word for the size of `cohen_d`.
    """

    statement: str = ""
    value: float | tuple[float, ...] | None = None
    of: int | None = None
    low: float | None = None
    high: float | None = None
    outliers: float | tuple[float, float] | str | None = None
    clusters: tuple[tuple[float, float], ...] = ()
    some_above: float | None = None
    diff_mean: float | None = None
    p_value: float | None = None
    cohen_d: float | None = None
    label: str = ""

    def intervals(self) -> list[tuple[float, float]]:
        """Return the intervals in which values count as inside, before any tolerance."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        spans = list(self.clusters) or [(low, high)]
        if isinstance(self.outliers, tuple):
            spans.append(self.outliers)
        elif isinstance(self.outliers, float):
            spans.append((self.outliers, self.outliers))
        return spans


@dataclasses.dataclass(frozen=True)
class Claim:
    """One entry of the ledger: a claim of paper A or B, and where it stands.

    Attributes
    ----------
    id, paper, section, artefact : str
        Such as 'A-F3a-2', 'A', '3.1', 'Figure 3a'.
    setting : mapping of str to str
        What of data set, model, pruning level, randomness and comparison the claim is about.
    quantity, layer : str
        What is measured, and in which layer.
    claimed : Claimed
    check : str
        The kind of the claim, which chooses the rule.
    unit : str
        Unit of the numbers in `claimed`; '' for none.
    chance_expectation, notes : str
        What chance gives, and remarks on the text of the paper: both by this book.
    """

    id: str
    paper: str
    section: str
    artefact: str
    setting: Mapping[str, str]
    quantity: str
    layer: str
    claimed: Claimed
    check: str
    unit: str = ""
    chance_expectation: str = ""
    notes: str = ""

    @property
    def tolerance(self) -> float:
        """Half of the step in which the papers read values in this claim's unit."""
        if self.unit.startswith("%"):
            return TOLERANCE_PERCENT
        return TOLERANCE_CORRELATION if self.unit == "correlation" else TOLERANCE_OTHER

    @property
    def excepted(self) -> tuple[int, ...]:
        """Numbers of the layers that the paper excepts from a general statement: (1, 19) of 'all but 1 and 19'."""
        match = re.fullmatch(r"all but (\d+(?: and \d+)*)", self.layer)
        return tuple(int(number) for number in match[1].split(" and ")) if match else ()


# ---------------------------------------------------------------- reading the ledger


class _WrongError(Exception):
    """A value of the ledger is wrong; the message says what would be right."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongError("text (put quotes around a number)")
    return value


def _words(value: object) -> str:
    if not _text(value).strip():
        raise _WrongError("text that is not empty")
    return str(value)


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value) is not None


def _identifier(value: object) -> str:
    if not _is_identifier(value):
        raise _WrongError("made of letters, digits, '.', '_' and '-'")
    return str(value)


def _number(value: object) -> float:
    # YAML's true and false are integers to Python.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _WrongError("a finite number")
    return float(value)


def _bound(value: object) -> float | None:
    return None if value is None else _number(value)


def _pair(value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise _WrongError("a number or a list of two numbers")
    low, high = _number(value[0]), _number(value[1])
    if low > high:
        raise _WrongError("two numbers, the smaller first")
    return low, high


def _outliers(value: object) -> float | tuple[float, float] | str:
    if isinstance(value, str):
        return _words(value)
    return _pair(value) if isinstance(value, list) else _number(value)


def _clusters(value: object) -> tuple[tuple[float, float], ...]:
    if not isinstance(value, list) or not value:
        raise _WrongError("a list of numbers and of lists of two numbers")
    return tuple(_pair(item if isinstance(item, list) else [item, item]) for item in value)


def _value(value: object) -> float | tuple[float, ...]:
    if not isinstance(value, list):
        return _number(value)
    if not value:
        raise _WrongError("a number or a list of numbers that is not empty")
    return tuple(_number(item) for item in value)


def _count(value: object) -> int:
    if _number(value) != int(_number(value)) or _number(value) < 1:
        raise _WrongError("a whole number of at least 1")
    return int(_number(value))


def _probability(value: object) -> float:
    if not 0 <= _number(value) <= 1:
        raise _WrongError("between 0 and 1")
    return _number(value)


def _one_of(*known: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in known:
            raise _WrongError(f"one of {', '.join(known)}")
        return str(value)

    return parse


def _setting(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _WrongError("a mapping")
    for key, text in value.items():
        if key not in _SETTING_KEYS:
            raise _WrongError(f"a mapping with keys among {', '.join(_SETTING_KEYS)}")
        if not isinstance(text, str):
            raise _WrongError(f"a mapping to texts (see {key})")
    return dict(value)


_SETTING_KEYS = ("dataset", "model", "pruning_level", "randomness", "comparison")
_STATED = (("statement",),)
_ROW = ("diff_mean", "p_value", "cohen_d")
_MEASURED_ROW = (*_ROW, "standard_error")
# For each kind of claim: what `claimed` must hold (one of these sets of keys), and what it may hold besides.
_KINDS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "range": ((("low", "high"),), ("outliers", "clusters", "statement")),
    "value": ((("value",),), ("of", "statement")),
    "threshold": ((("some_above",), ("low", "high")), ("statement",)),
    "ordering": (_STATED, ()),
    "boolean": (_STATED, ()),
    "qualitative": (_STATED, ()),
    "formula": (_STATED, ()),
    "chance-match": (_STATED, ()),
    "above-chance": (_STATED, ()),
    "table-row": (((*_ROW, "label"), ("value",)), ()),
    "figure": (_STATED, ()),
    "setup": ((("value",), ("statement",)), ("statement",)),
    "interpretation": (_STATED, ()),
    "background": (_STATED, ()),
    "typo": (_STATED, ()),
}
_NOT_CLAIMS = {
    "setup": "set-up, which is followed and not tested",
    "interpretation": "an interpretation, which no measurement decides",
    "background": "background, which the paper takes from elsewhere",
    "typo": "a slip of the pen",
}
_CLAIMED_KEYS: dict[str, Callable[[object], Any]] = {
    "statement": _words,
    "value": _value,
    "of": _count,
    "low": _bound,
    "high": _bound,
    "outliers": _outliers,
    "clusters": _clusters,
    "some_above": _number,
    "diff_mean": _number,
    "p_value": _probability,
    "cohen_d": _number,
    "label": _one_of(*(word for word, _ in EFFECTS)),
}
_KEYS: dict[str, Callable[[object], Any]] = {
    "id": _identifier,
    "paper": _one_of("A", "B"),
    "section": _words,
    "artefact": _words,
    "setting": _setting,
    "quantity": _words,
    "layer": _words,
    "check": _one_of(*_KINDS),
    "unit": _words,
    "chance_expectation": _words,
    "notes": _text,
}
_OPTIONAL = ("unit", "chance_expectation", "notes")


def load(path: Path | None = None) -> dict[str, Claim]:
    """Return the ledger of claims, by id, in the order of the file.

    Parameters
    ----------
    path : Path, optional
        A YAML file: a list of mappings. The project's own, ``data/claims.yaml``, if not given; it must be the one
        whose SHA-256 stands in ``claims.sha256`` beside it, so that no accident changes what the papers say.

    Returns
    -------
    dict of str to Claim

    Raises
    ------
    UserError
        If the file cannot be read, is not the one that was sealed, or an entry is malformed: one sentence that names
        the file, the entry, the key, its value and what would be right.
    """
    own, path = path is None, DEFAULT if path is None else Path(path)
    return dict(_claims(_content(path, DEFAULT.with_suffix(".sha256") if own else None), path))


@functools.lru_cache(maxsize=2)  # a chapter asks dozens of times, and parsing takes longer than drawing a figure
def _claims(content: bytes, path: Path) -> dict[str, Claim]:
    """Return the claims in the content of a YAML file; not to be written to."""
    claims: dict[str, Claim] = {}
    for position, entry in enumerate(_parse(content, path), 1):
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"{path}: claim {name}" if _is_identifier(name) else f"{path}: entry {position}"
        if not isinstance(entry, dict):
            raise UserError(f"{where} is {_shown(entry)}: it must be a mapping with the key id")
        claim = _claim(entry, where)
        if claim.id in claims:
            raise UserError(f"{where}: id is {claim.id!r} a second time: it must be unique")
        claims[claim.id] = claim
    return claims


def _content(path: Path, seal: Path | None) -> bytes:
    """Return what a file holds, bounded in size; it must be the one that is sealed, if there is a seal."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): the ledger of claims must be there") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES} bytes: the ledger must be smaller")
    if seal is not None:
        try:
            with seal.open("rb") as file:
                sealed = file.read(1000)
        except OSError as error:
            raise UserError(f"{seal}: cannot be read ({error.strerror}): it must hold the ledger's SHA-256") from None
        if sealed != f"{hashlib.sha256(data).hexdigest()}  {path.name}\n".encode():
            raise UserError(
                f"{path}: is not the ledger whose SHA-256 stands in {seal.name}; whoever changed it on purpose says so "
                f"by `sha256sum {path.name} > {seal.name}` in its folder"
            )
    return data


def _parse(content: bytes, path: Path) -> list[Any]:
    """Return the list in a YAML file, read safely: without aliases, without repeated keys."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = content.decode()
        # Refused by event, before a tree is built: an alias is how a small file unfolds into a huge one, and the
        # C loader overflows its stack on deep nesting.
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UserError(f"{path}: {_line(event)} is nested more than {MAX_DEPTH} deep: it must be flatter")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise UserError(f"{path}: {_line(event)} has a YAML anchor or alias: it must be written out")
        reading = loader(text)
        root = reading.get_single_node()
        if root is not None:
            _refuse_repeated_keys(root, path)
        entries = None if root is None else reading.construct_document(root)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())}): it must be a list") from None
    if not isinstance(entries, list):
        raise UserError(f"{path}: holds {_shown(entries)}: it must be a list of claims")
    return entries


def _line(place: yaml.Event | yaml.Node) -> str:
    return "an unknown line" if place.start_mark is None else f"line {place.start_mark.line + 1}"


def _refuse_repeated_keys(node: yaml.Node, path: Path) -> None:
    """Raise if a mapping below `node` gives a key twice; YAML itself would silently keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_repeated_keys(child, path)
    elif isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, child in node.value:
            if keys.count(key.value) > 1:
                name = next((v.value for k, v in node.value if k.value == "id"), None)
                where = f"claim {name}" if _is_identifier(name) else _line(key)
                raise UserError(f"{path}: {where}: key {key.value!r} is given twice: it must be given once")
            _refuse_repeated_keys(child, path)


def _claim(entry: dict[Any, Any], where: str) -> Claim:
    """Return the claim of one entry; `where` opens the sentence if it is malformed."""
    for key in entry:
        if key not in _KEYS and key != "claimed":
            raise UserError(f"{where}: key {_shown(key)} is unknown: known are {', '.join(_KEYS)}, claimed")
    for key in (*_KEYS, "claimed"):
        if key not in entry and key not in _OPTIONAL:
            raise UserError(f"{where}: key {key} is missing: every claim must have it")
    fields = {key: _read(parse, entry[key], key, where) for key, parse in _KEYS.items() if key in entry}
    return Claim(claimed=_claimed(entry["claimed"], fields["check"], where), **fields)


def _claimed(given: object, kind: str, where: str) -> Claimed:
    if not isinstance(given, dict):
        raise UserError(f"{where}: claimed is {_shown(given)}: it must be a mapping")
    alternatives, optional = _KINDS[kind]
    needed = next((keys for keys in alternatives if all(key in given for key in keys)), None)
    for key in given:
        if key not in _CLAIMED_KEYS:
            raise UserError(
                f"{where}: claimed has the key {_shown(key)}, which is unknown: known are {', '.join(_CLAIMED_KEYS)}"
            )
        if needed is not None and key not in needed and key not in optional:
            raise UserError(f"{where}: claimed.{key} is given: a claim of kind {kind} must not have it")
    if needed is None:
        missing = next(key for key in alternatives[0] if key not in given)
        choices = ", or ".join(" and ".join(keys) for keys in alternatives)
        raise UserError(f"{where}: claimed.{missing} is missing: a claim of kind {kind} must have {choices}")
    claimed = Claimed(**{key: _read(_CLAIMED_KEYS[key], v, f"claimed.{key}", where) for key, v in given.items()})
    if "low" in needed and claimed.low is None and claimed.high is None:
        raise UserError(f"{where}: claimed.low and claimed.high are both null: a {kind} must have a bound")
    if claimed.low is not None and claimed.high is not None and claimed.low > claimed.high:
        raise UserError(f"{where}: claimed.low is {claimed.low:g}: it must not be above claimed.high, {claimed.high:g}")
    return claimed


def _read(parse: Callable[[object], Any], value: object, key: str, where: str) -> Any:
    try:
        return parse(value)
    except _WrongError as right:
        raise UserError(f"{where}: {key} is {_shown(value)}: it must be {right}") from None


def _shown(value: object) -> str:
    """Return `value` in one line of bounded length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


# ---------------------------------------------------------------- what was measured


@dataclasses.dataclass(frozen=True, eq=False)
class ChanceGroup:
    """Measured values beside what chance gives for them, all in the claim's unit.

    Attributes
    ----------
    name : str
        Such as a layer.
    values : float array, shape (n,)
    expected : float
        Mean under chance.
    low, high : float
        Central 95 % interval under chance.
    """

    name: str
    values: ArrayLike
    expected: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Lack:
    """Tickets that a measurement needs and that are not there.

    Attributes
    ----------
    experiment : str
    level : str
        In words, such as '98 %'; '' if no level is there.
    beyond : str
        Those that are trained where they are too few, such as '1 of the 5 initialisations'; '' if none are.
    such : str
        What no ticket there is like, though all are trained, such as 'whose outputs depend on the image'; '' else.
    """

    experiment: str
    level: str = ""
    beyond: str = ""
    such: str = ""

    @property
    def detail(self) -> str:
        """What follows the experiment's name in a text, with a blank before it; '' for all of the experiment."""
        parts = [f"at {self.level}" * bool(self.level), f"beyond {self.beyond}" * bool(self.beyond), self.such]
        return "".join(f" {part}" for part in parts if part)

    def __str__(self) -> str:
        """Return the experiment's name and the detail."""
        return self.experiment + self.detail


def lacking_words(lacks: Iterable[Lack]) -> str:
    """Return what is not there, one after the other."""
    return " and ".join(map(str, lacks))


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """What a chapter measured for a claim, under one reading of it.

    Attributes
    ----------
    reading : str
        Such as 'captioned level 80 %'; '' if there is only one.
    experiments : tuple of str
        The experiments whose tickets were used.
    values : float array, shape (n,), or None
        In the claim's unit.
    groups : tuple of ChanceGroup
        For the kinds chance-match and above-chance.
    checks : mapping of str to bool
        Named comparisons, for the kinds ordering, boolean, formula, qualitative, figure and setup.
    row : mapping of str to float, or None
        diff_mean, p_value and cohen_d of a table's row.
    scaled : float
        By what values were multiplied that count kernels, where fewer tickets were counted than the paper's.
    note : str
        Added to the words.
    missing : tuple of Lack
        The tickets that are not there; then nothing else is needed.
    """

    reading: str = ""
    experiments: tuple[str, ...] = ()
    values: ArrayLike | None = None
    groups: tuple[ChanceGroup, ...] = ()
    checks: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    row: Mapping[str, float] | None = None
    scaled: float = 1.0
    note: str = ""
    missing: tuple[Lack, ...] = ()


@dataclasses.dataclass(frozen=True)
class Scored:
    """A claim with its verdict, and the words that go with it.

    Attributes
    ----------
    claim : Claim
    verdict : Verdict
    paper : str
        What the paper says.
    measured : str
        What was measured; '' if nothing was.
    reason : str
        The rule that was applied, and why it gave this verdict.
    readings : tuple of (str, Verdict, str)
        Name, verdict and measured words of every reading.
    experiments : tuple of str
    lacking : tuple of str
        The experiments whose tickets, or some of them, are not there.
    """

    claim: Claim
    verdict: Verdict
    paper: str
    measured: str
    reason: str
    readings: tuple[tuple[str, Verdict, str], ...] = ()
    experiments: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


# ---------------------------------------------------------------- the rules


def judge(claim: Claim, measurements: Sequence[Measurement]) -> Scored:
    """Return the verdict that `measurements` earn for `claim`, by the rule of its kind.

    Parameters
    ----------
    claim : Claim
    measurements : sequence of Measurement
        One for each reading of the claim; none leaves it open.

    Returns
    -------
    Scored

    Raises
    ------
    UserError
        If a measurement is not what the kind of claim needs, or holds a value that is not finite.
    """
    names = [m.reading for m in measurements]
    if len(set(names)) < len(names) or (len(names) > 1 and "" in names):
        raise UserError(f"claim {claim.id}: readings are {names}: each must have a name of its own")
    outcomes = [_outcome(claim, m) for m in measurements]
    verdict, reason = _combine(claim, list(zip(names, outcomes, strict=True)))
    if len(outcomes) == 1 or all(m.missing for m in measurements):
        # What lacks the same tickets in every reading says so once.
        measured = "; ".join(dict.fromkeys(outcome.words for outcome in outcomes))
    else:
        measured = "; ".join(f"{name}: {o.words} ({o.verdict})" for name, o in zip(names, outcomes, strict=True))
    return Scored(
        claim=claim,
        verdict=verdict,
        paper=_paper_words(claim),
        measured=measured,
        reason=reason,
        readings=tuple((name, o.verdict, o.words) for name, o in zip(names, outcomes, strict=True)),
        experiments=tuple(dict.fromkeys(e for m in measurements for e in m.experiments)),
        lacking=tuple(dict.fromkeys(lack.experiment for m in measurements for lack in m.missing)),
    )


@dataclasses.dataclass(frozen=True)
class _Outcome:
    verdict: Verdict
    words: str
    reason: str


def _combine(claim: Claim, readings: Sequence[tuple[str, _Outcome]]) -> tuple[Verdict, str]:
    """Return the verdict of all readings together, and the reason."""
    if claim.check in _NOT_CLAIMS:
        return Verdict.NOT_A_CLAIM, _NOT_CLAIMS[claim.check]
    if not readings:
        return Verdict.OPEN, "nothing was measured for it yet"
    if len(readings) == 1:
        return readings[0][1].verdict, readings[0][1].reason
    reason = "; ".join(f"{name}: {outcome.reason}" for name, outcome in readings)
    verdicts = {outcome.verdict for _, outcome in readings}
    decided = verdicts - {Verdict.NOT_TESTABLE, Verdict.OPEN}
    if not decided:
        return Verdict.OPEN if Verdict.OPEN in verdicts else Verdict.NOT_TESTABLE, reason
    if verdicts - decided:
        reason = f"judged on the readings that could be measured; {reason}"
    return decided.pop() if len(decided) == 1 else Verdict.PARTLY, reason


def _outcome(claim: Claim, measurement: Measurement) -> _Outcome:
    """Return what one reading earns."""
    if measurement.missing:
        lacking = lacking_words(measurement.missing)
        words = f"no tickets of {lacking}"
        outcome = _Outcome(Verdict.NOT_TESTABLE, words, f"it needs {lacking}, which is not in the data")
    else:
        outcome = _RULES[claim.check](claim, measurement)
    words = "; ".join(part for part in (outcome.words, measurement.note) if part)
    return dataclasses.replace(outcome, words=words)


def _finite(values: ArrayLike | None, where: str) -> NDArray[np.float64]:
    """Return `values` as a flat array; `where` opens the sentence if they are not finite numbers."""
    if values is None:
        raise UserError(f"{where} is None: it must be a row of numbers")
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise UserError(f"{where} is {_shown(values)}: it must be a row of numbers") from None
    if array.ndim != 1 or array.size == 0:
        raise UserError(f"{where} has the shape {array.shape}: it must be a row of numbers, not empty")
    if not np.isfinite(array).all():
        raise UserError(f"{where} holds {array[~np.isfinite(array)][0]}: it must be finite")
    return array


def _by_share(good: int, total: int, enough: float = 1.0) -> Verdict:
    share = good / total
    if share >= enough:
        return Verdict.REPRODUCED
    return Verdict.PARTLY if share >= PARTLY_SHARE else Verdict.NOT_REPRODUCED


def _range(claim: Claim, measurement: Measurement) -> _Outcome:
    values = _finite(measurement.values, f"claim {claim.id}: values")
    reach = claim.tolerance + _SLACK
    spans = claim.claimed.intervals()
    inside = np.any([(values >= low - reach) & (values <= high + reach) for low, high in spans], axis=0)
    good, n = int(inside.sum()), inside.size
    words = f"{_spread(values, claim.unit)}; {good} of {n} inside ({_percent(good, n)})"
    ranges = " or ".join(_span(low, high) for low, high in spans)
    reason = (
        f"{_share(RANGE_SHARE)} of the values must lie in {ranges}, give or take {claim.tolerance:g}: "
        f"{_percent(good, n)} do"
    )
    return _Outcome(_by_share(good, n, RANGE_SHARE), words, reason)


def _threshold(claim: Claim, measurement: Measurement) -> _Outcome:
    limit = claim.claimed.some_above
    if limit is None:
        return _range(claim, measurement)
    values = _finite(measurement.values, f"claim {claim.id}: values")
    above = int((values > limit).sum())
    verdict = Verdict.REPRODUCED if above >= SOME else Verdict.PARTLY if above else Verdict.NOT_REPRODUCED
    words = f"{_spread(values, claim.unit)}; {above} of {values.size} above {limit:g}"
    return _Outcome(verdict, words, f"at least {SOME} values must be above {limit:g}: {above} are")


def _around(claim: Claim, measurement: Measurement) -> _Outcome:
    values = _finite(measurement.values, f"claim {claim.id}: values")
    target = claim.claimed.value
    if isinstance(target, tuple):
        if values.size != len(target):
            raise UserError(f"claim {claim.id}: values has {values.size} numbers: it must have {len(target)}")
        targets = np.array(target)
        reach = np.maximum(VALUE_SHARE * np.abs(targets), claim.tolerance)
        if claim.unit == "kernels":
            # A count that was scaled up by k varies by k sqrt(n / k).
            variance = np.maximum(targets, 1) * (1 + measurement.scaled)
            reach = np.maximum(reach, DRAW_DEVIATIONS * np.sqrt(variance))
        good = int((np.abs(values - targets) <= reach + _SLACK).sum())
        words = f"{', '.join(_figure(v) for v in values)}; {good} of {len(target)} agree"
        return _Outcome(_by_share(good, len(target)), words, f"each value must be near the paper's: {words}")
    assert target is not None  # the ledger's schema demands it
    reach = max(VALUE_SHARE * abs(target), claim.tolerance)
    off = abs(float(values.mean()) - target)
    steps = (Verdict.REPRODUCED, Verdict.PARTLY)
    verdict = next((v for k, v in enumerate(steps, 1) if off <= k * reach + _SLACK), Verdict.NOT_REPRODUCED)
    total = "" if claim.claimed.of is None else f" of {claim.claimed.of}"
    reason = f"the mean must be within {reach:g} of {target:g} (within {2 * reach:g}: partly): it is {_figure(off)} off"
    return _Outcome(verdict, _spread(values, claim.unit) + total, reason)


def _checks(claim: Claim, measurement: Measurement) -> _Outcome:
    checks = measurement.checks
    values = (
        []
        if measurement.values is None
        else [_spread(_finite(measurement.values, f"claim {claim.id}: values"), claim.unit)]
    )
    for name, holds in checks.items():
        if not isinstance(holds, bool | np.bool_):
            raise UserError(f"claim {claim.id}: check {name!r} is {_shown(holds)}: it must be True or False")
    good = [name for name, holds in checks.items() if holds]
    bad = [name for name, holds in checks.items() if not holds]
    yes, no = ("as in the paper", "departs") if claim.check in _NOT_CLAIMS else ("holds", "fails")
    parts = [f"{word}: {', '.join(names)}" for word, names in ((yes, good), (no, bad)) if names]
    words = "; ".join(parts + values)
    if checks:
        return _Outcome(
            _by_share(len(good), len(checks)), words, f"every check must hold: {len(good)} of {len(checks)} do"
        )
    if claim.check in (*_NOT_CLAIMS, "qualitative", "figure"):
        return _Outcome(Verdict.OPEN, words, "no check of it was made")
    raise UserError(f"claim {claim.id}: checks is empty: a claim of kind {claim.check} must have at least one")


def matches_chance(group: ChanceGroup) -> bool:
    """Return whether a group is as chance has it: enough of it inside the interval, and its mean near the expected.

    An interval of one count has no width to measure the mean by: values that equal it are enough.

    Parameters
    ----------
    group : ChanceGroup

    Returns
    -------
    bool

    Raises
    ------
    UserError
        If a number of the group is not finite, or its interval is upside down.
    """
    values = _group_values(group, "")
    near = abs(values.mean() - group.expected) <= CHANCE_MEAN * (group.high - group.low) / 2 + _SLACK
    outside = values.size - int(_inside_chance(group, values).sum())
    may = max((1 - CHANCE_SHARE) * values.size, 1 if values.size >= CHANCE_FEW else 0)
    return bool((near or group.low == group.high) and outside <= may + _SLACK)


def above_chance(group: ChanceGroup) -> bool:
    """Return whether a group lies above chance: its mean above the expected, and enough of it above the interval.

    Parameters
    ----------
    group : ChanceGroup

    Returns
    -------
    bool

    Raises
    ------
    UserError
        If a number of the group is not finite, or its interval is upside down.
    """
    values = _group_values(group, "")
    return bool(values.mean() > group.expected and _above_interval(group, values).mean() >= ABOVE_SHARE)


def _group_values(group: ChanceGroup, prefix: str) -> NDArray[np.float64]:
    """Return the values of a group, checked."""
    where = f"{prefix}group {group.name!r}"
    _finite([group.expected, group.low, group.high], f"{where}: expected, low, high")
    if group.low > group.high:
        raise UserError(f"{where}: low is {group.low:g}: it must not be above high, {group.high:g}")
    return _finite(group.values, f"{where}: values")


def _inside_chance(group: ChanceGroup, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (values >= group.low - _SLACK) & (values <= group.high + _SLACK)


def _above_interval(group: ChanceGroup, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return values > group.high + _SLACK


def _chance(claim: Claim, measurement: Measurement) -> _Outcome:
    if not measurement.groups:
        raise UserError(f"claim {claim.id}: groups is empty: a claim of kind {claim.check} must have at least one")
    if claim.check == "above-chance":
        fits, counted, place = above_chance, _above_interval, "above"
        rule = f"a mean above the expected and {_share(ABOVE_SHARE)} of the values above chance's 95 % interval"
    else:
        fits, counted, place = matches_chance, _inside_chance, "inside"
        rule = f"{_share(CHANCE_SHARE)} of the values inside chance's 95 % interval and a mean near the expected"
    good, words = 0, []
    for group in measurement.groups:
        values = _group_values(group, f"claim {claim.id}: ")
        fit = fits(group)
        good += fit
        mean, expected, low, high = _figures(float(values.mean()), group.expected, group.low, group.high)
        words.append(
            f"{group.name}: mean {mean} against {expected}, "
            f"{_percent(int(counted(group, values).sum()), values.size)} {place} "
            f"{low} to {high}{'' if fit else ' (no)'}"
        )
    total = len(measurement.groups)
    if total > 1:
        words.insert(0, f"{good} of {total} {'above' if place == 'above' else 'as by'} chance")
    enough, which = (
        (1.0, "every group") if place == "above" else (CHANCE_SHARE, f"{_share(CHANCE_SHARE)} of the groups")
    )
    reason = f"{which} must have {rule}: {good} of {total} have"
    return _Outcome(_by_share(good, total, enough), "; ".join(words), reason)


def _table_row(claim: Claim, measurement: Measurement) -> _Outcome:
    claimed = claim.claimed
    if claimed.diff_mean is None or claimed.p_value is None or claimed.cohen_d is None:
        return _around(claim, measurement)
    if measurement.row is None or set(measurement.row) != set(_MEASURED_ROW):
        raise UserError(f"claim {claim.id}: row is {_shown(measurement.row)}: it must have {', '.join(_MEASURED_ROW)}")
    row = _finite([measurement.row[key] for key in _MEASURED_ROW], f"claim {claim.id}: row")
    diff, p, d, error = (float(x) for x in row)
    if not 0 <= p <= 1:
        raise UserError(f"claim {claim.id}: p_value of row is {p:g}: it must lie between 0 and 1")
    if error < 0:
        raise UserError(f"claim {claim.id}: standard_error of row is {error:g}: it must not be negative")
    # A difference that the paper finds to be none is noise, and so are the sign and the word of its effect. Its own is
    # taken to scatter as that of 50 pairs with the spread found here would.
    none = claimed.p_value >= SIGNIFICANCE
    spread = abs(diff / d) if d else 0.0
    noise = DRAW_DEVIATIONS * math.hypot(error, spread * math.sqrt(2 / ROW_PAIRS)) if none else 0.0
    effect_noise = noise / spread if spread else 0.0
    within = f"{_share(ROW_SHARE)}{f', or {DRAW_DEVIATIONS:g} deviations' if none else ''}"
    tests = {
        f"difference of means within {within}": abs(diff - claimed.diff_mean)
        <= max(ROW_SHARE * abs(claimed.diff_mean), ROW_DIGIT, noise) + _SLACK,
        f"p on the same side of {SIGNIFICANCE:g}": (p < SIGNIFICANCE) == (claimed.p_value < SIGNIFICANCE),
        f"same word and sign of d{f', or within {DRAW_DEVIATIONS:g} deviations' if none else ''}": _effect(d)
        == _effect(claimed.cohen_d)
        or abs(d - claimed.cohen_d) <= effect_noise,
    }
    good = sum(tests.values())
    words = f"difference of means {diff:.3g}, p = {p:.2g}, d = {d:.2f} ({_effect(d)[0]})"
    reason = ", ".join(f"{name}: {'yes' if holds else 'no'}" for name, holds in tests.items())
    return _Outcome(_by_share(good, len(tests)), words, reason)


def _effect(d: float) -> tuple[str, bool]:
    """Return paper B's word for the size of `d`, and whether `d` is negative; the sign of a negligible `d` is noise."""
    word = effect_word(d)
    return word, d < 0 and word != "negligible"


_RULES: dict[str, Callable[[Claim, Measurement], _Outcome]] = {
    "range": _range,
    "value": _around,
    "threshold": _threshold,
    "chance-match": _chance,
    "above-chance": _chance,
    "table-row": _table_row,
    **dict.fromkeys(("ordering", "boolean", "qualitative", "formula", "figure", *_NOT_CLAIMS), _checks),
}


def figure_verdict(claim: Claim, siblings: Sequence[Scored]) -> Scored:
    """Return the verdict of a figure that has no checks of its own: that of the claims about it.

    Parameters
    ----------
    claim : Claim
        Of kind figure.
    siblings : sequence of Scored
        Scored claims; those about the same figure, or one of its panels, are picked out.

    Returns
    -------
    Scored

    Raises
    ------
    UserError
        If the claim is not of kind figure.
    """
    if claim.check != "figure":
        raise UserError(f"claim {claim.id}: check is {claim.check!r}: it must be 'figure'")
    # "Figure 1 (left)" is about Figure 1; "Figure 7b,c" and "footnote 4 / Figure 2a" are about their figures.
    name = re.sub(r"\s*\(.*", "", claim.artefact)
    same = re.compile(rf"(?<!\w){re.escape(name)}(?!\d)")
    counted = [
        s
        for s in siblings
        if s.claim.paper == claim.paper
        and s.claim.check != "figure"
        and s.verdict != Verdict.NOT_A_CLAIM
        and same.search(s.claim.artefact)
    ]
    verdicts = {s.verdict for s in counted}
    decided = verdicts - {Verdict.NOT_TESTABLE}
    if not counted:
        verdict, reason = Verdict.NOT_A_CLAIM, "a plot without a number in the text"
    else:
        if Verdict.OPEN in verdicts:
            verdict = Verdict.OPEN
        elif not decided:
            verdict = Verdict.NOT_TESTABLE
        else:
            verdict = decided.pop() if len(decided) == 1 else Verdict.PARTLY
        reason = f"decided by the claims about it: {', '.join(s.claim.id for s in counted)}"
    counts = ", ".join(f"{count} {v}" for v, count in summary(counted).items() if count)
    experiments = tuple(dict.fromkeys(e for s in counted for e in s.experiments))
    measured = f"claims about it: {counts}" if counted else ""
    return Scored(claim, verdict, _paper_words(claim), measured, reason, experiments=experiments)


# ---------------------------------------------------------------- words


def _figure(x: float) -> str:
    """Return a measured number in three figures, whole above 100."""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def _figures(*numbers: float) -> list[str]:
    """Return several numbers as `_figure` does, in as many figures more as it takes to tell the first two apart."""
    words = [_figure(x) for x in numbers]
    for digits in range(4, 8):
        if words[0] != words[1] or numbers[0] == numbers[1]:
            break
        words = [f"{x:.{digits}g}" for x in numbers]
    return words


def _percent(part: int, whole: int) -> str:
    """Return a share in percent, rounded down so that 94.9 % never reads as 95 %."""
    return f"{100 * part // whole} %"


def _share(share: float) -> str:
    return f"{100 * share:g} %"


def _with_unit(words: str, unit: str) -> str:
    if not unit:
        return words
    return f"{words} {unit}" if unit.startswith("%") else f"{words} ({unit})"


def _spread(values: NDArray[np.float64], unit: str) -> str:
    """Return n, range, median and mean of measured values in words."""
    if values.size == 1:
        return _with_unit(_figure(float(values[0])), unit)
    low, high, median, mean = (_figure(float(f(values))) for f in (np.min, np.max, np.median, np.mean))
    return f"n = {values.size}, {_with_unit(f'{low} to {high}', unit)}, median {median}, mean {mean}"


def _span(low: float, high: float) -> str:
    if low == -math.inf:
        return f"at most {high:g}"
    if high == math.inf:
        return f"at least {low:g}"
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _claimed_words(claim: Claim) -> str:
    """Return what the paper says, short: its numbers, then its statement."""
    c = claim.claimed
    numbers = ""
    if c.diff_mean is not None:
        numbers = f"difference of means {c.diff_mean:g}, p = {c.p_value:g}, d = {c.cohen_d:g} ({c.label})"
    elif isinstance(c.value, tuple):
        numbers = _with_unit(", ".join(f"{v:g}" for v in c.value), claim.unit)
    elif c.value is not None:
        about = "around " if claim.check == "value" and c.of is None else ""
        numbers = _with_unit(f"{about}{c.value:g}" + (f" of {c.of}" if c.of else ""), claim.unit)
    elif c.some_above is not None:
        numbers = _with_unit(f"some above {c.some_above:g}", claim.unit)
    elif c.low is not None or c.high is not None:
        low, high = (-math.inf if c.low is None else c.low), (math.inf if c.high is None else c.high)
        numbers = _with_unit(_span(low, high), claim.unit)
    if c.clusters:
        numbers += f", in clusters at {', '.join(_span(*cluster) for cluster in c.clusters)}"
    if c.outliers is not None:
        outliers = c.outliers if isinstance(c.outliers, str) else _span(*c.intervals()[-1])
        numbers += f", outliers {outliers}"
    return ": ".join(part for part in (numbers, c.statement) if part)


def _paper_words(claim: Claim) -> str:
    """Return what the paper says, with what it says it about."""
    layer = ""
    if claim.layer != "all":
        layer = f", layer {claim.layer}" if claim.layer[0].isdigit() else f", {claim.layer}"
    return f"{claim.quantity}{layer}: {_claimed_words(claim)}"


def _plain(text: str) -> str:
    """Return `text` in one line, without control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def escaped(text: str) -> str:
    """Return `text` to stand in Markdown as it is: every character with a meaning there or in HTML is an entity."""
    return re.sub(r"[^\w\s.,:;%/=+()–…-]|_", lambda found: f"&#{ord(found[0])};", _plain(text))


_LONG = 400  # letters that a cell of a table shows at once


def _folded(text: str) -> str:
    """Return words for a cell of a table: long ones folded behind their beginning."""
    if len(text) <= _LONG:
        return escaped(text)
    beginning = text[: _LONG // 2].rsplit(" ", 1)[0]
    return f"<details><summary>{escaped(beginning)} …</summary>{escaped(text[len(beginning) :])}</details>"


def badge(verdict: Verdict) -> str:
    """Return a verdict as the coloured word that the style sheet knows, in HTML."""
    kind = verdict.removesuffix(" here").replace(" ", "-")
    return f'<span class="verdict verdict-{kind}">{verdict}</span>'


def table(scored: Sequence[Scored]) -> str:
    """Return the table of claims that closes a chapter, in Markdown.

    Each row carries the anchor ``claim-<id>``, so a claim may stand in one table of a page only.

    Parameters
    ----------
    scored : sequence of Scored

    Returns
    -------
    str

    Raises
    ------
    UserError
        If a claim is given twice.
    """
    ids = [s.claim.id for s in scored]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"claim {twice} is given twice: a table must have each claim once")
    lines = ["| Claim | What the paper says | What we measured | Verdict |", "| --- | --- | --- | --- |"]
    for s in scored:
        name = html.escape(s.claim.id)
        anchor = f'<span id="claim-{name}">{name}</span>'
        lines.append(f"| {anchor} | {escaped(s.paper)} | {_folded(s.measured) or '–'} | {badge(s.verdict)} |")
    return "\n".join(lines) + "\n"


# No other element than those that `table` makes: what is read may be shown on a page.
_TABLE_ROW = re.compile(
    r'^\| <span id="claim-[^"]+">(?P<id>[^<>]+)</span> \| (?P<paper>[^|<>]*) \| '
    r"(?P<measured>(?:<details><summary>[^|<>]*</summary>[^|<>]*</details>|[^|<>]*)) "
    rf'\| <span class="verdict [^"]+">(?P<verdict>{"|".join(Verdict)})</span> \|$',
    re.MULTILINE,
)


def read_table(text: str) -> dict[str, dict[str, str]]:
    """Return what a text with tables of claims made by `table` says of each claim.

    Returns
    -------
    dict
        By id: 'paper' and 'measured', in HTML, and 'verdict'.
    """
    return {html.unescape(row["id"]): row.groupdict() for row in _TABLE_ROW.finditer(text)}


def rows(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Return the scored claims as plain values that JSON can hold.

    Parameters
    ----------
    scored : sequence of Scored

    Returns
    -------
    list of dict
        With the keys id, paper, section, check, verdict, claimed, measured, reason and experiments.
    """
    return [
        {
            "id": s.claim.id,
            "paper": s.claim.paper,
            "section": s.claim.section,
            "check": s.claim.check,
            "verdict": s.verdict.value,
            "claimed": s.paper,
            "measured": s.measured,
            "reason": s.reason,
            "experiments": list(s.experiments),
        }
        for s in scored
    ]


def text_table(scored: Sequence[Scored], width: int = 120) -> str:
    """Return the scored claims as aligned plain text.

    Parameters
    ----------
    scored : sequence of Scored
    width : int
        Longest line; the paper's and the measured values are trimmed to share what the other columns leave,
        but never to less than 12 characters each.

    Returns
    -------
    str
        With a line of headings.
    """
    cells = [("claim", "section", "verdict", "paper", "measured")] + [
        (s.claim.id, s.claim.section, s.verdict.value, _claimed_words(s.claim), s.measured or "-") for s in scored
    ]
    columns = [[_plain(text) for text in column] for column in zip(*cells, strict=True)]
    widths = [max(len(text) for text in column) for column in columns]
    rest = max(width - sum(widths[:3]) - 2 * 4, 24)
    widths[3] = min(widths[3], rest // 2)
    widths[4] = min(widths[4], rest - widths[3])
    trimmed = [
        [(text if len(text) <= w else text[: w - 1] + "…").ljust(w) for text in column]
        for column, w in zip(columns, widths, strict=True)
    ]
    return "".join("  ".join(line).rstrip() + "\n" for line in zip(*trimmed, strict=True))


def summary(scored: Sequence[Scored]) -> dict[Verdict, int]:
    """Return how many claims have each verdict; every verdict is there, in the order of `Verdict`."""
    return {verdict: sum(s.verdict == verdict for s in scored) for verdict in Verdict}
