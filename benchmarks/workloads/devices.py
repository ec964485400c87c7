"""The devices that the suite runs on, listed without starting CUDA."""

import torch


def available() -> list[str]:
    """Return ``["cpu"]`` or ``["cpu", "cuda"]``.

    ``device_count`` asks the driver's management library and creates no CUDA context. A context
    created at import would break every process that asv forks from this one.
    """
    has_cuda = torch.version.cuda is not None and torch.cuda.device_count() > 0
    return ["cpu", "cuda"] if has_cuda else ["cpu"]


def check(device: str) -> None:
    """Refuse a device that the suite cannot measure, by name.

    Raises:
        ValueError: another device than cpu and NVIDIA's cuda, or one that is not here.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(
            f"device must be cpu or cuda, got {device!r}: the suite does not run on it"
        )
    if device == "cuda" and getattr(torch.version, "hip", None):
        raise ValueError("device must be cpu or NVIDIA's cuda, got 'cuda' of ROCm")
    if device not in available():
        raise ValueError(f"device must be available here, got {device!r}: no CUDA device was found")


def synchronize(device: str) -> None:
    """Wait for the work queued on ``device``."""
    if device == "cuda":
        torch.cuda.synchronize()
