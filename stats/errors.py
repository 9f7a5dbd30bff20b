"""Errors of the statistics. A number that is not defined is no error: it is a row that says so."""


class StatsError(ValueError):
    """The statistics were asked for something that has no meaning; the message says what to change."""
