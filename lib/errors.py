"""The one exception that a user is meant to read, and the check that most functions begin with."""

from numbers import Integral


class UserError(ValueError):
    """Input that cannot be used, said in one sentence: the argument, its value, what would be right."""


def whole(name: str, value: int, low: int, high: int | None = None) -> int:
    """Return `value` as an int; raise `UserError` if it is not a whole number from `low` on (to `high`)."""
    right = f"of at least {low}" if high is None else f"between {low} and {high}"
    if isinstance(value, bool) or not isinstance(value, Integral) or value < low or (high is not None and value > high):
        raise UserError(f"{name} is {value!r}: it must be a whole number {right}")
    return int(value)
