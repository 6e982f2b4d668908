# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (deviations)=
# # Register of deviations
#
# **In brief.** Where this book does not do what a paper did, or cannot know what it did: a setting that is not stated, a data
# set that could not be had, a formula that cannot be right. For each: what we do, why, and
# which claims have another verdict when it is done otherwise.

# %% tags=["parameters"]
level: str = "80"  # the level at which settings are compared, in percent pruned: 50, 60 or 80

# %% [markdown]
# ## Settings that the papers do not state
#
# | paper | what is open | what we do | why | effect |
# | --- | --- | --- | --- | --- |
# | A | optimiser and learning rate of the small networks | Adam, 0.0012, batches of 60, Glorot normal | the values of {cite:t}`frankle2019` for LeNet | {numref}`tab-deviations-effects`, {numref}`tab-deviations` |
# | A | scaling of the pixels | divided by 255 | {cite:t}`zhou2019`, whom the paper follows, do no more | {numref}`tab-deviations-effects`, {numref}`tab-deviations` |
# | A | what "a small ResNet18" is | 16, 3 x [16, 16], 3 x [32, 32], 3 x [64, 64], average, dense 10; batches of 128 | the Resnet-18 for CIFAR-10 of {cite:t}`frankle2019` | none measured yet |
# | A | which of its layers 1, 11, 12, 18, 19 are | all layers are computed; both ways of counting are scored | no order fits every range in the paper | {numref}`tab-deviations-effects` |
# | A | randomness that is not fixed "in for example the sampling of the batches, and the gradients" | only the batch order differs between free runs: kernels are deterministic, and no noise of rounding is put in | runs can be repeated bit by bit | not measured; noise alone parts runs of one order ({ref}`A 3.4 <a-3-4>`) |
# | A | what "partially fixed randomness" is | same initial weights and batch order; relative noise of one step of 32-bit rounding | of four readings the one whose words fit best | {numref}`tab-deviations-effects`; {ref}`A 3.4 <a-3-4>`, {ref}`A 3.5 <a-3-5>` |
# | A | which rank correlation, over which weights | Spearman's, signed, over the surviving weights; magnitudes and all weights beside it | the plainest reading | {numref}`tab-deviations-effects`; {ref}`A 3.2.3 <a-3-2-3>` |
# | A | of which outputs the CKA is taken | of the logits; of softmax outputs beside it | what the last layer says, before the softmax draws sure answers together | {numref}`tab-deviations-effects`; {ref}`A Appendix C <a-appendix-c>` |
# | B | how a match of units crosses convolution and flattening in NNSTD | it is carried in blocks of kernels and pixels; also without | the only way that keeps connections whole | {numref}`tab-deviations-effects`; {ref}`B 5 <b-5>` |
# | B | which of two networks comes first, where matches tie | groups in the order of their names, tickets in that of their trials | no distance may change when a trial is added | {ref}`B 3 <b-3>` |
# | B | which neighbours are meant in a kernel | those that share an edge | the paper's 34.5 % for random kernels fits 12 of 36 pairs, not 20 of 36 | {numref}`tab-deviations-effects` |
# | B | whether signs are those of the initial or of the trained weights | those of the initial weights; of the trained ones by a parameter | a ticket is a mask with the weights it starts from | {numref}`tab-deviations-effects`; {ref}`B 5 <b-5>` |
# | both | precision of the training | fp32; of paper B's network and the ResNet products are of numbers rounded to bf16, with sums, weights and optimiser in fp32, as the source below each figure says | in fp32 these two take days of a CPU | none that could be measured, after two epochs a level: {doc}`/performance` |
# | both | rounding of the number of weights kept; biases | cut to a whole number in every layer; biases are never pruned | the code that paper A follows {cite:p}`zhou2019`; paper B's 542 weights of its first layer fit | none: the counts in the papers fit ({ref}`A 2 <a-2>`, {ref}`B A.3 <b-appendix-a-3>`) |
# | both | numbers for words such as "slightly", "low", "the same performance" | limits that stand beside the claim in `lib/paper_a.py` and `lib/paper_b.py` | a verdict needs a number | not measured: one limit each, fixed before |
#
# ## Data sets and experiments that could not be had
#
# | paper | what | what we do | effect |
# | --- | --- | --- | --- |
# | B | CINIC-10 and SVHN | ten superclasses of CIFAR-100, and digits on photographs, stand in under their own names | no claim about CINIC-10 or SVHN is scored on a stand-in: they are *not testable here* ({ref}`B 1 <b-1>`) |
# | both | trials of an experiment that are not trained yet | what is measured rests on those that are; captions, verdicts and sources say how many | {numref}`tab-deviations-effects` lists them |
# | both | experiments that are not trained yet | nothing in their place | their claims are *not testable here*, and their panels name the command that trains them |
#
# ## Where a paper cannot be right, or contradicts itself
#
# | paper | what | what we do | effect |
# | --- | --- | --- | --- |
# | A | captions of 80, 90 and 90 % pruned, expected overlaps of 90, 95 and 98 % | every claim is scored at both levels; about rank correlations too, whose captions nothing contradicts but that they are of the same tickets | {numref}`tab-deviations-effects`; the verdict is *partly* where they differ |
# | A | equations 3, 5 and 7 drop a factor and add a variance to a mean; equation 6 gives a negative share of weights | exact distributions, checked by simulation; the printed formulas once, beside them | {ref}`A Appendix B <a-appendix-b>` |
# | A | equation 2 calls the variance sigma | its root is the standard deviation | none: the mean decides |
# | A | "a 10 % ticket, expected overlap 5 %" | the expected overlap is the kept fraction, 10 % | {ref}`A Appendix B <a-appendix-b>` |
# | A | pairs that share tickets are counted as independent; hundreds of tests without a correction | the exact rate of false positives beside every share; intervals from resampling initialisations | {ref}`A D.2 <a-appendix-d-2>` |
# | A | a distance of outputs is taken to refute symmetry | masks are compared too, by what their units keep | {ref}`A 3.3 <a-3-3>` |
# | B | "50 comparisons", while its p and d imply about 30 | 50 pairs are drawn, or all by a parameter; a permutation test over tickets beside Welch's | {numref}`tab-deviations-effects`; {ref}`B 5 <b-5>` |
# | B | random tickets with as many positive as negative weights, winning ones with up to twice as many positive | a control with the same ratio of signs and the same survivors of each filter | {ref}`B 5 <b-5>` |
# | B | kernel statistics of 14 tickets, of 20 | 14; all by a parameter | {numref}`tab-deviations-effects` |
# | B | its rates keep 378,831.4 weights (its 91.2 %), which is no number of weights | the exact fraction after all rounds, cut to a whole number once in each layer: 378,829 | none: two weights of 378,831 |
# | A | Figure 4a: "no shared weights already in iteration two" in deep layers of the ResNet, where five random masks share 2.6 % of a mask | chance stands beside the measurement | {ref}`A 3.2.1 <a-3-2-1>` |
#
# ## Measured effects
#
# Each claim that a departure touches is judged twice: as it is decided in this book, and otherwise. Where the tickets for that
# are missing, the table says so, and fills itself when they come.
# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import evidence, pages, pages_a, paper_a, sources
from lib.errors import UserError
from lib.notebook import markdown, table
from lib.tickets import Store

