"""All cells, section by section: which worlds, how many units."""

from collections.abc import Iterator

from scipy import special

from benchmarks.calibration import cells, looks, methods, worlds
from benchmarks.calibration.cells import Cell
from benchmarks.calibration.worlds import ClusterWorld, StrataWorld

EQUAL = ((10, 10), (30, 30), (100, 100), (1_000, 1_000))
UNEQUAL = ((10, 100), (100, 1_000), (1_000, 10_000))


def everything() -> tuple[Cell, ...]:
    """Every cell of the page, in its order."""
    sections = (
        _means, _lifts, _proportions, _ratios, _clusters, _covariates, _strata, _margins, _quantiles, _ranks,
        _peeking, _families, _sample_ratios, _priors,
    )  # fmt: skip
    return tuple(cell for section in sections for cell in section())


def _means() -> Iterator[Cell]:
    welch = {"welch_t": methods.MEANS["welch_t, fieller"]}
    for world in (worlds.NORMAL, worlds.EXPONENTIAL, worlds.lognormal(1.0)):
        for n, m in (*EQUAL, *UNEQUAL):
            yield cells.of_units("means", world, n, m, welch)
    for n, m in (*EQUAL, *UNEQUAL[:-1]):
        yield cells.of_units("means", worlds.COUNTS, n, m, welch)
    heavy = (
        worlds.lognormal(1.5),
        worlds.capped(1.5, 0.99),
        worlds.zero_inflated(0.1),
        worlds.zero_inflated(0.02),
    )
    for world in heavy:
        for n, m in ((100, 100), (1_000, 1_000), (100, 1_000), (1_000, 10_000)):
            yield cells.of_units("means", world, n, m, welch)


def _lifts() -> Iterator[Cell]:
    for world, n in ((worlds.NOISY, 100), (worlds.NOISY, 1_000), (worlds.EXPONENTIAL, 100)):
        yield cells.of_units("lifts", world, n, n, methods.MEANS)
    for lift in (0.0, 0.5):
        yield cells.of_units("lifts", worlds.NOISY, 400, 400, methods.MEANS, lift=lift)


def _proportions() -> Iterator[Cell]:
    for rate, n, m in (
        (0.5, 10, 10), (0.5, 100, 100), (0.1, 30, 30), (0.1, 100, 100), (0.1, 500, 500), (0.1, 100, 1_000),
        (0.01, 100, 100), (0.01, 1_000, 1_000), (0.01, 10_000, 10_000), (0.01, 1_000, 10_000),
        (0.05, 1_000, 10_000), (0.01, 10_000, 100_000), (0.05, 10_000, 100_000), (0.05, 1_000, 2_000),
        (0.001, 1_000, 1_000), (0.001, 10_000, 10_000), (0.001, 10_000, 100_000),
    ):  # fmt: skip
        yield cells.of_counts(rate, n, m)


def _ratios() -> Iterator[Cell]:
    for sigma in (0.5, 1.5):
        for n, m in ((10, 10), (30, 30), (50, 50), (100, 100), (1_000, 1_000), (100, 1_000)):
            yield cells.of_ratios(worlds.sessions(sigma), n, m)


def _clusters() -> Iterator[Cell]:
    for world, n, m in (
        (ClusterWorld(0.1), 5, 5), (ClusterWorld(0.1), 10, 10), (ClusterWorld(0.1), 20, 20),
        (ClusterWorld(0.1), 30, 30), (ClusterWorld(0.1), 100, 100), (ClusterWorld(0.1), 5, 50),
        (ClusterWorld(0.1), 10, 100), (ClusterWorld(0.1), 30, 100),
        (ClusterWorld(0.5), 10, 10), (ClusterWorld(0.5), 30, 30), (ClusterWorld(0.1, equal=True), 5, 5),
    ):  # fmt: skip
        yield cells.of_clusters(world, n, m)


def _covariates() -> Iterator[Cell]:
    for world in (worlds.covaried(0.5), worlds.covaried(0.9), worlds.covaried_lognormal(0.9)):
        for n, m in ((10, 10), (20, 20), (50, 50), (200, 200), (50, 500)):
            yield cells.of_units("covariates", world, n, m, methods.ADJUSTED)
    for n in (30, 120):
        yield cells.of_units("covariates", worlds.covaried(0.7, covariates=4), n, n, methods.ADJUSTED)
    for lift in (0.5, 1.0):
        yield cells.of_units("covariates", worlds.covaried(0.9), 1_000, 1_000, methods.ADJUSTED, lift=lift)


def _strata() -> Iterator[Cell]:
    for n, m in ((20, 20), (50, 50), (200, 200)):
        yield cells.of_strata(StrataWorld(), n, m)


def _margins() -> Iterator[Cell]:
    for world, n, m in (
        (worlds.NORMAL, 100, 100), (worlds.NOISY, 10_000, 1_000), (worlds.EXPONENTIAL, 1_000, 1_000),
        (worlds.zero_inflated(0.1), 1_000, 1_000), (worlds.zero_inflated(0.1), 500, 5_000),
    ):  # fmt: skip
        yield cells.of_margins(world, n, m)


def _quantiles() -> Iterator[Cell]:
    for q, n, m in (
        (0.5, 30, 30), (0.5, 100, 100), (0.5, 1_000, 1_000), (0.9, 100, 100), (0.9, 1_000, 1_000),
        (0.9, 100, 1_000), (0.9, 1_000, 10_000), (0.99, 500, 500), (0.99, 2_000, 2_000),
    ):  # fmt: skip
        yield cells.of_quantiles(1.0, q, n, m)


def _ranks() -> Iterator[Cell]:
    def lognormal(by: float) -> float:
        return float(special.ndtr(special.xlogy(1, by) / 2**0.5))

    def inflated(by: float, share: float = 0.1) -> float:
        return share**2 * lognormal(by) + share * (1 - share) + (1 - share) ** 2 / 2

    for n, m in ((8, 8), (30, 30), (200, 200), (20, 200)):
        yield cells.of_ranks(worlds.lognormal(1.0), n, m, superiority=lognormal)
    yield cells.of_ranks(worlds.zero_inflated(0.1), 200, 200, superiority=inflated)


def _peeking() -> Iterator[Cell]:
    yield looks.peeking(worlds.NORMAL, 10)
    yield looks.peeking(worlds.NORMAL, 100)
    yield looks.peeking(worlds.lognormal(1.0), 100)
    yield looks.peeking(worlds.zero_inflated(0.1), 100)
    for rate, per_look in ((0.1, 100), (0.01, 100)):
        yield looks.converting(rate, per_look)


def _families() -> Iterator[Cell]:
    for correlation in (0.0, 0.5, 0.9):
        yield looks.families(correlation)


def _sample_ratios() -> Iterator[Cell]:
    for weights, n in (
        ((1, 1), 8),
        ((1, 1), 1_000),
        ((1, 1), 100_000),
        ((1, 9), 30),
        ((1, 9), 1_000),
        ((1, 1, 1, 1), 10_000),
    ):
        yield looks.sample_ratios({f"arm {k}": float(weight) for k, weight in enumerate(weights)}, n)
    yield looks.sample_ratio_looks(1_000, broken=0.53)
    yield looks.sample_ratio_looks(10_000, broken=0.505)


def _priors() -> Iterator[Cell]:
    for world, n, sd in (
        (worlds.NORMAL, 100, 0.05),
        (worlds.NORMAL, 1_000, 0.3),
        (worlds.NOISY, 400, 0.1),
        (worlds.zero_inflated(0.1), 1_000, 0.1),
    ):
        yield cells.of_priors(world, n, n, sd=sd)
