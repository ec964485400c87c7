import math

import pytest

from sparsebench.results.asv.context import BenchmarkSettings
from sparsebench.results.asv.result_files import BenchmarkResult
from sparsebench.results.table.measurement import (
    FAILED,
    STATUSES,
    TIMEOUT,
    digest,
    direction,
    fingerprint,
    timed_out,
    type_and_unit,
    value_columns,
)

TIMING = (("number", "10"), ("repeat", "auto"), ("rounds", "2"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.B.time_x", ("time", "seconds")),
        ("timeraw_x", ("time", "seconds")),
        ("a.mem_x", ("memory", "bytes")),
        ("a.peakmem_x", ("peakmemory", "bytes")),
        ("a.B.track_x", ("track", None)),
        ("a.TimeSuite", (None, None)),
    ],
)
def test_a_benchmark_that_is_not_listed_has_its_type_from_its_name(name, expected):
    assert type_and_unit(name, BenchmarkSettings()) == expected
    assert type_and_unit(name, BenchmarkSettings(type="t", unit="u")) == ("t", "u")


@pytest.mark.parametrize(
    ("name", "kind", "unit", "expected"),
    [
        ("a.time_digest", "time", "seconds", "lower"),
        ("a.peakmem_x", "peakmemory", "bytes", "lower"),
        ("a.track_digest", "track", "sha256/48", "exact"),
        ("a.track_mask", "track", "sha256/48", "exact"),
        ("a.track_measured_sparsity", "track", "fraction", "exact"),
        ("a.track_temporary", "track", "bytes", "lower"),
        ("a.track_event", "track", "seconds", "lower"),
        ("a.track_rate", "track", "rows/s", "higher"),
        ("a.track_throughput", "track", None, "higher"),
        ("a.track_x", "track", None, "lower"),
    ],
)
def test_which_way_is_better(name, kind, unit, expected):
    assert direction(name, kind, unit) == expected


def test_the_status_and_value_of_what_asv_recorded():
    recorded = [1, True, math.inf, math.nan, None, "x", [1.0]]
    results = [BenchmarkResult("a", values=recorded), BenchmarkResult("b", values=[None, 2.0])]
    columns = value_columns(results, null_status=[FAILED, TIMEOUT])
    statuses = [STATUSES[code] for code in columns.arrays["status"].to_pylist()]
    assert statuses[:7] == ["ok", "ok", "ok", "skipped", "failed", "failed", "failed"]
    assert statuses[7:] == ["timeout", "ok"]
    values = columns.arrays["value"].to_pylist()
    assert values == [1.0, 1.0, math.inf, None, None, None, None, None, 2.0]
    assert columns.errors == {
        5: "the value must be a number, got x",
        6: "the value must be a number, got [1.0]",
    }


@pytest.mark.parametrize(
    ("kind", "rounds", "duration", "values", "proven"),
    [
        ("track", None, 5.1, [None], True),
        ("track", None, 4.9, [None], False),
        ("track", None, None, [None], False),
        ("track", None, 10.1, [None, None], True),
        ("track", None, 9.9, [None, None], False),  # one of the two ended by itself
        ("track", None, 99.0, [None, 1.0], False),  # how long the good one ran is not known
        ("track", None, 99.0, [None, math.nan], False),
        ("time", 1, 5.1, [None], True),
        ("time", 2, 5.1, [None], False),  # may be a good round and then a crash
        ("time", None, 5.1, [None], False),
    ],
)
def test_a_time_out_needs_a_duration_that_proves_it(kind, rounds, duration, values, proven):
    settings = BenchmarkSettings(type=kind, timeout=5.0, rounds=rounds)
    assert timed_out(BenchmarkResult("x", duration=duration, values=values), settings) == proven
    assert not timed_out(
        BenchmarkResult("x", duration=duration, values=values), BenchmarkSettings(type=kind)
    )


def test_the_fingerprint_says_how_it_was_measured():
    settings = BenchmarkSettings(rounds=2, timing=TIMING)
    assert fingerprint(settings, 10, 4, None) == "number=10 repeat=auto rounds=2"
    assert (
        fingerprint(settings, None, None, "0.3.2") == "number=10 repeat=auto rounds=2 runner=0.3.2"
    )
    assert fingerprint(BenchmarkSettings(), 1500, 8, None) is None


def test_the_number_of_older_code_wins_over_todays_benchmarks_json():
    settings = BenchmarkSettings(rounds=2, timing=TIMING)
    assert fingerprint(settings, 1, 4, None) == "number=1 repeat=auto rounds=2"


def test_an_automatic_number_does_not_split_a_series():
    settings = BenchmarkSettings(rounds=2, timing=(("number", "auto"), ("rounds", "2")))
    assert fingerprint(settings, 1500, 8, None) == fingerprint(settings, 1600, 9, None)


def test_a_quick_run_has_another_fingerprint_than_a_full_one():
    settings = BenchmarkSettings(rounds=2, timing=TIMING)
    assert fingerprint(settings, 1, 1, None) == "quick=yes number=1"


def test_a_digest_is_twelve_hexadecimal_digits():
    assert digest(61715307785546) == f"{61715307785546:012x}"
    assert digest(5.0) == "000000000005"
    assert [digest(value) for value in (None, math.nan, -1, 2**48, 0.5, "a")] == [None] * 6
