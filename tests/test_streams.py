import hashlib

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from lib import streams


def test_normal_quantile_against_scipy():
    p = np.concatenate([np.logspace(-300, -1, 2000), np.linspace(0.01, 0.99, 5001), 1 - np.logspace(-15, -1, 500)])
    expected = scipy.special.ndtri(p)
    np.testing.assert_allclose(streams.normal_quantile(p), expected, rtol=3e-15, atol=2e-15)


@given(st.floats(1e-300, 1, exclude_max=True))
def test_log_against_numpy(x):
    assert streams._log(np.array([x]))[0] == pytest.approx(np.log(x), rel=1e-15, abs=3e-16)


def test_normal_numbers_are_normal():
    assert scipy.stats.kstest(streams.normal("a test", 20_000), "norm").pvalue > 0.01


def test_streams_of_different_names_are_uncorrelated():
    a, b = streams.normal("one", 20_000), streams.normal("two", 20_000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(20_000)


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_permutation_holds_every_number_once(count):
    assert sorted(streams.permutation(f"p{count}", count)) == list(range(count))


def test_equal_words_stay_in_their_order(monkeypatch):
    """They are not to be expected; then too the bits are the same on every platform."""
    words = np.random.default_rng(0).integers(0, 300, 1000, dtype=np.uint64)
    monkeypatch.setattr(streams, "raw", lambda label, count: words[:count])
    assert streams.permutation("test", 1000).tolist() == sorted(range(1000), key=lambda place: words[place])


def test_permutations_are_uniform():
    firsts = [tuple(streams.permutation(f"uniform {k}", 3)) for k in range(1200)]
    counts = list({order: firsts.count(order) for order in firsts}.values())
    assert len(counts) == 6
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_the_bits_of_the_streams_never_change():
    """Stored tickets rest on these bits; the digests were taken when the first tickets were trained."""
    digests = {
        "raw": hashlib.sha256(streams.raw("fixed", 1000).tobytes()).hexdigest()[:16],
        "normal": hashlib.sha256(streams.normal("fixed", 1000).tobytes()).hexdigest()[:16],
        "permutation": hashlib.sha256(streams.permutation("fixed", 1000).tobytes()).hexdigest()[:16],
    }
    assert digests == DIGESTS


DIGESTS = {"raw": "ed4961bde3e4a1bc", "normal": "5ba614729f689918", "permutation": "3ddf94c854400a41"}
