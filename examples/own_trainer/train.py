"""Train a multi-layer perceptron on scikit-learn's digits; write its accuracy on held-out digits as JSON."""

import argparse
import json
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--hidden", type=int, default=32, help="units of the hidden layer")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("result.json"))
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images / 16, labels, test_size=500, random_state=0, stratify=labels)
model = MLPClassifier(hidden_layer_sizes=options.hidden, random_state=options.seed)
for epoch in range(1, options.epochs + 1):
    model.partial_fit(train_x, train_y, classes=range(10))
    print(f"epoch {epoch}: loss {model.loss_:.3f}")
with options.out.open("w") as file:
    json.dump({"accuracy": 100 * model.score(test_x, test_y)}, file)
