# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (claims)=
# # All claims
#
# Every figure, table and quantitative claim of both papers, in the order of the papers, with what the paper says, what
# was measured and the verdict. The [rules](../rules.md) say how a verdict is earned. The same list for machines:
# `python -m lib claims --format json`.

# %% tags=["parameters"]
paper: str = "A and B"  # whose claims are listed: A, B, or A and B

# %% tags=["remove-input"]
from lib import pages, scoring
from lib.errors import UserError
from lib.notebook import markdown

if paper not in ("A", "B", "A and B"):
    raise UserError(f"paper is {paper!r}: it should be 'A', 'B' or 'A and B'")
scored = scoring.score_all(paper if paper in ("A", "B") else None)

# %% tags=["remove-input"]
markdown(pages.ledger(scored))
