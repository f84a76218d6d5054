"""A plain ViT (Dosovitskiy et al., ICLR 2021) whose parts are timm's and whose position embedding is a choice.

One class for all embeddings, poolings and stems: timm has them in classes of different families, which also differ in
class token and LayerScale, and an ablation across those would measure more than it says. The plain model is drawn
first, then what is added or exchanged, positions last: models of one seed start alike in whatever they share.
"""

import math

import torch
from timm.layers.attention import AttentionRope
from timm.layers.attention_pool import AttentionPoolLatent
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from timm.layers.norm import LayerNorm
from timm.layers.patch_embed import PatchEmbed, resample_patch_embed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_rel import RelPosBias, resize_rel_pos_bias_table_simple
from timm.layers.pos_embed_sincos import RotaryEmbeddingCat, build_sincos2d_pos_embed
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from bench.layers.positions import STD, LearnedAxes, resampled_axis, sincos1d
from bench.layers.stems import ConvolutionalStem, resnet_stem


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

    Dropout follows the position embedding and every dense layer of a block but qkv (ViT, appendix B.1); stochastic
    depth grows linearly to `drop_path` at the last block. Mean and attention pooling (timm's, as in SigLIP) take the
    patches after the last norm; there is no class token then. A distilled model (DeiT, section 4) has a second token
    with a head of its own: in training it returns the logits of both, otherwise their mean, as DeiT's published code
    does; the paper speaks of the sum of their softmax.
    """

    CLASSIFIER = ("head", "head_dist")  # the parts that are left behind when classes differ

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
        distilled: bool,
        stem: str,
        stem_channels: tuple[int, ...],
        stem_blocks: tuple[int, ...],
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.grid = image // patch
        self.prefix = int(pool == "token") + int(distilled)  # tokens that are no patches
        self.patch_embed: nn.Module = PatchEmbed(image, patch, channels, dim)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim)) if pool == "token" else None
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
        _draw(self)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=1e-6)
        self._add_readout(dim, heads, mlp_ratio, attention=pool == "map", distilled=distilled)
        if stem == "conv":
            self.patch_embed = ConvolutionalStem(channels, stem_channels, dim)
        elif stem == "resnet":
            self.patch_embed = resnet_stem(image, channels, stem_blocks, patch=patch, dim=dim)
        self._add_positions(pos_embed, dim, heads)

    def _add_readout(self, dim: int, heads: int, mlp_ratio: float, *, attention: bool, distilled: bool) -> None:
        """What reads the tokens beside the head: attention pooling, or a second token with its head."""
        self.attn_pool: AttentionPoolLatent | None = None
        self.dist_token: nn.Parameter | None = None
        self.head_dist: nn.Module | None = None
        if attention:
            self.attn_pool = AttentionPoolLatent(dim, num_heads=heads, mlp_ratio=mlp_ratio, norm_layer=LayerNorm)
            _draw(self.attn_pool)
        if distilled:
            self.dist_token = nn.Parameter(torch.empty(1, 1, dim))
            trunc_normal_(self.dist_token, std=STD)
            self.head_dist = nn.Identity()
            if isinstance(self.head, nn.Linear):
                self.head_dist = nn.Linear(dim, self.head.out_features)
                _draw(self.head_dist)

    def _add_positions(self, kind: str, dim: int, heads: int) -> None:
        """Everything that knows where a patch is. A table is (1, N, D), rows of tokens that are no patches first."""
        self.pos_embed: Tensor | None
        self.register_buffer("pos_embed", None, persistent=False)  # a sine table is no weight
        self.axes: LearnedAxes | None = None
        self.rope: RotaryEmbeddingCat | None = None
        shape = [self.grid, self.grid]
        if kind == "learned":
            self.pos_embed = nn.Parameter(torch.empty(1, self.prefix + self.grid**2, dim))
            trunc_normal_(self.pos_embed, std=STD)
        elif kind == "learned2d":
            self.axes = LearnedAxes(self.grid, dim, self.prefix)
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

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, C, image, image) to (B, classes); a distilled model in training: to those of both tokens."""
        if self.dist_token is not None:
            by_class, by_distillation = self.by_token(images)
            return (by_class, by_distillation) if self.training else (by_class + by_distillation) / 2
        x = self._encoded(images)
        pooled = self.attn_pool(x) if self.attn_pool is not None else x[:, 0] if self.prefix else x.mean(dim=1)
        logits: Tensor = self.head(pooled)  # from (B, D)
        return logits

    def by_token(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) of a distilled model from its class token, and from its distillation token."""
        assert self.head_dist is not None
        x = self._encoded(images)
        return self.head(x[:, 0]), self.head_dist(x[:, 1])

    def _encoded(self, images: Tensor) -> Tensor:
        """(B, C, image, image) to the tokens after the last norm, (B, N, D)."""
        x: Tensor = self.patch_embed(images)  # (B, patches, D)
        tokens = [token.expand(len(x), -1, -1) for token in (self.cls_token, self.dist_token) if token is not None]
        x = torch.cat([*tokens, x], dim=1) if tokens else x  # (B, N, D)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        if self.axes is not None:
            x = x + self.axes()
        x = self.dropout(x)
        rotation = None if self.rope is None else self.rope.get_embed()
        for block in self.blocks:
            x = block(x, rotation)
        y: Tensor = self.norm(x)
        return y

    def no_weight_decay(self) -> set[str]:
        """Weights that are positions or tokens, as timm's ViT names them."""
        named = {"pos_embed", "cls_token", "dist_token"}
        return {name for name, _ in self.named_parameters() if name in named or name.startswith("axes.")}

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        """Which weights are of which layer, in timm's form: the stem, tokens and positions, then each block."""
        last = (r"^(?:norm|attn_pool)", (99999,))  # with the last block
        return {
            "stem": r"^(?:patch_embed|cls_token|dist_token|pos_embed|axes)",
            "blocks": r"^blocks\.(\d+)" if coarse else [(r"^blocks\.(\d+)", None), last],
        }

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this model at another image or patch size, resampled where they depend on it.

        Kernels of patches by the pseudo-inverse of a resize (Beyer et al., FlexiViT, CVPR 2023), tables
        of positions bicubically; both are timm's.
        """
        own = self.state_dict()
        return {
            name: self._resampled(name, value, own[name].shape)
            if name in own and own[name].shape != value.shape
            else value
            for name, value in state.items()
        }

    def _resampled(self, name: str, value: Tensor, shape: torch.Size) -> Tensor:
        """One weight in another shape, or as it is where no size of an image or a patch is what differs."""
        if name == "patch_embed.proj.weight" and value.shape[:2] == shape[:2]:
            kernels: Tensor = resample_patch_embed(value, list(shape[2:]))
            return kernels
        if value.shape[-1] != shape[-1]:
            return value
        if name == "pos_embed" and math.isqrt(value.shape[1] - self.prefix) ** 2 == value.shape[1] - self.prefix:
            table: Tensor = resample_abs_pos_embed(value, [self.grid, self.grid], num_prefix_tokens=self.prefix)
            return table
        if name in ("axes.rows", "axes.columns"):
            return resampled_axis(value, self.grid)
        if name.endswith("relative_position_bias_table"):
            resized: Tensor = resize_rel_pos_bias_table_simple(value, (self.grid, self.grid), shape)
            return resized
        return value


def _draw(part: nn.Module) -> None:
    """Draw linear layers: truncated normal weights, biases 0. Kernels are as torch draws them."""
    for module in part.modules():
        if isinstance(module, nn.Linear):
            trunc_normal_(module.weight, std=STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
