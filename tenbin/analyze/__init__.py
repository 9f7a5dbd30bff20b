"""`tenbin analyze`: the shortest way from a file to an answer (DESIGN 4.9).

file → `table` (DuckDB reads it) → `cells` (what each cell means) → `units` (one row per unit) → `answer`
(moments, statistics) → `show` (a terminal), `output` (JSON, a page).
"""
