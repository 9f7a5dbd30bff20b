"""Two experiments at once: against SciPy's and statsmodels' numbers, and how often they err."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as theirs

from stats import inference
from stats.interactions import difference_in_differences, independence
from stats.moments import Moments
from stats.references import StudentT, p_value


def test_independence_is_pearsons_chi_squared():
    table = [[520, 480, 90], [505, 515, 110]]
    found = independence(table)
    chi2, p, df, _ = theirs.chi2_contingency(table, correction=False)
    assert (found.units, found.df) == (2_220, df)
    assert (found.chi2, found.p_value) == (pytest.approx(chi2), pytest.approx(p))


@pytest.mark.parametrize("table", [[], [[5, 0], [3, 0]], [[1, 2], [3, 4]], [[0, 0], [0, 0]]])
def test_a_table_that_says_nothing_is_not_tested(table):
    assert independence(table).p_value is None


def draw_cells(draw: np.random.Generator, interaction: float, n: int = 120):
    """Values of the 2 x 2 cells (own, other), with effects of both, of unequal spread."""
    return {
        (own, other): draw.gamma(2, 1 + own, n + 40 * own) + 0.8 * other + interaction * own * other
        for own in (0, 1)
        for other in (0, 1)
    }


def contrast_of(cells):
    moments = {place: Moments.from_columns(values) for place, values in cells.items()}
    return difference_in_differences(
        (moments[1, 1], moments[0, 1]), (moments[1, 0], moments[0, 0]), kind="mean"
    )


def test_it_is_the_coefficient_of_the_product_with_hc2_errors():
    cells = draw_cells(np.random.default_rng(1), 0.3)
    y = np.concatenate(list(cells.values()))
    own, other = (np.concatenate([np.full(len(v), place[i]) for place, v in cells.items()]) for i in (0, 1))
    fit = sm.OLS(y, sm.add_constant(np.column_stack([own, other, own * other]))).fit(cov_type="HC2")
    found = contrast_of(cells)
    assert found.estimate == pytest.approx(fit.params[3], rel=1e-10)
    assert float(found.variance_against(1.0)) ** 0.5 == pytest.approx(fit.bse[3], rel=1e-10)


def test_without_an_interaction_it_errs_as_often_as_it_says_and_a_planted_one_is_found():
    draw = np.random.default_rng(2)
    runs = 1_000

    def rejected(interaction: float) -> float:
        found = [contrast_of(draw_cells(draw, interaction)) for _ in range(runs)]
        return np.mean([p_value(inference.log10_p(one, StudentT(one.df))) <= 0.05 for one in found])

    error = np.sqrt(0.05 * 0.95 / runs)
    assert abs(rejected(0.0) - 0.05) < 4 * error
    assert rejected(1.6) > 0.8


def test_a_cell_without_units_has_no_difference():
    arm, nobody = Moments.from_columns([1.0, 2.0, 3.0]), Moments.from_columns([1.0])
    assert difference_in_differences((arm, arm), (arm, nobody), kind="mean") is None
