import json
from dataclasses import fields

import pytest

from sparsebench.gate.findings import Finding, Verdict
from sparsebench.report.text.gate_json import SCHEMA, to_json
from tests.gate_results import NASTY, finding, one_of_each, result


def strict(text: str) -> dict[str, object]:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    loaded = json.loads(text, parse_constant=refuse)
    assert isinstance(loaded, dict)
    return loaded


def test_every_finding_is_there_with_everything_in_it() -> None:
    gate = one_of_each()
    loaded = strict(to_json(gate))
    assert loaded["schema"] == SCHEMA
    assert loaded["outcome"]["code"] == gate.exit_code() == 1
    assert loaded["base"] == {
        "hash": gate.base.hash, "subject": gate.base.subject, "uncommitted": 0,
    }  # fmt: skip
    listed = loaded["findings"]
    assert isinstance(listed, list)
    assert [one["verdict"] for one in listed] == [f.verdict.value for f in gate.findings]
    assert set(listed[0]) == {field.name for field in fields(Finding)}
    first = gate.findings[0]
    assert first.interval is not None
    assert listed[0]["interval"] == {"low": first.interval.low, "high": first.interval.high}
    assert listed[0]["change"] == first.change


def test_what_is_no_number_in_json_is_a_word_and_text_is_kept() -> None:
    odd = finding(base=float("nan"), head=float("-inf"), unit=NASTY + "\ud800", notes=(NASTY,))
    text = to_json(result(odd), {Verdict.GONE})
    text.encode("ascii")
    loaded = strict(text)["findings"][0]
    assert (loaded["base"], loaded["head"], loaded["change"]) == ("NaN", "-Infinity", None)
    assert loaded["notes"] == [NASTY]
