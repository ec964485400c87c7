"""From a record to the whole that is shown."""

from sparsebench.gate.control import doubts
from sparsebench.gate.findings import GateResult
from sparsebench.gate.record import Ended, Record
from sparsebench.gate.verdicts import judge
from sparsebench.stats import CONFIDENCE_LEVEL


def result(record: Record) -> GateResult:
    """All that a record says; the same record gives the same result."""
    plan = record.plan
    findings = judge(record)
    return GateResult(
        project=plan.project,
        machine=plan.machine,
        environment=plan.environment,
        base=plan.base,
        head=plan.head,
        tolerance=plan.tolerance,
        confidence_level=CONFIDENCE_LEVEL,
        findings=tuple(findings),
        notes=(*plan.notes, *doubts(record.events), *_early_end(record)),
        seconds=record.seconds,
        skipped=len(plan.cases) - len(findings),
    )


def _early_end(record: Record) -> list[str]:
    last = record.events[-1] if record.events else None
    if isinstance(last, Ended) and last.why == "decided":
        return []
    if isinstance(last, Ended) and last.why == "budget":
        return ["the budget was spent before everything was decided"]
    return ["measuring was interrupted; the same command continues"]
