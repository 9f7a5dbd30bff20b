"""The lake's errors."""

from workspace import UserError


class LakeError(UserError):
    """A landing file, a source or the lake itself can't be used as it is."""
