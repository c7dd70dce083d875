"""Logs or tables, and prices, to the two tables that everything later reads: `collect`."""

from router_lab.collect.run import collect

__all__ = ["collect"]
