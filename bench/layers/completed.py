"""A model that reads more than an image, called with the image alone: for counting, what else it reads is made up."""

from typing import Any

import torch
from torch import Tensor, nn


class Completed(nn.Module):
    """Images (B, C, H, W) to what a model of transformers' says of them.

    `reads`: the images' name among its arguments; `frames`: it reads videos, and each image is one that stands still;
    `text`: entries of a sentence that it reads beside, all 0; `colours`: it reads the places of an image as entries of
    a palette, all 0, and not the image. `answers`: where what it says stands in its output.
    """

    def __init__(self, model: nn.Module, *, reads: str, answers: str, frames: int, text: int, colours: bool) -> None:
        super().__init__()
        self.model = model
        self.reads, self.answers, self.frames, self.text, self.colours = reads, answers, frames, text, colours

    def forward(self, images: Tensor) -> Any:
        """Everything that is made up is on the device of the images."""
        given = images
        if self.frames:
            given = images[:, None].expand(-1, self.frames, -1, -1, -1)
        if self.colours:
            given = torch.zeros(len(images), images[0, 0].numel(), dtype=torch.int64, device=images.device)
        arguments = {self.reads: given}
        if self.text:
            arguments["input_ids"] = torch.zeros(len(images), self.text, dtype=torch.int64, device=images.device)
        return getattr(self.model(**arguments), self.answers)
