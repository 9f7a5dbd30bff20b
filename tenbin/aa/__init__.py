"""`tenbin aa`: does the analysis keep its promises on this very log?

file | lake  → log: who is randomised, and each unit's numbers
assign       → arms under a fresh salt, by the product's own bucketing
runs         → every metric analysed, every run, by the engine's own statistics
checks       → what must be true of p-values when nothing differs, and whether it is
"""
