import re
from pathlib import Path

import pytest

from studies.h100_tables import CPU_LONG_GRID, CPU_SQUARE, main, read, tables

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
TABLES = tables(read())


def cells(title: str, first: str) -> list[str]:
    line = next(line for line in TABLES[title].splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("title", TABLES)
def test_the_document_has_each_table_as_printed(title: str) -> None:
    section = DOCUMENT.split("## On CUDA (one H100)\n")[1].split("\n## ")[0]
    assert f"\n\n{TABLES[title]}\n" in section


def test_all_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert [
        title for title, table in TABLES.items() if f"{title}\n\n{table}\n" not in printed
    ] == []


def test_every_measured_case_is_in_a_table() -> None:
    titles = ("4096x4096, float32", "4096x4096, bfloat16", "Other shapes, bfloat16")
    assert sum(len(TABLES[title].splitlines()) - 2 for title in titles) == 32
    groups = [int(cells("Seed grid", name)[1]) for name in ("constant mask", "1 launch")]
    assert sum(groups) + int(cells("Seed grid", "7 launches")[1]) == 291
    assert cells("Seed grid", "all")[1] == "291"


def test_kernel_times_leave_out_what_the_profiler_counts_twice() -> None:
    *_, total, replay = cells("Kernels", ".5, (1, 4)")
    assert 0 < int(replay) - int(total) < 10


def test_temporary_memory_is_marked_where_another_level_of_the_same_buffers_needs_more() -> None:
    marked = re.findall(r"[\d.]+†", TABLES["Memory"])
    assert marked == ["0†", "0.0039†"]


def test_the_cpus_times_are_those_of_the_other_documents() -> None:
    figures = DOCUMENT.split("## Figures\n")[1].split("\n## ")[0]
    for name, milliseconds in CPU_SQUARE.items():
        assert f"| {name} | {milliseconds} |" in figures
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"long grid takes {1e3 * CPU_LONG_GRID:.0f} µs" in readme
