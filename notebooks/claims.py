# ---
# jupyter:
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
#
# <div id="claims-filter"></div>

# %% tags=["parameters"]
paper: str = "A and B"  # whose claims are listed: A, B, or A and B

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %% tags=["remove-input"]
from lib import pages, scoring
from lib.errors import UserError
from lib.notebook import markdown

if paper not in ("A", "B", "A and B"):
    raise UserError(f"paper is {paper!r}: it should be 'A', 'B' or 'A and B'")
scored = scoring.score_all(paper if paper in ("A", "B") else None)

# %% tags=["remove-input"]
markdown(pages.ledger(scored))
