"""The one exception that a user is meant to read, and the checks that most functions begin with."""

import math
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

import numpy as np

LARGEST = 2**31 - 1  # of all counts and seeds: far above any real one, and no memory is asked for more


class UserError(ValueError):
    """Input that cannot be used, said in one sentence: the argument, its value, what would be right."""


def shown(value: object) -> str:
    """Return a value as it stands in a sentence: in one line, not too long."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    text = " ".join(repr(dict(value) if isinstance(value, MappingProxyType) else value).split())
    return text if len(text) <= 100 else f"{text[:99]}…"


def whole(name: str, value: int, low: int, high: int = LARGEST) -> int:
    """Return `value` as an int; raise `UserError` if it is not a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        right = f"of at least {low}" if high == LARGEST else f"between {low} and {high}"
        raise UserError(f"{name} is {shown(value)}: it must be a whole number {right}")
    return int(value)


def finite(name: str, value: float) -> float:
    """Return `value` as a float; raise `UserError` if it is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UserError(f"{name} is {shown(value)}: it must be a finite number")
    return float(value)


def kind(name: str, value: object, *types: type) -> Any:
    """Return `value`; raise `UserError` if it is of none of the types."""
    if not isinstance(value, types):
        raise UserError(f"{name} is {shown(value)}: it must be of type {' or '.join(t.__name__ for t in types)}")
    return value
