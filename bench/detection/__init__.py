"""COCO's average precision of anyone's files: boxes and masks, exact, and with every silent mistake said aloud.

annotations      the ground truth, read and guarded
results          detections, read, guarded and put into the one order that decides ties
masks            polygons and run lengths as one kind of mask
overlaps         how much detections and objects overlap
matching         which detection found what, of all images at once
accumulation     precision and recall of what was matched, of any resample of the images
engines          the same by pycocotools and by faster-coco-eval
average_precision  the twelve numbers, by whichever engine
bootstrap        their intervals over images, and those of the difference of two models
"""
