"""The one base of every error that its reader can mend.

A message names the file, the key or row, the value, what is allowed and what to do. The command prints it
as one sentence and exits with code 2; everything else is a defect of ours and keeps its traceback.
"""


class UserError(Exception):
    """Something outside Tenbin is wrong and can be put right: a file, a definition, an argument."""


class WorkspaceError(UserError):
    """The workspace or its `tenbin.toml` is missing, unreadable or contradicts itself."""
