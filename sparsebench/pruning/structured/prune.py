"""Taking masked rows out of a model: decide everything first, then cut.

The model is traced by ``torch.fx``, and each masked row is followed as a channel: through
activations, pooling, norms, views, sums and products, to the layers that read it. It can go if
every reader can do without it: because it is 0, or because it is a constant that the reader's bias
can take up. Before a convolution that pads with zeros, one of the constants stays and takes up the
others, see :mod:`.layers.fold`. Channels that are added or multiplied, or that a depthwise
convolution connects, go together or not at all.

A channel stays, as a row of zeros, where something needs it: a residual sum with a channel that is
not masked, or a constant other than 0 that padding made uneven before a nonlinearity. What cannot
lose channels, or is not understood, is refused.
"""

from collections.abc import Sequence

from torch import nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning.structured.flow import Flow
from sparsebench.pruning.structured.parametrization import structured_mask
from sparsebench.pruning.structured.trace import trace


def prune(model: nn.Module, masked: Sequence[tuple[str, nn.Module]]) -> None:
    """Shrink ``model`` in place.

    Args:
        masked: fully qualified name and module of every masked tensor.

    Raises:
        ConfigError: see :meth:`BaseStructuredSparsifier.prune`; nothing was changed.
    """
    root, graph = trace(model)
    with parametrize.cached():  # a masked weight is asked for several times
        flow = Flow(root, graph)
    for tensor_fqn, module in masked:
        _check_reached(flow, tensor_fqn, module)
    going = flow.going()
    for layer in flow.layers.values():
        layer.cut(going)


def _check_reached(flow: Flow, tensor_fqn: str, module: nn.Module) -> None:
    if id(module) not in flow.layers:
        raise ConfigError(
            f"prune: {tensor_fqn} must belong to a Linear, Conv or LSTM that the model's forward "
            f"calls itself, got a {type(module).__name__}; leave it out or squash_mask instead"
        )
    name = tensor_fqn.rpartition(".")[2]
    if structured_mask(module, name) is None:
        raise ConfigError(f"prune: {tensor_fqn} must have a row mask (FakeStructuredSparsity)")
