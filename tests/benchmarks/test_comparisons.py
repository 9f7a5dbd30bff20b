"""The benchmark of comparisons measures equal work: without its peers, that much can be shown anywhere."""

import pytest

from benchmarks import comparisons
from benchmarks.peers.environment import Answer


def test_the_stacks_and_the_rows_that_are_timed_say_the_same():
    assert comparisons.check_rows(comparisons.simulate(25)) < 1e-11


def test_a_peer_whose_numbers_differ_is_not_timed():
    tasks = comparisons.simulate(5)
    wrong = dict.fromkeys(("estimate", "p_value", "lower", "upper", "lift_lower", "lift_upper"), 0.5)
    with pytest.raises(RuntimeError, match="no times without equal numbers"):
        comparisons.check_tea_tasting(tasks, Answer("0", 1.0, [wrong] * len(tasks)))
