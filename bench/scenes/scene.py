"""One scene: its picture, its label map and its things, each with the mask of what can be seen of it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.scenes import SHAPES, STUFF
from bench.scenes.shapes import inside
from bench.scenes.textures import Draws, Grid, coloured, pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bytes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

FILLS = ("plain", "gradient", "stripes", "checks", "spots", "clouds")
"""Textures of things: those of the backgrounds, too."""

EMPTY = 0.03  # share of scenes without a thing
CROWDS = 0.25  # share of scenes with a crowd
SMUDGES = 0.3  # share of scenes with something that belongs to no class
LARGE = 0.4  # share of scenes whose first thing is nearly as large as the picture
SMALL = 0.3  # share of the others that are small

CONTRAST = (30.0, 90.0)  # of the two colours of a background, and the least of a thing to what is behind it: 0 to 255
NOISE = (4.0, 16.0)  # the most that it adds to a pixel

MOST_TRIES = 200
VISIBLE, IN_PICTURE = 0.35, 0.45  # shares of a thing that nothing may hide, and that the border may not cut off
FEWEST_PIXELS = 12

NOTHING, SMUDGE = -1, -2
"""Who owns a pixel that no thing owns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Thing:
    """A thing, or a crowd of them, as far as it can be seen."""

    shape: int  # place in SHAPES
    mask: "Mask"  # (side, side)
    crowd: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What was drawn."""

    pixels: "Bytes"  # (side, side, 3)
    stuff: "Bytes"  # (side, side): 0 for what belongs to no class, else 1 + place in STUFF; behind things, too
    things: tuple[Thing, ...]  # the farthest first

    def labels(self, stuff: "list[int]", things: "list[int]") -> "Bytes":
        """The label map (side, side): 0 for no class, else the number of the class of what is seen there."""
        import numpy as np

        labels: Bytes = np.array([0, *stuff], dtype=np.uint8)[self.stuff]
        for thing in self.things:
            labels[thing.mask] = things[thing.shape]
        return labels


@dataclass(kw_only=True, eq=False)
class Canvas:
    """A scene while it is drawn."""

    draws: Draws
    side: int
    pixels: "Floats"  # (side, side, 3), 0 to 255
    stuff: "Bytes"
    owner: "NDArray[np.int16]"  # (side, side): number of the thing that is seen there
    shapes: list[int] = field(default_factory=list)
    crowds: list[bool] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)  # pixels of each when it was drawn


def draw(seed: int, index: int, side: int) -> Scene:
    """The scene of a seed and an index, `side` pixels a side: the same whenever it is drawn."""
    canvas = _background(Draws(seed, index), side)
    draws = canvas.draws
    if not draws.chance(EMPTY):
        _things(canvas, 3 + int(10 * draws.uniform() * draws.uniform()))  # 3 to 12, few more often than many
        if draws.chance(SMUDGES):
            _smudge(canvas)
        if draws.chance(CROWDS):
            _crowd(canvas)
    things = tuple(
        Thing(shape=shape, mask=canvas.owner == number, crowd=crowd)
        for number, (shape, crowd) in enumerate(zip(canvas.shapes, canvas.crowds, strict=True))
    )
    return Scene(pixels=_photographed(canvas), stuff=canvas.stuff, things=things)


def _background(draws: Draws, side: int) -> Canvas:
    """One to three regions with straight borders, each a class of stuff with colours of its own."""
    import numpy as np

    y, x = np.mgrid[:side, :side].astype(float)
    grid = Grid(x=x, y=y)
    pixels, stuff = np.zeros((side, side, 3)), np.zeros((side, side), dtype=np.uint8)
    region = np.ones((side, side), dtype=bool)
    for _ in range(draws.whole(1, 3)):
        kind = draws.whole(0, len(STUFF) - 1)
        amount = pattern(STUFF[kind], grid, draws.uniform(0.08, 0.2) * side, draws)
        first = draws.uniform(50, 205) + 40 * draws.uniforms(3) - 20  # nearly grey, as things are not
        second = _away(first, first, draws.uniform(CONTRAST[0], 2 * CONTRAST[0]))
        pixels[region] = coloured(amount, np.stack([first, second]))[region]
        stuff[region] = kind + 1
        along, _across = grid.turned(draws.direction())
        region = along > along.min() + draws.uniform(0.3, 0.8) * (along.max() - along.min())
    owner = np.full((side, side), NOTHING, dtype=np.int16)
    return Canvas(draws=draws, side=side, pixels=pixels, stuff=stuff, owner=owner)


def _things(canvas: Canvas, count: int) -> None:
    """So many things, each in front of those before; fewer where the picture is full."""
    draws, side = canvas.draws, canvas.side
    for _ in range(MOST_TRIES):
        if len(canvas.shapes) == count:
            return
        if not canvas.shapes and draws.chance(LARGE):
            extent, edge = draws.uniform(1.1, 1.5), 0.4  # shares of a side: its length, its middle
        else:
            extent, edge = draws.uniform(0.12, 0.28) if draws.chance(SMALL) else draws.uniform(0.28, 0.75), 0.0
        shape = draws.whole(0, len(SHAPES) - 1)
        centre = (draws.uniform(edge, 1 - edge) * side, draws.uniform(edge, 1 - edge) * side)
        outline = _placed(canvas, shape, max(9.0, extent * side), centre)
        if _fits(canvas, [outline]):
            _paint(canvas, [outline], shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """Where a thing would be: the part of it within the picture."""

    where: tuple[slice, slice]
    mask: "Mask"  # of that window
    share: float  # of the whole thing


def _placed(canvas: Canvas, shape: int, extent: float, centre: tuple[float, float]) -> Outline:
    """A shape, turned and squeezed at random, cut at the border of the picture."""
    import numpy as np

    draws, radius = canvas.draws, extent / 2
    left, top = (int(np.floor(place - radius)) for place in centre)
    span = np.arange(int(np.ceil(extent)) + 2) + 0.5  # middles of pixels
    x, y = np.meshgrid(span + (left - centre[0]), span + (top - centre[1]))
    along, across = Grid(x=x / radius, y=y / radius).turned(draws.direction())
    mask = inside(SHAPES[shape], along, across / draws.uniform(0.75, 1), 1.2 / radius)
    rows, columns = (slice(*(min(max(0, at), canvas.side) for at in (b, b + len(span)))) for b in (top, left))
    seen = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return Outline(where=(rows, columns), mask=seen, share=int(seen.sum()) / max(1, int(mask.sum())))


def _fits(canvas: Canvas, outlines: list[Outline]) -> bool:
    """Whether enough would be seen of the new thing and of each one behind it."""
    import numpy as np

    owner = canvas.owner.copy()
    new = len(canvas.whole)
    for outline in outlines:
        owner[outline.where][outline.mask] = new
    seen = np.bincount(owner.ravel() - SMUDGE, minlength=new + 3)[-SMUDGE:]
    if seen[new] < FEWEST_PIXELS or min(outline.share for outline in outlines) < IN_PICTURE:
        return False
    return all(seen[k] >= max(FEWEST_PIXELS, VISIBLE * whole) for k, whole in enumerate(canvas.whole))


def _paint(canvas: Canvas, outlines: list[Outline], shape: int) -> None:
    """Put a thing in front of everything; of several outlines, a crowd of them."""
    number = len(canvas.shapes)
    for outline in outlines:
        _coloured(canvas, outline)
        canvas.owner[outline.where][outline.mask] = number
    canvas.shapes.append(shape)
    canvas.crowds.append(len(outlines) > 1)
    canvas.whole.append(int((canvas.owner == number).sum()))


def _coloured(canvas: Canvas, outline: Outline) -> None:
    """Give what is within an outline a texture, whose first colour is not that of a pixel behind it."""
    import numpy as np

    draws = canvas.draws
    behind = canvas.pixels[outline.where][outline.mask][0]
    colours = np.stack([_vivid(draws), _vivid(draws)])
    colours[0] = _away(colours[0], behind, CONTRAST[1])
    y, x = np.mgrid[outline.where].astype(float)
    period = max(3.0, draws.uniform(0.2, 0.6) * max(outline.mask.shape))
    amount = pattern(draws.one_of(FILLS), Grid(x=x, y=y), period, draws) * draws.uniform(0.1, 0.5)
    canvas.pixels[outline.where][outline.mask] = coloured(amount, colours)[outline.mask]


def _vivid(draws: Draws) -> "Floats":
    """A colour (3,) with one strong channel and one weak one."""
    import numpy as np

    strong, step = draws.whole(0, 2), draws.whole(1, 2)
    colour: Floats = np.full(3, draws.uniform(0, 255))
    colour[strong], colour[(strong + step) % 3] = draws.uniform(190, 255), draws.uniform(0, 65)
    return colour


def _away(colour: "Floats", other: "Floats", least: float) -> "Floats":
    """A colour (3,) that differs from another by so much in some channel: the same, or moved."""
    if abs(colour - other).max() >= least:
        return colour
    moved: Floats = colour + least * ((other < 128) * 2.0 - 1)
    return moved


def _smudge(canvas: Canvas) -> None:
    """Something in front of the rest that belongs to no class: a blot of overlapping discs."""
    draws, side = canvas.draws, canvas.side
    middle = (draws.uniform() * side, draws.uniform() * side)
    spread = 0.1 * side
    places = [tuple(place + draws.uniform(-spread, spread) for place in middle) for _ in range(4)]
    blots = [_placed(canvas, 0, draws.uniform(0.08, 0.16) * side + 4, (x, y)) for x, y in places]
    if _fits(canvas, blots):
        for blot in blots:
            _coloured(canvas, blot)
            canvas.owner[blot.where][blot.mask] = SMUDGE
            canvas.stuff[blot.where][blot.mask] = 0


def _crowd(canvas: Canvas) -> None:
    """Many little things of one class, close together: one region that nobody counted."""
    draws, side = canvas.draws, canvas.side
    spread = draws.uniform(0.1, 0.2) * side
    middle = [draws.uniform(spread, side - spread) for _ in range(2)]
    shape = draws.whole(0, len(SHAPES) - 1)
    members = []
    for _ in range(draws.whole(10, 24)):
        place = tuple(at + draws.uniform(-spread, spread) for at in middle)
        members.append(_placed(canvas, shape, draws.uniform(0.05, 0.08) * side + 2, (place[0], place[1])))
    if _fits(canvas, members):
        _paint(canvas, members, shape)


def _photographed(canvas: Canvas) -> "Bytes":
    """The picture (side, side, 3) as a camera might have it: uneven light, out of focus at times, noise."""
    import numpy as np

    draws, side = canvas.draws, canvas.side
    y, x = np.mgrid[:side, :side].astype(float)
    along, _across = Grid(x=x / side, y=y / side).turned(draws.direction())
    light = 1 + draws.uniform(0, 0.35) * (along - (along.min() + along.max()) / 2)
    pixels = canvas.pixels * light[..., None]
    for _ in range(draws.whole(0, 2)):
        for axis in (0, 1):
            pixels = _softened(pixels, axis)
    noise = draws.uniforms(side, side, 3) + draws.uniforms(side, side, 3) - 1  # a triangle, deviation 0.41
    pixels = pixels + draws.uniform(*NOISE) * noise
    taken: Bytes = np.clip(np.floor(pixels + 0.5), 0, 255).astype(np.uint8)
    return taken


def _softened(pixels: "Floats", axis: int) -> "Floats":
    """Each pixel with a quarter of both neighbours, along one axis."""
    import numpy as np

    edges = [(1, 1) if side == axis else (0, 0) for side in range(3)]
    padded = np.moveaxis(np.pad(pixels, edges, mode="edge"), axis, 0)
    return np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
