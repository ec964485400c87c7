"""Compare change point methods on generated histories: the figures of docs/history.md.

`python -m studies.change_points` compares methods on whole histories; with `--replay` it follows
ours commit by commit: when it reports a planted step, and what it withdraws later.
apache-otava pins an older NumPy; `pip install --no-deps --target DIR apache-otava` and
PYTHONPATH=DIR add it to the table.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from asv.step_detect import detect_steps
from ruptures import KernelCPD

from sparsebench.stats import change_points, common_factor
from sparsebench.stats.change_points import noise, search
from tests.histories import CPU, GPU, Floats, History, Noise, eventful, quiet, with_step

Indices = Sequence[int]
Pair = tuple[float, float]
Method = Callable[[Floats], Indices]
SIZES = (0.05, 0.1, 0.2)
NEAR = 4  # snapshots by which a reported index may differ
PLANTED_AT = 200
KNOWN = 8  # values after a planted step
ONE_IN = 8  # one series in so many gets a step: few, so that it is not a shift of the machine
LOG_FACTOR = np.log(1.1)
FLEETS = {"cpu": CPU, "gpu": GPU}
SEED = 7


def asv_factor(logs: Floats) -> Indices:
    """Neighbouring values apart by more than asv's default factor."""
    return [int(index) + 1 for index in np.flatnonzero(np.abs(np.diff(logs)) > LOG_FACTOR)]


def asv_steps(logs: Floats) -> Indices:
    return [begin for begin, *_ in detect_steps(list(np.exp(logs - logs[0])))][1:]


def otava(logs: Floats) -> Indices:
    from otava.analysis import compute_change_points

    points, _ = compute_change_points(list(np.exp(logs - logs[0])), 50, 0.001)
    return [point.index for point in points]


def linear_kernel(logs: Floats) -> Indices:
    model = KernelCPD(kernel="linear", min_size=4).fit(logs / noise(logs))
    return [int(index) for index in model.predict(pen=12)[:-1]]


def with_our_rules(method: Method) -> Method:
    """The same method's indices after our rules."""

    def indices(logs: Floats) -> Indices:
        return [point.index for point in change_points(logs, candidates=method(logs))]

    return indices


def methods() -> dict[str, Method]:
    bare = {"ruptures, Gaussian kernel": search, "ruptures, linear kernel": linear_kernel}
    bare |= {"asv step detection": asv_steps}
    if importlib.util.find_spec("otava"):
        bare["apache-otava"] = otava
    ruled = {f"{name}, our rules": with_our_rules(method) for name, method in bare.items()}
    return {"asv, factor 1.1": asv_factor, **bare, **ruled}


@dataclass(frozen=True)
class Score:
    """Counts over many series: reported steps, those not true, those that reverted, and recall."""

    reported: int
    false: int
    reverted: int
    recall: tuple[float, ...]
    seconds: float


def score(method: Method, noise_of: Noise, seed: int) -> Score:
    history = eventful(240, 700, seed, noise_of)
    truth = true_indices(history)
    level = history.logs - common_factor(history.logs)
    begin = time.perf_counter()
    indices_by_row = [indices_in(row, method) for row in level]
    seconds = (time.perf_counter() - begin) / len(indices_by_row)
    pairs = [(row, index) for row, indices in enumerate(indices_by_row) for index in indices]
    false = sum(not near(index, truth[row]) for row, index in pairs)
    reverted = sum(is_reverted(level[row], index) for row, index in pairs)
    recall = tuple(recalled(method, noise_of, seed, size) for size in SIZES)
    return Score(len(pairs), false, reverted, recall, seconds)


def true_indices(history: History) -> list[list[int]]:
    shared = [change.index for change in history.planted if change.series is None]
    truth = [list(shared) for _ in history.logs]
    for change in history.planted:
        if change.series is not None:
            truth[change.series].append(change.index)
    for row, harness in enumerate(history.harness):
        truth[row] += (np.flatnonzero(np.diff(harness)) + 1).tolist()
    return truth


def indices_in(row: Floats, method: Method) -> list[int]:
    measured = np.flatnonzero(~np.isnan(row))
    return [int(measured[index]) for index in method(row[measured])]


def is_reverted(row: Floats, index: int) -> bool:
    """Return whether the three values after the first one are nearer to the level before."""
    before, after = row[max(index - 8, 0) : index], row[index + 1 : index + 4]
    if np.isnan(before).all() or np.isnan(after).all() or np.isnan(row[index]):
        return False
    old, now = np.nanmedian(before), np.nanmedian(after)
    return bool(abs(now - old) < abs(now - row[index]))


def near(index: int, others: Sequence[int]) -> bool:
    return any(abs(index - other) <= NEAR for other in others)


