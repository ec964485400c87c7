"""The search of a history as the verbs share it: one memory, all cores, progress on stderr."""

import os

import pandas as pd

from sparsebench.cli.progress import progress
from sparsebench.report.history import History, survey
from sparsebench.report.history.memory import Memory, usual_place
from sparsebench.stats.change_points import TOLERANCE


def searched(frame: pd.DataFrame, tolerance: float = TOLERANCE) -> History:
    """Return what changed over the commits of ``frame``, as `survey` has it."""
    with progress("searching series") as tell:
        return survey(
            frame,
            tolerance,
            memory=Memory(usual_place()),
            processes=os.cpu_count() or 1,
            progress=tell,
        )
