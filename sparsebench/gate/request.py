"""What a gate compares, and how."""

from dataclasses import dataclass
from hashlib import sha256

from sparsebench.gate.cases import CaseSelection
from sparsebench.gate.findings import Side


@dataclass(frozen=True)
class Request:
    """What a gate compares, and how.

    Attributes:
        base, head: the commits.
        wanted: the selected cases.
        tolerance: the smallest relative change that matters.
        budget: seconds for measuring; cases not decided by then are undecided.
        environment: asv's name of the environment to measure in.
        machine: the name of this machine.
    """

    base: Side
    head: Side
    wanted: CaseSelection
    tolerance: float
    budget: float
    environment: str
    machine: str

    @property
    def key(self) -> str:
        """A hash that is equal for requests that can continue each other's record."""
        wanted = (self.wanted.pattern.pattern, self.wanted.device)
        parts = (self.base, self.head, wanted, self.tolerance, self.environment)
        return sha256(repr(parts).encode()).hexdigest()[:16]
