"""Pure mathematics of experiments, on moments and arrays; nothing here knows a database or a file.

moments → `contrasts` (what is compared: estimate, variances, cross-term, degrees of freedom) → `references`
(how surprising is it) → `inference` (tests and intervals, one road for all) → `analysis` (rows of results) →
`decision`.
"""
