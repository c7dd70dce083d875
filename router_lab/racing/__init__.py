"""Races: a sweep in waves that stops paying for a candidate once it is shown that it cannot win a
suite.

What a race promises, and the walk through these files, is docs/racing.md. Nothing here runs a
model, reads a log or knows Inspect: `router_lab.sweep.race` brings the samples and
`race.SuiteRace` says who is due on which.
"""
