"""Published weights by timm's name for them, `timm:NAME.TAG`: from this machine's cache of the hub, or from the hub."""

import hashlib
from pathlib import Path

from bench import weights
from bench.errors import Invalid, Needs

FILES = ("model.safetensors", "pytorch_model.bin")
"""Names under which timm's publications keep their weights, in the order they are tried."""

PATIENCE_S = 5.0
"""Seconds in which the hub has to answer at all: its client would try for most of a minute."""


def load(ref: str) -> weights.Loaded:
    """A checkpoint as timm's model of that name holds it, at its own image size and with its own classes.

    Files are read by us, safely, whatever a version of timm would do. Raises Needs where there is no way to the hub.
    """
    library, _, name = ref.partition(":")
    if library != "timm":
        raise Invalid(f"published weights are timm's: 'timm:NAME.TAG', not {ref!r}")
    import timm

    try:
        facts = timm.get_pretrained_cfg(name)
        if facts is None or not facts.has_weights:
            raise Invalid(f"timm publishes no weights for {name}")
        if not facts.hf_hub_id:
            raise Needs(f"weights {ref} lie at {facts.url} only: fetch them and name the file")
        overlay = {"state_dict": weights.file(_file(ref, facts.hf_hub_id)).state}
        state = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay).state_dict()
    except RuntimeError as problem:  # no such tag, or another model's weights under this name
        raise Invalid(f"{ref}: {str(problem).splitlines()[0]}") from problem
    sha256 = hashlib.sha256(weights.serialized(state)).hexdigest()
    return weights.Loaded(state=state, sha256=sha256, normalized=(tuple(facts.mean), tuple(facts.std)))


def _file(ref: str, repository: str) -> Path:
    """The file of a repository of the hub, from the cache where it lies there."""
    from huggingface_hub import constants, errors, hf_hub_download, try_to_load_from_cache

    repository, _, revision = repository.partition("@")
    for name in FILES:
        cached = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    problem: Exception | None = _unreachable(constants.ENDPOINT)
    for name in FILES if problem is None else ():
        try:
            return Path(hf_hub_download(repository, name, revision=revision or None))
        except errors.LocalEntryNotFoundError as unreachable:
            problem = unreachable
        except errors.EntryNotFoundError as absent:
            problem = absent
        except errors.HfHubHTTPError as refused:
            problem = refused
    raise Needs(
        f"weights {ref}, which are not in this machine's cache and cannot be had from {constants.ENDPOINT} now; "
        f"`hf download {repository} {FILES[0]}` on a machine with a network puts them there"
    ) from problem


def _unreachable(endpoint: str) -> OSError | None:
    """Why the hub's machine cannot be reached; None where it can, or where a proxy stands between."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    address = urlsplit(endpoint)
    if address.hostname is None or {"all", address.scheme} & getproxies().keys():
        return None
    try:
        socket.create_connection((address.hostname, address.port or 443), timeout=PATIENCE_S).close()
    except OSError as problem:
        return problem
    return None
