"""What `tenbin analyze` refuses, in sentences that say what to do."""

from workspace.errors import UserError


class AnalyzeError(UserError):
    """The file or the options of `tenbin analyze` can't be used as they are."""
