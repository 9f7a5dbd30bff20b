"""The doctor: what it looks at, what it calls wrong, and that it changes nothing."""

import importlib.metadata
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from metrics.engines import session
from tenbin import doctor
from tenbin.cli import app
from tenbin.doctor import Finding, Health, examine
from tests.support import ROOT

GLOBOX = ROOT / "examples" / "globox"


def found(findings: tuple[Finding, ...], name: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.name == name)
    return finding


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A workspace with definitions and no data."""
    root = tmp_path / "店"
    shutil.copytree(
        GLOBOX, root, ignore=shutil.ignore_patterns("lake", "reports", ".dagster", "landing", "*.duckdb")
    )
    return root


def test_a_healthy_machine(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/chromium")
    monkeypatch.delenv("CHROMIUM_PATH", raising=False)
    assert {finding.health for finding in examine()} <= {Health.OK, Health.NOTE}
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0


def test_what_it_looks_at_in_a_workspace(shop):
    names = [finding.name for finding in examine(shop)]
    assert names == [
        "Python", "packages", "clock", "browser", "workspace", "metrics", "experiments", "references",
        "rules", "landing files", "landing", "lake", "reports", "disk",
    ]  # fmt: skip


def test_it_changes_nothing(shop):
    before = sorted(shop.rglob("*"))
    examine(shop)
    assert sorted(shop.rglob("*")) == before


def test_a_directory_that_is_no_workspace_is_wrong(tmp_path):
    finding = found(examine(tmp_path), "workspace")
    assert finding.health is Health.WRONG
    assert "a workspace needs this file" in finding.message
    assert CliRunner().invoke(app, ["doctor", str(tmp_path)]).exit_code == 1


def test_a_metric_that_nobody_defines_is_wrong(shop):
    (shop / "metrics").rename(shop / "not here")
    (shop / "metrics").mkdir()
    finding = found(examine(shop), "references")
    assert finding.health is Health.WRONG
    assert finding.message.startswith('experiments: experiment "food_and_drink_banner": metric "')


def test_a_broken_definition_is_wrong_and_does_not_stop_the_rest(shop):
    broken = shop / "metrics" / "broken.toml"
    broken.write_text("[visits\n")
    findings = examine(shop)
    assert found(findings, "metrics").health is Health.WRONG
    assert found(findings, "metrics").message.startswith("metrics/broken.toml: is not valid TOML")
    assert found(findings, "disk").health is not Health.WRONG


def test_what_is_wrong_is_told_once(shop):
    (shop / "experiments" / "broken.toml").write_text('key = "broken"\n')
    wrong = [finding for finding in examine(shop) if finding.health is Health.WRONG]
    assert [finding.name for finding in wrong] == ["experiments", "landing files"]


def test_a_file_where_a_directory_belongs_is_wrong(shop):
    (shop / "lake").write_text("not a directory")
    assert found(examine(shop), "lake") == Finding(
        name="lake",
        health=Health.WRONG,
        message=f"{shop / 'lake'} is a file where a directory belongs; move it",
    )


def test_a_directory_that_can_not_be_written_is_wrong(shop, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK or Path(path).name != "店")
    finding = found(examine(shop), "reports")
    assert finding.health is Health.WRONG
    assert finding.message == f"{shop} can't be written; make it writable for this user"


@pytest.mark.parametrize(
    ("free", "health"), [(10**11, Health.OK), (10**9, Health.NOTE), (10**8, Health.WRONG)]
)
def test_a_full_disk(monkeypatch, free, health):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free))
    assert found(examine(), "disk").health is health


def test_a_package_of_another_version_is_wrong(monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "1.4.0" if name == "duckdb" else real(name)
    )
    finding = found(examine(), "packages")
    assert finding.health is Health.WRONG
    assert finding.message == "duckdb is 1.4.0, needed ~=2.0; install the versions of requirements.lock"


def test_a_package_that_is_missing_is_wrong(monkeypatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "polars":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert found(examine(), "packages").message == (
        "polars is missing; install the versions of requirements.lock"
    )


def test_a_clock_that_is_years_off_is_wrong(monkeypatch):
    class Stopped(doctor.dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2019, 5, 1, tzinfo=tz)

    monkeypatch.setattr(doctor.dt, "datetime", Stopped)
    finding = found(examine(), "clock")
    assert finding.health is Health.WRONG
    assert finding.message.startswith("says 2019-05-01 00:00 UTC, older than this copy (")


def test_a_browser_is_only_a_note(monkeypatch):
    monkeypatch.delenv("CHROMIUM_PATH", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert found(examine(), "browser").health is Health.NOTE


def test_a_stated_browser_that_is_none_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM_PATH", str(tmp_path / "chrome"))
    assert found(examine(), "browser").health is Health.WRONG


def test_what_spark_would_run_on_is_looked_at_where_it_is_chosen(shop, monkeypatch):
    assert all(finding.name != "Spark" for finding in examine(shop))
    toml = shop / "tenbin.toml"
    text = toml.read_text(encoding="utf-8").replace("[workspace]", '[workspace]\nengine = "spark"', 1)
    toml.write_text(text + '\n[spark]\nmaster = "local[3]"\n', encoding="utf-8")
    monkeypatch.setattr(session, "find_java", lambda: Path("/jdk"))
    finding = found(examine(shop), "Spark")
    assert finding.health is Health.OK
    assert finding.message.endswith("on /jdk, master local[3]")
    toml.write_text(
        toml.read_text(encoding="utf-8") + '[spark.conf]\n"spark.sql.ansi.enabled" = false\n',
        encoding="utf-8",
    )
    assert found(examine(shop), "Spark").health is Health.WRONG
