"""Measure a class on a device: ``python -m benchmarks.gpu_run.measure CLASS DEVICE``."""

import sys
from importlib import import_module

from benchmarks._cuda import measure


def main(name: str, device: str) -> None:
    """Measure all cases of ``name``, such as step.Long, and print their number."""
    module, _, cls = name.rpartition(".")
    results = measure(getattr(import_module(f"benchmarks.{module}"), cls), device)
    failed = sum("error" in result for result in results.values())
    print(f"{len(results)} cases, {failed or 'none'} failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
