"""Fits how much a line reads like a request: lines of the training examples against lines of `pastes.txt`."""

from __future__ import annotations

import numpy as np

from milepost_agent.router.augmentation import read_pastes
from milepost_agent.router.examples import fingerprint, training_voices
from milepost_agent.router.excerpt import segments
from milepost_agent.router.fitting import fit_softmax
from milepost_agent.router.ngrams import BUCKETS, count_ngrams, weigh
from milepost_agent.router.request_likeness import EVEN, RequestLikeness

STRENGTH = 10.0
MIXED_VOICE = "pasted"  # its examples have pasted lines beside the request


def fit_request_likeness() -> RequestLikeness:
    """Some seconds, and no embedding."""
    examples = [example for voice, known in training_voices().items() if voice != MIXED_VOICE for example in known]
    requests = [line for example in examples for line in segments(example.query)]
    pasted = [line for paste in read_pastes() for line in segments(paste)]
    features = np.zeros((len(requests) + len(pasted), BUCKETS), dtype=np.float32)
    for row, line in enumerate([*requests, *pasted]):
        counts = count_ngrams(line)
        features[row, counts.buckets] = weigh(counts, EVEN)
    is_request = (np.arange(len(features)) < len(requests)).astype(np.int64)
    weights, _ = fit_softmax(features, is_request, 2, STRENGTH)
    return RequestLikeness((weights[:, 1] - weights[:, 0]).astype(np.float32), fingerprint())
