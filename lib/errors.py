"""The one exception that a user is meant to read."""


class UserError(ValueError):
    """Input that cannot be used, said in one sentence: the argument, its value, what would be right."""
