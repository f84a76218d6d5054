import torch

from bench.train import augment

IMAGES = torch.arange(2 * 9 * 16, dtype=torch.float32).view(9, 2, 4, 4)  # all pixels differ
ALL_SHIFTS = torch.cartesian_prod(torch.arange(3), torch.arange(3))  # (9, 2)


def test_shift1_moves_by_a_pixel_at_most_and_repeats_the_edge():
    shifted = augment.shift1(IMAGES, ALL_SHIFTS)
    for image, moved, (row, column) in zip(IMAGES, shifted, ALL_SHIFTS.tolist(), strict=True):
        for y in range(4):
            for x in range(4):
                source = min(max(y + row - 1, 0), 3), min(max(x + column - 1, 0), 3)
                assert torch.equal(moved[:, y, x], image[:, source[0], source[1]])


def test_none_leaves_images_as_they_are():
    assert augment.augmented("none", IMAGES, torch.arange(9), seed=0, epoch=0) is IMAGES


def test_what_an_image_gets_depends_on_seed_epoch_and_index_and_on_nothing_else():
    indices = torch.tensor([5, 0, 8, 3])
    together = augment.augmented("shift1", IMAGES[indices], indices, seed=3, epoch=2)
    for place, index in enumerate(indices):
        alone = augment.augmented("shift1", IMAGES[index][None], index[None], seed=3, epoch=2)
        assert torch.equal(alone[0], together[place])
    everything = torch.arange(1000)
    reference = augment.draws(everything, 2, seed=3, epoch=2)
    for seed, epoch in ((4, 2), (3, 3), (2, 3)):
        assert not torch.equal(augment.draws(everything, 2, seed=seed, epoch=epoch), reference)


def test_the_nine_shifts_come_up_alike():
    draws = augment.draws(torch.arange(9000), 2, seed=0, epoch=0) % 3
    counts = torch.bincount(3 * draws[:, 0] + draws[:, 1], minlength=9)
    chi_squared = ((counts - 1000.0) ** 2 / 1000).sum().item()
    assert chi_squared < 26.1  # 99.9 % of a χ² with 8 degrees of freedom


def test_it_mixes_as_splitmix64_does():
    """The first two outputs of the reference implementation (Vigna, splitmix64.c) for the seed 1234567."""
    gamma = augment._signed(0x9E3779B97F4A7C15)
    states = torch.tensor([1234567, 1234567], dtype=torch.int64) + torch.tensor([1, 2]) * gamma
    assert [value % 2**64 for value in augment._mixed(states).tolist()] == [6457827717110365317, 3203168211198807973]
