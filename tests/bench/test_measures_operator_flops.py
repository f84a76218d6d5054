from bench import models
from bench.measures import flops, operator_flops
from bench.subject import Subject
from bench.trial import Input, Trial


def counted(name):
    trial, subject = Trial(model=models.resolve(name, {}), input=Input(image=224)), Subject(store="nowhere")
    return {
        **flops.measure(trial, subject),
        **operator_flops.measure(trial, subject),
    }


def test_only_products_that_are_summed_one_by_one_are_left_out():
    one = counted("timm:resnet50")
    assert one["operator_flops"] == one["flops"]
    one = counted("lrnet")
    assert one["flops"].samples[0] - one["operator_flops"].samples[0] == sum(
        layers * 49 * side * side * channels  # 7×7 places that each value is made of (LR-Net, Figure 2)
        for layers, side, channels in ((1, 112, 64), (3, 56, 100), (4, 28, 200), (6, 14, 400), (3, 7, 800))
    )
