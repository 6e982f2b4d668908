# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (index)=
# # The winning-tickets book
#
# What do the *winning tickets* of a neural network, sparse sub-networks that train as well as the whole, have in common? Paper **A**,
# "How many winning tickets are there in one DNN?" {cite:p}`grosse2020`, finds that the same initial weights give a new
# ticket at every training run, and that these overlap as by chance. Paper **B**, "Signs in the lottery"
# {cite:p}`signs2022`, finds structure that they share all the same. This book repeats both with networks trained for it.

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %% tags=["remove-input"]
from lib import pages, paper_a, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
scored = scoring.score_all(store=store)
markdown(pages.answers(store, scored))

# %% [markdown]
# ## The ledger of claims
#
# For every figure, table and claim of both papers the ledger says what the paper says, what was measured and which verdict
# follows, by [a rule](rules.md) that was fixed before the values it judges were looked at; where that was not so, the history of
# the repository says why. The same as a table that can be searched: [all claims](notebooks/claims).

# %% tags=["remove-input"]
pages.ledger_chart(store, scored, "fig-ledger")

# %% tags=["remove-input"]
markdown(pages.state_of_the_ledger(store, scored))

# %% [markdown]
# ## What is trained
#
# A network is trained whole, pruned, and trained again level by level. {doc}`re-run` says how to train more of them.

# %% tags=["remove-input"]
pages.trained_table(store)

# %% [markdown]
# ## The chapters
#
# Each chapter repeats one section of a paper under the paper's own section number, and ends with that section's claims.
# Code is folded away; every number comes from it, and can be traced to ticket files, their hashes and the command that trained
# them. {doc}`re-run` says how to build the book, to change a chapter's parameters and to train again.
#
# ```{tableofcontents}
# ```

# %% tags=["remove-input"]
markdown(pages.provenance(store, [paper_a.FASHION]))
