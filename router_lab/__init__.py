"""Load a routing policy and decide which model and effort a prompt needs, in microseconds."""

try:
    import numpy as _numpy  # noqa: F401
except ImportError as _error:
    raise ImportError("router_lab needs numpy, its only dependency: pip install 'numpy>=1.26'") from _error

from router_lab.runtime.artifact import load_policy
from router_lab.runtime.decision import Decision
from router_lab.runtime.policy import Policy

__version__ = "0.1.0"
__all__ = ["Decision", "Policy", "__version__", "load_policy"]
