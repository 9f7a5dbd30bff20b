"""`tenbin power` as a command: its options, and a metric's past in a workspace that was really run."""

import json
import math
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from tenbin.cli import app
from tests.support import globox_workspace


@pytest.fixture
def power() -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, ["power", *map(str, arguments)], prog_name="tenbin")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr

    return call


@pytest.fixture
def answer(power) -> Callable[..., dict]:
    def call(*arguments: object) -> dict:
        code, out, err = power(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def refused(power) -> Callable[..., str]:
    def call(*arguments: object) -> str:
        code, out, err = power(*arguments, "--json")
        assert (code, out, err.count("\n")) == (2, "", 1)
        return err.removeprefix("tenbin: ").removesuffix("\n")

    return call


def test_published_sizes_and_powers(answer):
    """R's ?power.t.test and ?power.prop.test; Evan Miller's default, which his page rounds."""
    t_test = ("--mean", 0, "--sd", 1, "--difference", 1)
    assert answer(*t_test, "--units", 40)["answer"]["power"] == pytest.approx(0.8689528, abs=5e-8)
    assert answer(*t_test, "--power", 0.9)["answer"]["per_arm"] == [23, 23]  # n = 22.02110
    assert answer(*t_test, "--power", 0.9, "--one-sided")["answer"]["per_arm"] == [18, 18]  # n = 17.84713
    pooled = ("--rate", 0.5, "--difference", 0.25, "--power", 0.9, "--method", "z_pooled")
    assert answer(*pooled)["answer"]["per_arm"] == [77, 77]  # n = 76.7
    miller = answer("--rate", 0.2, "--difference", 0.05, "--method", "z_baseline")
    assert miller["answer"]["units"] == pytest.approx(2 * 1030, abs=2)


def test_every_option_reaches_the_plan(answer):
    """Each alone moves the size, or is refused."""
    base = ("--rate", 0.1, "--lift", -0.1)
    sizes = {(): answer(*base)["answer"]["units"]}
    for option in (
        ("--correlation", 0.5), ("--cluster-size", 3, "--icc", 0.1), ("--alpha", 0.2), ("--power", 0.85),
        ("--one-sided",), ("--weights", "3,1"), ("--metrics", 2), ("--guardrails", 1),
        ("--method", "z_pooled"), ("--horizon", "anytime"), ("--horizon", "group_sequential"),
        ("--horizon", "group_sequential", "--looks", 30), ("--margin", 0.2, "--decrease"),
    ):  # fmt: skip
        sizes[option] = answer(*base, *option)["answer"]["units"]
    assert len(set(sizes.values())) == len(sizes)
    assert answer(*base, "--daily-units", 100, "--window-days", 7)["answer"]["days"] == 7 + math.ceil(
        sizes[()] / 100
    )
    assert (
        answer("--rate", 0.1, "--days", 9, "--daily-units", 100, "--window-days", 2)["answer"]["units"] == 700
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what effect is worth showing"),
        (("--rate", 0.1, "--lift", 0.1, "--weights", "1"), '--weights "1" is not of the form NUMBER,NUMBER'),
        (("--rate", 0.1, "--lift", 0.1, "--weights", "A=1,B=1"), "as in 1,1"),
        (("--rate", 0.1, "--lift", 0.1, "--weights", "1,0"), "has weight 0; a weight is a number above 0"),
        (("--rate", 0.1, "--lift", 0.1, "--alpha", 2), "--alpha: 2 must lie between 1e-12 and 0.5"),
        (("--rate", 0.1, "--lift", "nan"), "--lift nan must be a finite number"),
        (("--rate", 0.1, "--units", -5), "--units -5 must be a finite number, at least 0"),
        (("--rate", 0.1, "--lift", 0.1, "--daily-units", 0), "--daily-units 0 would never end"),
        (("--rate", 0.1, "--lift", 0.1, "--window-days", -1), "--window-days -1 must be"),
        (("--rate", 0.1, "--lift", 0.1, "--metrics", 0), "--metrics 0 must be a finite number, at least 1"),
        (("--rate", 0.1, "--lift", 0.1, "--looks", 0), "--looks 0 must lie between 1 and 365"),
        (("--rate", 0.1, "--lift", 0.1, "--looks", 3), "--looks 3 needs --horizon group_sequential"),
        (("--rate", 0.1, "--lift", 0.1, "--correlation", 1.5), "--correlation 1.5 must lie between -1 and 1"),
        (("--rate", 0.1, "--lift", 0.1, "--correlation", "nan"), "--correlation nan must lie"),
        (("--rate", 0.1, "--lift", 0.1, "--icc", 0.1), "--icc 0.1 needs --cluster-size"),
        (
            ("--rate", 0.1, "--lift", 0.1, "--cluster-size", 9, "--icc", 2),
            "--icc 2 must lie between 0 and 1",
        ),
        (("--rate", 0.1, "--lift", 0.1, "--cluster-size", 0), "--cluster-size 0 must be a finite number"),
        (("--rate", 0.1, "--lift", 0.1, "--experiment", "x"), "--experiment needs the workspace"),
        (("--rate", 0.1, "--lift", 0.1, "--horizon", "often"), "Invalid value for '--horizon'"),
    ],
)
def test_wrong_use_is_one_sentence(refused, arguments, said):
    assert said in refused(*arguments)


def test_the_past_of_a_real_metric(globox, answer):
    """955 of 24,343 units bought in the control (published); 13 days of arrivals, 48,943 units."""
    root, _ = globox
    found = answer(root, "checkout_conversion", "--lift", 0.1)
    assert found["mean"] == pytest.approx(955 / 24_343, rel=1e-11)
    assert found["answer"]["days"] == math.ceil(found["answer"]["units"] / (48_943 / 13))
    assert found["answer"]["units"] == answer("--rate", 955 / 24_343, "--lift", 0.1)["answer"]["units"]
    assert 'control "A" of experiment "food_and_drink_banner" as of 2023-02-08' in found["assumptions"][1]
    revenue = answer(root, "revenue_per_user", "--days", 13, "--experiment", "food_and_drink_banner")
    assert revenue["question"] == "detectable_effect"
    assert revenue["mean"] == pytest.approx(3.37452, abs=5e-6)
    assert revenue["answer"]["units"] == pytest.approx(48_943, abs=1)


def test_what_a_workspace_does_not_know_says_what_to_do(tmp_path, refused):
    root = globox_workspace(tmp_path / "shop")
    assert refused(root, "checkout_conversion", "--lift", 0.1) == (
        f'{root}: the lake has no moments of metric "checkout_conversion" as it is defined now; '
        f"`tenbin run {root}` computes them"
    )
    assert 'did you mean "revenue_per_user"?' in refused(root, "revenue_per_users")
    assert refused(root).startswith(f"{root / 'metrics'}: name a metric after the workspace; known: ")
    assert 'there is no experiment "banner"' in refused(root, "orders_per_user", "--experiment", "banner")
    (root / "metrics" / "more.toml").write_text('[signups]\nkind = "conversion"\nevent = "signup"\n')
    assert 'no experiment measures "signups"' in refused(root, "signups")
    banner = (root / "experiments" / "food_and_drink_banner.toml").read_text(encoding="utf-8")
    other = banner.replace('key = "food_and_drink_banner"', 'key = "b"').replace(
        "checkout_conversion", "signups"
    )
    (root / "experiments" / "b.toml").write_text(other, encoding="utf-8")
    assert refused(root, "signups", "--experiment", "food_and_drink_banner").endswith(
        'experiment "food_and_drink_banner" does not measure "signups"; those that do: b'
    )
