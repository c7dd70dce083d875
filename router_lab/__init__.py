"""Load a routing policy and decide which model and effort a prompt needs, in microseconds."""

__version__ = "0.1.0"
