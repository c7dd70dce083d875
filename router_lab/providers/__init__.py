"""Recorded generations: how they are keyed, stored and exported, and the Inspect provider that
answers from them.

Inspect finds the provider by the entry point `router_lab.providers.recorded`; nothing here imports
Inspect, so reading logs and recordings stays quick.
"""