def recalled(method: Method, noise_of: Noise, seed: int, size: float) -> float:
    """The share of planted steps that are found when eight values after them are known."""
    clean = quiet(300 * ONE_IN // 2, PLANTED_AT + KNOWN, seed + 1, noise_of)
    logs = clean.logs.copy()
    logs[::ONE_IN] = with_step(clean, size, PLANTED_AT).logs[::ONE_IN]
    rows = (logs - common_factor(logs))[::ONE_IN]
    return float(np.mean([near(PLANTED_AT, indices_in(row, method)) for row in rows]))


def reference(noise_of: Noise, seeds: Sequence[int] = range(SEED, SEED + 6)) -> Pair:
    """asv's rule on raw values: the share of pairs flagged, and of those that reverted."""
    flagged = gone = pairs = 0
    for row in np.concatenate([eventful(240, 700, seed, noise_of).logs for seed in seeds]):
        values = row[~np.isnan(row)]
        pairs += values.size - 1
        for index in asv_factor(values):
            later = values[index + 1 : index + 4]
            flagged += later.size == 3
            gone += later.size == 3 and bool((np.abs(later - values[index - 1]) < LOG_FACTOR).any())
    return flagged / pairs, gone / flagged


@dataclass(frozen=True)
class Replay:
    """What was reported while a series grew, value by value, and what was planted in it.

    ``delays`` holds, of each planted step that was known for `KNOWN` values, how many had to follow
    before it was first reported, NaN where it never was; ``false`` are the reports of what was not
    planted, ``retracted`` those of the true and of the false ones that the whole series has not.
    """

    delays: Floats
    reports: int
    false: int
    retracted: tuple[int, int]


def replayed(row: Floats, planted: Sequence[int], others: Sequence[int]) -> Replay:
    """Search a series cut behind each of its values; ``others``: true indices that do not count."""
    measured = np.flatnonzero(~np.isnan(row))
    first: dict[int, int] = {}  # a reported index: the snapshot at which it was first reported
    last: list[int] = []
    for cut in range(8, measured.size + 1):
        last = [int(measured[p.index]) for p in change_points(row[measured[:cut]])]
        first |= {p: int(measured[cut - 1]) for p in last if not near(p, [*first])}
    known = [p for p in planted if np.count_nonzero(measured >= p) >= KNOWN]
    delays = [
        min((at - p for f, at in first.items() if near(f, [p])), default=np.nan) for p in known
    ]
    gone = [p for p in first if not near(p, last)]
    false = [p for p in first if not near(p, [*planted, *others])]
    both = len(set(gone) & set(false))
    return Replay(np.array(delays, float), len(first), len(false), (len(gone) - both, both))


def replay(noise_of: Noise, pool: ProcessPoolExecutor) -> str:
    history = eventful(120, 300, SEED, noise_of)
    level = history.logs - common_factor(history.logs)
    own: list[list[int]] = [[] for _ in level]
    for change in history.planted:
        if change.series is not None and abs(change.size) > np.log1p(SIZES[0]):
            own[change.series].append(change.index)
    replays = list(pool.map(replayed, level, own, true_indices(history), chunksize=10))
    delays = np.concatenate([r.delays for r in replays])
    waits = np.quantile(delays[~np.isnan(delays)] + 1, (0.5, 0.9))
    reports, false = sum(r.reports for r in replays), sum(r.false for r in replays)
    true_gone, false_gone = np.sum([r.retracted for r in replays], axis=0)
    return (
        f"{np.isfinite(delays).sum()} of {delays.size} planted steps of 5 % or more reported, half "
        f"of them within {waits[0]:.0f} snapshots, nine tenths within {waits[1]:.0f}; {reports} "
        f"reports, {false} of them of no planted step; withdrawn later: {true_gone} true ones, "
        f"{false_gone} false ones"
    )


def rows() -> Iterator[str]:
    yield "| fleet | method | reported | false | reverted | recall 5 / 10 / 20 % | ms per series |"
    yield "|---|---|---|---|---|---|---|"
    jobs = [(fleet, name) for fleet in FLEETS for name in methods()]
    with ProcessPoolExecutor(2) as pool:
        for (fleet, name), result in zip(jobs, pool.map(scored, jobs), strict=True):
            recall = " / ".join(f"{share:.3f}" for share in result.recall)
            yield (
                f"| {fleet} | {name} | {result.reported} | {result.false / result.reported:.1%} | "
                f"{result.reverted / result.reported:.1%} | {recall} | {1e3 * result.seconds:.1f} |"
            )


def scored(job: tuple[str, str]) -> Score:
    fleet, name = job
    return score(methods()[name], FLEETS[fleet], SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replay", action="store_true", help="follow our method commit by commit")
    if parser.parse_args().replay:
        with ProcessPoolExecutor(2) as pool:
            for name, fleet in FLEETS.items():
                print(f"{name}: {replay(fleet, pool)}", flush=True)
        return
    for name, fleet in FLEETS.items():
        flagged, gone = reference(fleet)
        print(f"{name}: factor 1.1 flags {flagged:.2%} of pairs, {gone:.0%} reverted")
    for line in rows():
        print(line, flush=True)


if __name__ == "__main__":
    main()
