"""The command's wrong use: one sentence on standard error, exit code 2, nothing on standard output."""

import datetime as dt
import errno
import json
import re
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from stats.errors import StatsError
from tenbin import __version__
from tenbin.cli import app
from tenbin.failures import sentence_of
from tenbin.run import ExperimentOutcome, RunSummary
from tests.support import ROOT, tenbin
from workspace import WorkspaceError

GLOBOX = ROOT / "examples" / "globox"
COMMANDS = (
    "analyze",
    "aa",
    "power",
    "run",
    "demo",
    "report",
    "forget",
    "maintain",
    "up",
    "metrics",
    "doctor",
)


@pytest.fixture
def run() -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        done = CliRunner().invoke(app, list(map(str, arguments)), prog_name="tenbin")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


@pytest.fixture
def refused(run) -> Callable[..., str]:
    """The sentence, after checking that nothing else was said."""

    def call(*arguments: object) -> str:
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("tenbin: ")
        assert done.stderr.count("\n") == 1
        return done.stderr.removeprefix("tenbin: ").removesuffix("\n")

    return call


# Workspaces and their experiments


@pytest.mark.parametrize("command", ["run {}", "report {} banner", "up {}"])
def test_a_workspace_that_is_not_there(refused, tmp_path, command):
    path = tmp_path / "shop"
    assert refused(*command.format(path).split()) == (
        f"{path}: there is no such directory; `tenbin demo {path}` makes a workspace to try"
    )
    assert not path.exists()


@pytest.mark.parametrize("command", ["run {}", "report {} banner", "up {}"])
def test_a_directory_that_is_no_workspace(refused, tmp_path, command):
    assert refused(*command.format(tmp_path).split()) == (
        f"{tmp_path / 'tenbin.toml'}: a workspace needs this file; `tenbin demo DIRECTORY` makes one to "
        "copy from"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_experiment_with_the_nearest_one(refused):
    known = "food_and_drink_banner"
    where = f"{GLOBOX / 'experiments'}: there is no experiment"
    assert refused("report", GLOBOX, "food_and_drinks_banner") == (
        f'{where} "food_and_drinks_banner"; did you mean "{known}"?'
    )
    assert refused("report", GLOBOX, "対照群") == f'{where} "対照群"; known: {known}'


def test_days_the_wrong_way_round(refused):
    assert refused("run", GLOBOX, "--from", "2023-02-05", "--to", "2023-02-01") == (
        "--from 2023-02-05 lies after --to 2023-02-01; swap them"
    )


def test_a_day_that_is_none(refused):
    said = refused("run", GLOBOX, "--from", "2023-02-30")
    assert re.fullmatch(r"Invalid value for '--from': .*2023-02-30.*%Y-%m-%d.*; `tenbin run --help` .*", said)


def test_a_port_that_is_in_use(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("up", GLOBOX, "--port", port) == (
            f"port {port} on 127.0.0.1 can't be used (Address already in use); choose another with --port"
        )


def test_a_workspace_path_is_no_markup(run, tmp_path, monkeypatch):
    root = tmp_path / "[red]shop" / "[]"
    root.mkdir(parents=True)
    (root / "tenbin.toml").write_text('[workspace]\nname = "shop"\n')
    started = []
    monkeypatch.setattr("os.execve", lambda *call: started.append(call))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = run("up", root, "--port", port).stdout
    assert f"for{root};" in "".join(said.split())
    assert len(started) == 1


def test_a_port_that_is_none(refused):
    assert refused("up", GLOBOX, "--port", "70000").startswith("Invalid value for '--port': ")


# The demo's directory


@pytest.mark.parametrize("json_option", [(), ("--json",)])
def test_a_demo_never_writes_into_somebody_elses_directory(refused, tmp_path, json_option):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert refused("demo", tmp_path, *json_option) == (
        f"{tmp_path}: is not empty and holds no demo, so nothing was written; give a directory that is not "
        "there yet, or an empty one"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_demo_in_a_file(refused, tmp_path):
    path = tmp_path / "demo"
    path.write_text("a file")
    assert refused("demo", path, "--json") == (
        f"{path}: is a file; give a directory that is not there yet, or an empty one"
    )


# The command line itself


def test_without_a_command_the_help_lists_them_all(run):
    done = run()
    assert done.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command}  ", done.stdout, re.MULTILINE)
    assert "..." not in done.stdout.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: tenbin {command} ")


def test_the_version_is_the_packages(run):
    assert run("--version").stdout == f"tenbin {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("analyse",),
            "No such command 'analyse'. Did you mean 'analyze'?; `tenbin --help` shows what is allowed",
        ),
        (("--loud",), "No such option: --loud; `tenbin --help` shows what is allowed"),
        (("run",), "Missing argument 'WORKSPACE'; `tenbin run --help` shows what is allowed"),
        (("report", "demo"), "Missing argument 'EXPERIMENT'; `tenbin report --help` shows what is allowed"),
        (("doctor", "--fix"), "No such option: --fix; `tenbin doctor --help` shows what is allowed"),
    ],
)
def test_a_malformed_command_line(refused, arguments, said):
    assert refused(*arguments) == said


