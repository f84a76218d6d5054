"""`vitab schema`: JSON Schema of spec files."""

import argparse

import msgspec

from ablations.schema import json_schema


def main(options: argparse.Namespace) -> int:
    """Print the schema."""
    print(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode())
    return 0
