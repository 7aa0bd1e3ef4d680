"""Random numbers that depend on what they are for, and on nothing else: no order, no worker count, no global state."""

import hashlib
import json

import numpy as np


def generator_for(*purpose: str | int) -> np.random.Generator:
    """Return a generator seeded with the SHA-256 of the JSON list of what it is for."""
    digest = hashlib.sha256(json.dumps(purpose).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def seed_for(*purpose: str | int) -> int:
    """Return a 63-bit seed for torch, from the SHA-256 of the JSON list of what it is for."""
    digest = hashlib.sha256(json.dumps(purpose).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
