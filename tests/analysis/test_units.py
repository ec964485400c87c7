import math

import pytest

from sparsebench.analysis.units import human


@pytest.mark.parametrize(
    ("value", "unit", "printed"),
    [
        (1.234e-3, "seconds", "1.23 ms"),
        (4.56e-6, "seconds", "4.56 µs"),
        (2.1, "seconds", "2.1 s"),
        (999.4e-6, "seconds", "999 µs"),
        (999.5e-6, "seconds", "1 ms"),  # rounds to 1000 µs
        (99.97e-6, "s", "100 µs"),
        (5e-10, "seconds", "0.5 ns"),
        (-5e-4, "seconds", "-500 µs"),
        (90.0, "seconds", "1.5 min"),
        (7200.0, "seconds", "2 h"),
        (0.0, "seconds", "0 s"),
        (math.inf, "seconds", "inf s"),
        (4.2 * 2**20, "bytes", "4.2 MiB"),
        (1023 * 1024.0, "bytes", "1023 KiB"),
        (1023.7 * 1024, "bytes", "1 MiB"),
        (12.0, "bytes", "12 B"),
        (3.2, "ratio", "3.2x"),
        (12.0, "widgets", "12 widgets"),
        (1234.0, "widgets", "1234 widgets"),
        (1.5e9, "unit", "1.5e+09"),
        (0.5, None, "0.5"),
        (None, "bytes", "-"),
        (math.nan, "seconds", "-"),
    ],
)
def test_numbers_are_printed_for_people(
    value: float | None, unit: str | None, printed: str
) -> None:
    assert human(value, unit) == printed
