"""The columns that are the same in each row of an asv result file: identity, hardware, versions."""

import json
import re
from typing import Any

from sparsebench.results.asv.context import Context
from sparsebench.results.asv.result_files import ResultFile, as_int


def file_columns(file: ResultFile, context: Context) -> dict[str, Any]:
    """Return the value of each column that is the same in all rows of ``file``.

    What the run recorded of its machine wins over machine.json, which describes today's.
    """
    fields = {**context.machine_fields, **{k: v for k, v in file.params.items() if v}}
    cores = as_int(_number(fields.get("num_cpu") or ""))
    return {
        "project": context.project,
        "machine": file.machine or context.machine_fields.get("machine") or context.machine,
        "commit_hash": file.commit_hash,
        "commit_date": file.commit_date,
        "env_name": file.env_name,
        **{name: fields.get(name) for name in ("arch", "os", "cpu", "gpu", "cuda", "driver")},
        "num_cpu": cores if cores is not None and abs(cores) < 2**31 else None,
        "ram": ram_bytes(fields.get("ram")),
        "python": file.python or fields.get("python"),
        "torch": _version_of("torch", file),
        "asv_runner": _version_of("asv_runner", file),
        "requirements": json.dumps(file.requirements, ensure_ascii=False),
        "env_vars": json.dumps(file.env_vars, ensure_ascii=False),
        "source_path": f"{file.path.resolve().parent.name}/{file.path.name}",
        "source_sha256": file.sha256,
    }


def _version_of(package: str, file: ResultFile) -> str | None:
    """Return the pinned version of ``package``: a requirement, or a parameter of that name."""
    for versions in (file.requirements, file.params):
        for name, version in versions.items():
            if name.removeprefix("pip+").replace("-", "_").lower() == package and version:
                return version
    return None


_SIZE = re.compile(r"([\d.]+)\s*([KMGT]?)i?B?", re.IGNORECASE)


def ram_bytes(text: str | None) -> int | None:
    """Return the bytes of "8.2G", "16 GB" or a bare number; None if the text is no size.

    A bare number below 2**30 is in KiB, as older versions of asv wrote it: in bytes it would be
    less than 1 GiB, in KiB it is less than 1 TiB.
    """
    match = _SIZE.fullmatch((text or "").strip())
    number = _number(match[1]) if match else None
    if match is None or number is None:
        return None
    power = " KMGT".index(match[2].upper() or " ")
    if not power and number < 2**30:
        power = 1
    return as_int(float(round(number * 1024**power)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
