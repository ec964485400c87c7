"""WandaSparsifier: the paper's formula, calibration, state and refusals."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning import WandaSparsifier
from tests.pruning.small_models import MLP, values


def linear(weight: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight)
    return layer


def pruned(layer: nn.Module, inputs: list[Tensor], **settings: Any) -> nn.Module:
    sparsifier = WandaSparsifier(**settings)
    sparsifier.prepare(layer, None)
    for x in inputs:
        layer(x)
    sparsifier.step()
    sparsifier.squash_mask()
    return layer


def mask_of_the_paper(weight: Tensor, inputs: Tensor, level: float) -> Tensor:
    """Return which weights are kept, computed element by element."""
    keep = torch.ones_like(weight, dtype=torch.bool)
    for i, row in enumerate(weight):
        norms = [float((inputs[:, j].double() ** 2).sum().sqrt()) for j in range(len(row))]
        order = sorted(range(len(row)), key=lambda j: (abs(float(row[j])) * norms[j], j))
        for j in order[: round(level * len(row))]:
            keep[i, j] = False
    return keep


@given(st.integers(1, 5), st.integers(1, 9), st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
def test_the_mask_is_that_of_the_papers_formula(rows: int, cols: int, level: float) -> None:
    weight, inputs = values(rows, cols), values(20, cols, seed=1)
    layer = linear(weight.tolist())
    pruned(layer, list(inputs.split(6)), sparsity_level=level)
    assert torch.equal(layer.weight != 0, mask_of_the_paper(weight, inputs, level))


def test_weights_compare_within_a_row() -> None:
    layer = linear([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])
    pruned(layer, [torch.ones(1, 4)])
    assert layer.weight.tolist() == [[0, 0, 3, 4], [0, 0, 30, 40]]


def test_the_norm_is_not_squared() -> None:
    layer = linear([[1.0, 2.5]])  # norms 2 and 1: 2 < 2.5, but squared 4 > 2.5
    pruned(layer, [torch.tensor([[2.0, 1.0]])])
    assert layer.weight.tolist() == [[0, 2.5]]


def test_large_inputs_keep_small_weights() -> None:
    layer = linear([[1.0, 2.0, 3.0, 4.0]])
    pruned(layer, [torch.tensor([[100.0, 10.0, 1.0, 0.1]])])
    assert layer.weight.tolist() == [[1, 2, 0, 0]]


def test_two_of_four() -> None:
    layer = linear([[1.0, 2, 3, 4, 5, 6, 7, 8]])
    pruned(layer, [torch.ones(1, 8)], semi_structured_block_size=4)
    assert layer.weight.tolist() == [[0, 0, 3, 4, 0, 0, 7, 8]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_inputs_in_half_precision_are_summed_exactly(dtype: torch.dtype) -> None:
    layer = nn.Linear(2, 1, bias=False).to(dtype)
    layer.weight.data.fill_(1)
    small, large = torch.tensor([[1.0, 0.0]], dtype=dtype), torch.tensor([[0.0, 20.0]], dtype=dtype)
    pruned(layer, [large] + [small] * 401)  # 400 < 401; in bfloat16 the sum would stop at 256
    assert layer.weight.tolist() == [[1, 0]]
    assert layer.weight.dtype == dtype


def test_large_half_inputs_do_not_overflow() -> None:
    layer = nn.Linear(2, 1, bias=False).half()
    layer.weight.data.fill_(1)
    pruned(layer, [torch.tensor([[40000.0, 60000.0]]).half()])
    assert layer.weight.tolist() == [[0, 1]]


def test_sums_do_not_change_with_the_models_dtype() -> None:
    model, sparsifier = MLP(), WandaSparsifier()
    sparsifier.prepare(model, None)
    model(values(5, 8))
    sums = sparsifier.state["first.weight"]["sum_of_squares"].clone()
    model.to(torch.bfloat16)
    assert torch.equal(sparsifier.state["first.weight"]["sum_of_squares"], sums)


def test_every_position_of_a_sequence_counts() -> None:
    with_sequences, with_rows = MLP(), MLP()
    x = values(3, 5, 8)
    pruned(with_sequences, [x])
    pruned(with_rows, [x.flatten(0, 1)])
    assert torch.equal(with_sequences.first.weight, with_rows.first.weight)


def test_squash_removes_observers_and_hooks() -> None:
    model, sparsifier = MLP(), WandaSparsifier()
    keys = model.state_dict().keys()
    sparsifier.prepare(model, [{"tensor_fqn": "first.weight"}])
    assert hasattr(model.first, "activation_post_process")
    sparsifier.squash_mask()
    assert not hasattr(model.first, "activation_post_process")
    assert not model.first._forward_pre_hooks
    assert model.state_dict().keys() == keys


def test_calibration_is_saved_and_continues() -> None:
    uninterrupted, first = WandaSparsifier(), WandaSparsifier()
    uninterrupted.prepare(MLP(), None)
    first.prepare(MLP(), None)
    for x in (values(4, 8), values(4, 8, seed=1)):
        uninterrupted.model(x)
    first.model(values(4, 8))
    second = WandaSparsifier()
    second.prepare(MLP(), None)
    second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
    second.model(values(4, 8, seed=1))
    uninterrupted.step()
    second.step()
    assert second.state == uninterrupted.state


def test_a_deep_copy_has_its_own_calibration() -> None:
    sparsifier = WandaSparsifier()
    sparsifier.prepare(MLP(), None)
    duplicate = copy.deepcopy(sparsifier)
    duplicate.model(values(4, 8))
    duplicate.step()
    with pytest.raises(ConfigError, match=r"first\.weight must have had inputs"):
        sparsifier.step()


def test_a_step_without_calibration_changes_no_mask() -> None:
    model, sparsifier = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), WandaSparsifier()
    sparsifier.prepare(model, None)
    model[0](values(2, 4))
    with pytest.raises(ConfigError, match=r"1\.weight must have had inputs"):
        sparsifier.step()
    assert sparsifier.state["0.weight"]["mask"].all()


def test_a_level_of_zero_needs_no_calibration() -> None:
    model, sparsifier = MLP(), WandaSparsifier(0.0)
    sparsifier.prepare(model, None)
    sparsifier.step()
    assert sparsifier.state["first.weight"]["mask"].all()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"tensor_fqn": "first.bias"}, "weight of a Linear"),
        ({"tensor_fqn": "conv.weight"}, "weight of a Linear"),
        ({"tensor_fqn": "first.weight", "semi_structured_block_size": 1}, "integer above 1"),
        ({"tensor_fqn": "first.weight", "sparsity_level": float("inf")}, "finite"),
    ],
)
def test_tensors_and_settings_that_do_not_fit_are_refused(
    entry: dict[str, Any], message: str
) -> None:
    model = MLP()
    model.conv = nn.Conv1d(2, 2, 1)
    with pytest.raises(ConfigError, match=message):
        WandaSparsifier().prepare(model, [{"tensor_fqn": "last.weight"}, entry])
    assert not hasattr(model.last, "activation_post_process")


def test_a_layer_that_is_observed_already_is_refused() -> None:
    model = MLP()
    WandaSparsifier().prepare(model, None)
    with pytest.raises(ConfigError, match="must not be observed already"):
        WandaSparsifier().prepare(model, None)


def observed(*calls: Any) -> WandaSparsifier:
    """A sparsifier of a Linear(4, 2) after these calls of the layer, each with keywords."""
    layer = linear([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    sparsifier = WandaSparsifier()
    sparsifier.prepare(layer, None)
    for keywords in calls:
        layer(**keywords)
    return sparsifier


def masks_of(sparsifier: WandaSparsifier) -> Tensor:
    mask: Tensor = sparsifier.state["weight"]["mask"]
    return mask


def test_inputs_of_any_dimensions_and_by_keyword_count_alike() -> None:
    x = values(6, 4)
    expected = observed({"input": x})
    expected.step()
    for calls in (
        [{"input": row} for row in x],
        [{"input": x.view(2, 3, 4)}],
        [{"input": x[:0]}, {"input": x}, {"input": torch.empty(3, 0, 4)}],
    ):
        sparsifier = observed(*calls)
        sparsifier.step()
        torch.testing.assert_close(
            sparsifier.state["weight"]["sum_of_squares"],
            expected.state["weight"]["sum_of_squares"],
        )
        assert torch.equal(masks_of(sparsifier), masks_of(expected))


def test_a_layer_that_saw_no_rows_is_refused() -> None:
    sparsifier = observed({"input": torch.empty(0, 4)})
    with pytest.raises(ConfigError, match="step: weight must have had inputs, got none"):
        sparsifier.step()
    assert masks_of(sparsifier).eq(1).all()
    assert sparsifier.step_count == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_one_bad_feature_among_good_ones_is_refused_by_number(bad: float) -> None:
    x = values(3, 4)
    x[1, 2] = bad
    sparsifier = observed({"input": x}, {"input": values(3, 4)})
    with pytest.raises(ConfigError, match=r"finite inputs, got NaN.* in feature 2; prepare again"):
        sparsifier.step()
    assert masks_of(sparsifier).eq(1).all()
    sparsifier.groups[0]["sparsity_level"] = 0.0  # nothing is ranked
    sparsifier.step()


def test_an_attentions_projection_that_is_not_called_is_refused() -> None:
    """nn.MultiheadAttention computes with out_proj's weight, and never calls it."""
    attention = nn.MultiheadAttention(4, 1, batch_first=True)
    sparsifier = WandaSparsifier()
    sparsifier.prepare(attention, [{"tensor_fqn": "out_proj.weight"}])
    attention(*[values(2, 3, 4)] * 3)
    with pytest.raises(ConfigError, match=r"out_proj.weight must have had inputs, got none"):
        sparsifier.step()


def _rank(rank: int, folder: str) -> None:
    """Calibrate on this rank's share of the data, and save the mask; rank 1 may have none."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=2
    )
    for rows in ((0, 5, 8), (0, 8, 8)):
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Linear(4, 3, bias=False))
        model = nn.parallel.DistributedDataParallel(plain)
        sparsifier = WandaSparsifier()
        sparsifier.prepare(model, None)
        share = values(8, 4)[rows[rank] : rows[rank + 1]]
        if len(share):
            plain(share)
        for _ in range(2):  # the second step does not add the sums again
            sparsifier.step()
        mask = sparsifier.state["module.0.weight"]["mask"]
        torch.save(mask, f"{folder}/{rows[1]}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")
def test_data_parallel_ranks_compute_the_mask_of_all_data(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_rank, args=(str(tmp_path),), nprocs=2)
    torch.manual_seed(0)
    layer = nn.Linear(4, 3, bias=False)
    sparsifier = WandaSparsifier()
    sparsifier.prepare(layer, None)
    layer(values(8, 4))
    sparsifier.step()
    for share in (5, 8):
        for rank in (0, 1):
            assert torch.equal(torch.load(tmp_path / f"{share}-{rank}.pt"), masks_of(sparsifier))
