"""What one regression figure tells, before anything is drawn: points, plan, labels, words."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from sparsebench.analysis.dimensions import (
    ENVIRONMENT,
    constants,
    labels,
    natural_order,
    natural_ranks,
    varying,
)
from sparsebench.analysis.history import Step, short_hash
from sparsebench.analysis.points import breaks, dims_of, points, series_names
from sparsebench.analysis.trend import Moved, moved_series, run_length, summary, thinned
from sparsebench.analysis.units import human
from sparsebench.report.figures.layout import Layout, choose_layout

_MISSING = {"failed": "failed", "timeout": "timed out", "skipped": "skipped"}
BREAK_NOTE = (
    "new harness: number, repeat, timer, runner, environment or the benchmark's code changed; "
    "values before and after do not compare"
)


@dataclass(frozen=True)
class Story:
    """The points of one figure and the plan for drawing them.

    ``table`` is that of `points` with the labels ``panel`` and ``hue``, and ``shared``: whether
    every colour of the panel has this case, so that their medians compare. ``lines`` are what each
    panel draws: x, value, low, high, hue, and the ``line`` that joins points. ``moved`` are the
    series whose steps are named.
    """

    name: str
    unit: str | None
    direction: str
    commits: list[str]
    dates: pd.Series
    table: pd.DataFrame
    layout: Layout
    lines: dict[str, pd.DataFrame]
    hues: list[str]
    moved: list[Moved]

    @property
    def panels(self) -> list[str]:
        """The panels' titles, in order."""
        return list(self.lines)

    @property
    def cases(self) -> int:
        """How many cases there are, each machine's counted, whatever their harness was."""
        dims = [name for name in self.table if str(name).startswith("dim:")]
        ran = self.table[self.table["status"] != "skipped"]
        return len(ran[["host", *dims]].drop_duplicates())

    @property
    def has_overview(self) -> bool:
        """Whether cases are summarised, and there is a history to be relative to."""
        return bool(self.layout.summarised) and len(self.commits) > 1


