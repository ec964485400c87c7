from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from sparsebench.gate.findings import Finding, Verdict
from sparsebench.report.text.gate_markdown import LIMIT, MARKER, RESERVED, UNFOLDED, code, markdown
from tests.gate_results import NASTY, one_of_each, quiet, result, timed

PARSER = MarkdownIt("commonmark").enable("table")


def rendered(text: str) -> tuple[str, list[str]]:
    """Return the text outside code spans, HTML tags included, and the code spans."""
    inline = [token for token in PARSER.parse(text) if token.type == "inline"]
    pieces = [piece for token in inline for piece in token.children or []]
    spans = [piece.content for piece in pieces if piece.type == "code_inline"]
    types = {piece.type for piece in pieces}
    assert types <= {
        "text",
        "code_inline",
        "html_inline",
        "softbreak",
        "strong_open",
        "strong_close",
    }
    return "".join(p.content for p in pieces if p.type in ("text", "html_inline")), spans


def test_the_first_line_is_the_marker_and_the_second_the_outcome() -> None:
    lines = markdown(one_of_each()).splitlines()
    assert lines[0] == MARKER
    assert lines[1].startswith("### ❌ FAIL: 1 changed result, 2 regressed")


@pytest.mark.parametrize("text", ["a", "`", "a`b", "``a`", "|", r"\|", "<b>", "x`y``z", "@me #1"])
@pytest.mark.parametrize("where", ["{}", "| a | b |\n| :-- | --: |\n| {} | 1 |"])
def test_a_code_span_shows_any_text_literally(text: str, where: str) -> None:
    span = code(text).replace("|", r"\|") if where.startswith("|") else code(text)
    seen, spans = rendered(where.format(span))
    assert spans == [text]
    assert seen in ("", "ab1")


def test_names_and_errors_can_neither_format_nor_link_nor_mention() -> None:
    unit = NASTY.replace("|", "")  # a bare bar would end the cell, and hide the rest of it
    bad = Finding(
        NASTY, ("k|y", NASTY), (NASTY, "1"), "track", unit, Verdict.FAILED, 1.0, notes=(NASTY,)
    )
    gate = result(bad, replace(bad, params=("2", "2")), project=NASTY, notes=(NASTY,))
    text = markdown(gate)
    seen, spans = rendered(text)
    assert sum("@someone #1" in span and "<script>*_[x](y)" in span for span in spans) >= 6
    for harm in ("script", "@", "#", "](y)", "k|y", "$"):
        assert harm not in seen
    assert "\x1b" not in text
    types = [token.type for token in PARSER.parse(text)]
    first_table = types[: types.index("table_close")]
    assert first_table.count("th_open") == 4
    assert first_table.count("td_open") == 2 * 4


def test_a_long_list_is_folded_after_the_worst() -> None:
    regressed = [timed(f"n={n}", Verdict.REGRESSED, n / 100) for n in range(10, 70)]
    text = markdown(result(*regressed))
    opened, _, folded = text.partition(f"<details><summary>{60 - UNFOLDED} more cases</summary>")
    assert opened.count("**REGRESSED**") == UNFOLDED
    assert folded.count("**REGRESSED**") == 60 - UNFOLDED
    assert "+69.0 %" in opened
    assert text.count("<details>") == text.count("</details>") == 1


@pytest.mark.parametrize("several", [False, True], ids=["one benchmark", "one benchmark per case"])
def test_a_comment_is_within_the_limit_and_counts_omitted_lines(several: bool) -> None:
    regressed = [
        timed(
            f"n={n}", Verdict.REGRESSED, n / 100, notes=(f"{n} " * 40,),
            benchmark=f"b{n if several else 0:080}",
        )
        for n in range(600)
    ]  # fmt: skip
    text = markdown(result(*regressed, notes=("odd " * 50,) * 600))
    assert 0.9 * LIMIT < len(text) <= LIMIT - RESERVED
    shown = text.count("**REGRESSED**")
    assert f"holds 65,536 characters: {600 - shown:,} cases, " in text
    assert text.rstrip().endswith("The JSON has all.**")
    assert "+599 %" in text
    assert text.count("<details>") == text.count("</details>")


def test_nothing_is_omitted_if_all_fits() -> None:
    text = markdown(result(*quiet(288)))
    assert "Left out" not in text
    assert "288 of 288" in text
    assert len(text) < 1000


def test_a_gate_without_cases_does_not_pass() -> None:
    assert "NOTHING MEASURED: no case was selected" in markdown(result())
