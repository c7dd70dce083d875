"""Errors that a user can act on: each message names the file or argument, the key, the value and
the rule. And what is said of a table or file that may be meant so, but changes more than one would
think."""

from __future__ import annotations


class RouterLabError(Exception):
    """Base of every error that router_lab raises on purpose; the command line prints it as one
    line."""


class PolicyError(RouterLabError):
    """A policy artifact that must not be used, or an argument of `decide` that can never be
    valid."""


class InputError(RouterLabError):
    """A file, table or setting of the user's that breaks a rule."""


class RouterLabWarning(UserWarning):
    """Something missing that is no error; the command line prints each such text once, as one
    line."""


def shown(value: object, most: int = 80) -> str:
    """A value as an error shows it: its first characters, or its type where it has no text of its
    own (a number of 5,000 digits, an object whose `repr` fails)."""
    try:
        return repr(value)[:most]
    except Exception:  # noqa: BLE001  # whatever it is, what is wrong with it can be said
        return f"a {type(value).__name__}"
