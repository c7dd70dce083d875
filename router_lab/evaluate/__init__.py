"""`router-lab evaluate`: what another policy would have given, from decision logs alone."""

from router_lab.evaluate.judge import Evaluation, evaluate
from router_lab.evaluate.logged import LogRows, read_log

__all__ = ["Evaluation", "LogRows", "evaluate", "read_log"]
