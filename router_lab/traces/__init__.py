"""Traces of others: exports of calls that an application has made, read into one shape. A format
is a module of its own, named in `formats.FORMATS`."""

from router_lab.traces.call import Problem, TracedCall, Traces
from router_lab.traces.conversation import Message, ToolUse
from router_lab.traces.dollars import Priced, price_calls, undivided
from router_lab.traces.formats import FORMATS
from router_lab.traces.read import read_traces

__all__ = [
    "FORMATS", "Message", "Priced", "Problem", "ToolUse", "TracedCall", "Traces", "price_calls", "read_traces",
    "undivided",
]  # fmt: skip
