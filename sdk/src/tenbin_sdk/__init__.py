"""Tenbin's bucketing, conditions and evaluation: pure functions, no input or output.

`hashing` turns a unit into a shard, `conditions` is the one condition grammar, `ruleset` the immutable
rules, `evaluate` the decision for one unit. Nothing here reads a clock, a file or the network.
"""
