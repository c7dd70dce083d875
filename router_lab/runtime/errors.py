"""Errors that a user can act on: each message names the file or argument, the key, the value and the rule. And what is
said of a table or file that may be meant so, but changes more than one would think."""


class RouterLabError(Exception):
    """Base of every error that router_lab raises on purpose; the command line prints it as one line."""


class PolicyError(RouterLabError):
    """A policy artifact that must not be used, or an argument of `decide` that can never be valid."""


class InputError(RouterLabError):
    """A file, table or setting of the user's that breaks a rule."""


class RouterLabWarning(UserWarning):
    """Something missing that is no error; the command line prints each such text once, as one line."""
