"""Swin (Liu et al., ICCV 2021) as timm builds it, with what its Table 4 takes away or adds.

Every variant is timm's whole model first, and changed afterwards: models of one seed start from the same values in
whatever they share. Positions that are added are drawn last.
"""

import warnings
from typing import Any

import torch
from timm.layers.helpers import to_2tuple
from timm.layers.patch_embed import resample_patch_embed
from timm.layers.pos_embed import resample_abs_pos_embed_nhwc
from timm.layers.pos_embed_rel import resize_rel_pos_bias_table
from timm.layers.weight_init import trunc_normal_
from timm.models import swin_transformer
from torch import Tensor, nn
from torch.nn import functional as F

STD = 0.02  # of the tables of positions at the start, truncated at two of them


class WindowAttention(nn.Module):
    """softmax(QKᵀ/√d + B) V inside each window (equation 4), without B, or without QKᵀ.

    The layers are those of timm's module, which is given up. Without QKᵀ, the appearance, every window of every image
    is weighted by B alone: nothing reads queries and keys, and they are not projected.
    """

    relative_position_index: Tensor | None  # (N, N): the table's row for each pair of places

    def __init__(self, whole: swin_transformer.WindowAttention, *, relative: bool, appearance: bool) -> None:
        super().__init__()
        self.window_size = whole.window_size
        self.num_heads = whole.num_heads
        self.scale = whole.scale
        if appearance:
            self.qkv = whole.qkv
        else:
            self.v = nn.Linear(whole.dim, whole.dim, bias=whole.qkv.bias is not None, device="meta")
            self.v.weight = nn.Parameter(whole.qkv.weight[-whole.dim :].detach().clone())
            if whole.qkv.bias is not None:
                self.v.bias = nn.Parameter(whole.qkv.bias[-whole.dim :].detach().clone())
        self.proj = whole.proj
        self.proj_drop = whole.proj_drop
        self.relative_position_bias_table = whole.relative_position_bias_table if relative else None
        index = whole.get_buffer("relative_position_index") if relative else None
        self.register_buffer("relative_position_index", index, persistent=False)
        self.appearance = appearance

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(windows·B, N, D) to the same; `mask` is (windows, N, N), 0 or −100 where two places are no neighbours."""
        B, N, D = x.shape
        shape = (B, N, -1, self.num_heads, D // self.num_heads)
        if self.appearance:
            q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)  # (B, heads, N, d) each
            scores = (q * self.scale) @ k.transpose(-2, -1)
        else:
            v = self.v(x).reshape(shape).permute(2, 0, 3, 1, 4)[0]
            scores = x.new_zeros(1, self.num_heads, N, N)
        scores = scores + self._bias()
        if mask is not None:
            windows = len(mask)
            scores = scores.expand(B, -1, -1, -1).reshape(-1, windows, self.num_heads, N, N) + mask[:, None]
            scores = scores.reshape(B, self.num_heads, N, N)
        x = scores.softmax(dim=-1) @ v  # (B, heads, N, d)
        y: Tensor = self.proj_drop(self.proj(x.transpose(1, 2).reshape(B, N, D)))
        return y

    def _bias(self) -> Tensor | float:
        """B, (heads, N, N): one learned value for each head and each way from one place of a window to another."""
        if self.relative_position_bias_table is None or self.relative_position_index is None:
            return 0.0
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class PaddedShift(nn.Module):
    """A block whose shifted windows lie on a padded map, with nothing of the padding attended to (section 3.2).

    It computes what cyclic shift does with fewer windows. The layers are those of timm's block, which is given up.
    """

    attn_mask: Tensor  # (windows, N, N): 0 for places of the map, −100 for padding

    def __init__(self, whole: swin_transformer.SwinTransformerBlock) -> None:
        super().__init__()
        self.norm1, self.attn, self.drop_path1 = whole.norm1, whole.attn, whole.drop_path1
        self.norm2, self.mlp, self.drop_path2 = whole.norm2, whole.mlp, whole.drop_path2
        (self.window, _), (side, _) = whole.window_size, to_2tuple(whole.input_resolution)
        before = self.window - whole.shift_size[0]  # so that whole windows begin where shifted ones do
        after = -(before + side) % self.window
        self.padding = (before, after)
        inside = F.pad(torch.ones(1, side, side, 1), (0, 0, *self.padding, *self.padding))
        outside = 1 - self._windows(inside)[..., 0]  # (windows, N)
        self.register_buffer("attn_mask", (-100 * outside)[:, None].expand(-1, self.window**2, -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, D) to the same."""
        x = x + self.drop_path1(self._attention(self.norm1(x)))
        y: Tensor = x + self.drop_path2(self.mlp(self.norm2(x)))
        return y

    def _attention(self, x: Tensor) -> Tensor:
        before, side = self.padding[0], x.shape[1]
        padded = F.pad(x, (0, 0, *self.padding, *self.padding))
        windows = self.attn(self._windows(padded), mask=self.attn_mask)
        windows = windows.unflatten(1, (self.window, self.window))
        whole = swin_transformer.window_reverse(windows, (self.window, self.window), *padded.shape[1:3])
        inside: Tensor = whole[:, before : before + side, before : before + side]
        return inside

    def _windows(self, x: Tensor) -> Tensor:
        """(B, H, W, D) to (B·windows, N, D)."""
        windows: Tensor = swin_transformer.window_partition(x, (self.window, self.window))
        return windows.flatten(1, 2)


