"""Print how change point methods do on made-up histories: the figures of docs/history.md.

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

Places = Sequence[int]
Pair = tuple[float, float]
Method = Callable[[Floats], Places]
SIZES = (0.05, 0.1, 0.2)
NEAR = 4  # snapshots by which a found place may be off
PLANTED_AT = 200
KNOWN = 8  # values after a planted step
ONE_IN = 8  # series that a step is planted in: not so many that it passes for the machine's
LOG_FACTOR = np.log(1.1)
FLEETS = {"cpu": CPU, "gpu": GPU}
SEED = 7


def asv_factor(logs: Floats) -> Places:
    """Neighbouring values apart by more than asv's default factor."""
    return [int(place) + 1 for place in np.flatnonzero(np.abs(np.diff(logs)) > LOG_FACTOR)]


def asv_steps(logs: Floats) -> Places:
    return [begin for begin, *_ in detect_steps(list(np.exp(logs - logs[0])))][1:]


def otava(logs: Floats) -> Places:
    from otava.analysis import compute_change_points

    found, _ = compute_change_points(list(np.exp(logs - logs[0])), 50, 0.001)
    return [point.index for point in found]


def linear_kernel(logs: Floats) -> Places:
    model = KernelCPD(kernel="linear", min_size=4).fit(logs / noise(logs))
    return [int(place) for place in model.predict(pen=12)[:-1]]


def judged(method: Method) -> Method:
    """The same method's places after our rules."""

    def places(logs: Floats) -> Places:
        return [point.place for point in change_points(logs, candidates=method(logs))]

    return places


def methods() -> dict[str, Method]:
    found = {"ruptures, Gaussian kernel": search, "ruptures, linear kernel": linear_kernel}
    found |= {"asv step detection": asv_steps}
    if importlib.util.find_spec("otava"):
        found["apache-otava"] = otava
    ruled = {f"{name}, our rules": judged(method) for name, method in found.items()}
    return {"asv, factor 1.1": asv_factor, **found, **ruled}


@dataclass(frozen=True)
class Score:
    """Counts over many series: reported steps, those not true, those that went away, and recall."""

    reported: int
    false: int
    away: int
    recall: tuple[float, ...]
    seconds: float


def score(method: Method, noise_of: Noise, seed: int) -> Score:
    history = eventful(240, 700, seed, noise_of)
    truth = true_places(history)
    level = history.logs - common_factor(history.logs)
    begin = time.perf_counter()
    found = [places_in(row, method) for row in level]
    seconds = (time.perf_counter() - begin) / len(found)
    pairs = [(row, place) for row, places in enumerate(found) for place in places]
    false = sum(not near(place, truth[row]) for row, place in pairs)
    away = sum(went_away(level[row], place) for row, place in pairs)
    recall = tuple(recalled(method, noise_of, seed, size) for size in SIZES)
    return Score(len(pairs), false, away, recall, seconds)


def true_places(history: History) -> list[list[int]]:
    shared = [one.place for one in history.planted if one.series is None]
    truth = [list(shared) for _ in history.logs]
    for one in history.planted:
        if one.series is not None:
            truth[one.series].append(one.place)
    for row, harness in enumerate(history.harness):
        truth[row] += (np.flatnonzero(np.diff(harness)) + 1).tolist()
    return truth


def places_in(row: Floats, method: Method) -> list[int]:
    measured = np.flatnonzero(~np.isnan(row))
    return [int(measured[place]) for place in method(row[measured])]


def went_away(row: Floats, place: int) -> bool:
    """Whether the three snapshots after the first one lie nearer to where it came from."""
    before, after = row[max(place - 8, 0) : place], row[place + 1 : place + 4]
    if np.isnan(before).all() or np.isnan(after).all() or np.isnan(row[place]):
        return False
    old, now = np.nanmedian(before), np.nanmedian(after)
    return bool(abs(now - old) < abs(now - row[place]))


def near(place: int, others: Sequence[int]) -> bool:
    return any(abs(place - other) <= NEAR for other in others)


def recalled(method: Method, noise_of: Noise, seed: int, size: float) -> float:
    """The share of planted steps that are found when eight values after them are known."""
    clean = quiet(300 * ONE_IN // 2, PLANTED_AT + KNOWN, seed + 1, noise_of)
    logs = clean.logs.copy()
    logs[::ONE_IN] = with_step(clean, size, PLANTED_AT).logs[::ONE_IN]
    rows = (logs - common_factor(logs))[::ONE_IN]
    return float(np.mean([near(PLANTED_AT, places_in(row, method)) for row in rows]))


def reference(noise_of: Noise, seeds: Sequence[int] = range(SEED, SEED + 6)) -> Pair:
    """asv's rule on raw values: the share of pairs flagged, and of those that went away."""
    flagged = gone = pairs = 0
    for row in np.concatenate([eventful(240, 700, seed, noise_of).logs for seed in seeds]):
        values = row[~np.isnan(row)]
        pairs += values.size - 1
        for place in asv_factor(values):
            later = values[place + 1 : place + 4]
            flagged += later.size == 3
            gone += later.size == 3 and bool((np.abs(later - values[place - 1]) < LOG_FACTOR).any())
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
    """Search a series cut behind each of its values; ``others``: true places that do not count."""
    measured = np.flatnonzero(~np.isnan(row))
    first: dict[int, int] = {}  # a reported place: the snapshot at which it was first reported
    last: list[int] = []
    for cut in range(8, measured.size + 1):
        last = [int(measured[p.place]) for p in change_points(row[measured[:cut]])]
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
    for one in history.planted:
        if one.series is not None and abs(one.size) > np.log1p(SIZES[0]):
            own[one.series].append(one.place)
    found = list(pool.map(replayed, level, own, true_places(history), chunksize=10))
    delays = np.concatenate([one.delays for one in found])
    waits = np.quantile(delays[~np.isnan(delays)] + 1, (0.5, 0.9))
    reports, false = sum(one.reports for one in found), sum(one.false for one in found)
    true_gone, false_gone = np.sum([one.retracted for one in found], axis=0)
    return (
        f"{np.isfinite(delays).sum()} of {delays.size} planted steps of 5 % or more reported, half "
        f"of them within {waits[0]:.0f} snapshots, nine tenths within {waits[1]:.0f}; {reports} "
        f"reports, {false} of them of nothing planted; taken back later: {true_gone} true ones, "
        f"{false_gone} false ones"
    )


def rows() -> Iterator[str]:
    yield "| fleet | method | reported | false | went away | recall 5 / 10 / 20 % | ms a series |"
    yield "|---|---|---|---|---|---|---|"
    jobs = [(fleet, name) for fleet in FLEETS for name in methods()]
    with ProcessPoolExecutor(2) as pool:
        for (fleet, name), found in zip(jobs, pool.map(scored, jobs), strict=True):
            recall = " / ".join(f"{share:.3f}" for share in found.recall)
            yield (
                f"| {fleet} | {name} | {found.reported} | {found.false / found.reported:.1%} | "
                f"{found.away / found.reported:.1%} | {recall} | {1e3 * found.seconds:.1f} |"
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
        print(f"{name}: factor 1.1 flags {flagged:.2%} of pairs, {gone:.0%} went away")
    for line in rows():
        print(line, flush=True)


if __name__ == "__main__":
    main()
