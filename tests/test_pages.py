"""Blocks of a chapter: figures with their captions, claims, provenance, and what stands where tickets are missing."""

import hashlib
import itertools
import json
import re

import numpy as np
import pytest
from made import CORRECT, PROVENANCE, made_store

from lib import build, claims, pages, paper_a, scoring
from lib.errors import UserError
from lib.experiments import find
from lib.paper_a import CIFAR, FASHION
from lib.tickets import Store

EXPERIMENT = find(FASHION)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return made_store(tmp_path_factory.getbasetemp() / "independent", EXPERIMENT)


@pytest.fixture
def shown(monkeypatch):
    """What a chapter would show: figures as (figure, name, caption, alt), texts as strings."""
    found = []
    monkeypatch.setattr(pages, "show", lambda *parts: found.append(parts))
    monkeypatch.setattr(pages, "markdown", found.append)
    return found


def mean_overlap(store, level, layer, within=True):
    masks = store.read(EXPERIMENT, EXPERIMENT.level(level)).masks[:, EXPERIMENT.architecture.weight_slices()[layer]]
    pairs = [(a, b) for a, b in itertools.combinations(range(25), 2) if (a // 5 == b // 5) == within]
    return np.mean([100 * (masks[a] & masks[b]).sum() / masks[a].sum() for a, b in pairs])


def test_an_overlap_panel_quotes_what_was_measured(store, shown):
    pages.overlap_panel(store, paper_a.PANELS["A-F3a"], "80", "fig-x", "the paper's Figure 3a", key="A-F3a")
    ((figure, name, caption, alt),) = shown
    assert name == "fig-x"
    for layer in ("conv1", "conv2", "dense1", "dense2", "output"):
        words = f"{layer} {mean_overlap(store, '80', layer):.1f} % (chance 20.0 %)"
        assert words in caption and words in alt
    assert "one initialisation at 80 % pruned; the paper's Figure 3a. Each dot is one of 50 pairs" in caption
    assert "Orange: what the paper's text says" in caption
    assert caption.endswith(f"Experiment: `{FASHION}`.")
    assert len(figure.axes) == 5


def test_an_overlap_panel_of_some_layers_across_initialisations(store, shown):
    panel = paper_a.PANELS["A-F2-1"]
    pages.overlap_panel(store, panel, "50", "fig-x", "the paper's Figure 2", "output,conv1")
    ((figure, _, caption, _),) = shown
    assert len(figure.axes) == 2
    assert "different initialisations" in caption and "one of 250 pairs" in caption and "Orange" not in caption
    assert f"conv1 {mean_overlap(store, '50', 'conv1', within=False):.1f} % (chance 50.0 %)" in caption
    assert "dense1" not in caption
    with pytest.raises(UserError, match="layers names 'conv9'"):
        pages.overlap_panel(store, panel, "50", "fig-x", "x", "conv9")


def test_an_accuracy_panel_quotes_the_means(store, shown):
    pages.accuracy_panel(store, FASHION, "fig-x", "the paper's Figure 1b")
    ((_, _, caption, alt),) = shown
    for level, correct in CORRECT.items():
        # Replica r has `correct` + r of 10,000 right; the mean of r is 12.
        words = f"{(correct + 12) / 100:.2f} % {'dense' if level == 'dense' else f'at {level} %'}"
        assert words in caption and words in alt
    assert "all 25 runs" in caption


def test_panels_of_missing_tickets_name_the_experiment_and_the_command(tmp_path, shown):
    nothing = Store(tmp_path / "nothing")
    pages.overlap_panel(nothing, paper_a.PANELS["A-F3b"], "90", "fig-x", "the paper's Figure 3b")
    pages.accuracy_panel(nothing, FASHION, "fig-x", "the paper's Figure 1b")
    part = made_store(tmp_path / "part", EXPERIMENT, levels=2)
    pages.overlap_panel(part, paper_a.PANELS["A-F3a"], "80", "fig-x", "the paper's Figure 3a")
    assert len(shown) == 3 and all(isinstance(block, str) for block in shown)
    for block, title, needs in zip(
        shown,
        ("The paper's Figure 3b", "The paper's Figure 1b", "The paper's Figure 3a"),
        (CIFAR, FASHION, f"{FASHION} at 80 %"),
        strict=True,
    ):
        assert block.startswith(f":::{{admonition}} {title}: not trained yet\n:class: note missing-panel\n")
        assert block.endswith("\n:::\n")
        assert f"needs the tickets of `{needs}`" in block
        assert f"`python -m lib train {needs.split(' at ')[0]}`" in block


def test_an_experiment_without_a_specification_says_so():
    assert "its specification is not in `lib.experiments` yet" in pages.how_to_train("a/nothing/free")
    assert pages.how_to_train(FASHION) == f"`python -m lib train {FASHION}` trains them."


def test_provenance_holds_what_the_manifest_and_the_files_hold(store):
    block = pages.provenance(store, [FASHION])
    folder = store.root / FASHION
    manifest = json.loads((folder / "manifest.json").read_text())
    rows = re.findall(r"^\| (\S+)(?: %)? \| `(\S+)` \| ([\d,]+) \| `([0-9a-f]{16})…` \|$", block, re.MULTILINE)
    assert [row[0] for row in rows] == ["dense", "50", "60", "80", "90", "95", "98"]
    for level, file, size, digest in rows:
        content = (folder / file).read_bytes()
        assert int(size.replace(",", "")) == len(content)
        assert hashlib.sha256(content).hexdigest().startswith(digest)
        assert manifest["levels"][level]["file"] == file
    assert f"`{EXPERIMENT.fingerprint()}`" in block
    assert f"`python -m lib train {FASHION}`" in block
    assert "5 initialisations x 5 runs" in block
    assert "a pretended machine (2 processes)" in block
    assert "Python 3.0, torch 2.0, NumPy 1.0" in block
    assert f"SHA-256 `{PROVENANCE['data']['sha256'][:16]}…`" in block and "60,000 for training, 10,000 for" in block
    assert "in 10 minutes" in block  # seven levels of 90 seconds are 10.5
    assert manifest["levels"]["dense"]["finished"][:10] in block
    assert "not trained yet" not in block
    assert block.startswith(":::{dropdown}") and block.endswith("\n:::\n") and block.count(":::") == 2


def test_provenance_names_what_is_not_there(tmp_path):
    part = made_store(tmp_path, EXPERIMENT, levels=3)
    block = pages.provenance(part, [FASHION, "a/nothing/free"])
    assert "Levels not trained yet: 80, 90, 95, 98. " in block
    assert "**`a/nothing/free`**: not trained." in block
    assert block.count("…` |") == 3


def test_the_claims_of_a_section_are_counted_and_all_there(store):
    scored = scoring.score("A", "Appendix A", store)
    block = pages.claims_block(scored)
    first, _, rest = block.partition(".\n\n")
    total, counts = re.fullmatch(r"(\d+) entries of the ledger: (.*)", first).groups()
    numbers = {verdict: int(n) for n, verdict in re.findall(r"(\d+) ([a-z ]+)", counts)}
    assert int(total) == len(scored) == sum(numbers.values())
    for verdict in claims.Verdict:
        badges = rest.count(f'">{verdict}</span>')
        assert badges == numbers.get(str(verdict), 0) == sum(s.verdict == verdict for s in scored)
    for s in scored:
        assert f'id="claim-{s.claim.id}"' in rest


def test_the_ledger_has_a_heading_for_each_section_and_each_claim_once(tmp_path):
    scored = scoring.score_all(store=Store(tmp_path))
    page = pages.ledger(scored)
    sections = list(dict.fromkeys((c.paper, c.section) for c in claims.load().values()))
    assert re.findall(r"^### (\w) (.+)$", page, re.MULTILINE) == sections
    assert re.findall(r"^## Paper (\w)$", page, re.MULTILINE) == ["A", "B"]
    assert re.findall(r'id="claim-([^"]+)"', page) == list(claims.load())


def test_the_state_of_the_ledger_adds_up(store):
    scored = scoring.score_all(store=store)
    text = pages.state_of_the_ledger(store, scored)
    assert f"The ledger has {len(scored)} entries" in text
    nothing = int(re.search(r"(\d+) of them claim nothing", text)[1])
    rest = int(re.search(r"Of the other (\d+)", text)[1])
    badges = [int(n) for n in re.findall(r'(\d+) <span class="verdict', text)]
    assert nothing + rest == len(scored) and sum(badges) == rest
    assert f"`{FASHION}` (25 networks x 6 pruned levels)" in text


def test_the_state_of_an_empty_ledger(tmp_path):
    text = pages.state_of_the_ledger(Store(tmp_path), scoring.score_all("A", "2", Store(tmp_path)))
    assert "Trained so far: nothing yet." in text


def test_the_readme_says_the_state_of_the_ledger():
    text = (build.ROOT / "README.md").read_text(encoding="utf-8")
    assert pages.readme(text)[0] == text, "python -m lib readme brings it up to date"
