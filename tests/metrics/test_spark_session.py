"""What the Spark engine needs is missing: a sentence says what, and what to do. No Spark is started."""

import importlib.util
import shutil

import pytest

from metrics.engines import session
from metrics.model import MetricsError
from workspace import load_workspace


@pytest.fixture
def shop(tmp_path):
    def make(conf=""):
        (tmp_path / "tenbin.toml").write_text(
            f'[workspace]\nname = "shop"\nengine = "spark"\n[spark.conf]\n{conf}\n', encoding="utf-8"
        )
        return load_workspace(tmp_path)

    return make


@pytest.fixture
def java(tmp_path, monkeypatch):
    """A Java that says what it is told to; there is no other."""

    def make(version="17", modules=session.MODULES):
        home = tmp_path / "jdk"
        (home / "bin").mkdir(parents=True)
        program = home / "bin" / "java"
        listed = "\n".join(f"{name}@{version}" for name in modules)
        program.write_text(
            f'#!/bin/sh\nif [ "$1" = --list-modules ]; then echo "{listed}"; '
            f'else echo "    java.specification.version = {version}" >&2; fi\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(home))
        return home.resolve()

    monkeypatch.setattr(session, "_USUAL", ())
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return make


def test_pyspark_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MetricsError, match=r'pip install "tenbin\[spark\]"'):
        session.require_pyspark()


def test_there_is_no_java(java):
    assert java
    with pytest.raises(MetricsError, match=r"full Java 17 .*apt-get install openjdk-17-jdk-headless"):
        session.find_java()


def test_java_home_is_taken(java):
    home = java()
    assert session.find_java() == home


@pytest.mark.parametrize(
    ("version", "missing", "told"),
    [("11", (), "is Java 11"), ("1.8", (), "is Java 1.8"),
     ("21", ("java.naming",), "lacks the module java.naming")],
)  # fmt: skip
def test_a_java_that_spark_can_not_run_on_is_passed_over_by_name(java, version, missing, told):
    home = java(version, session.MODULES - set(missing))
    with pytest.raises(MetricsError, match=f"found: {home} {told}"):
        session.find_java()


def test_a_setting_on_which_answers_depend_is_refused(shop):
    with pytest.raises(MetricsError, match=r'spark.sql.ansi.enabled" is "False"; it must be "true"'):
        session.refuse_settings(shop('"spark.sql.ansi.enabled" = false'))
    session.refuse_settings(shop('"spark.sql.ansi.enabled" = true\n"spark.executor.memory" = "4g"'))
