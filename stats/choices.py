"""The names of what can be chosen, of typing alone: a command line lists them before any number is needed."""

from typing import Literal

Kind = Literal["proportion", "mean", "ratio", "quantile"]
Horizon = Literal["fixed", "anytime", "group_sequential"]
Proportions = Literal["auto", "z_unpooled", "miettinen_nurminen", "barnard", "boschloo"]
Adjustment = Literal["auto", "none", "cuped", "lin", "lin_hc2", "lin_hc3", "ancova", "post_stratified"]
Clustered = Literal["auto", "delta", "cr1", "cr2"]
Correction = Literal["holm", "hochberg", "benjamini_hochberg", "benjamini_yekutieli", "none"]
Families = Literal["success", "role"]
Alternative = Literal["two-sided", "better"]
Method = Literal[
    "z_unpooled", "miettinen_nurminen", "barnard", "boschloo", "fisher", "newcombe", "agresti_caffo",
    "log_relative", "linear_delta", "log_delta", "cuped", "lin", "lin_hc2", "lin_hc3", "ancova",
    "post_stratified", "cluster_delta", "cluster_cr1", "cluster_cr2", "mann_whitney", "brunner_munzel",
    "permutation", "bootstrap", "normal_posterior", "beta_posterior", "msprt",
]  # fmt: skip
