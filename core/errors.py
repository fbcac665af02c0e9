"""The one error that a user's mistake or a user's file can cause."""


class InputError(Exception):
    """Something a user gave cannot be used; the message says what was expected, what was found, where, and what to do."""
