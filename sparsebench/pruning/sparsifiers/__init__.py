"""Sparsifiers: a model and a configuration in, masks on the model's tensors out.

`base_sparsifier` has the life cycle (prepare, step, squash_mask, state); each pruning method is a
module of its own. Read `base_sparsifier` first, then `weight_norm_sparsifier`.
"""
