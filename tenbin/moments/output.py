"""The answers for machines: the object of `tenbin analyze`; a list where the file names experiments."""

import msgspec

from tenbin.analyze.answer import Answer
from tenbin.analyze.output import output_of
from tenbin.moments.command import Answers


def to_json(found: Answers) -> bytes:
    """Indented JSON in UTF-8; the same file and options give the same bytes."""
    value: object = [_named(one) for one in found.answers] if found.several else output_of(found.answers[0])
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _named(found: Answer) -> dict[str, object]:
    """The object, and before it what it is about."""
    return {
        "experiment": found.plan.experiment,
        "iteration": found.plan.iteration,
        "as_of": found.as_of,
        "verdict": found.analysis.decision.verdict,
        "sentence": found.analysis.decision.sentence,
        **msgspec.structs.asdict(output_of(found)),
    }
