"""What one call of an operator costs in multiply-adds, read from the shapes of its arguments and result.

Tables by operator name, none of which needs torch: `FORMULAS` are what the convention `macs` counts, `FVCORE` is
what fvcore counts besides (normalisation, pooling, resizing), `FREE` costs nothing by convention in either: moving,
choosing, comparing and reducing values, and whatever is done to each element on its own. An operator in none of them
is unknown, and a count that met one is no count. `LEFT_OUT` says of what kind the free ones are that compute something.

Sampling between pixels is a weighted sum of the neighbours of each place: 4 multiply-adds a sampled value where it is
bilinear. A deformable convolution samples every value that its kernel reads, then multiplies it by the kernel; the
factor that its second version gives each sampled value is a scale, and free as others are.
"""

from collections.abc import Callable
from math import prod
from typing import Any

Formula = Callable[[Any, Any], int]
"""(arguments by position, result) → multiply-adds."""

Rule = tuple[str, Formula]
"""What is computed, and how many multiply-adds it takes."""

LABELS = {
    "aten::linear": "linear",
    "aten::matmul": "matmul",
    "aten::einsum": "einsum",
    "aten::conv1d": "conv",
    "aten::conv2d": "conv",
    "aten::conv3d": "conv",
    "aten::scaled_dot_product_attention": "attention",
    **dict.fromkeys((f"aten::{name}" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")), "recurrent"),
    **dict.fromkeys((f"aten::{name}_cell" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")), "recurrent"),
}
"""Operators that say what is computed; what they fall apart into is counted under their name on every device."""


def _products(first: int) -> Formula:
    """(…, N, K) × (…, K, M), at `first` and `first + 1`: N·K·M for each matrix (or vector: M = 1)."""

    def formula(args: Any, result: Any) -> int:
        left, right = args[first], args[first + 1]
        return int(left.numel() * (right.shape[-1] if right.dim() > 1 else 1))

    return formula


def _convolution(args: Any, result: Any) -> int:
    """Every weight once per image and place: places of the result, of the input where the convolution is transposed."""
    images, weight, transposed = args[0], args[1], args[6]
    places = images.shape[2:] if transposed else result.shape[2:]
    return int(images.shape[0] * weight.numel() * prod(places))


def _attention(args: Any, result: Any) -> int:
    """Q·Kᵀ, then the weights times V: queries (…, L, E), keys (…, S, E), values (…, S, V), all heads of the result."""
    query, _, value = args[:3]
    attended = result[0] if isinstance(result, tuple | list) else result  # (…, L, V)
    return int(prod(attended.shape[:-1]) * value.shape[-2] * (query.shape[-1] + value.shape[-1]))


def attention_weights(args: Any, result: Any) -> int:
    """How many weights a softmax made inside an attention: one for each query and key."""
    attended = result[0] if isinstance(result, tuple | list) else result
    return int(prod(attended.shape[:-1]) * args[2].shape[-2])


def _deformable(args: Any, result: Any) -> int:
    """Every value that the kernel reads, between 4 pixels: B·H·W·(C·k² · 4), and the convolution B·H·W·(weights)."""
    images, weight = args[:2]
    places = result.shape[0] * prod(result.shape[2:])
    return int(places * (weight.numel() + 4 * images.shape[1] * prod(weight.shape[2:])))


def _recurrent(args: Any, result: Any) -> int:
    """One layer in one direction over (T, B, I): the matrices of input and state, at every step."""
    steps, from_input, from_state = args[:3]
    return int(steps.shape[0] * steps.shape[1] * (from_input.numel() + from_state.numel()))


def _recurrent_layers(args: Any, result: Any) -> int:
    """All layers at once over (T, B, I), in whichever order: each matrix at every step of every sequence."""
    steps, weights = args[:2]
    tokens = steps.numel() // steps.shape[-1]
    return int(tokens * sum(weight.numel() for weight in weights if weight.dim() > 1))


def _bags(args: Any, result: Any) -> int:
    """Embeddings that are added up, bag by bag: a multiply-add for each value where each has a weight."""
    embeddings, chosen, weighed = args[0], args[1], args[6] is not None
    return int(chosen.numel() * embeddings.shape[-1] * weighed)


def _sampled(*taps: int) -> Formula:
    """Resampling at given places: a weighted sum of `taps` values each, by interpolation mode (its number in torch)."""

    def formula(args: Any, result: Any) -> int:
        return int(result.numel() * taps[args[2]])

    return formula


FORMULAS: dict[str, Rule] = {
    "aten::mm": ("matmul", _products(0)),
    "aten::bmm": ("matmul", _products(0)),
    "aten::mv": ("matmul", _products(0)),
    "aten::dot": ("matmul", _products(0)),
    "aten::vdot": ("matmul", _products(0)),
    "aten::_int_mm": ("matmul", _products(0)),
    "aten::_scaled_mm": ("matmul", _products(0)),
    "aten::addmm": ("matmul", _products(1)),
    "aten::_addmm_activation": ("matmul", _products(1)),
    "aten::addmv": ("matmul", _products(1)),
    "aten::baddbmm": ("matmul", _products(1)),
    "aten::addbmm": ("matmul", _products(1)),
    "aten::convolution": ("conv", _convolution),
    "aten::_convolution": ("conv", _convolution),
    "aten::scaled_dot_product_attention": ("attention", _attention),
    "aten::_scaled_dot_product_flash_attention_for_cpu": ("attention", _attention),
    "aten::_scaled_dot_product_flash_attention": ("attention", _attention),
    "aten::_scaled_dot_product_efficient_attention": ("attention", _attention),
    "aten::_scaled_dot_product_cudnn_attention": ("attention", _attention),
    "aten::_scaled_dot_product_fused_attention_overrideable": ("attention", _attention),
    "aten::mkldnn_rnn_layer": ("recurrent", _recurrent),
    "aten::_embedding_bag": ("multiply_sum", _bags),
    "aten::_embedding_bag_forward_only": ("multiply_sum", _bags),
    "aten::_cudnn_rnn": ("recurrent", _recurrent_layers),
    "aten::cudnn_grid_sampler": ("grid_sampler", lambda args, result: int(result.numel() * 4)),  # bilinear alone
    "aten::grid_sampler_2d": ("grid_sampler", _sampled(4, 0, 16)),  # bilinear, nearest, bicubic
    "aten::grid_sampler_3d": ("grid_sampler", _sampled(8, 0)),
    "torchvision::deform_conv2d": ("deform_conv", _deformable),
    "flex_attention": ("attention", _attention),
}


def _normalised(affine: int) -> Formula:
    """fvcore's estimate of a normalisation with the weight at `affine`: 5 an element, 4 without a weight."""

    def formula(args: Any, result: Any) -> int:
        return int(args[0].numel() * (5 if _given(args, affine) else 4))

    return formula


def _batch_norm(args: Any, result: Any) -> int:
    """Fixed statistics are one scale and shift: 2 an element, 1 without a weight; in training as any other."""
    if args[5]:
        return _normalised(1)(args, result)
    return int(args[0].numel() * (2 if _given(args, 1) else 1))


def _given(args: Any, index: int) -> bool:
    return len(args) > index and args[index] is not None


def _per_output(count: int) -> Formula:
    return lambda args, result: int(result.numel() * count)


FVCORE: dict[str, Rule] = {
    "aten::batch_norm": ("batch_norm", _batch_norm),
    "aten::layer_norm": ("layer_norm", _normalised(2)),
    "aten::group_norm": ("group_norm", _normalised(2)),
    "aten::instance_norm": ("instance_norm", _normalised(1)),
    "aten::adaptive_avg_pool2d": ("adaptive_avg_pool2d", lambda args, result: int(args[0].numel())),
    "aten::upsample_nearest2d": ("upsample_nearest2d", _per_output(1)),
    "aten::upsample_bilinear2d": ("upsample_bilinear2d", _per_output(4)),
}
"""What fvcore 0.1.5 counts besides, by the same formulas (fvcore/nn/flop_count.py, jit_handles.py)."""

_MADE = """
    arange empty empty_like empty_permuted empty_strided eye full full_like linspace logspace new_empty
    new_empty_strided new_full new_ones new_zeros ones ones_like rand rand_like randint randint_like randn
    randn_like randperm scalar_tensor tril_indices triu_indices zeros zeros_like
"""
_MOVED = """
    _assert_async _assert_scalar _assert_tensor_metadata _fused_sdp_choice _index_put_impl
    _local_scalar_dense _nested_tensor_from_mask _pack_padded_sequence _reshape_alias _to_copy _unsafe_index
    _unsafe_index_put _unsafe_view as_strided as_strided_copy block_diag cat channel_shuffle clone col2im
    constant_pad_nd copy detach diagonal_scatter embedding fill flip gather im2col index index_add index_copy
    index_fill index_put index_select is_same_size lift lift_fresh_copy masked_scatter masked_select nonzero
    pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave
    replication_pad1d replication_pad2d replication_pad3d resize roll rot90 scatter scatter_add scatter_reduce
    select_scatter set slice_scatter split_copy split_with_sizes_copy squeeze stack t take transpose tril triu
    unbind_copy unfold_copy unsafe_split unsafe_split_with_sizes unsqueeze view_copy zero
"""
_CHOSEN = """
    _unique2 all amax amin aminmax any argmax argmin bincount bucketize count_nonzero cummax cummin histc isin
    kthvalue max median min mode searchsorted sort topk unique_consecutive unique_dim
"""
_REDUCED = """
    cumprod cumsum linalg_vector_norm logcumsumexp logsumexp mean nansum norm prod std std_mean sum var var_mean
"""
_NORMALISED = """
    _batch_norm_no_update _batch_norm_with_update _fused_rms_norm _native_batch_norm_legit
    _native_batch_norm_legit_no_training _weight_norm_interface batch_norm_update_stats cudnn_batch_norm
    native_batch_norm native_group_norm native_layer_norm renorm
"""
_POOLED_OR_RESIZED = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d fractional_max_pool2d max_pool2d_with_indices
    max_pool3d_with_indices max_unpool2d upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_trilinear3d
"""
_ACTIVATED = """
    _prelu_kernel celu glu hardswish log_sigmoid_forward mish rrelu_with_noise rrelu_with_noise_functional
"""
_SOFTMAX = "_log_softmax _safe_softmax _softmax"
_EACH_ON_ITS_OWN = """
    _thnn_fused_gru_cell _thnn_fused_lstm_cell bernoulli cauchy complex exponential floor_divide geometric log_normal
    masked_fill native_dropout normal polar random rsub uniform
"""

_FREE = (_MADE, _MOVED, _CHOSEN, _REDUCED, _NORMALISED, _POOLED_OR_RESIZED, _ACTIVATED, _SOFTMAX, _EACH_ON_ITS_OWN)
FREE = frozenset(f"aten::{name}" for names in _FREE for name in names.split())
"""Written into place (`relu_`) they are free too, and so are views and what torch itself tags as pointwise."""

OTHERWISE = "other"
"""The kind of whatever else is done to each number on its own: roots, exponentials, masks."""

_KINDS = {
    "normalisation": f"{_NORMALISED} batch_norm group_norm instance_norm layer_norm rms_norm",
    "softmax": _SOFTMAX,
    "activation": f"""
        {_ACTIVATED} elu gelu hardshrink hardsigmoid hardtanh leaky_relu log_sigmoid prelu relu relu6 rrelu selu
        sigmoid silu softplus softshrink tanh threshold
    """,
    "addition": "add rsub sub",
    "multiplication": "addcdiv addcmul div lerp mul",
    "pooling or resizing": f"""
        {_POOLED_OR_RESIZED} adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d max_pool1d
        max_pool2d max_pool3d
    """,
    "reduction": f"{_REDUCED} amax amin max min",
    OTHERWISE: _EACH_ON_ITS_OWN,
}
LEFT_OUT = {f"aten::{name}": kind for kind, names in reversed(_KINDS.items()) for name in names.split()}
"""Kinds of what is free although it computes. One that falls apart into others is named as one."""
