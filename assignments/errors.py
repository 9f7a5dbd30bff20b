"""What this package raises."""

from workspace import UserError


class AssignmentsError(UserError):
    """An experiment's definition is wrong; the message names file, table, key, value and what is allowed."""
