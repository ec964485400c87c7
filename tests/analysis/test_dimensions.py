import pandas as pd

from sparsebench.analysis.dimensions import constants, dimensions, labels, natural_order, varying


def rows(*combinations: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "benchmark": "b",
            "case": [str(combination) for combination in combinations],
            "machine": "m",
            "env_name": None,
            "param_names": [list(combination) for combination in combinations],
            "params": [list(combination.values()) for combination in combinations],
        }
    )


def test_reprs_lose_their_quotes_and_joined_parameters_are_separated() -> None:
    dims = dimensions(rows({"case": "'shape=8x8,level=0.5'", "n": "3", "who": "'a b'"}))
    assert dims.iloc[0].to_dict() == {
        "machine": "m",
        "environment": "",
        "shape": "8x8",
        "level": "0.5",
        "n": "3",
        "who": "a b",
    }


def test_a_parameter_cannot_hide_a_column_of_the_dataset() -> None:
    dims = dimensions(rows({"machine": "'lathe'"}))
    assert dims.iloc[0].to_dict() == {
        "machine": "m",
        "environment": "",
        "machine (parameter)": "lathe",
    }


def test_rows_without_parameters_have_their_host_only() -> None:
    frame = rows({"n": "1"}, {})
    dims = dimensions(frame.assign(param_names=[["n"], None], params=[["1"], None]))
    assert list(dims["n"]) == ["1", ""]
    assert varying(dims) == {"n": ["", "1"]}
    assert constants(dims) == {"machine": "m"}


def test_numbers_are_ordered_by_value_and_before_letters() -> None:
    mixed = ["all", "10", "2", "0.99", "8x1", "1x16", "1x8"]
    assert natural_order(mixed) == ["0.99", "1x8", "1x16", "2", "8x1", "10", "all"]


def test_labels_have_the_name_of_a_value_that_does_not_explain_itself() -> None:
    dims = pd.DataFrame({"level": ["0.3", "1"], "zeros": ["all", ""], "weights": ["ones", "ones"]})
    assert list(labels(dims, ["level", "zeros", "weights"])) == [
        "level 0.3 · zeros all · ones",
        "level 1 · zeros - · ones",
    ]
    assert list(labels(dims, [])) == ["", ""]
