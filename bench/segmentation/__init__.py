"""Semantic segmentation, scored on label maps: a class for every pixel, or no class.

    label_rules.py  what stored numbers mean: which is which class, and which are none
    label_maps.py   PNG files to arrays of classes; a folder of truths beside a folder of predictions
    inference.py    what a trial's model says
    confusion.py    the confusion matrix of a whole set in exact integers, and what follows from it
    per_image.py    what is kept of every image
    bootstrap.py    intervals, and the difference of two models, over images
    scoring.py      all of it for one set

In memory a label map is an array (H, W) of integers: a class from 0, or what `confusion.ignored` says is none.
"""
