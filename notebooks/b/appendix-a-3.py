# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-appendix-a-3)=
# # B Appendix A.3: Frequent patterns in winning tickets
#
# **In brief.** How many weights the kernels of the first layer keep, and which patterns of signs are most frequent among
# kernels with two to seven weights; those with three and four are in {ref}`section 6 <b-6>`. The paper's Table A.3 and its
# Figures A.5 to A.8 show both {cite:p}`signs2022`. Beside each count stands the one that chance gives.

# %% tags=["parameters"]
tickets: int = 14  # tickets in a group, if so many are trained: the paper's numbers are those of 14 of its 20
trained: bool = False  # signs at the end of the ticket's training; False: those of its initial weights

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, pages_b, paper_b, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
settings = paper_b.kernel_settings(tickets, trained)

# %%
groups = pages_b.kernel_groups(store, settings)

# %% [markdown]
# ## Weights left in a kernel
#
# A ticket has $64 \cdot 3 = 192$ kernels and 542 weights in them, the paper's fourteen tickets 2,688 and 7,588. All groups have
# as many tickets, so a row can differ from another only in how the weights are spread. The paper's random tickets are as chance has them in every
# column; its winning tickets are not, and that can be seen in its own numbers.

# %%
pages_b.kernel_count_table(store, groups, "tab-b-a-3")

# %% [markdown]
# ## Patterns
#
# A pattern of few weights has many kernels to occur in, one of many weights has few: with seven weights there are about a
# dozen kernels in fourteen tickets and thousands of possible patterns, so a pattern that occurs twice is already an event.

# %%
pages_b.pattern_panel(store, groups, 2, "fig-b-a-5", "the paper's Figure A.5")

# %%
pages_b.pattern_panel(store, groups, 5, "fig-b-a-6", "the paper's Figure A.6")

# %%
pages_b.pattern_panel(store, groups, 6, "fig-b-a-7", "the paper's Figure A.7")

# %%
pages_b.pattern_panel(store, groups, 7, "fig-b-a-8", "the paper's Figure A.8")

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scoring.score("B", "Appendix A.3", store, settings=settings)))

# %%
markdown(pages.provenance(store, list(paper_b.KERNEL_LABELS.values())))
