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
# Two papers ask what the *winning tickets* of a neural network have in common: sparse sub-networks that train as well as
# the whole. **A**, "How many winning tickets are there in one DNN?" {cite:p}`grosse2020`, finds that the same initial
# weights give a new ticket at every training run, and that these overlap as by chance. **B**, "Signs in the lottery"
# {cite:p}`signs2022`, finds structure that winning tickets share all the same. This book repeats both with networks
# trained for it, section by section. For every figure, table and claim it says what the paper says, what was measured, and
# which verdict follows.

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %% tags=["remove-input"]
from lib import claims, figures, pages, paper_a, scoring, sources
from lib.notebook import markdown, show
from lib.tickets import Store

store = Store()
scored = scoring.score_all(store=store)
counts = claims.summary(scored)

# %% tags=["remove-input"]
markdown(pages.state_of_the_ledger(store, scored))

# %% tags=["remove-input"]
pages.overlap_brief(store, paper_a.PANELS["A-F8a"], paper_a.PANELS["A-F2-1"])

# %% [markdown]
# ## The state of the ledger

# %% tags=["remove-input"]
said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
show(
    lambda: figures.verdict_bars(scored),
    "fig-ledger",
    f"Every entry of the ledger that can be decided, by section of the two papers. Of {len(scored)} entries: {said}. "
    "*Open* means that no chapter has measured it yet; *not testable here* that its tickets are missing. All claims "
    "stand in [the ledger](notebooks/claims).",
    f"Stacked bars, one for each section of the papers, coloured by verdict: {said}.",
    sources.tickets(store, *(experiment.name for experiment in store.experiments())),
)

# %% [markdown]
# ## How to read this book
#
# Each chapter repeats one section of a paper under the paper's own section number, and ends with that section's claims.
# A claim earns its verdict by [a rule](rules.md) that was fixed before the values it judges were looked at; where that was
# not so, the history of the repository says why. Code is folded away; every number comes from it, and every number can be traced to ticket files, their hashes and the command that trained
# them. [How to re-run this book](re-run.md) says how to build it, to change a chapter's parameters and to train again.
#
# | chapter | what it shows |
# | --- | --- |
# | {ref}`A 1 <a-1>` | the paper's six contributions, with their verdicts so far |
# | {ref}`A 2 <a-2>` | set-up, accuracies by level, the baseline |
# | {ref}`A 3.1 <a-3-1>` | whether tickets of one initialisation are the same |
# | {ref}`A 3.2.1 <a-3-2-1>`, {ref}`3.2.2 <a-3-2-2>` | weights that all runs share, and weights that none keeps |
# | {ref}`A 3.2.3 <a-3-2-3>`, {ref}`3.2.4 <a-3-2-4>` | rank correlations of initial and final weights; what follows |
# | {ref}`A 3.3 <a-3-3>`, {ref}`Appendix C <a-appendix-c>` | whether tickets are one network in disguise |
# | {ref}`A Appendix A <a-appendix-a>` | the same at the first pruning step |
# | {ref}`A Appendix B <a-appendix-b>` | what five masks share by chance: exact, printed, simulated |
# | {ref}`B 1, 2 <b-1>` | what paper B sets out to show, and which tickets that needs |
# | {ref}`B 3 <b-3>` | NNSTD and NNSTD with signs, on two small networks that you can change |
# | {ref}`B 4 <b-4>` | set-up; whether the tickets win |
# | {ref}`B 5 <b-5>`, {ref}`Appendix A.1 <b-appendix-a-1>`, {ref}`A.2 <b-appendix-a-2>` | winning and random tickets compared, and layer by layer |
# | {ref}`B 7 <b-7>` | what the conclusion needs to stand |
# | {ref}`Claims <claims>` | the whole ledger |

# %% tags=["remove-input"]
markdown(pages.provenance(store, [paper_a.FASHION]))
