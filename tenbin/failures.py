"""Which exceptions are their reader's to mend, and what to say of them: the one place that decides."""

import errno

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


def sentence_of(error: BaseException) -> str | None:
    """One sentence for whoever typed the command; None for a defect of ours, which keeps its traceback."""
    if isinstance(error, UserError) or _is_value_error_of_ours(error):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{_MACHINE[error.errno]}"
    return None


def _is_value_error_of_ours(error: BaseException) -> bool:
    roots = (kind.__module__.partition(".")[0] for kind in type(error).__mro__)
    return isinstance(error, ValueError) and any(root in _OWN_ROOTS for root in roots)
