"""What this distribution raises, all of it under one base.

TenbinSdkError(ValueError)
├── TargetingKeyMissingError   a unit that is null, empty, a boolean or a float
├── ConditionError             a condition whose form is wrong; never raised at evaluation
└── RulesetError               a ruleset that can't be read or contradicts itself
"""


class TenbinSdkError(ValueError):
    """The base of every error of `tenbin_sdk`."""


class TargetingKeyMissingError(TenbinSdkError):
    """A unit can't be bucketed: it is null, empty, a boolean, a float or another thing that is no id."""


class ConditionError(TenbinSdkError):
    """A condition has an unknown key or operator, or a value that its operator can't use."""


class RulesetError(TenbinSdkError):
    """A ruleset is malformed or refers to something that is not in it."""
