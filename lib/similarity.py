"""How alike tickets are beyond their masks: their outputs, and the order of their weights.

Outputs have the shape (R, samples, classes), one block for each of R replicas; every function takes all of them at
once.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lib.errors import UserError, shown, whole

# Weights that are ranked at once: ranking needs several copies of them.
_BLOCK = 2**22
# With two weights a rank correlation is 1 or -1, whatever they are.
_LEAST = 3

_OF = ("signed", "magnitude")
_OVER = ("survivors", "all")


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probabilities of the classes, which lie along the last axis.

    Parameters
    ----------
    logits : float array, shape (..., classes)

    Returns
    -------
    float64 array, shape (..., classes)
        The sum over the classes is 1.

    Raises
    ------
    UserError
        If `logits` is not a finite float array with at least one class.
    """
    _check("logits", logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise UserError(f"logits has the shape {logits.shape}: it should be (..., classes), with at least one class")
    # Less the largest logit: exp of a large one would overflow.
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cka(outputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the linear centred kernel alignment of the outputs of every pair of replicas.

    With the columns of X and Y centred it is ||X'Y||^2 / (||X'X|| ||Y'Y||), in Frobenius norms.  One Gram product of
    the classes of all replicas holds X'Y of every pair.

    Parameters
    ----------
    outputs : float array, shape (R, samples, classes)
        Logits, or probabilities by `softmax`.

    Returns
    -------
    float64 array, shape (R, R)
        Between 0 and 1, symmetric, with 1 on the diagonal.  Neither an orthogonal transformation of the classes, nor
        a shift, nor a common scale changes it: 1 does not mean that two outputs are equal.

    Raises
    ------
    UserError
        If `outputs` is not such an array, or a replica's output is the same for all samples.

    References
    ----------
    Kornblith et al. 2019, "Similarity of neural network representations revisited", arXiv:1905.00414, section 3;
    paper A, appendix C and figures 6, 9 and 15.
    """
    _check_outputs(outputs)
    constant = (outputs == outputs[:, :1]).all(axis=(1, 2))
    if constant.any():
        raise UserError(
            f"outputs of replica {constant.argmax()} are the same for all samples: CKA needs outputs that vary"
        )
    replicas, _, classes = outputs.shape
    centred = outputs - outputs.mean(axis=1, keepdims=True, dtype=np.float64)
    # A common scale does not matter; this one keeps the fourth powers below from overflow and underflow.
    centred /= np.abs(centred).max(axis=(1, 2), keepdims=True)
    columns = np.concatenate(centred, axis=1)
    gram = (columns.T @ columns).reshape(replicas, classes, replicas, classes)
    products = np.einsum("icjd,icjd->ij", gram, gram)
    norms = np.sqrt(np.diag(products))
    # Rounding may lift the value of two equal outputs above 1, and make the halves differ in the last bit.
    result = np.minimum((products + products.T) / (2 * np.outer(norms, norms)), 1.0)
    np.fill_diagonal(result, 1.0)
    return result


def l2(outputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean distance of the outputs of every pair of replicas.

    It is the Euclidean distance of the two outputs of a sample, averaged over the samples.  It is taken from
    differences, not from Gram products: these would cancel, and whether two tickets have *exactly* the same outputs
    is the paper's question.

    Parameters
    ----------
    outputs : float array, shape (R, samples, classes)
        Logits, or probabilities by `softmax`.

    Returns
    -------
    float64 array, shape (R, R)
        Symmetric; exactly 0 between equal outputs.

    Raises
    ------
    UserError
        If `outputs` is not such an array.

    References
    ----------
    Paper A, section 3.3, appendix C and figure 9, which do not say how samples are combined.
    """
    _check_outputs(outputs)
    outputs = outputs.astype(np.float64)
    result = np.zeros((len(outputs), len(outputs)))
    for row in range(len(outputs) - 1):
        # One replica against all later ones: all pairs at once would not fit into the cache, nor perhaps into memory.
        difference = outputs[row + 1 :] - outputs[row]
        squares = np.einsum("rsc,rsc->rs", difference, difference)
        result[row, row + 1 :] = np.sqrt(squares).mean(axis=1)
    return result + result.T


def rank_correlations(
    initial: NDArray[np.floating],
    final: NDArray[np.floating],
    masks: NDArray[np.bool_],
    of: str = "signed",
    over: str = "survivors",
) -> NDArray[np.float64]:
    """Return Spearman's correlation of the initial and the final weights of one layer, for every replica.

    Paper A "compute[s] the rank correlation between the initial weights and the weights of the resulting winning
    tickets": a ticket is compared with the initialisation that it came from, not with another ticket.  The paper says
    neither which correlation nor over which weights; the defaults are the plainest reading, the weights with their
    signs, over those that the ticket kept.

    Parameters
    ----------
    initial, final : float array, shape (R, n)
        The layer's weights before and after training.
    masks : bool array, shape (R, n)
        They all keep the same number of weights, at least 3.
    of : {'signed', 'magnitude'}
        Whether the weights are ranked, or their absolute values.
    over : {'survivors', 'all'}
        Whether the kept weights are ranked, or all; a pruned weight then ends as zero, whatever `final` holds.

    Returns
    -------
    float64 array, shape (R,)
        From -1 to 1; equal weights share the mean of their ranks.  `null_deviation` is its spread by chance.

    Raises
    ------
    UserError
        If an argument does not fit; also if the masks keep fewer than 3 weights, or all weights to be ranked are
        equal in one replica: there is no correlation then, and none is made up.

    References
    ----------
    Paper A, section 3.2.3, figures 5 and 12.
    """
    _check_layer(initial, final, masks)
    for name, value, known in (("of", of, _OF), ("over", over, _OVER)):
        if not isinstance(value, str) or value not in known:
            raise UserError(f"{name} is {shown(value)}: it should be {' or '.join(map(repr, known))}")
    if over == "survivors":
        before, after = (weights[masks].reshape(len(masks), -1) for weights in (initial, final))
    else:
        before, after = initial, np.where(masks, final, 0)
    at_once = max(1, _BLOCK // before.shape[1])
    result = np.empty(len(masks))
    for start in range(0, len(masks), at_once):
        rows = slice(start, start + at_once)
        x, y = _centred_ranks(before[rows], of), _centred_ranks(after[rows], of)
        squares = np.einsum("rn,rn->r", x, x) * np.einsum("rn,rn->r", y, y)
        if not squares.all():
            raise UserError(
                f"weights of replica {start + int(squares.argmin())} are all equal: a rank correlation needs weights "
                "that differ, both initial and final"
            )
        result[rows] = np.einsum("rn,rn->r", x, y) / np.sqrt(squares)
    return result


def null_deviation(t: int) -> float:
    """Return the standard deviation of Spearman's correlation of `t` pairs in random order: 1 / sqrt(t - 1).

    It is exact when no two values of a variable are equal.

    Parameters
    ----------
    t : int
        Number of weights that are ranked, at least 2.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If `t` is not a whole number of at least 2.

    References
    ----------
    Kendall and Gibbons, "Rank correlation methods", 5th edition, 1990, chapter 4.
    """
    return float(1 / np.sqrt(whole("t", t, 2) - 1))


def _centred_ranks(weights: NDArray[np.floating], of: str) -> NDArray[np.float64]:
    ranks = rankdata(np.abs(weights) if of == "magnitude" else weights, axis=1)
    return ranks - (weights.shape[1] + 1) / 2


def _check_layer(initial: NDArray[np.floating], final: NDArray[np.floating], masks: NDArray[np.bool_]) -> None:
    _check("initial", initial)
    _check("final", final)
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim != 2 or len(masks) == 0:
        raise UserError(f"masks is {_kind(masks)}: it should be a bool array of shape (replicas, weights)")
    for name, weights in (("initial", initial), ("final", final)):
        if weights.shape != masks.shape:
            raise UserError(f"{name} has the shape {weights.shape}: it should be {masks.shape}, as masks has")
    kept = masks.sum(axis=1)
    if kept.min() != kept.max() or kept[0] < _LEAST:
        raise UserError(
            f"masks keep {kept.min()} to {kept.max()} weights: all should keep the same number, at least {_LEAST}"
        )


def _check_outputs(outputs: NDArray[np.floating]) -> None:
    _check("outputs", outputs)
    if outputs.ndim != 3 or 0 in outputs.shape:
        raise UserError(
            f"outputs has the shape {outputs.shape}: it should be (replicas, samples, classes), with one of each"
        )


def _check(name: str, values: NDArray[np.floating]) -> None:
    if not isinstance(values, np.ndarray) or not np.issubdtype(values.dtype, np.floating):
        raise UserError(f"{name} is {_kind(values)}: it should be a float array")
    if not np.isfinite(values).all():
        raise UserError(f"{name} has a value that is {values[~np.isfinite(values)][0]}: all should be finite")


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of shape {value.shape}"
    return f"of type {type(value).__name__}"
