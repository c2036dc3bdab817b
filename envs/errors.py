"""What a user's mistake raises."""


class InputError(ValueError):
    """The user's input is wrong: one line naming the field, the value and what is allowed."""
