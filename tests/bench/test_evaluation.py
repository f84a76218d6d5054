"""The same weights on the same files through our evaluation and through timm's own loop: the same predictions."""

import warnings

import msgspec
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.utils import accuracy

from bench import data, models
from bench.measures import top1
from bench.subject import Subject
from bench.trial import Evaluate, Input, Source


def _by_timm(model, root, **config):
    """Logits of `val` in the order of its files, and top-1 and top-5 as timm's validation adds them up."""
    dataset = create_dataset("", root=str(root / "val"), split="validation")
    config = resolve_data_config(config, model=model)
    loader = create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=4,
        use_prefetcher=False,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        crop_pct=config["crop_pct"],
        num_workers=0,
        device=torch.device("cpu"),
    )
    said, targets = [], []
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)  # timm leaves that to Python
        for images, target in loader:
            said.append(model(images))
            targets.append(target)
    logits, targets = torch.cat(said), torch.cat(targets)
    top1, top5 = accuracy(logits, targets, topk=(1, 5))
    return logits.numpy(), top1.item(), top5.item()


@pytest.mark.parametrize(
    ("name", "image", "crop", "interpolation", "normalize"),
    [
        ("test_vit", 64, 0.875, "bicubic", "half"),
        ("test_vit", 64, 0.9, "bilinear", "imagenet"),
        ("test_resnet", 96, 1.0, "bicubic", "imagenet"),
        ("test_byobnet", 80, 0.95, "bicubic", "clip"),
    ],
)
def test_a_checkpoint_has_the_predictions_that_timms_validation_has(
    image_folder, digits_trial, tmp_path, name, image, crop, interpolation, normalize
):
    classes = ("a", "b", "c", "d", "e", "f", "g")
    root = image_folder(classes=classes, train=1, val=6, side=100)  # of several sizes and kinds of file
    for path in root.glob("val/*/*.bmp"):  # timm's reader knows no such files
        with Image.open(path) as picture:
            picture.save(path.with_suffix(".png"))
        path.unlink()
    torch.manual_seed(0)
    checkpoint = tmp_path / "checkpoint.pth"
    made = timm.create_model(name, num_classes=len(classes), **({"img_size": image} if "vit" in name else {}))
    torch.save({"state_dict": made.state_dict()}, checkpoint)

    mean, std = data.imagefolder.MEAN_STD[normalize]
    config = {"input_size": (3, image, image), "crop_pct": crop, "interpolation": interpolation}
    theirs, top1_theirs, top5_theirs = _by_timm(made.eval(), root, **config, mean=mean, std=std)

    how = Evaluate(image=image, crop=crop, interpolation=interpolation)
    options = {"set": "generated", "classes": len(classes), "root": str(root), "normalize": normalize}
    trial = digits_trial(
        model=models.resolve(f"timm:{name}", {}),
        input=Input(image=image, classes=len(classes)),
        data=data.resolve("imagefolder", options),
        evaluate=how,
    )
    trial = msgspec.structs.replace(trial, train=None, weights=Source(kind="file", ref=str(checkpoint)))
    subject = Subject(store=tmp_path)
    found = {name: said.samples[0] for name, said in top1.measure(trial, subject).items()}
    with np.load(tmp_path / subject.artifacts["predictions"], allow_pickle=False) as kept:
        assert kept["logits"] == pytest.approx(theirs, abs=1e-4)
        assert kept["top1"].tolist() == theirs.argmax(axis=1).tolist()
    assert found == {"top1": pytest.approx(top1_theirs, abs=1e-4), "top5": pytest.approx(top5_theirs, abs=1e-4)}
