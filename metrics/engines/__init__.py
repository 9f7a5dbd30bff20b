"""Engines: one order of work, run by DuckDB or by Spark over the same tables.

engine      what is made from what, in which order, with which stamps
runner      what an engine asks of whatever runs its statements
duckdb      in this process
spark       on a cluster                session     how Spark is found, started and set
"""
