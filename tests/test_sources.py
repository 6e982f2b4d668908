"""Badges: what they say of tickets follows from the manifests, and those of the book are sealed."""

import hashlib
import shutil
import subprocess

import pytest
from made import made_store

from lib import build, sources
from lib.experiments import EXPERIMENTS, find
from lib.paper_a import CIFAR, FASHION
from lib.tickets import Store

HINT = "in its folder, `sha256sum manifest.json > manifest.sha256` seals what is added to the book"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return made_store(tmp_path_factory.getbasetemp() / "independent", find(FASHION))


def test_tickets_are_replayed_only_while_their_manifest_is_the_sealed_one(trained, tmp_path):
    store = Store(tmp_path / "copy")
    folder = store.folder(find(FASHION))
    shutil.copytree(trained.folder(find(FASHION)), folder)
    (here,) = sources.tickets(store, FASHION)
    assert (here.words, here.kind) == ("trained here", "trained")
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    (folder / "manifest.sha256").write_text(f"{digest}  manifest.json\n")
    (replayed,) = sources.tickets(store, FASHION)
    assert (replayed.words, replayed.kind) == ("replayed from stored tickets", "replayed")
    assert replayed.detail == here.detail
    # As soon as anything is trained again, the manifest is another.
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    assert not store.shipped(find(FASHION))


def test_a_badge_has_date_time_processes_and_device(trained):
    (source,) = sources.tickets(trained, FASHION, FASHION, CIFAR)
    entries = trained.manifest(find(FASHION))["levels"].values()
    day = min(entry["finished"] for entry in entries)[:10]
    minutes = sum(entry["wall seconds"] for entry in entries) / 60
    assert source.detail.startswith(f"`{FASHION}` ({day}")
    assert source.detail.endswith(f", {minutes:.0f} min x 2 processes on a pretended machine)")
    assert sources.tickets(trained, CIFAR) == []


def test_many_experiments_are_counted_and_said_to_be_listed(trained, monkeypatch):
    monkeypatch.setattr(sources, "_MOST_NAMED", 0)
    (source,) = sources.tickets(trained, FASHION, FASHION, CIFAR)
    assert source.detail == "1 experiments, listed in {numref}`tab-trained`"


def test_levels_that_ran_differently_are_counted_apart():
    entries = [
        {"processes": 2, "wall seconds": 100.0, "device": "one"},
        {"processes": 1, "wall seconds": 30.0, "device": "two"},
        {"processes": 2, "wall seconds": 140.0, "device": "*three*"},
    ]
    assert sources.cost(entries) == "30 s x 1 process on two; 4 min x 2 processes on one and &#42;three&#42;"
    for entry, precision in zip(entries, ("bf16", "fp32", "bf16"), strict=True):
        entry["precision"] = precision
    said = "30 s x 1 process on two; 4 min x 2 processes on one and &#42;three&#42;, in bf16"
    assert sources.cost(entries) == said
    assert sources.rounding(entries) == ", in bf16 and fp32" and sources.rounding([{}, entries[1]]) == ""


def test_the_line_of_badges():
    line = [sources.COMPUTED, sources.Source("quoted", "quoted")]
    assert sources.in_book(line) == (
        "[[computed]{.source .source-computed} without tickets [quoted]{.source .source-quoted}]{.sources}"
    )
    assert sources.in_words(line) == "Computed: without tickets; Quoted"


def test_all_tickets_of_the_book_are_sealed():
    listed = subprocess.run(
        ["git", "ls-files", "data/tickets"], cwd=build.ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    store = Store()
    for experiment in EXPERIMENTS.values():
        if f"data/tickets/{experiment.name}/manifest.json" in listed:
            assert store.shipped(store.find(experiment.name)), f"{experiment.name}: {HINT}"
