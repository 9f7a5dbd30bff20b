"""Numbers, one or many at once: formulas are elementwise, so that many comparisons cost little more."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.int64]
Real: TypeAlias = float | Numbers  # a number, or an array of them, one per comparison
