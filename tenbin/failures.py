"""Which exceptions are their reader's to mend, and what to say of them: the one place that decides."""

import errno
from collections.abc import Iterator

from workspace.errors import UserError

# Packages that import nothing of ours have error trees of their own, under ValueError.
_OWN_ROOTS = ("stats", "tenbin_sdk")
_MACHINE = {
    errno.ENOSPC: "the disk is full; free some space and run again (what was committed is kept)",
    errno.EDQUOT: "the disk quota is used up; free some space and run again (what was committed is kept)",
    errno.EROFS: "the file system is read-only; use a directory that can be written",
    errno.EACCES: "permission denied; make it readable and writable for this user",
    errno.EPERM: "permission denied; make it readable and writable for this user",
}

# Errors of libraries that are not imported for this: by module and name, some only with certain words.
_SQLITE = {"sqlite3.OperationalError", "sqlalchemy.exc.OperationalError"}
_SQLITE_MACHINE = {
    "database or disk is full": "the disk is full; free some space and run again",
    "disk I/O error": "the disk is full or fails; free some space or mend it, and run again",
    "unable to open database file": "the disk is full, or the directory closed; mend it and run again",
    "attempt to write a readonly database": "permission denied; make it writable for this user",
}
_DUCKDB_MACHINE = {
    "_duckdb.OutOfMemoryException": "memory and the disk have no room for the data; free some, or raise "
    "memory_limit in tenbin.toml, and run again",
    "_duckdb.IOException": "a file can't be read or written; look at it and at the space, and run again",
}


def sentence_of(error: BaseException) -> str | None:
    """One sentence for whoever typed the command; None for a defect of ours, which keeps its traceback."""
    for cause in _causes(error):
        if isinstance(cause, UserError) or _is_value_error_of_ours(cause):
            return " ".join(str(cause).split())
    # What the machine lacks is lacking also where a library only met it while it dealt with something else.
    return next(filter(None, map(_of_the_machine, _context(error))), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _context(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that went wrong before it."""
    before: BaseException | None = error
    while before is not None:
        yield before
        before = before.__cause__ or before.__context__


def _of_the_machine(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{_MACHINE[error.errno]}"
    name, text = f"{type(error).__module__}.{type(error).__qualname__}", str(error)
    if name in _SQLITE:
        said = next((said for words, said in _SQLITE_MACHINE.items() if words in text), None)
        return None if said is None else f"Dagster's history in .dagster: {said}"
    if name in _DUCKDB_MACHINE:
        first_line = text.partition("\n")[0]
        return f"{_DUCKDB_MACHINE[name]} ({first_line})"
    return None


def _is_value_error_of_ours(error: BaseException) -> bool:
    roots = (kind.__module__.partition(".")[0] for kind in type(error).__mro__)
    return isinstance(error, ValueError) and any(root in _OWN_ROOTS for root in roots)
