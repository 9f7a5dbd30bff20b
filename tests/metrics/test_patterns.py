"""Patterns for Spark: written in Java's words, or refused; the conformance tests run them there."""

import pytest

from metrics.model import MetricsError
from metrics.sql.conditions import condition_sql
from metrics.sql.patterns import java_pattern
from metrics.sql.tree import build, render


@pytest.mark.parametrize(
    ("pattern", "java"),
    [
        ("^J", "(?d)^J"),
        ("a$", r"(?d)a\z"),
        (r"\$5$", r"(?d)\$5\z"),
        ("[$]", "(?d)[$]"),
        (r"a\sb", r"(?d)a[\t\n\f\r ]b"),
        (r"[\s,]", r"(?d)[\t\n\f\r ,]"),
        ("(?i)jp", "(?diu)jp"),
        (r"(a|b){2,3}(?:c)+", r"(?d)(a|b){2,3}(?:c)+"),
        ("日本", "(?d)日本"),
        (r"^[^a-z]\.\d", r"(?d)^[^a-z]\.\d"),
    ],
)
def test_what_both_understand_is_translated(pattern, java):
    assert java_pattern(pattern) == java


@pytest.mark.parametrize(
    "pattern",
    [r"\pL", "[[:alpha:]]", "(?s)a.b", "(?m)^a$", "(?i)é", r"\Qa\E", "a(?i)b", "[]a]", "[a&&b]", "x{,2}",
     r"\x41", r"\B"],
)  # fmt: skip
def test_what_java_may_read_otherwise_is_refused_with_the_way_out(pattern):
    with pytest.raises(MetricsError, match=r'Spark may read .*engine = "duckdb"'):
        java_pattern(pattern)


def test_a_condition_is_refused_for_spark_only():
    tree = build("SELECT $test FROM events", test=condition_sql(
        {"field": "properties.plan", "op": "matches", "value": r"\pL"}
    ))  # fmt: skip
    assert render(tree)
    with pytest.raises(MetricsError, match="Spark may read"):
        render(tree, "spark")
