"""The asv suite: small benchmark classes, one module per subject.

Cases, seeded weights and what is measured are in ``benchmarks.workloads``. Read ``step.py`` first.
Bodies of ``setup``, ``time_*`` and ``track_*`` must not change: asv hashes them into the version of
a series.
"""

from benchmarks._recorder import recorder
from benchmarks._shared import THREADS

recorder.record(THREADS)
