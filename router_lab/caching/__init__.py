"""Prompt caches in sessions of several turns: what their prompts share, and what a session costs
when models are switched on the way.

`prefix` reads prompts, `sessions` holds recorded calls turn by turn, `billing` prices a session in
which somebody chooses who serves each turn, and `policies` are four ways to choose. docs/caches.md
is the page about it.
"""
