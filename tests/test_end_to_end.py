"""From images to a page: a small network is trained, stored, verified, scored, and a chapter of the book shows it."""

import base64
import dataclasses
import itertools
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from made import made_images

pytest.importorskip("torch")

from lib import build, paper_a, scoring, training
from lib.experiments import EXPERIMENTS, find
from lib.pruning import percent_levels
from lib.tickets import Store

ROOT = Path(__file__).resolve().parent.parent
FASHION = paper_a.FASHION
# Stands in the place of the Fashion-MNIST experiment: the same network, but few images, levels and runs.
SMALL = {"inits": 2, "runs": 2, "epochs": 1, "batch": 20}
LEVELS = ("80", "90")


@pytest.fixture
def small(project, monkeypatch):
    """The small experiment, in this process and in the library of a project of its own."""
    experiment = dataclasses.replace(find(FASHION), levels=percent_levels(*LEVELS), **SMALL)
    monkeypatch.setitem(EXPERIMENTS, FASHION, experiment)
    with (project / "lib" / "experiments.py").open("a", encoding="utf-8") as file:
        file.write(
            f"\nEXPERIMENTS[{FASHION!r}] = dataclasses.replace("
            f"find({FASHION!r}), levels=percent_levels(*{LEVELS!r}), **{SMALL!r})\n"
        )
    (project / "data").mkdir()
    for name in ("claims.yaml", "claims.sha256"):
        shutil.copy(ROOT / "data" / name, project / "data")
    shutil.copy(ROOT / "notebooks" / "a" / "3-1.py", project / "notebooks" / "a")
    return experiment


def images_of_28_pixels():
    images = made_images()
    frame = ((0, 0), (0, 0), (8, 8), (8, 8))
    return dataclasses.replace(images, train=np.pad(images.train, frame), test=np.pad(images.test, frame))


def mean_overlaps(store, experiment, level):
    """Mean overlap in % of the mask within an initialisation, by layer, counted in sets."""
    masks = store.read(experiment, experiment.level(level)).masks
    means = {}
    for layer, where in experiment.architecture.weight_slices().items():
        kept = [set(np.flatnonzero(mask).tolist()) for mask in masks[:, where]]
        pairs = [
            (a, b)
            for a, b in itertools.combinations(range(len(kept)), 2)
            if a // experiment.runs == b // experiment.runs
        ]
        assert len(pairs) == 2
        means[layer] = np.mean([100 * len(kept[a] & kept[b]) / len(kept[a]) for a, b in pairs])
    return means


def test_from_images_to_a_page(small, project):
    store = Store(project / "data" / "tickets")
    training.train(small, images_of_28_pixels(), store, "cpu", workers=1, quiet=True)
    assert store.verify(small) == (["dense", *LEVELS], [])

    out = build.execute("a/3.1", {}, project / "out.ipynb", quiet=True, root=project)
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]

    shown = {}
    for cell in cells:
        if "mystnb" in cell["metadata"]:
            shown[cell["metadata"]["mystnb"]["figure"]["name"]] = cell
    cell = shown["fig-a-3a"]
    caption = cell["metadata"]["mystnb"]["figure"]["caption"]
    assert f"`{FASHION}`" in caption
    (tabs,) = [o["data"] for o in cell["outputs"] if "text/html" in o.get("data", {})]
    page = BeautifulSoup("".join(tabs["text/html"]), "html.parser")
    labels = [label.text for label in page.select("label")]
    assert labels == ["80 %, captioned", "90 %, implied"]
    for level, panel in zip(LEVELS[-2:], page.select(".levels > div"), strict=True):
        text, alt = panel.p.text, panel.img["alt"]
        means = mean_overlaps(store, small, level)
        assert len(means) == 5
        for layer, mean in means.items():
            quoted = f"{layer} {mean:.1f} % (chance {100 - float(level):.1f} %)"
            assert quoted in text and quoted in alt
        assert f"at {level} % pruned" in text
        picture = base64.b64decode(panel.img["src"].partition("base64,")[2])
        assert picture[:4] == b"RIFF" and picture[8:12] == b"WEBP"
    png = base64.b64decode("".join(tabs["image/png"]))
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(struct.unpack(">II", png[16:24])) > 200

    texts = [
        "".join(output["data"]["text/markdown"])
        for cell in cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    (table,) = [text for text in texts if "| What the paper says | What we measured | Verdict |" in text]
    scored = scoring.score("A", "3.1", store)
    rows = {s.claim.id: row for s in scored for row in table.splitlines() if f'id="claim-{s.claim.id}"' in row}
    assert len(rows) == len(scored)
    for s in scored:
        assert rows[s.claim.id].endswith(f">{s.verdict}</span> |")
    assert f"mean {mean_overlaps(store, small, '80')['dense1']:.3g}" in rows["A-F3a-4"]

    (provenance,) = [text for text in texts if "Where these numbers come from" in text]
    for level in ("dense", *LEVELS):
        assert store.manifest(small)["levels"][level]["sha256"][:16] in provenance
    assert small.fingerprint() in provenance


def test_a_page_without_tickets_says_what_it_lacks(small, project):
    out = build.execute("a/3.1", {}, project / "out.ipynb", quiet=True, root=project)
    text = out.read_text(encoding="utf-8")
    assert "image/png" not in text
    assert text.count("not trained yet") >= 6
    assert f"python -m lib train {FASHION}" in text
    assert '<span class=\\"verdict verdict-not-testable\\">' in text
    assert '<span class=\\"verdict verdict-reproduced\\">' not in text
