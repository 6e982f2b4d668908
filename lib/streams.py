"""Named streams of random numbers with the same bits on every platform.

NumPy guarantees the raw output of its bit generators, but neither how a distribution is sampled
from it (NEP 19) nor the last bit of ``log`` from the C library.  So everything that decides the bits
of a ticket is made here from raw 64-bit words with operations that IEEE 754 rounds exactly
(+, -, x, /, sqrt) and nothing else.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

# Rational approximations of Wichura's algorithm AS 241 (PPND16): numerator, denominator, lowest power first.
_CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_NEAR_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_FAR_TAIL = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip
_LOG_2 = 0.6931471805599453


def raw(label: str, count: int) -> NDArray[np.uint64]:
    """Return `count` raw 64-bit words of the stream called `label`.

    Parameters
    ----------
    label : str
        The stream's name; streams of different names are independent.
    count : int
        Number of words.

    Returns
    -------
    uint64 array, shape (count,)

    References
    ----------
    Philox4x64-10: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    key = int.from_bytes(hashlib.sha256(label.encode()).digest()[:16], "little")
    return np.random.Philox(key=key).random_raw(count)


def permutation(label: str, count: int) -> NDArray[np.int64]:
    """Return a random permutation of ``range(count)``, shape (count,), from the stream `label`."""
    words = raw(label, count)
    order = np.argsort(words)  # takes half the time of a stable one, and is the same where no two words are equal
    ranked = words[order]
    return order if (ranked[1:] > ranked[:-1]).all() else np.argsort(words, kind="stable")


def uniform(label: str, count: int) -> NDArray[np.float64]:
    """Return `count` numbers uniform on the open interval (0, 1), from the stream `label`."""
    return ((raw(label, count) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(label: str, count: int) -> NDArray[np.float64]:
    """Return `count` standard normal numbers, shape (count,), from the stream `label`."""
    return normal_quantile(uniform(label, count))


def normal_quantile(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard normal quantile of each `p` in (0, 1), to about 1e-15 relative.

    References
    ----------
    M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
    Applied Statistics 37 (1988) 477-484, routine PPND16.
    """
    q = p - 0.5
    centre = np.abs(q) <= 0.425
    r = 0.180625 - q * q
    result = np.empty_like(q)
    result[centre] = q[centre] * _ratio(_CENTRE, r[centre])
    tail = ~centre
    t = np.sqrt(-_log(np.minimum(p[tail], 1.0 - p[tail])))
    near = np.where(t <= 5.0, _ratio(_NEAR_TAIL, t - 1.6), _ratio(_FAR_TAIL, t - 5.0))
    result[tail] = np.where(q[tail] < 0.0, -near, near)
    return result


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate numerator(x) / denominator(x) by Horner's rule."""
    parts = []
    for polynomial in coefficients:
        value = np.full_like(x, polynomial[-1])
        for c in polynomial[-2::-1]:
            value = value * x + c
        parts.append(value)
    return parts[0] / parts[1]


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm from exactly rounded operations: exponent, then 2 atanh of the mantissa."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, 2.0 * mantissa, mantissa)
    exponent = np.where(small, exponent - 1, exponent)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square, series = s * s, np.zeros_like(s)
    for k in range(27, 0, -2):
        series = series * square + 1.0 / k
    return exponent * _LOG_2 + 2.0 * s * series
