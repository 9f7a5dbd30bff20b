"""`tenbin analyze --moments`: from anybody's aggregates to answers.

file → `rows` (what each row states, or what is wrong with it) → `given` (experiments: their variants, metrics
and latest day) → `command` (the statistics, an answer per experiment) → `show`, `output`.
"""
