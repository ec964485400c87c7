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


def test_all_findings_are_written_with_all_fields() -> None:
    gate = one_of_each()
    loaded = strict(to_json(gate))
    assert loaded["schema"] == SCHEMA
    assert loaded["outcome"]["code"] == gate.exit_code() == 1
    assert loaded["base"] == {
        "hash": gate.base.hash, "subject": gate.base.subject, "uncommitted": 0,
    }  # fmt: skip
    listed = loaded["findings"]
    assert isinstance(listed, list)
    assert [entry["verdict"] for entry in listed] == [f.verdict.value for f in gate.findings]
    assert set(listed[0]) == {field.name for field in fields(Finding)}
    first = gate.findings[0]
    assert first.interval is not None
    assert listed[0]["interval"] == {"low": first.interval.low, "high": first.interval.high}
    assert listed[0]["change"] == first.change


def test_numbers_that_json_lacks_are_strings_and_texts_are_unchanged() -> None:
    odd = finding(base=float("nan"), head=float("-inf"), unit=NASTY + "\ud800", notes=(NASTY,))
    text = to_json(result(odd), {Verdict.GONE})
    text.encode("ascii")
    loaded = strict(text)["findings"][0]
    assert (loaded["base"], loaded["head"], loaded["change"]) == ("NaN", "-Infinity", None)
    assert loaded["notes"] == [NASTY]
