import itertools
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.results.table.parameters import GridColumns, describe

TYPED = [
    ("shape", "(128, 128)", "shape", "128x128"),
    ("shape", "[17, 23]", "shape", "17x23"),
    ("shape", "'4096x4096'", "shape", "4096x4096"),
    ("shape", "(128, 'a')", "shape", None),
    ("shape", "(128, 128) (0)", "shape", None),  # asv's mark of a value that occurs twice
    ("level", "0.3", "level", 0.3),
    ("level", "1", "level", 1.0),
    ("level", "nan", "level", None),
    ("level", "1e999", "level", None),
    ("level", "True", "level", None),
    ("block", "(1, 4)", "block", "1x4"),
    ("block", "None", "block", None),
    ("zeros", "2", "zeros", 2),
    ("zeros", "None", "zeros", None),
    ("zeros", "'all'", "zeros", None),
    ("zeros", str(10**12), "zeros", None),
    ("device", "'cuda:0'", "device", "cuda:0"),
    ("dtype", "torch.float32", "dtype", "float32"),
    ("dtype", "'bfloat16'", "dtype", "bfloat16"),
    ("weights", "'random'", "weights", "random"),
    ("implementation", "'torch.ao'", "implementation", "torch.ao"),
]


@pytest.mark.parametrize(("name", "value", "column", "expected"), TYPED)
def test_a_parameter_with_a_columns_name_is_typed(name, value, column, expected):
    columns = describe((name,), (value,)).columns
    assert getattr(columns, column) == expected
    assert columns == GridColumns(**{column: expected})


def test_a_parameter_named_case_holds_several_columns():
    point = describe(("case", "device"), ("'shape=255x324,level=0.9,block=8x1,zeros=all'", "'cpu'"))
    assert point.columns == GridColumns(
        shape="255x324", level=0.9, block="8x1", zeros=None, device="cpu"
    )
    assert point.text == "shape=255x324, level=0.9, block=8x1, zeros=all, device=cpu"


@pytest.mark.parametrize("value", ["'no pairs'", "7", "'=1'", "'a=1,,b=2'", "'unclosed"])
def test_a_case_that_is_no_list_of_pairs_is_not_typed(value):
    point = describe(("case",), (value,))
    assert point.columns == GridColumns()
    assert point.text == f"case={value}"


def test_other_projects_parameters_are_readable():
    point = describe(("n", "kind", "f"), ("10", "'float64'", "<function f>"))
    assert point.text == "n=10, kind=float64, f=<function f>"
    assert (
        describe(("n",), ("'a=1,b=2'",)).text == "n='a=1,b=2'"
    )  # only the parameter `case` joins pairs
    assert describe((), ()).text == ""
    assert describe((), ("'a'", "1")).text == "a, 1"  # names not known


names = st.lists(st.sampled_from(["shape", "level", "zeros", "case", "n"]), min_size=1, unique=True)


@given(names, st.data())
def test_different_combinations_have_different_texts(names, data):
    """Strings, numbers and tuples that print alike without their quotes stay apart."""
    text = st.text("1a'x= ,(0)", max_size=4)
    leaves = st.one_of(st.integers(-1, 11), st.booleans(), st.none(), text)
    reprs = st.one_of(leaves, st.tuples(leaves, leaves)).map(repr)
    lists = [data.draw(st.lists(reprs, min_size=1, max_size=4, unique=True)) for _ in names]
    combinations = list(itertools.product(*lists))
    texts = [describe(tuple(names), values).text for values in combinations]
    assert len(set(texts)) == len(combinations)


@given(names, st.data())
def test_any_text_is_described(names, data):
    values = tuple(data.draw(st.text(max_size=12)) for _ in names)
    assert isinstance(describe(tuple(names), values).text, str)


def test_nearly_valid_python_gives_no_warning():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert describe(("n", "m"), (r"'\d'", "0or 1")).text == r"n='\d', m=0or 1"
    assert caught == []
