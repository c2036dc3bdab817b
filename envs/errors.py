"""Errors for a user's mistakes."""


class InputError(ValueError):
    """The user's input is wrong: one line naming the field, the value and what is allowed."""
