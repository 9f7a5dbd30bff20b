import tomllib

import pytest


@pytest.fixture
def definition():
    """A whole experiment file as parsed TOML; a test changes what it is about."""
    return tomllib.loads(TOML)


TOML = """
key = "banner 対照"
title = "A \\"new\\" banner"
unit_type = "user"
control = "A"
alpha = 0.05
planned_units = 60000
start = 2026-01-25
end = 2026-02-06

[[phases]]
from = 2026-01-25T00:00:00Z
weights = { A = 1, "B 😀" = 1 }
since_version = 3
slice = [[0, 500]]
ranges = { A = [[0, 5000]], "B 😀" = [[5000, 10000]] }

[[phases]]
from = 2026-01-27T09:30:00+09:00
weights = { A = 2, "B 😀" = 2 }
since_version = 4
slice = [[0, 2000], [3000, 4000]]
ranges = { A = [[0, 5000]], "B 😀" = [[5000, 10000]] }

[metrics]
primary = ["checkout_conversion"]
secondary = ["orders_per_user"]
guardrail = [{ metric = "revenue_per_user", margin = 0.02 }, "latency"]

[segments]
from_exposure = ["device"]
from_units = ["country", "gender"]

[bucketing]
layer = "checkout"
layer_salt = "layer-salt"
split_salt = "split-salt"
holdout_salt = "holdout-salt"
holdout = [[0, 100]]
"""