if level not in ("50", "60", "80"):
    raise UserError(f"level is {level!r}: it should be 50, 60 or 80, to which all settings are trained")
store = Store()
pages.effect_table(store, "tab-deviations-effects")

# %% [markdown]
# ## Settings of training
#
# How much two tickets of one initialisation share, by layer, when one setting is changed. Chance is the same for all.

# %%
settings = pages_a.SETTINGS
measured, lacking = {}, []
for name in settings:
    try:
        measured[name] = evidence.overlaps(store, name, level)
    except evidence.Missing:
        lacking.append(name)
if paper_a.FASHION in measured:
    layers = measured[paper_a.FASHION]
    rows = [["chance", *(f"{y.expected:.1f} %" for y in layers)]]
    rows += [[settings[n], *(f"{y.values.mean():.1f} %" for y in found)] for n, found in measured.items()]
    rows += [[f"{settings[n]} (not trained yet)", *("–" for _ in layers)] for n in lacking]
    table(
        ["setting", *(y.layer for y in layers)],
        rows,
        "tab-deviations",
        f"Mean overlap of two tickets of one initialisation at {level} % pruned, in % of the mask, by layer, "
        f"{pages.network_words(paper_a.FASHION)}, when one setting is changed.",
        sources.tickets(store, *measured),
    )
else:
    table(
        ["setting"],
        [[settings[n]] for n in settings],
        "tab-deviations",
        "Settings; none of them is trained yet.",
        [sources.SPECIFIED],
    )

# %%
if lacking:
    markdown("\n".join(f"- `{name}`: {pages.how_to_train(name)}" for name in lacking))
