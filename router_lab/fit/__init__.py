"""From outcomes to a policy, and to the certificate of what was shown."""

from router_lab.fit.build import fit_policy
from router_lab.fit.fitters import FITTERS

__all__ = ["FITTERS", "fit_policy"]
