"""The site as files: whole, escaped, linked, described; no browser needed."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.report.site import build
from tests.report.site.conftest import COMMITS, HOSTILE, content, content_of, silent, suite
from tests.report.site.pages import Page, pages
from tests.synthetic import commit_place, hashes

MENU = ["index.html", "devices.html", "break-even.html", "machines.html"]


def test_every_link_and_picture_of_every_page_is_there(site: Path) -> None:
    found = pages(site)
    assert len(found) == 9
    for page in found:
        for target in page.targets():
            if not target.startswith(("https://example.org/commit/", "#")):
                file = (page.path.parent / unquote(target)).resolve()
                assert file.is_file(), f"{page.path}: {target}"
                assert file.is_relative_to(site)


def test_nothing_comes_from_elsewhere_and_nothing_runs_but_the_one_script(site: Path) -> None:
    for page in pages(site):
        policies = [m for m in page.all("meta") if m.get("http-equiv")]
        assert [m["http-equiv"] for m in policies] == ["Content-Security-Policy"]
        assert (policies[0]["content"] or "").startswith("default-src 'none'; ")
        assert "unsafe" not in (policies[0]["content"] or "")
        assert [s["src"].rpartition("/")[2] for s in page.all("script")] == ["site.js"]  # type: ignore[union-attr]  # there is one
        assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
        outside = [a for a in page.targets() if "//" in a]
        assert all(target.startswith(COMMITS.url or "?") for target in outside)


def test_hostile_names_are_in_the_pages_as_text(site: Path) -> None:
    overview = Page(site / "index.html")
    assert f"a/../b.{HOSTILE}" in overview.text
    machine = Page(site / "machines.html")
    assert machine.text.count(HOSTILE) >= 2
    (own,) = (site / "benchmarks").glob("a_*")
    assert HOSTILE in Page(own).text
    assert "49" not in Page(own).text.split("../../x")[0][-80:]


def test_nothing_is_written_outside_the_site(site: Path) -> None:
    assert sorted(p.name for p in site.parent.iterdir()) == ["out", "parquet"]
    names = [path.name for path in site.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def test_every_picture_has_words_a_size_its_data_and_its_command(site: Path) -> None:
    pictures = 0
    for page in pages(site):
        for image in page.all("img"):
            pictures += 1
            assert len(image["alt"] or "") > 30
            assert image["loading"] == "lazy"
            assert int(image["width"] or 0) > 100
        commands = page.path.read_text().count('<p class="command">')
        assert commands >= len(page.all("img"))
        data = [a for a in page.all("a") if "download" in a]
        assert len(data) >= len(page.all("img"))
    assert pictures == 9


def test_the_data_beside_a_picture_are_its_points(site: Path) -> None:
    data = pd.read_csv(site / "data" / "benchmark.step.Long.time_step.csv")
    assert list(data["commit"].unique()) == hashes(4)
    assert len(data) == 4 * 6 * 2  # of six panels and two devices, each the median of six cases
    assert set(data["block"]) == {"1x4", "1x8", "4x1"}
    assert ((data["low"] <= data["value"]) & (data["value"] <= data["high"])).all()
    pairs = pd.read_csv(next((site / "data").glob("devices.device.cpu-cuda.step*.csv")))
    ratios = pairs.groupby("shape")["ratio"].median()
    assert ratios["128x128"] > 3
    assert ratios["255x324"] < 0.4


def test_the_changes_come_first_with_their_commits(site: Path) -> None:
    text = Page(site / "index.html").text
    worst, better, hostile = (text.index(word) for word in ("+40 % worse", "-10 % better", "2.5x"))
    assert worst < better < hostile < text.index("The median of each benchmark")
    assert "+38 % to +42 %" in text
    assert "level=0.3" in text
    assert "shape=128x128" not in text  # both cases share it
    old, new = hashes(4)[1:3]
    targets = Page(site / "index.html").targets()
    assert f"https://example.org/commit/{old}" in targets
    assert f"https://example.org/commit/{new}" in targets
    assert len(pd.read_csv(site / "data" / "changes.csv")) == 3
    assert "cpu: old -> new" in text
    assert "number 1 -> 10" in text


def test_the_crossing_point_is_reported_where_it_was_planted(site: Path) -> None:
    text = Page(site / "devices" / "device.cpu-cuda.html").text
    assert "shape: cuda wins from 255x324 on, not yet at 128x128 (18 cases each)" in text


def test_what_to_use_at_a_level_comes_first(site: Path) -> None:
    text = Page(site / "break-even.html").text
    assert text.index("what to use at a level") < text.index("every format")
    assert re.search(r"batch\s+format\s+block\s+faster from level", text)
    assert "dense: no format is faster with confidence" in text


def test_every_page_has_the_menu_one_heading_and_a_language(site: Path) -> None:
    for page in pages(site):
        assert len(page.all("h1")) == 1
        assert page.all("html") == [{"lang": "en"}]
        links = [target.rpartition("/")[2] for target in page.targets()]
        assert set(MENU) <= set(links)
        for table in page.all("table"):
            assert "data-sortable" in table
        assert len(page.all("caption")) == len(page.all("table"))


def test_a_second_build_draws_nothing_and_changes_no_file(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(site, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    built = build(content(tmp_path), copy, silent)
    assert (built.drawn, built.reused, built.pages) == (0, 9, 9)
    after = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    del before[copy / "site.json"], after[copy / "site.json"]
    assert before == after


def test_only_pages_of_rows_that_changed_are_made_again(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(site, copy)
    before = json.loads((copy / "site.json").read_text())["pages"]
    frame = suite()
    digests = frame["benchmark"] == "step.Long.track_digest"
    frame.loc[digests, "value"] += commit_place(frame)
    build(content_of(frame, tmp_path, content(tmp_path / "same").history), copy, silent)
    after = json.loads((copy / "site.json").read_text())["pages"]
    changed = [path for path, page in after.items() if page["key"] != before[path]["key"]]
    own = [path for path in changed if path.startswith("benchmarks/")]
    assert own == ["benchmarks/step.Long.track_digest.html"]
    assert "at 3 commits" in (copy / "benchmarks/step.Long.track_digest.html").read_text()


def test_what_only_the_earlier_site_had_goes_and_foreign_files_stay(
    site: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "out"
    shutil.copytree(site, copy)
    (copy / "CNAME").write_text("bench.example.org")
    (tmp_path / "precious").write_text("mine")
    for stale in ("benchmarks/gone.html", "CNAME2"):
        (copy / stale).write_text("old")
    manifest = json.loads((copy / "site.json").read_text())
    manifest["files"] += ["benchmarks/gone.html", "../precious", "/etc/hostname"]
    for page in manifest["pages"].values():
        page["summary"] = {"path": "../precious"}
    (copy / "site.json").write_text(json.dumps(manifest))
    build(content(tmp_path), copy, silent)
    assert not (copy / "benchmarks/gone.html").exists()
    assert (copy / "CNAME").exists()
    assert (copy / "CNAME2").exists()
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(SparsebenchError, match="must be empty or hold an earlier site, got other"):
        build(content(tmp_path), tmp_path / "out", silent)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    with pytest.raises(SparsebenchError, match="must be a folder for the site, got a file"):
        build(content(tmp_path), tmp_path / "out" / "thesis.tex", silent)
