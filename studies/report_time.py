"""Time `sparsebench report` on a dataset: a first build, a second one, and opening pages.

Memory is the peak over all processes together, each one's share of what they share (Linux only).
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OPENINGS = 7


def processes(pid: int) -> list[int]:
    """The process and all below it."""
    try:
        tasks = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [pid, *(one for task in tasks for child in task for one in processes(int(child)))]


def share(pid: int) -> int:
    """KiB of memory, shared memory divided among its users."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def timed(what: str, command: list[str]) -> None:
    """Run it and print wall time, processor time and peak memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin, peak = time.monotonic(), 0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        peak = max(peak, sum(map(share, processes(running.pid))))
        time.sleep(0.2)
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {wall:.1f} s, {used:.1f} s of processor time, {peak / 1024:.0f} MiB at most")
    if running.returncode:
        sys.exit(running.returncode)


def opened(page: Path) -> list[float]:
    """Seconds until a page has loaded in headless Chromium, several times."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        seconds = []
        for _ in range(OPENINGS):
            tab = browser.new_context().new_page()
            begin = time.monotonic()
            tab.goto(page.as_uri(), wait_until="load")
            seconds.append(time.monotonic() - begin)
            tab.context.close()
        browser.close()
    return seconds


def main() -> None:
    """Print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    dataset = parser.parse_args().dataset
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        report = [sys.executable, "-m", "sparsebench", "report", "--dataset", dataset]
        timed("first build", [*report, "--into", str(site)])
        timed("second build", [*report, "--into", str(site)])
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        print(f"site: {size / 2**20:.0f} MiB")
        for page in (
            site / "index.html",
            max(site.rglob("*.html"), key=lambda p: p.stat().st_size),
        ):
            median = statistics.median(opened(page))
            kib = page.stat().st_size / 1024
            print(f"{page.relative_to(site)} ({kib:.0f} KiB) opens in {median:.2f} s")


if __name__ == "__main__":
    main()