def figures(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each figure, by its name: one a benchmark, but twins share one.

    Twins are the same class and method in several modules, each of one implementation: ours and its
    reference. They are named after the one with the most rows.
    """
    columns = ["benchmark", "implementation", "unit"]
    listed = frame.groupby(columns, dropna=False, sort=False).size().reset_index(name="rows")
    return {name: frame[frame["benchmark"].isin(own)] for name, own in twins(listed).items()}


def twins(listed: pd.DataFrame) -> dict[str, list[str]]:
    """Return the benchmarks of each figure, by its name, as `figures` has them.

    Args:
        listed: how many ``rows`` each (benchmark, implementation, unit) has, of one project.
    """
    sizes = listed.groupby("benchmark", observed=True)["rows"].sum()
    names = natural_order(sizes.index)
    kinds = {name: _kind(name, listed[listed["benchmark"] == name]) for name in names}
    found = {}
    for _, group in groupby(sorted(names, key=kinds.__getitem__), key=kinds.__getitem__):
        members = sorted(group)
        found[max(members, key=sizes.__getitem__)] = members
    return {name: found[name] for name in names if name in found}


def tell(name: str, rows: pd.DataFrame, commits: list[str], steps: Sequence[Step] = ()) -> Story:
    """Return the story of one figure's rows, over those of ``commits`` that they were run at.

    ``steps`` are what changed in the rows' project, most important first.
    """
    present = set(rows["commit_hash"])
    commits = [commit for commit in commits if commit in present]
    table = points(rows, commits, steps)
    dims = dims_of(table)
    layout = choose_layout(dims, table["value"])
    words = dims.assign(**{ENVIRONMENT: _told_apart(dims[ENVIRONMENT])})
    table["panel"] = labels(words, layout.panels)
    table["hue"] = labels(words, layout.hues)
    table["shared"] = _shared(table, dims, layout)
    return Story(
        name=name,
        unit=_last(rows["unit"]),
        direction=_last(rows["direction"]) or "lower",
        commits=commits,
        dates=rows["commit_date"],
        table=table,
        layout=layout,
        lines={
            panel: _lines(table[table["panel"] == panel], layout, len(commits))
            for panel in _ordered(table["panel"], dims, layout.panels)
        },
        hues=_ordered(table["hue"], dims, layout.hues),
        moved=moved_series(table, steps),
    )


def summary_lines(table: pd.DataFrame, commits: int) -> pd.DataFrame:
    """Return one summarising line for each colour and harness, one below the other."""
    groups = [
        summary(rows).assign(hue=str(hue), line=line)
        for line, ((hue, _), rows) in enumerate(table.groupby(["hue", "harness"], sort=True))
    ]
    return thinned(pd.concat(groups, ignore_index=True), commits)


def about(story: Story) -> str:
    """Return the line below the title: what is drawn, and what holds for all of it."""
    quantity = {"seconds": "time", "bytes": "memory"}.get(story.unit or "", story.unit or "value")
    shown = quantity
    if story.table["low"].notna().any():
        shown = f"{quantity}, median of the samples; bar or band: its 95 % interval"
    if story.layout.summarised:
        where = "above, bar or band" if story.has_overview else "bar"
        shown = f"{quantity} of the median case; {where}: the quartiles of the cases"
    if (length := run_length(len(story.commits))) > 1:
        shown += (
            f"; a point: the median of {length} commits in a row, its band takes all of them in"
        )
    fixed = constants(dims_of(story.table))
    return " · ".join([shown, *(f"{name} {value}" for name, value in fixed.items())])


def notes(story: Story) -> list[str]:
    """Return the footnotes: what is missing from the picture, or must not be read out of it."""
    table = story.table
    found = [
        f"{(table['status'] == status).sum()} of {len(table)} points {word}"
        for status, word in _MISSING.items()
        if (table["status"] == status).any()
    ]
    bare = int((table["value"].notna() & table["low"].isna()).sum())
    if bare and story.unit == "seconds" and not story.layout.summarised:
        found.append(f"{bare} points without an interval: it needs six samples")
    ran = table["status"] != "skipped"
    alone = table.loc[ran & ~table["shared"], "series"].nunique()
    if alone and story.layout.summarised:
        found.append(_alone_note(story, alone))
    return [*found, BREAK_NOTE] if breaks(table) else found


def describe(story: Story) -> str:
    """Return the figure in words, for who cannot see it."""
    first, last = short_hash(story.commits[0]), short_hash(story.commits[-1])
    count = len(story.commits)
    span = f"{count} commits, {first} to {last}" if count > 1 else f"the commit {first}"
    text = [f"{story.name} over {span}; panels: {len(story.panels)}"]
    compared = story.table["shared"] & story.table["value"].notna()
    measured = story.table[compared]
    for hue, rows in measured.groupby("hue", sort=False):
        newest = rows.loc[rows["x"] == rows["x"].max(), "value"].median()
        text.append(
            f"{str(hue) or 'newest'}: median of the newest values {human(newest, story.unit)}"
        )
    return ". ".join([*text, *moved_words(story), *notes(story)])


def moved_words(story: Story) -> list[str]:
    """Return a line a series that is named: by how much it changed, at which commit, and which."""
    names = series_names(story.table)
    return [
        f"{100 * step.change.value:+.3g} % at {short_hash(step.commit)}  {names[series]}"
        for series, step in ((one.series, one.step) for one in story.moved)
    ]


def _lines(rows: pd.DataFrame, layout: Layout, commits: int) -> pd.DataFrame:
    """Return the lines of a panel with these rows: one a case, or one that sums them up."""
    if layout.summarised:
        return summary_lines(rows[rows["shared"]], commits)
    measured = rows[rows["value"].notna()]
    return thinned(measured.assign(line=measured["series"]), commits)


def _alone_note(story: Story, alone: int) -> str:
    """Return where the cases are that the panels leave out, because not every colour has them."""
    if story.has_overview:
        return f"{alone} cases that not every colour has are in the overview only"
    shared = dims_of(story.table[story.table["shared"]])
    only = [
        f"{name} {', '.join(missing)}"
        for name, values in varying(dims_of(story.table)).items()
        if (missing := [value for value in values if value not in set(shared[name])])
    ]
    note = f"{alone} cases that not every colour has are not drawn"
    return f"{note}: all of {'; '.join(only)}" if only else note


def _kind(name: str, rows: pd.DataFrame) -> tuple[str, ...]:
    """Return what twins have in common, or the whole name for a benchmark that can have none."""
    _module, *rest = name.rsplit(".", 2)
    known = rows["implementation"].unique()
    if len(rest) < 2 or len(known) != 1 or pd.isna(known[0]):
        return (name,)
    return ("twins", *rest, str(rows["unit"].iloc[0]))


def _shared(table: pd.DataFrame, dims: pd.DataFrame, layout: Layout) -> pd.Series:
    """Return whether each row's case has a value in every colour of its panel; all, if none has."""
    case = labels(dims, [name for name in varying(dims) if name not in layout.hues])
    measured = table["value"].notna()
    keys = pd.DataFrame({"panel": table["panel"], "case": case, "hue": table["hue"]})[measured]
    hues = keys.groupby("panel")["hue"].nunique()
    found = keys.groupby(["panel", "case"])["hue"].nunique().reset_index()
    full = found[found["hue"] == found["panel"].map(hues)]
    shared = pd.MultiIndex.from_frame(full[["panel", "case"]])
    rows = pd.MultiIndex.from_arrays([table["panel"], case])
    without = ~table["panel"].isin(full["panel"])
    return pd.Series(rows.isin(shared), index=table.index) | without


def _ordered(column: pd.Series, dims: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Return the labels in the natural order of the dimensions that they are made of."""
    ordered = natural_ranks(dims, names).assign(label=column).drop_duplicates()
    return [str(label) for label in ordered.sort_values([*names, "label"])["label"]]


def _told_apart(names: pd.Series) -> pd.Series:
    """Return names like "py3.11-torch2.1-numba" without the parts that all of them have."""
    parts = {str(name): str(name).split("-") for name in names.unique()}
    common = set.intersection(*map(set, parts.values())) if parts else set()
    short = {name: "-".join(p for p in own if p not in common) for name, own in parts.items()}
    return names.map(short) if all(short.values()) and len(set(short.values())) > 1 else names


def _last(column: pd.Series) -> str | None:
    known = column.dropna()
    return str(known.iloc[-1]) if len(known) else None