class SwinTransformer(swin_transformer.SwinTransformer):
    """Images (B, C, image, image) to logits (B, classes), or to features (B, D) where `classes` is 0."""

    CLASSIFIER = "head.fc"  # the part that is left behind when classes differ

    def __init__(
        self,
        *,
        image: int,
        channels: int,
        classes: int,
        patch: int,
        dim: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        window: int,
        mlp_ratio: float,
        qkv_bias: bool,
        shift: bool,
        shift_by: str,
        position: str,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__(
            img_size=image,
            patch_size=patch,
            in_chans=channels,
            num_classes=classes,
            embed_dim=dim,
            depths=depths,
            num_heads=heads,
            window_size=window,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            proj_drop_rate=dropout,
            drop_path_rate=drop_path,
        )
        relative = "relative" in position
        appearance = position != "relative_without_appearance"
        for block in self.modules():
            if isinstance(block, swin_transformer.SwinTransformerBlock):
                if not shift:
                    block.shift_size = block.target_shift_size = (0, 0)
                    block.register_buffer("attn_mask", None, persistent=False)
                if not (relative and appearance):
                    attention = WindowAttention(block.attn, relative=relative, appearance=appearance)
                    block.attn = attention  # type: ignore[assignment]
        for name, block in list(self.named_modules()) if shift_by == "padding" else ():
            if isinstance(block, swin_transformer.SwinTransformerBlock) and any(block.shift_size):
                self.set_submodule(name, PaddedShift(block))
        self.pos_drop = nn.Dropout(dropout)
        self.absolute_pos_embed: Tensor | None = None
        if "absolute" in position:
            self.absolute_pos_embed = nn.Parameter(torch.empty(1, image // patch, image // patch, dim))
            trunc_normal_(self.absolute_pos_embed, std=STD)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, image, image) to the map of the last stage, (B, H, W, D)."""
        x = self.patch_embed(x)  # (B, H, W, dim)
        if self.absolute_pos_embed is not None:
            x = x + self.absolute_pos_embed
        y: Tensor = self.norm(self.layers(self.pos_drop(x)))
        return y

    def no_weight_decay(self) -> set[str]:
        """Weights that are positions: those of timm's Swin, and the absolute ones, as in Swin's own code."""
        named: set[str] = super().no_weight_decay()
        return named if self.absolute_pos_embed is None else named | {"absolute_pos_embed"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Layers as timm's Swin has them; the table of absolute positions is of the first."""
        layers: dict[str, Any] = super().group_matcher(coarse)
        return layers | {"stem": r"^(?:patch_embed|absolute_pos_embed)"}

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this model at another image, window or patch size, resampled where they depend on it."""
        own = self.state_dict()
        adapted = dict(state)
        for name, value in state.items():
            if name not in own or own[name].shape == value.shape:
                continue
            if name == "patch_embed.proj.weight" and own[name].shape[:2] == value.shape[:2]:
                adapted[name] = resample_patch_embed(value, list(own[name].shape[2:]))
            if own[name].shape[-1] != value.shape[-1]:
                continue
            if name == "absolute_pos_embed":
                adapted[name] = resample_abs_pos_embed_nhwc(value, list(own[name].shape[1:3]))
            elif name.endswith("relative_position_bias_table"):
                attention = self.get_submodule(name.rpartition(".")[0])
                assert isinstance(attention, WindowAttention | swin_transformer.WindowAttention)
                with warnings.catch_warnings():  # of how timm's interpolation indexes
                    warnings.filterwarnings("ignore", r"torch\.searchsorted|Using a non-tuple", UserWarning)
                    adapted[name] = resize_rel_pos_bias_table(value, attention.window_size, tuple(own[name].shape))
        return adapted
