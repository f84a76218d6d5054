"""A plain ViT (Dosovitskiy et al., ICLR 2021) whose parts are timm's and whose position embedding is a choice.

One class for all six embeddings: timm has them in classes of different families, which also differ in pooling, class
token and LayerScale, and an ablation across those would measure more than positions. Whatever belongs to positions is
made last, so that models of one seed start from the same values everywhere else.
"""

import torch
from timm.layers.attention import AttentionRope
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from timm.layers.patch_embed import PatchEmbed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_rel import RelPosBias, resize_rel_pos_bias_table_simple
from timm.layers.pos_embed_sincos import RotaryEmbeddingCat, build_sincos2d_pos_embed
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

STD = 0.02  # of weights at the start, truncated at two of them (timm's ViT and DeiT)
TEMPERATURE = 10_000.0  # of the sine tables' wavelengths (Vaswani et al., 2017)


class Block(nn.Module):
    """Pre-norm attention and MLP, both on a residual that stochastic depth may drop."""

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, *, qkv_bias: bool, prefix: int, dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = AttentionRope(dim, heads, qkv_bias=qkv_bias, num_prefix_tokens=prefix, proj_drop=dropout)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop=dropout)
        self.drop_path = DropPath(drop_path)
        self.relative: RelPosBias | None = None

    def forward(self, x: Tensor, rotation: Tensor | None) -> Tensor:
        """(B, N, D) to (B, N, D); `rotation` is (patches, 2·D/heads)."""
        bias = None if self.relative is None else self.relative.get_bias()  # (1, heads, N, N)
        x = x + self.drop_path(self.attn(self.norm1(x), rope=rotation, attn_mask=bias))
        y: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return y


class VisionTransformer(nn.Module):
    """Images (B, C, image, image) to logits (B, classes), or to features (B, dim) where `classes` is 0.

    Dropout follows the position embedding and every dense layer but qkv (ViT, appendix B.1); stochastic depth grows
    linearly to `drop_path` at the last block. The mean is taken over patches after the last norm; there is no class
    token then.
    """

    CLASSIFIER = "head"  # the part that is left behind when classes differ

    def __init__(
        self,
        *,
        image: int,
        channels: int,
        classes: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        qkv_bias: bool,
        pos_embed: str,
        pool: str,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.grid = image // patch
        self.prefix = 1 if pool == "token" else 0
        self.patch_embed = PatchEmbed(image, patch, channels, dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim)) if self.prefix else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                heads,
                mlp_ratio,
                qkv_bias=qkv_bias,
                prefix=self.prefix,
                dropout=dropout,
                drop_path=drop_path * index / max(1, depth - 1),
            )
            for index in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes) if classes else nn.Identity()
        self._start()
        self._add_positions(pos_embed, dim, heads)

    def _start(self) -> None:
        """Draw the weights: linear layers truncated normal, biases 0, the patch embedding as torch draws it."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=1e-6)

    def _add_positions(self, kind: str, dim: int, heads: int) -> None:
        """Everything that knows where a patch is. A table is (1, N, D), the class token's row first."""
        self.pos_embed: Tensor | None
        self.register_buffer("pos_embed", None, persistent=False)  # a sine table is no weight
        self.rope: RotaryEmbeddingCat | None = None
        shape = [self.grid, self.grid]
        if kind == "learned":
            self.pos_embed = nn.Parameter(torch.empty(1, self.prefix + self.grid**2, dim))
            trunc_normal_(self.pos_embed, std=STD)
        elif kind in ("sincos1d", "sincos2d"):
            table = sincos1d(self.grid**2, dim) if kind == "sincos1d" else build_sincos2d_pos_embed(shape, dim)
            token = table.new_zeros(self.prefix, dim)  # the class token is nowhere (He et al., MAE)
            self.pos_embed = torch.cat([token, table])[None]
        elif kind == "relative":  # one table a block, as in BEiT; the class token has entries of its own
            for block in self.blocks:
                block.relative = RelPosBias((self.grid, self.grid), heads, prefix_tokens=self.prefix)
        elif kind == "rope":  # the first half of a head turns with the row, the second with the column; the token stays
            self.rope = RotaryEmbeddingCat(dim // heads, in_pixels=False, feat_shape=shape)
        else:
            assert kind == "none", kind

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, image, image) to (B, classes)."""
        x = self.patch_embed(images)  # (B, patches, D)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)  # (B, N, D)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        x = self.dropout(x)
        rotation = None if self.rope is None else self.rope.get_embed()
        for block in self.blocks:
            x = block(x, rotation)
        x = self.norm(x)
        pooled = x[:, 0] if self.prefix else x.mean(dim=1)  # (B, D)
        logits: Tensor = self.head(pooled)
        return logits

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this model at another image size: learned tables of positions resampled, the rest as it is."""
        own = self.state_dict()
        adapted = dict(state)
        for name, value in state.items():
            if name not in own or own[name].shape == value.shape:
                continue
            if name == "pos_embed" and own[name].shape[-1] == value.shape[-1]:
                adapted[name] = resample_abs_pos_embed(value, [self.grid, self.grid], num_prefix_tokens=self.prefix)
            elif name.endswith("relative_position_bias_table") and own[name].shape[-1] == value.shape[-1]:
                adapted[name] = resize_rel_pos_bias_table_simple(value, (self.grid, self.grid), own[name].shape)
        return adapted


def sincos1d(length: int, dim: int) -> Tensor:
    """The table of Vaswani et al. (2017), section 3.5, sines first: (length, dim), one row a patch in raster order."""
    wavelengths = TEMPERATURE ** (torch.arange(dim // 2, dtype=torch.float32) / (dim // 2))
    angles = torch.arange(length, dtype=torch.float32)[:, None] / wavelengths
    return torch.cat([angles.sin(), angles.cos()], dim=1)
