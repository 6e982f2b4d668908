"""Paper B's claims: which tickets each needs, and which measurement decides it.

One function a section gives the measurements of that section's claims, which `lib.claims` judges.  Where the paper
gives no number ("similar", "very low") the limit is fixed here, beside the claim, and named in its words.
"""

import dataclasses
from collections.abc import Callable, Sequence

from lib.claims import Claim, Measurement
from lib.tickets import Store

CIFAR, CINIC, SVHN = "b/conv2/cifar10", "b/conv2/cinic10", "b/conv2/svhn"
# The paper's names of its data sets, in the order of its tables, and the experiments on them.
DATASETS = {"CIFAR": CIFAR, "CINIC": CINIC, "SVHN": SVHN}
# Shown beside them under names of their own; no claim about CINIC-10 or SVHN is ever scored on them.
STAND_INS = {"super10": "b/conv2/cifar100-super10", "photo": "b/conv2/mnist-photo"}
STANDARDISED = "b/conv2/cifar10-standardised"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the paper leaves open: the switches of the chapters. The ledger is scored at the defaults.

    Attributes
    ----------
    carry : bool
        Whether the match of a layer's units is carried to the inputs of the next layer.
    trained : bool
        Signs at the end of the tickets' training, not those of their initial weights.
    same_start : bool
        Whether pairs count whose two tickets have the same initial weights.
    tickets : int
        How many of a group's tickets are used, the first ones; 0 for all.
    """

    carry: bool = True
    trained: bool = False
    same_start: bool = False
    tickets: int = 0


def needed(claim: Claim) -> list[str]:
    """Return the experiments that a claim is about: of the data sets that its setting names, or of all three."""
    named = [name for key, name in DATASETS.items() if key in claim.setting.get("dataset", "")]
    return named or list(DATASETS.values())


def _lacking(store: Store, ledger: Sequence[Claim], settings: Settings) -> dict[str, list[Measurement]]:
    """Measure nothing yet: every claim says which tickets it needs."""
    return {c.id: [Measurement(missing=", ".join(needed(c)))] for c in ledger if c.check != "figure"}


SECTIONS: dict[tuple[str, str], Callable[..., dict[str, list[Measurement]]]] = {
    ("B", "Abstract"): _lacking,
    ("B", "2"): _lacking,
    ("B", "3"): _lacking,
    ("B", "4"): _lacking,
    ("B", "5"): _lacking,
    ("B", "6"): _lacking,
    ("B", "7"): _lacking,
    ("B", "Appendix A.1"): _lacking,
    ("B", "Appendix A.2"): _lacking,
    ("B", "Appendix A.3"): _lacking,
}
