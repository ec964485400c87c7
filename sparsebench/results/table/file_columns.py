"""What is the same in every row of an asv result file: identity, hardware, versions."""

import json
import re
from typing import Any

from sparsebench.results.asv.context import Context
from sparsebench.results.asv.result_files import ResultFile, Strings, as_float, as_int
from sparsebench.results.dataset.parquet_files import HARDWARE_IDENTITY, Machine


def columns_of(file: ResultFile, context: Context) -> dict[str, Any]:
    """Column to value, the same in all rows of ``file``."""
    fields = {**context.machine_fields, **{k: v for k, v in file.params.items() if v}}
    machine = file.machine or context.machine_fields.get("machine") or context.machine
    return {
        "project": context.project,
        "machine": machine,
        "commit_hash": file.commit_hash,
        "commit_date": file.commit_date,
        "env_name": file.env_name,
        **{name: fields.get(name) for name in ("arch", "os", "cpu", "gpu", "cuda", "driver")},
        "num_cpu": _whole(fields.get("num_cpu")),
        "ram": ram_bytes(fields.get("ram")),
        "python": file.python or fields.get("python"),
        "torch": version_of("torch", file),
        "asv_runner": version_of("asv_runner", file),
        "requirements": _text(file.requirements),
        "env_vars": _text(file.env_vars),
        "source_path": f"{file.path.resolve().parent.name}/{file.path.name}",
        "source_sha256": file.sha256,
    }


def machine_of(columns: dict[str, Any]) -> Machine:
    """The machine that the columns of a file tell."""
    hardware = tuple(columns[name] for name in HARDWARE_IDENTITY)
    return Machine(columns["project"], columns["machine"], hardware)


def _text(pairs: Strings) -> str:
    return json.dumps(pairs, ensure_ascii=False)


def version_of(package: str, file: ResultFile) -> str | None:
    """The pinned version of ``package``: asv knows a requirement's, or a parameter so called."""
    for pinned in (file.requirements, file.params):
        for name, version in pinned.items():
            if name.removeprefix("pip+").replace("-", "_").lower() == package and version:
                return version
    return None


_SIZE = re.compile(r"([\d.]+)\s*([KMGT]?)i?B?", re.IGNORECASE)


def ram_bytes(text: str | None) -> int | None:
    """Bytes of "8.2G", "16 GB" or a bare number, which older asv meant in KiB; None if unreadable.

    A bare number below 2**30 is KiB: as bytes it would be less than 1 GiB, as KiB less than 1 TiB.
    """
    found = _SIZE.fullmatch((text or "").strip())
    number = as_float(_parsed(found[1])) if found else None
    if found is None or number is None:
        return None
    power = " KMGT".index(found[2].upper() or " ")
    if not power and number < 2**30:
        power = 1
    return as_int(float(round(number * 1024**power)))


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    number = as_int(_parsed(text or ""))
    return number if number is not None and abs(number) < 2**31 else None
