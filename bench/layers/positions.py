"""Tables of positions for the patches of a grid: (1, tokens, D), rows of tokens that are no patches first."""

import torch
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F

STD = 0.02  # of learned tables at the start, truncated at two of them (timm's ViT and DeiT)
TEMPERATURE = 10_000.0  # of the sine tables' wavelengths (Vaswani et al., 2017)


def sincos1d(length: int, dim: int) -> Tensor:
    """The table of Vaswani et al. (2017), section 3.5, sines first: (length, dim), one row a patch in raster order."""
    wavelengths = TEMPERATURE ** (torch.arange(dim // 2, dtype=torch.float32) / (dim // 2))
    angles = torch.arange(length, dtype=torch.float32)[:, None] / wavelengths
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class LearnedAxes(nn.Module):
    """2-D learned: half of the channels belong to a patch's column, half to its row (ViT, appendix D.4)."""

    def __init__(self, grid: int, dim: int, prefix: int) -> None:
        super().__init__()
        self.columns = nn.Parameter(torch.empty(grid, dim // 2))
        self.rows = nn.Parameter(torch.empty(grid, dim // 2))
        self.tokens = nn.Parameter(torch.empty(prefix, dim)) if prefix else None
        for table in self.parameters():
            trunc_normal_(table, std=STD)

    def forward(self) -> Tensor:
        """The whole table, (1, prefix + grid², dim)."""
        grid = len(self.rows)
        columns = self.columns[None].expand(grid, -1, -1)
        rows = self.rows[:, None].expand(-1, grid, -1)
        table = torch.cat([columns, rows], dim=2).flatten(0, 1)
        return (table if self.tokens is None else torch.cat([self.tokens, table]))[None]


def resampled_axis(table: Tensor, places: int) -> Tensor:
    """One axis of `LearnedAxes`, (old, D/2), for another number of places: what bicubic makes of the whole table."""
    image = table.T[None, None].float()  # (1, 1, D/2, old); torch is wrong about images of one column
    resized = F.interpolate(image, size=(table.shape[1], places), mode="bicubic", antialias=True)
    return resized[0, 0].T.to(table.dtype)
