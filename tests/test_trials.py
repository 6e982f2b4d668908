"""An experiment with its first initialisations alone, or in parts: trained, stored, taken over, and said to be so."""

import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import PROVENANCE, made_images, made_store, tiny_experiment

pytest.importorskip("torch")

from lib import cli, experiments, pages, sources, training
from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.files import sealed
from lib.pruning import with_random
from lib.tickets import LevelRecord, Store


@pytest.fixture
def tiny(monkeypatch):
    """A small experiment of six trials as paper B has them, known by its name."""
    levels = with_random(tiny_experiment().levels)
    experiment = tiny_experiment("test/tiny/trials", levels=levels, inits=6, runs=1, epochs=1)
    monkeypatch.setitem(EXPERIMENTS, experiment.name, experiment)
    return experiment


def refused(capsys, *arguments):
    """Run a command that cannot be; return the sentence it leaves."""
    assert cli.main([str(a) for a in arguments]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    return sentence


def equal(one, other):
    """Whether two records hold the same."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)]
    return all(np.array_equal(a, b) if a is not None else b is None for a, b in pairs)


def copy_part(at_once, store, part, level, provenance=PROVENANCE):
    """Store one level of a part of an experiment that another store holds as one."""
    whole = at_once.find(part.name)
    rows = slice(part.after * part.runs, (part.after + part.inits) * part.runs)
    record, pruned_to = at_once.read(whole, level), whole.pruned_to(level)
    fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    own = LevelRecord(**{name: None if values is None else values[rows] for name, values in fields.items()})
    store.write(part, level, own, provenance, None if pruned_to is None else at_once.masks(whole, pruned_to)[rows])


def test_the_first_trials_are_bit_by_bit_those_of_the_whole_experiment(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    for root, more in (("all", []), ("two", ["--trials", "2"])):
        where = ["--tickets", str(tmp_path / root), "--device", "cpu", "--workers", "1", "--quiet"]
        assert cli.main(["train", tiny.name, *where, *more]) == 0
    assert "trained (2 of the 6 trials)" in capsys.readouterr().out
    whole, part = Store(tmp_path / "all"), Store(tmp_path / "two")
    held = part.find(tiny.name)
    assert (whole.find(tiny.name), held.inits) == (tiny, 2)
    assert (whole.trials(tiny.name), part.trials(tiny.name)) == ("", "2 of the 6 trials")
    for level in tiny.levels:
        six, two = whole.read(tiny, level), part.read(held, level)
        for part_of_it in ("correct", "losses", "masks", "weights", "biases", "logits"):
            np.testing.assert_array_equal(getattr(two, part_of_it), getattr(six, part_of_it)[:2])
    manifests = [json.loads((s.folder(tiny) / "manifest.json").read_text()) for s in (whole, part)]
    assert [m["specification"].pop("inits") for m in manifests] == [6, 2]
    assert manifests[0]["specification"] == manifests[1]["specification"]
    assert manifests[0]["fingerprint"] != manifests[1]["fingerprint"]
    assert part.verify(held) == ([level.name for level in tiny.levels], [])
    # Gone on with, in two steps: three trials more, and the last.
    where = ["--tickets", str(tmp_path / "two"), "--device", "cpu", "--workers", "1", "--quiet"]
    capsys.readouterr()
    assert cli.main(["train", tiny.name, *where, "--trials", "5"]) == 0
    assert re.findall(r"trained \((.*?)\)", capsys.readouterr().out) == ["2 of the 6 trials", "trials 3 to 5 of the 6"]
    assert part.trials(tiny.name) == "5 of the 6 trials"
    assert cli.main(["train", tiny.name, *where]) == 0
    assert (part.find(tiny.name), part.trials(tiny.name)) == (tiny, "")
    assert part.parts(tiny) == part.held(tiny.name) == [tiny.first(2), tiny.part(2, 5), tiny.part(5, 6)]
    for level in tiny.levels:
        assert equal(part.read(tiny, level), whole.read(tiny, level))
        np.testing.assert_array_equal(part.masks(tiny, level), whole.masks(tiny, level))
    np.testing.assert_array_equal(part.initial_weights(tiny), whole.initial_weights(tiny))
    assert part.verify(tiny) == ([level.name for level in tiny.levels], [])
    capsys.readouterr()
    assert cli.main(["verify", "--tickets", str(tmp_path / "two")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(tiny.name)]
    assert [re.split(" {2,}", line)[1:] for line in lines] == [
        ["2 x 3", "2 of the 6 trials"],
        ["3 x 3", "trials 3 to 5 of the 6"],
        ["1 x 3", "trial 6 of the 6"],
    ]


@settings(max_examples=20)
@given(total=st.integers(1, 9), data=st.data())
def test_an_experiment_s_first_trials_are_another_of_the_same_name(total, data):
    experiment = tiny_experiment(inits=total)
    first = data.draw(st.integers(1, total))
    assert experiment.first(first) == dataclasses.replace(experiment, inits=first)
    assert (experiment.first(first).fingerprint() == experiment.fingerprint()) == (first == total)
    assert experiment.first(first) is experiment.first(first)
    wrong = data.draw(st.integers(-3, 0) | st.integers(total + 1, total + 4))
    with pytest.raises(UserError, match=f"inits is {wrong}: it must be a whole number between 1 and {total}"):
        experiment.first(wrong)


@pytest.mark.parametrize("said", [0, 7, -1, 2.0, True, "2", None, 10**12])
def test_a_store_that_says_no_number_of_trials_there_could_be_is_a_sentence(tiny, tmp_path, said):
    store = made_store(tmp_path, tiny)
    path = store.folder(tiny) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["specification"]["inits"], manifest["fingerprint"] = said, "0" * 16
    path.write_bytes(sealed(manifest))
    assert store.find(tiny.name) == tiny and store.trials(tiny.name) == ""
    with pytest.raises(UserError, match="was made with fingerprint '0000000000000000'"):
        store.manifest(tiny)


def test_a_number_of_trials_that_is_not_the_one_of_the_fingerprint_is_a_sentence(tiny, tmp_path):
    store = made_store(tmp_path, tiny)
    path = store.folder(tiny) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["specification"]["inits"] = 3
    path.write_bytes(sealed(manifest))
    _, (problem,) = store.verify(store.find(tiny.name))
    assert (problem.level, store.find(tiny.name).inits) == ("manifest", 3) and "holds 6 trials" not in problem.what
    assert "was made with fingerprint" in problem.what


def test_nothing_and_what_cannot_be_read_is_the_whole_experiment(tiny, tmp_path):
    store = Store(tmp_path)
    assert store.find(tiny.name) == tiny
    store.folder(tiny).mkdir(parents=True)
    (store.folder(tiny) / "manifest.json").write_text("{")
    assert store.find(tiny.name) == tiny
    with pytest.raises(UserError, match="experiment is 'test/none'"):
        store.find("test/none")


def test_numbers_of_trials_that_cannot_be_are_refused(tiny, tmp_path, capsys):
    for wrong in ("0", "7", "-1"):
        said = refused(capsys, "train", tiny.name, "--trials", wrong, "--tickets", tmp_path)
        assert f"--trials is {wrong}: {tiny.name} has 6 initialisations" in said and "from 1 to 6" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("after", "stored", "asked"), [(0, 6, 2), (2, 5, 3)])
def test_trials_are_not_mixed(tiny, tmp_path, capsys, after, stored, asked, monkeypatch):
    """Neither where the store holds others, nor where only the folder of new levels does."""
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    if after:
        for root in ("old", "new"):
            made_store(tmp_path / root, tiny.first(after))
    begun = tiny.part(after, stored)
    made_store(tmp_path / "old", begun, levels=1)
    for where in (("--tickets", tmp_path / "old"), ("--tickets", tmp_path / "new", "--out", tmp_path / "old")):
        said = refused(capsys, "train", tiny.name, *where, "--trials", asked)
        path = Store(tmp_path / "old").folder(begun) / "manifest.json"
        assert f"{path}: holds trials (initialisations) {after + 1} to {stored} of {tiny.name}" in said
        assert f"not to {asked}: --trials {stored} goes on with them" in said
    made_store(tmp_path / "new", tiny.part(after, asked), levels=1)
    said = refused(capsys, "import", tmp_path / "new", "--tickets", tmp_path / "old")
    assert f"{after + 1} to {stored} of {tiny.name}" in said and f"not to {asked}" in said


@settings(max_examples=20)
@given(inits=st.integers(1, 6), runs=st.integers(1, 3), data=st.data())
def test_the_runs_of_a_part_are_those_of_the_whole_experiment(inits, runs, data):
    experiment = tiny_experiment(
        "test/tiny/part", inits=inits, runs=runs, shared_order=data.draw(st.sampled_from([0, 0.3, 1]))
    )
    after = data.draw(st.integers(0, inits - 1))
    part = experiment.part(after, data.draw(st.integers(after + 1, inits)))
    assert part is experiment.part(after, after + part.inits) and part.replicas == part.inits * runs
    assert (part.fingerprint() == experiment.fingerprint()) == (part == experiment) == (part.inits == inits)
    for replica in range(part.replicas):
        own, whole = (e.batch_order(replica + more, 1, 1, 50) for e, more in ((part, 0), (experiment, after * runs)))
        np.testing.assert_array_equal(own, whole)
    for wrong in ((-1, 1), (after, after), (after, inits + 1), (inits, inits + 1)):
        with pytest.raises(UserError, match=r"after is|upto is"):
            experiment.part(*wrong)


def test_noise_and_initial_weights_of_a_part_are_those_of_the_whole_experiment():
    """With noise on the gradients, by PyTorch and alone: the stream has the number in the whole experiment."""
    whole = tiny_experiment("test/tiny/noise", inits=3, runs=1, epochs=1, noise=0.1)
    part, masks = whole.part(2, 3), np.ones((1, whole.architecture.weight_count), bool)
    a, b, other = (
        training.train_stack(e, made_images(), 0, masks, np.array([replica])).parameters
        for e, replica in ((part, 0), (whole, 2), (whole, 1))
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, other)


def test_a_part_counts_when_it_is_whole_and_what_is_made_of_all_is_as_if_trained_at_once(tiny, tmp_path):
    store, at_once = Store(tmp_path / "parts"), made_store(tmp_path / "at once", tiny)
    for after, upto in ((0, 2), (2, 6)):
        for number, level in enumerate(tiny.levels):
            assert store.find(tiny.name).inits == (2 if after or number else 6)
            copy_part(at_once, store, tiny.part(after, upto), level)
    assert store.find(tiny.name) == tiny and store.finished(tiny) == list(tiny.levels)
    assert [len(s.entries(tiny, tiny.last)) for s in (store, at_once)] == [2, 1]
    for level in tiny.levels:
        assert equal(store.read(tiny, level), at_once.read(tiny, level))
    assert not store.shipped(tiny)
    for part in store.parts(tiny):
        manifest = store.folder(part) / "manifest.json"
        assert not store.shipped(tiny)
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
        manifest.with_suffix(".sha256").write_text(f"{digest}  manifest.json\n")
    assert store.shipped(tiny)
    said = pages.provenance(store, [tiny.name])
    assert f"**`{tiny.name}`**: 2 of the 6 trials" in said and f"**`{tiny.name}`**: trials 3 to 6 of the 6" in said
    assert f"`data/tickets/{tiny.name}`" in said and f"`data/tickets/{tiny.name}/after-2`" in said
    # 90 s a level and part.
    assert sources.how_trained(store, tiny.name).endswith("12 min x 2 processes on a pretended machine")


def test_the_list_says_which_trials_are_begun(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.training.seconds", lambda experiment, **_: 1)
    at_once, store = made_store(tmp_path / "at once", tiny), Store(tmp_path / "parts")
    first, later = tiny.first(2), tiny.part(2, 5)

    def listed():
        assert cli.main(["experiments", "--tickets", str(store.root)]) == 0
        lines = re.search(rf"^{tiny.name} .*(\n  .*)*", capsys.readouterr().out, re.MULTILINE)[0].splitlines()
        return [" ".join(line.split()) for line in lines]

    for level in tiny.levels:
        copy_part(at_once, store, first, level)
    (whole,) = listed()
    assert whole.startswith(f"{tiny.name} partly 4 / 4 2 of 6 ")
    for number, level in enumerate(tiny.levels[:-1], 1):
        copy_part(at_once, store, later, level)
        assert listed() == [whole, f"trials 3 to 5 of the 6 begun {number} / 4 3"]
    copy_part(at_once, store, later, tiny.levels[-1])
    assert listed() == [whole.replace("2 of 6", "5 of 6")]
    (store.folder(later) / "manifest.json").write_text("{")
    assert cli.main(["experiments", "--tickets", str(store.root)]) == 1
    assert re.search(
        rf"^{tiny.name} +damaged +.*after-2/manifest.json: is not readable", capsys.readouterr().out, re.MULTILINE
    )


def test_parts_of_other_images_are_a_fault(tiny, tmp_path):
    at_once, store = made_store(tmp_path / "at once", tiny), Store(tmp_path / "parts")
    first, later = tiny.first(2), tiny.part(2, 5)
    for part, other in ((first, {}), (later, {"data": PROVENANCE["data"] | {"sha256": "f" * 64}})):
        for level in tiny.levels:
            copy_part(at_once, store, part, level, PROVENANCE | other)
    assert store.verify(first) == ([y.name for y in tiny.levels], [])
    assert {p.what for p in store.verify(later)[1]} == {"it was trained on other images than other levels"}


def test_parts_are_taken_over_one_after_another(tiny, tmp_path, capsys):
    here, there, gap = (tmp_path / name for name in ("here", "there", "gap"))
    at_once = made_store(tmp_path / "at once", tiny)
    for part in (tiny.first(2), tiny.part(2, 5)):
        for level in tiny.levels:
            copy_part(at_once, Store(there), part, level)
            if part.after:
                copy_part(at_once, Store(gap), part, level)
    said = refused(capsys, "import", gap, "--tickets", here)
    assert f"{gap / tiny.name / 'after-2'}: holds trials 3 to 5 of the 6 of {tiny.name}" in said
    assert f"{here} should hold the first 2 whole before they are added" in said
    assert cli.main(["import", str(there), "--tickets", str(here)]) == 0
    names = ", ".join(level.name for level in tiny.levels)
    assert capsys.readouterr().out.splitlines() == [
        f"{tiny.name}: added {names}",
        f"{tiny.name} (trials 3 to 5 of the 6): added {names}",
    ]
    assert Store(here).trials(tiny.name) == "5 of the 6 trials"
    for level in tiny.levels:
        copy_part(at_once, Store(tmp_path / "other"), tiny.part(1, 6), level)
    said = refused(capsys, "import", tmp_path / "other", "--tickets", here)
    assert f"{here} holds the first 2 already" in said
    (here / tiny.name / "after-2" / "manifest.json").write_text("{")
    assert Store(here).trials(tiny.name) == "2 of the 6 trials"
    assert cli.main(["verify", "--tickets", str(here)]) == 1
    assert "after-2/manifest.json: is not readable JSON" in capsys.readouterr().out


def test_some_trials_are_taken_over_and_gone_on_with(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    held, here = tiny.first(2), tmp_path / "here"
    made_store(tmp_path / "there", held, levels=2)
    assert cli.main(["import", str(tmp_path / "there"), "--tickets", str(here)]) == 0
    assert Store(here).experiments() == [held] and len(Store(here).finished(held)) == 2
    where = ["--tickets", str(here), "--device", "cpu", "--workers", "1", "--quiet"]
    assert cli.main(["train", tiny.name, "--trials", "2", *where]) == 0
    capsys.readouterr()
    assert cli.main(["verify", "--tickets", str(here)]) == 0
    assert re.search(rf"^{tiny.name} +2 x 3 +2 of the 6 trials$", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr("lib.training.seconds", lambda experiment, **_: experiment.samples() / 1e6)
    assert cli.main(["experiments", "--tickets", str(here)]) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith(tiny.name))
    # 60,000 images x 1 epoch x 4 levels x 6 networks.
    assert line.split()[1:] == ["partly", "4", "/", "4", "2", "of", "6", "1.4", "1", "s"]


def test_a_later_part_is_trained_in_the_precision_of_the_first(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.datasets.load", lambda *_: made_images())
    where = ["--tickets", str(tmp_path), "--device", "cpu", "--workers", "1", "--quiet"]
    assert cli.main(["train", tiny.name, *where, "--trials", "1", "--precision", "bf16"]) == 0
    assert cli.main(["train", tiny.name, *where, "--trials", "2"]) == 0
    store = Store(tmp_path)
    both = [entry["precision"] for level in tiny.levels for entry in store.entries(store.find(tiny.name), level)]
    assert both == ["bf16", "bf16"] * len(tiny.levels)


def test_the_precision_of_another_kind_of_device_is_that_of_its_own_part_alone(tiny, tmp_path):
    """Trials 1 and 2 whole on a GPU in tf32, trial 3 begun on a CPU in bf16."""
    at_once, store = made_store(tmp_path / "at once", tiny), Store(tmp_path / "parts")
    first, begun, later = tiny.first(2), tiny.part(2, 3), tiny.part(3, 6)
    on_gpu, on_cpu = ({"device": device} for device in ("a GPU", "CPU: a processor, 2 cores"))
    for level in tiny.levels:
        copy_part(at_once, store, first, level, PROVENANCE | on_gpu | {"precision": "tf32"})
    assert [training.usual_precision(part, "cuda", store) for part in (first, begun)] == ["tf32", "tf32"]
    assert [store.precision(part) for part in (first, begun)] == ["tf32", None]
    assert [training.usual_precision(part, "cpu", store) for part in (first, begun)] == ["fp32", "fp32"]
    copy_part(at_once, store, begun, tiny.levels[0], PROVENANCE | on_cpu | {"precision": "bf16"})
    assert [training.usual_precision(part, "cpu", store) for part in (begun, later)] == ["bf16", "bf16"]
    copy_part(at_once, store, begun, tiny.levels[1], PROVENANCE | on_cpu | {"precision": "fp32"})
    assert store.precision(begun) == "fp32"  # of the last level
    assert [training.usual_precision(begun, on, store) for on in ("cuda", "cpu")] == ["fp32", "fp32"]
    assert store.precision(later) is None
    assert [training.usual_precision(later, on, store) for on in ("cuda", "cpu")] == ["tf32", "fp32"]


def test_what_a_gpu_trained_in_bf16_is_begun_in_fp32_on_a_cpu(tiny, tmp_path):
    at_once, store = made_store(tmp_path / "at once", tiny), Store(tmp_path / "parts")
    for level in tiny.levels:
        copy_part(at_once, store, tiny.first(2), level, PROVENANCE | {"device": "a GPU", "precision": "bf16"})
    later = tiny.part(2, 6)
    assert [training.usual_precision(later, on, store) for on in ("cpu", "cuda")] == ["fp32", "bf16"]


def test_what_a_matrix_unit_trained_is_gone_on_with_in_bf16_where_there_is_one(tiny, tmp_path, monkeypatch):
    """Trial 1 whole and trial 2 begun with one: trial 2 stays in bf16 anywhere, trial 3 only with another one."""
    at_once, store = made_store(tmp_path / "at once", tiny), Store(tmp_path / "parts")
    whole, begun, later = tiny.first(1), tiny.part(1, 2), tiny.part(2, 6)
    by_unit = PROVENANCE | {"device": "CPU: a processor, 2 cores", "precision": "bf16", "engine": "tiles.c"}
    for level in tiny.levels:
        copy_part(at_once, store, whole, level, by_unit)
    copy_part(at_once, store, begun, tiny.levels[0], by_unit)
    for trained_by, expected in (("torch", "fp32"), ("tiles.c", "bf16")):
        monkeypatch.setattr(training, "engine", lambda *_, by=trained_by: by)
        assert training.usual_precision(begun, "cpu", store) == "bf16"
        assert training.usual_precision(later, "cpu", store) == expected
        assert training.usual_precision(later, "cuda", store) == "tf32"


def test_the_precision_of_an_experiment_that_was_changed(tiny, tmp_path):
    """As a benchmark changes one: it keeps the name, and the store holds no other of this name."""
    changed = dataclasses.replace(tiny, epochs=tiny.epochs + 1)
    store = made_store(tmp_path, changed, levels=1)
    assert store.precision(changed) == "fp32"


def test_the_command_trains_as_many_again(tiny, tmp_path):
    assert experiments.train_command(tiny) == f"python -m lib train {tiny.name}"
    assert experiments.train_command(tiny.first(2)) == f"python -m lib train {tiny.name} --trials 2"
    store = made_store(tmp_path, tiny.first(2), levels=1)
    with pytest.raises(UserError, match=r"level '80' is not trained; .*--trials 2 trains it"):
        store.read(tiny.first(2), tiny.level("80"))
