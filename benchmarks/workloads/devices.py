"""The available devices, listed without starting CUDA."""

import torch


def available() -> list[str]:
    """Return ``["cpu"]`` or ``["cpu", "cuda"]``.

    ``device_count`` asks the driver's management library and creates no CUDA context. A context
    created at import would break every process that asv forks from this one.
    """
    has_cuda = torch.version.cuda is not None and torch.cuda.device_count() > 0
    return ["cpu", "cuda"] if has_cuda else ["cpu"]


def synchronize(device: str) -> None:
    """Wait for the work queued on ``device``."""
    if device == "cuda":
        torch.cuda.synchronize()
