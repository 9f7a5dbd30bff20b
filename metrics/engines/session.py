"""One Spark session per process, with the settings that make its answers those of DuckDB."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.model import MetricsError
from workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# What answers depend on. Overflow and bad casts end a statement, days are UTC's, names differ by case.
FIXED: Mapping[str, str] = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.variant.allowDuplicateKeys": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
}
_DEFAULTS: Mapping[str, str] = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
OLDEST_JAVA = 17
# A run-time image for other purposes lacks some of these, and Spark then ends in the middle.
MODULES = frozenset(
    {
        "java.base",
        "java.management",
        "java.naming",
        "java.security.jgss",
        "java.sql",
        "java.xml",
        "jdk.incubator.vector",
        "jdk.security.auth",
        "jdk.unsupported",
    }
)
_USUAL = ("/usr/lib/jvm/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home", "/opt/java/*", "/opt/jdk*")


def spark_session(workspace: Workspace) -> "SparkSession":
    """The session of this process, started when it is first asked for.

    Raises:
        MetricsError: PySpark or a Java that it runs on is missing, a setting contradicts `FIXED`, the master
            can't be reached.
    """
    refuse_settings(workspace)
    require_pyspark()
    os.environ["JAVA_HOME"] = str(find_java())
    # Workers of one machine must find the very Python of the driver.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    table = workspace.config.spark
    builder = SparkSession.builder.appName(f"tenbin {workspace.name}").master(table.master)
    for key, value in {**_DEFAULTS, **table.conf, **FIXED}.items():
        builder = builder.config(key, str(value).lower() if isinstance(value, bool) else str(value))
    try:
        session = builder.getOrCreate()
        if session.sparkContext.master != table.master:
            raise MetricsError(
                f'{workspace.toml}: spark.master is "{table.master}", and this process works on '
                f'"{session.sparkContext.master}" already; use a process of its own'
            )
        # Views are a session's own: another lake's do not get in the way.
        session = session.newSession()
        for key, value in FIXED.items():
            session.conf.set(key, value)
    except (PySparkException, RuntimeError, OSError, Py4JError) as reason:
        raise MetricsError(
            f'{workspace.toml}: spark.master = "{table.master}": no Spark session could be started there '
            f'({_first_line(reason)}); check master and conf, or use engine = "duckdb"'
        ) from reason
    return session


def require_pyspark() -> str:
    """The version of PySpark.

    Raises:
        MetricsError: it is not installed.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise MetricsError(
            'engine = "spark" needs PySpark, which is not installed: pip install "tenbin[spark]"'
        )
    from pyspark import __version__

    return str(__version__)


def find_java() -> Path:
    """The home of a full JDK that Spark runs on: JAVA_HOME, else `java` on the path, else the usual places.

    Raises:
        MetricsError: there is none; with what was wrong with those that there are.
    """
    wrong: list[str] = []
    for home in _homes():
        problem = _problem(home)
        if problem is None:
            return home
        wrong.append(f"{home} {problem}")
    found = f" (found: {'; '.join(wrong)})" if wrong else ""
    raise MetricsError(
        f"Spark needs a full Java {OLDEST_JAVA} or newer, and there is none{found}; install one, as in "
        f"`apt-get install openjdk-{OLDEST_JAVA}-jdk-headless`, or set JAVA_HOME to where it is"
    )


def _homes() -> list[Path]:
    """Places where a Java may be, each once; what a person set comes first."""
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if on_path := shutil.which("java"):
        homes.append(Path(on_path).resolve().parents[1])
    for pattern in _USUAL:
        homes += sorted(Path("/").glob(pattern.removeprefix("/")))
    real = (home.resolve() for home in homes if (home / "bin" / "java").is_file())
    return list(dict.fromkeys(real))


def _problem(home: Path) -> str | None:
    """Why Spark can't run on the Java in `home`; None when it can."""
    try:
        version = _said(home, "-XshowSettings:properties", "-version")
        modules = {line.split("@")[0].strip() for line in _said(home, "--list-modules").splitlines()}
    except (OSError, subprocess.SubprocessError):
        return "does not start"
    numbers = [
        line.split("=")[1].strip() for line in version.splitlines() if "java.specification.version" in line
    ]
    number = numbers[0] if numbers else "0"
    if not number.isdigit() or int(number) < OLDEST_JAVA:
        return f"is Java {number}"
    if missing := sorted(MODULES - modules):
        return f"lacks the module {missing[0]}"
    return None


def _said(home: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  (a program that was found, with words of ours)
        [str(home / "bin" / "java"), *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout + done.stderr


def refuse_settings(workspace: Workspace) -> None:
    """Stop before Spark is started with a setting that would change answers.

    Raises:
        MetricsError: one of `FIXED` is set otherwise.
    """
    for key, value in workspace.config.spark.conf.items():
        if key in FIXED and str(value).lower() != FIXED[key].lower():
            raise MetricsError(
                f'{workspace.toml}: spark.conf "{key}" is "{value}"; it must be "{FIXED[key]}", because '
                "answers depend on it"
            )


def _first_line(reason: Exception) -> str:
    java = getattr(reason, "java_exception", None)
    text = str(java.toString()) if java is not None else str(reason)
    return next((line for line in text.splitlines() if line.strip()), type(reason).__name__)