def test_wrong_use_as_a_process(tmp_path):
    done = tenbin("run", str(tmp_path / "shop"), "--json", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


# Found wrong


@pytest.mark.parametrize("json_option", [(), ("--json",)])
@pytest.mark.parametrize(
    ("verdict", "code"), [("ship", 0), ("roll_back", 0), ("inconclusive", 0), ("investigate", 1)]
)
def test_an_experiment_to_investigate_is_exit_code_1(run, monkeypatch, verdict, code, json_option):
    """Of `run` and of `report`, for people and for programs."""
    outcome = ExperimentOutcome(
        experiment="banner",
        verdict=verdict,
        sentence=f"The verdict is {verdict}.",
        as_of=dt.date(2023, 2, 6),
        result_json=Path("result.json"),
        report=Path("index.html"),
    )
    summary = RunSummary(workspace=GLOBOX, index=Path("index.html"), experiments=(outcome,), ingested={})
    monkeypatch.setattr("tenbin.run.run_workspace", lambda *_, **__: summary)
    monkeypatch.setattr("tenbin.commands.rewrite_report", lambda *_: outcome)
    for arguments in (("run", GLOBOX), ("report", GLOBOX, "banner")):
        done = run(*arguments, *json_option)
        assert done.exit_code == code
        assert f"The verdict is {verdict}." in done.stdout
        if json_option:
            json.loads(done.stdout)


# What is whose fault


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WorkspaceError("a.toml: is\n  wrong"), "a.toml: is wrong"),
        (StatsError("alpha must be positive"), "alpha must be positive"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/lake"),
            "/data/lake: the disk is full; free some space and run again (what was committed is kept)",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/data"),
            "/data: permission denied; make it readable and writable for this user",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/data"),
            "/data: the file system is read-only; use a directory that can be written",
        ),
    ],
)
def test_what_the_user_can_mend_is_a_sentence(error, said):
    assert sentence_of(error) == said


def _raised(error: Exception, cause: Exception | None, context: Exception | None) -> Exception:
    error.__cause__, error.__context__ = cause, context
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (sqlite3.OperationalError("disk I/O error"), "the disk is full or fails"),
        (duckdb.OutOfMemoryException("Out of Memory Error: no room\nmore"), "raise memory_limit"),
        (duckdb.IOException("IO Error: could not write"), "can't be read or written"),
        (_raised(RuntimeError("step failed"), WorkspaceError("a.toml: is wrong"), None), "a.toml: is wrong"),
        (
            _raised(RuntimeError("in a handler"), None, OSError(errno.ENOSPC, "No space", "/data")),
            "the disk is full",
        ),
    ],
)
def test_what_the_machine_lacks_is_a_sentence_whoever_met_it(error, said):
    found = sentence_of(error)
    assert found is not None
    assert said in found
    assert "\n" not in found


def test_other_errors_of_the_libraries_are_defects():
    assert sentence_of(sqlite3.OperationalError("no such table: runs")) is None
    assert sentence_of(duckdb.BinderException("column not found")) is None


@pytest.mark.parametrize(
    "error", [ValueError("a defect"), KeyError("x"), OSError(errno.EIO, "broken"), OSError()]
)
def test_anything_else_is_a_defect_and_keeps_its_traceback(error, monkeypatch):
    assert sentence_of(error) is None

    def broken(_root: Path | None) -> None:
        raise error

    monkeypatch.setattr("tenbin.doctor.examine", broken)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exception is error


def test_json_of_the_doctor_is_one_array_and_nothing_else(run):
    done = run("doctor", "--json")
    assert done.stderr == ""
    assert {finding["name"] for finding in json.loads(done.stdout)} == {
        "Python", "packages", "clock", "browser", "disk",
    }  # fmt: skip
