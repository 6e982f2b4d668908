import dataclasses
import functools
import hashlib
import io
import json
import math
import re
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made import PROVENANCE, TINY, made_store, tiny_experiment, write_again

from lib import evidence, tickets
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, trials
from lib.files import sealed
from lib.pruning import percent_levels, prune, with_random
from lib.tickets import TEST_LOGITS, LevelRecord, Store

EXPERIMENT = tiny_experiment()
DENSE, HALF, LAST = EXPERIMENT.levels


def made_records() -> tuple[list[LevelRecord], list[np.ndarray | None]]:
    """Records of a pretended training, random weights and real pruning; and the masks that each level gave."""
    rng = np.random.default_rng(0)
    masks = np.ones((EXPERIMENT.replicas, TINY.weight_count), bool)
    records, given = [], []
    for number in range(len(EXPERIMENT.levels)):
        parameters = rng.normal(size=(EXPERIMENT.replicas, TINY.parameter_count)).astype(np.float32)
        weights = parameters[:, : TINY.weight_count] * masks
        last = number + 1 == len(EXPERIMENT.levels)
        following = None if last else prune(TINY, parameters, masks, EXPERIMENT.levels[number + 1])
        records.append(
            LevelRecord(
                masks=masks,
                weights=weights,
                biases=parameters[:, TINY.weight_count :],
                logits=rng.normal(size=(EXPERIMENT.replicas, TEST_LOGITS, 10)).astype(np.float32),
                correct=rng.integers(0, 2000, EXPERIMENT.replicas),
                losses=rng.random((EXPERIMENT.replicas, EXPERIMENT.epochs)).astype(np.float32),
            )
        )
        given.append(following)
        masks = following
    return records, given


RECORDS, GIVEN = made_records()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
    return copy(tmp_path, "dense", "50", "80")


def copy(root, *levels, **provenance):
    """A store that holds some of the levels."""
    result = Store(root)
    for level, record, following in zip(EXPERIMENT.levels, RECORDS, GIVEN, strict=True):
        if level.name in levels:
            result.write(EXPERIMENT, level, record, PROVENANCE | provenance, following)
    return result


def manifest_path(store):
    return store.folder(EXPERIMENT) / "manifest.json"


def edit_manifest(store, change):
    manifest = json.loads(manifest_path(store).read_text())
    change(manifest)
    manifest_path(store).write_bytes(sealed(manifest))


def test_what_is_written_comes_back(store):
    for level, record in zip(EXPERIMENT.levels, RECORDS, strict=True):
        found = store.read(EXPERIMENT, level)
        np.testing.assert_array_equal(found.masks, record.masks)
        np.testing.assert_array_equal(found.correct, record.correct)
        np.testing.assert_array_equal(found.losses, record.losses)
        np.testing.assert_array_equal(found.biases, record.biases)
        np.testing.assert_allclose(found.weights, record.weights, rtol=2**-11, atol=1e-7)
        np.testing.assert_allclose(found.logits, record.logits, rtol=2**-11, atol=1e-7)
        assert (found.weights[~record.masks] == 0).all()
        np.testing.assert_array_equal(found.signs, np.sign(record.weights))
        np.testing.assert_array_equal(store.masks(EXPERIMENT, level), record.masks)


def test_a_whole_store_verifies(store):
    assert store.verify(EXPERIMENT) == (["dense", "50", "80"], [])
    assert store.experiments() == [EXPERIMENT]


def test_the_same_record_gives_the_same_bytes(store, tmp_path):
    other = Store(tmp_path / "other")
    path = other.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE, GIVEN[0])
    assert path.read_bytes() == (store.folder(EXPERIMENT) / "dense.npz").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_noticed(store, where, bit):
    path = store.folder(EXPERIMENT) / "50.npz"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[int(where * len(whole))] ^= 1 << bit
    path.write_bytes(damaged)
    levels, problems = store.verify(EXPERIMENT)
    path.write_bytes(whole)
    assert "50" not in levels
    assert any(p.level == "50" and "SHA-256" in p.what for p in problems)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_file_is_noticed(store, keep):
    path = store.folder(EXPERIMENT) / "80.npz"
    path.write_bytes(path.read_bytes()[:keep])
    levels, problems = store.verify(EXPERIMENT)
    assert levels == ["dense", "50"]
    assert [p.level for p in problems] == ["80"]


def test_missing_levels_and_files_are_named(store):
    (store.folder(EXPERIMENT) / "50.npz").unlink()
    edit_manifest(store, lambda m: m["levels"].pop("80"))
    levels, problems = store.verify(EXPERIMENT)
    assert levels == ["dense"]
    assert [(p.level, "cannot be read" in p.what or p.what == "missing") for p in problems] == [
        ("50", True),
        ("80", True),
    ]
    assert store.finished(EXPERIMENT) == [DENSE, HALF]


def test_swapped_files_are_noticed(store):
    a, b = (store.folder(EXPERIMENT) / name for name in ("50.npz", "80.npz"))
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    assert {p.level for p in store.verify(EXPERIMENT)[1]} == {"50", "80"}


def test_masks_that_do_not_follow_from_the_level_before_are_noticed(store):
    rng = np.random.default_rng(3)
    parameters = rng.normal(size=(EXPERIMENT.replicas, TINY.parameter_count)).astype(np.float32)
    foreign = prune(TINY, parameters, np.ones_like(RECORDS[0].masks), HALF)
    following = prune(TINY, parameters, foreign, LAST)
    write_again(store, EXPERIMENT, HALF, dataclasses.replace(RECORDS[1], masks=foreign), following)
    problems = store.verify(EXPERIMENT)[1]
    assert [p.level for p in problems] == ["50", "80"]
    assert "pruning the level before" in problems[0].what


def test_a_changed_specification_is_named(store, monkeypatch):
    changed = dataclasses.replace(EXPERIMENT, epochs=9)
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, changed)
    _, problems = store.verify(changed)
    assert len(problems) == 1 and EXPERIMENT.fingerprint() in problems[0].what
    with pytest.raises(UserError, match="fingerprint"):
        store.read(changed, DENSE)


def test_initial_weights_that_changed_are_noticed(store):
    edit_manifest(store, lambda m: m.update({"initial weights sha256": "0" * 64}))
    assert "initial weights" in store.verify(EXPERIMENT)[1][0].what
    with pytest.raises(UserError, match="initial weights"):
        store.initial_weights(EXPERIMENT)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"levels": 3}', '{"levels": {}, "format": 99}', "\xff"])
def test_a_manifest_that_is_none_is_a_sentence(store, text):
    manifest_path(store).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"manifest\.json") as error:
        store.manifest(EXPERIMENT)
    assert "\n" not in str(error.value)
    assert store.verify(EXPERIMENT)[1]


def test_an_object_in_the_place_of_a_number_is_shown_as_it_is_written(store):
    edit_manifest(store, lambda m: m["levels"]["50"].update({"processes": {"a": 1}}))
    with pytest.raises(UserError, match=r"level '50': 'processes' is \{'a': 1\}; it should be"):
        store.manifest(EXPERIMENT)


def test_what_a_manifest_says_cannot_be_changed_by_who_reads_it(store):
    """All who ask get the same."""
    read = store.manifest(EXPERIMENT)
    for part in (read, read["levels"], read["levels"]["50"], read["levels"]["50"]["data"]):
        with pytest.raises(TypeError):
            part["sha256"] = "0" * 64
    before = store.entries(EXPERIMENT, DENSE)
    edit_manifest(store, lambda m: m["levels"]["dense"].update({"device": "CPU: another"}))
    assert before[0]["device"] != store.entries(EXPERIMENT, DENSE)[0]["device"] == "CPU: another"


def test_the_manifest_of_another_experiment_is_refused(store):
    edit_manifest(store, lambda m: m.update({"experiment": "test/other"}))
    with pytest.raises(UserError, match="test/other"):
        store.manifest(EXPERIMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros((4, 3), np.float32)},
        {"logits": np.zeros((4, 10, 10), np.float32)},
        {"correct": np.zeros(3, np.int64)},
        {"losses": np.zeros((4, 1), np.float32)},
        {"masks": np.zeros_like(RECORDS[0].masks)},
        {"weights": np.full_like(RECORDS[0].weights, 65_520)},  # the first that half precision rounds to infinity
        {"logits": np.full_like(RECORDS[0].logits, -1e5)},
    ],
)
def test_a_record_that_does_not_fit_leaves_nothing_behind(tmp_path, change):
    store = Store(tmp_path)
    with pytest.raises(UserError, match="test/tiny/free dense"):
        store.write(EXPERIMENT, DENSE, dataclasses.replace(RECORDS[0], **change), PROVENANCE, GIVEN[0])
    for following in (None, GIVEN[1]):
        with pytest.raises(UserError, match="test/tiny/free"):
            store.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE, following)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("part", ["weights", "logits"])
def test_what_half_precision_cannot_hold_is_named_and_what_it_can_is_read(tmp_path, part):
    values = getattr(RECORDS[0], part)
    largest = dataclasses.replace(RECORDS[0], **{part: np.full_like(values, 65_519)})
    store = Store(tmp_path)
    with pytest.raises(UserError, match=rf"free dense: {part} holds -65520; half precision.* goes to 65,504"):
        record = dataclasses.replace(RECORDS[0], **{part: np.full_like(values, -65_520)})
        store.write(EXPERIMENT, DENSE, record, PROVENANCE, GIVEN[0])
    store.write(EXPERIMENT, DENSE, largest, PROVENANCE, GIVEN[0])
    assert (getattr(store.read(EXPERIMENT, DENSE), part) == 65_504).all()


def test_a_level_is_not_overwritten_by_another(store):
    before = {path: path.read_bytes() for path in store.folder(EXPERIMENT).iterdir()}
    other = dataclasses.replace(RECORDS[1], correct=RECORDS[1].correct + 1)
    with pytest.raises(UserError, match=r"50\.npz: is stored with other content \(SHA-256 .*a folder of its own"):
        store.write(EXPERIMENT, HALF, other, PROVENANCE, GIVEN[1])
    assert {path: path.read_bytes() for path in store.folder(EXPERIMENT).iterdir()} == before


def test_a_disk_that_fails_leaves_the_old_file_and_no_half_one(store, monkeypatch):
    before = {path: path.read_bytes() for path in store.folder(EXPERIMENT).iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space.*50\.npz"):
        store.write(EXPERIMENT, HALF, RECORDS[1], PROVENANCE, GIVEN[1])
    assert {path: path.read_bytes() for path in store.folder(EXPERIMENT).iterdir()} == before


def test_pickled_content_is_never_loaded(store):
    buffer = io.BytesIO()
    np.savez(buffer, masks=np.array([{"a": 1}], dtype=object), weight_count=1)
    content = buffer.getvalue()
    (store.folder(EXPERIMENT) / "50.npz").write_bytes(content)
    edit_manifest(
        store,
        lambda m: m["levels"]["50"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
    )
    with pytest.raises(UserError, match="not the ticket file of test/tiny/free 50"):
        store.read(EXPERIMENT, HALF)


def test_a_file_that_is_no_archive_but_has_the_right_hash_is_a_sentence(store):
    for content in (b"x", b"not a zip", zipfile_of_garbage()):
        (store.folder(EXPERIMENT) / "50.npz").write_bytes(content)
        edit_manifest(
            store,
            lambda m, c=content: m["levels"]["50"].update(sha256=hashlib.sha256(c).hexdigest(), bytes=len(c)),
        )
        with pytest.raises(UserError, match="not the ticket file of test/tiny/free 50"):
            store.read(EXPERIMENT, HALF)


def zipfile_of_garbage() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("masks.npy", b"garbage")
    return buffer.getvalue()


def test_a_level_that_is_not_trained_names_the_command(tmp_path):
    with pytest.raises(UserError, match="python -m lib train test/tiny/free"):
        Store(tmp_path).read(EXPERIMENT, DENSE)


def test_a_manifest_of_format_1_is_read_and_gets_its_checksum(store):
    manifest = json.loads(manifest_path(store).read_text()) | {"format": 1}
    del manifest["checksum"]
    manifest_path(store).write_text(json.dumps(manifest))
    assert store.verify(EXPERIMENT)[1] == []
    store.seal(EXPERIMENT)
    assert json.loads(manifest_path(store).read_text()).keys() == manifest.keys() | {"checksum"}
    assert store.verify(EXPERIMENT)[1] == []


def test_every_stored_manifest_has_a_checksum():
    store = Store()
    for part in (part for experiment in store.experiments() for part in store.parts(experiment)):
        assert store.manifest(part)["format"] == 2, f"lib.tickets.Store.seal gives it one: {part.name} {trials(part)}"


def test_one_process_at_a_time_writes_an_experiment(store):
    with store.alone(EXPERIMENT):
        with pytest.raises(UserError, match="another process is writing test/tiny/free; wait until it ends"):
            Store(store.root).write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE, GIVEN[0])
        store.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE, GIVEN[0])  # who holds the lock may write
    Store(store.root).write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE, GIVEN[0])


def test_what_a_killed_process_left_beside_a_file_is_removed(store):
    half = store.folder(EXPERIMENT) / ".50.npz-abcd1234"
    half.write_bytes(b"half")
    store.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE, GIVEN[0])
    assert not half.exists()


def test_random_tickets_are_checked_against_the_masks_that_are_drawn_for_them(tmp_path):
    experiment = tiny_experiment(levels=with_random(percent_levels("50", "80")))
    store = made_store(tmp_path, experiment)
    names = ["dense", "50", "80", "random"]
    assert store.verify(experiment) == (names, [])
    drawn = store.read(experiment, experiment.level("random"))
    other = dataclasses.replace(drawn, masks=drawn.masks[::-1])  # the same counts, but of other replicas
    with pytest.raises(UserError, match="not the ones drawn for it"):
        store.write(experiment, experiment.levels[-1], other, PROVENANCE)
    edit_manifest(store, lambda m: m["levels"]["random"].update({"masks sha256": "0" * 64}))
    assert [(p.level, "masks" in p.what) for p in store.verify(experiment)[1]] == [("random", True)]


def test_levels_from_elsewhere_are_taken_over_once(store, tmp_path):
    here, there = copy(tmp_path / "here", "dense"), copy(tmp_path / "there", "50", "80", device="another")
    assert here.adopt(there, EXPERIMENT) == ["50", "80"]
    assert here.adopt(there, EXPERIMENT) == []
    assert here.verify(EXPERIMENT) == (["dense", "50", "80"], [])
    assert here.manifest(EXPERIMENT)["levels"]["80"] == there.manifest(EXPERIMENT)["levels"]["80"]
    assert copy(tmp_path / "empty").adopt(here, EXPERIMENT) == ["dense", "50", "80"]


def test_levels_that_do_not_follow_are_not_taken_over(store, tmp_path):
    there = copy(tmp_path / "there", "80")
    assert copy(tmp_path / "a", "dense").adopt(there, EXPERIMENT) == []  # level 50 is missing between them
    other = Store(tmp_path / "other")
    other.write(
        EXPERIMENT, DENSE, dataclasses.replace(RECORDS[0], logits=RECORDS[1].logits), PROVENANCE, GIVEN[0][::-1]
    )
    half = copy(tmp_path / "half", "50")
    with pytest.raises(UserError, match="masks of level '50' are not the ones"):
        other.adopt(half, EXPERIMENT)
    assert [level.name for level in other.finished(EXPERIMENT)] == ["dense"]
    with pytest.raises(UserError, match="level 'dense' is another than in"):
        other.adopt(store, EXPERIMENT)


def test_damaged_levels_from_elsewhere_are_not_taken_over(store, tmp_path):
    path = store.folder(EXPERIMENT) / "50.npz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    here = Store(tmp_path / "here")
    with pytest.raises(UserError, match="SHA-256"):
        here.adopt(store, EXPERIMENT)
    assert [level.name for level in here.finished(EXPERIMENT)] == ["dense"]
    changed = json.loads(manifest_path(store).read_text()) | {"initial weights sha256": "0" * 64}
    manifest_path(store).write_bytes(sealed(changed))
    with pytest.raises(UserError, match="other initial weights"):
        Store(tmp_path / "there").adopt(store, EXPERIMENT)


OTHER_IMAGES = PROVENANCE["data"] | {"sha256": "f" * 64}


@pytest.mark.parametrize(
    ("record", "provenance", "words"),
    [
        ({"correct": np.array([-1, 0, 0, 0])}, {}, "correct holds a value below 0"),
        ({"correct": np.array([0, 0, 0, 10_001])}, {}, "10,001 of 10,000 test images are correct"),
        ({"losses": np.full((4, 2), -0.1, np.float32)}, {}, "losses holds a value below 0"),
        ({}, {"data": OTHER_IMAGES}, "it was trained on other images than other levels"),
        ({}, {"data": PROVENANCE["data"] | {"name": "mnist"}}, "it was trained on mnist, not on fashion-mnist"),
        ({}, {"precision": "int4"}, "'precision' is 'int4'; it should be fp32, tf32 or bf16"),
        ({}, {"engine": ["x"]}, r"'engine' is \['x'\]; it should be text"),
    ],
)
def test_values_that_cannot_be_are_noticed(store, tmp_path, monkeypatch, record, provenance, words):
    """Written by a library that does not look, and sealed."""
    for check in ("_check_record", "_check_entry"):
        monkeypatch.setattr(f"lib.tickets.{check}", lambda *_: None)
    there = Store(tmp_path / "there")
    for level, own, following in zip(EXPERIMENT.levels, RECORDS, GIVEN, strict=True):
        last = level is LAST
        own = dataclasses.replace(own, **record) if last else own
        there.write(EXPERIMENT, level, own, PROVENANCE | (provenance if last else {}), following)
    monkeypatch.undo()
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
    problems = [p.what for p in Store(there.root).verify(EXPERIMENT)[1]]
    assert len(problems) == 1 and re.search(words, problems[0])


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("sha256", "x" * 64, "64 hexadecimal digits"),
        ("data / sha256", "A" * 64, "64 hexadecimal digits"),
        ("masks sha256", "0" * 63, "64 hexadecimal digits"),
        ("next masks sha256", 7, "64 hexadecimal digits"),
        ("bytes", 0, "a whole number above 0"),
        ("data / test images", True, "a whole number above 0"),
        ("processes", 1.5, "a whole number above 0"),
        ("wall seconds", -1, "a number of at least 0"),
        ("wall seconds", float("inf"), "a number of at least 0"),
        ("finished", "yesterday", "a time such as"),
        ("device", "", "text"),
        ("versions / numpy", 2, "text"),
    ],
)
def test_an_entry_of_another_form_is_a_sentence(store, key, value, right):
    entry = json.loads(manifest_path(store).read_text())["levels"]["50"]
    tickets._check_entry(entry, "it")
    (*folders, last) = key.split(" / ")
    part = functools.reduce(dict.__getitem__, folders, entry)
    assert last in part
    part[last] = value
    with pytest.raises(UserError, match=re.escape(f"it: '{key}' is {value!r}; it should be {right}")):
        tickets._check_entry(entry, "it")


def test_masks_that_drop_larger_weights_than_they_keep_are_noticed(store):
    """Another mask within the one before, in both places of the manifest: the weights before contradict it."""
    masks = RECORDS[2].masks.copy()
    where = TINY.weight_slices()["dense1"]
    kept, dropped = (np.flatnonzero(m[0, where])[0] for m in (masks, RECORDS[1].masks & ~masks))
    masks[0, where.start + np.array([kept, dropped])] = False, True
    record = dataclasses.replace(RECORDS[2], masks=masks, weights=RECORDS[2].weights * masks)
    store.write(EXPERIMENT, HALF, RECORDS[1], PROVENANCE, masks)
    write_again(store, EXPERIMENT, LAST, record)
    problems = store.verify(EXPERIMENT)[1]
    assert [(p.level, p.what) for p in problems] == [
        ("80", "it keeps weights smaller than some that it drops of the level before")
    ]


def test_levels_of_other_images_are_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
    here, there = copy(tmp_path / "here", "dense"), copy(tmp_path / "there", "50", data=OTHER_IMAGES)
    with pytest.raises(UserError, match=r"SHA-256 ffffffffffffffff.*in another order, need a store of their own"):
        here.adopt(there, EXPERIMENT)
    assert [level.name for level in here.finished(EXPERIMENT)] == ["dense"]


def test_files_that_no_manifest_names_are_found(store):
    assert store.strays() == []
    folder = store.folder(EXPERIMENT)
    (folder / "70.npz").write_bytes(b"")
    assert store.strays() == store.strays([EXPERIMENT.name]) == [folder / "70.npz"]
    manifest_path(store).unlink()
    assert [path.name for path in store.strays()] == ["50.npz", "70.npz", "80.npz", "dense.npz"]


# --- what is kept, and how it is packed ----------------------------------------------------------------------


def test_the_masks_of_the_next_level_are_there_until_it_is_trained(tmp_path):
    here = copy(tmp_path, "dense")
    waiting = here.folder(EXPERIMENT) / "50_masks.npz"
    np.testing.assert_array_equal(here.masks(EXPERIMENT, HALF), GIVEN[0])
    with pytest.raises(UserError, match="level '50' is not trained"):
        here.masks(EXPERIMENT, LAST)
    whole = waiting.read_bytes()
    for damaged in (whole[:-1], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b""):
        waiting.write_bytes(damaged)
        with pytest.raises(UserError, match=r"50_masks\.npz"):
            here.masks(EXPERIMENT, HALF)
        assert "50_masks.npz" in here.verify(EXPERIMENT)[1][1].what
    there = Store(tmp_path / "other")
    there.write(EXPERIMENT, DENSE, RECORDS[0], PROVENANCE, GIVEN[0][::-1])
    waiting.write_bytes((there.folder(EXPERIMENT) / "50_masks.npz").read_bytes())  # masks as good, but of another run
    with pytest.raises(UserError, match="not the ones that pruning 'dense' gave"):
        here.masks(EXPERIMENT, HALF)
    waiting.write_bytes(whole)
    here.write(EXPERIMENT, HALF, RECORDS[1], PROVENANCE, GIVEN[1])
    assert not waiting.exists() and (here.folder(EXPERIMENT) / "80_masks.npz").exists()
    taken = Store(tmp_path / "taken")
    assert taken.adopt(here, EXPERIMENT) == ["dense", "50"]
    np.testing.assert_array_equal(taken.masks(EXPERIMENT, LAST), GIVEN[1])
    assert not (taken.folder(EXPERIMENT) / "50_masks.npz").exists()


def test_masks_of_a_trained_level_that_a_killed_process_left_are_removed(store):
    left = store.folder(EXPERIMENT) / "80_masks.npz"
    left.write_bytes(b"left")
    with store.alone(EXPERIMENT):
        assert not left.exists()


@pytest.fixture
def signs_only(tmp_path, monkeypatch):
    experiment = tiny_experiment(levels=with_random(percent_levels("50", "80")), keeps="tickets")
    monkeypatch.setitem(EXPERIMENTS, experiment.name, experiment)
    whole = dataclasses.replace(experiment, keeps="all")
    assert whole.fingerprint() == experiment.fingerprint()
    return (
        experiment,
        made_store(tmp_path / "tickets", experiment),
        whole,
        made_store(tmp_path / "all", whole),  # the same numbers
    )


def test_what_an_experiment_of_tickets_keeps(signs_only):
    experiment, store, whole, reference = signs_only
    dense, half, last, drawn = (store.read(experiment, level) for level in experiment.levels)
    for level, found in zip(experiment.levels, (dense, half, last, drawn), strict=True):
        right = reference.read(whole, level)
        np.testing.assert_array_equal(found.correct, right.correct)
        np.testing.assert_array_equal(found.losses, right.losses)
        assert found.weights is None and found.logits is None and found.biases is None
        if found.masks is not None:
            np.testing.assert_array_equal(found.masks, right.masks)
        if level in (experiment.last, experiment.levels[-1]):
            np.testing.assert_array_equal(found.signs, right.signs)
            np.testing.assert_array_equal(store.masks(experiment, level), right.masks)
    first = TINY.layers[0].size
    np.testing.assert_array_equal(dense.signs, reference.read(whole, DENSE).signs[:, :first])
    assert half.signs is None and half.masks is None
    with pytest.raises(UserError, match="masks of level '50' are not kept"):
        store.masks(experiment, experiment.level("50"))
    with pytest.raises(UserError, match=r"test/tiny/free at level 80: weights are not stored.*keeps 'tickets'"):
        evidence.part(store, experiment.name, "80", "weights")
    assert store.verify(experiment) == (["dense", "50", "80", "random"], [])
    assert Store(store.root.parent / "copy").adopt(store, experiment) == ["dense", "50", "80", "random"]


def test_the_way_to_a_ticket_is_checked_where_its_masks_are_not_kept(signs_only):
    """Two trainings whose rounds are mixed: nothing but the hashes tells."""
    experiment, store, _, _ = signs_only
    other = made_store(store.root.parent / "other", experiment, seed=1)
    entry = other.manifest(experiment)["levels"]["50"]
    (store.folder(experiment) / "50.npz").write_bytes((other.folder(experiment) / "50.npz").read_bytes())
    path = store.folder(experiment) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["levels"]["50"] = entry
    path.write_bytes(sealed(manifest))
    assert [p.level for p in store.verify(experiment)[1]] == ["50", "80"]
    with pytest.raises(UserError, match="masks of level '50' are not the ones"):
        Store(store.root.parent / "copy").adopt(store, experiment)


def test_what_an_experiment_without_dense_weights_keeps(tmp_path):
    experiment = tiny_experiment(keeps="pruned")
    store = made_store(tmp_path, experiment)
    dense, half, _ = (store.read(experiment, level) for level in experiment.levels)
    assert dense.weights is None and dense.signs is None
    assert dense.masks.all() and dense.logits is not None and half.weights is not None
    assert store.verify(experiment) == (["dense", "50", "80"], [])


def test_conv2_and_the_resnet_fit_in_the_store():
    """Even if deflate took no byte away."""
    sizes = {}
    for name, experiment in EXPERIMENTS.items():
        for level in experiment.levels:
            shapes = tickets._stored_shapes(experiment, level).values()
            sizes[name, level.name] = sum(math.prod(shape) * np.dtype(dtype).itemsize for dtype, shape in shapes)
            assert sizes[name, level.name] <= tickets.MAX_BYTES
    total = {name: sum(size for (n, _), size in sizes.items() if n == name) / 1e6 for name in EXPERIMENTS}
    assert total["b/conv2/cifar10"] < 13
    assert total["a/cifar-resnet18/free"] < 30


finite_halves = arrays(np.float16, st.integers(0, 50), elements=st.floats(width=16, allow_nan=False))


@given(finite_halves)
def test_numbers_come_back_from_their_bytes_place_by_place(values):
    places = tickets._places(values, "<f2")
    assert places.shape == (2, len(values))
    assert places.tobytes() == values.tobytes()[0::2] + values.tobytes()[1::2]
    assert tickets._numbers(places, "<f2").tobytes() == values.tobytes()  # the sign of a zero too


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1), keeps=st.sampled_from(("all", "pruned", "tickets")), exponent=st.integers(-12, 4)
)
def test_any_record_comes_back_as_half_precision_has_it(seed, keeps, exponent):
    rng = np.random.default_rng(seed)
    experiment = tiny_experiment(keeps=keeps)
    for number, (level, record) in enumerate(zip(experiment.levels, RECORDS, strict=True)):
        weights = (rng.normal(size=record.weights.shape) * 10.0**exponent * record.masks).astype(np.float32)
        changed = dataclasses.replace(record, weights=weights)
        found, _ = tickets._decode(experiment, level, tickets._encode(experiment, level, changed))
        parts = tickets.contents(experiment, level)
        if "weights" in parts:
            np.testing.assert_array_equal(found.weights, weights.astype(np.float16).astype(np.float32))
        if found.signs is not None:
            n = found.signs.shape[1]
            assert n == (TINY.weight_count if number else n)
            expected = np.where(record.masks, np.where(np.signbit(weights), -1, 1), 0)
            np.testing.assert_array_equal(found.signs, expected[:, :n])
        for part in ("masks", "biases", "logits"):
            assert (getattr(found, part) is not None) == (part in parts or (part == "masks" and number == 0))


def older_file(record, following):
    """A file as they were before: numbers as they are, the masks of the next level beside those of this one."""
    parts = {
        "masks": np.packbits(record.masks, axis=1),
        "weights": record.weights[record.masks].astype("<f2"),
        "biases": record.biases.astype("<f4"),
        "logits": record.logits.astype("<f2"),
        "correct": record.correct.astype("<i8"),
        "losses": record.losses.astype("<f4"),
        "weight_count": np.array(TINY.weight_count, "<i8"),
    }
    if following is not None:
        parts["next_masks"] = np.packbits(following, axis=1)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **parts)
    return buffer.getvalue()


def make_older(store, *levels):
    """Turn the files of a store into those of the older kind."""
    for level, record, following in zip(EXPERIMENT.levels, RECORDS, GIVEN, strict=True):
        if level.name not in levels:
            continue
        content = older_file(record, following)
        (store.folder(EXPERIMENT) / f"{level.name}.npz").write_bytes(content)

        def change(manifest, name=level.name, content=content):
            entry = manifest["levels"][name]
            entry.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
            for key in ("masks sha256", "next masks sha256"):
                entry.pop(key, None)

        edit_manifest(store, change)
    for path in store.folder(EXPERIMENT).glob("*_masks.npz"):
        path.unlink()


def test_files_of_the_older_kind_are_read_verified_gone_on_from_and_packed_anew(store, tmp_path):
    new = {level: store.read(EXPERIMENT, level) for level in EXPERIMENT.levels}
    part = copy(tmp_path / "part", "dense", "50")
    make_older(part, "dense", "50")
    np.testing.assert_array_equal(part.masks(EXPERIMENT, LAST), GIVEN[1])
    part.write(EXPERIMENT, LAST, RECORDS[2], PROVENANCE)  # two kinds side by side
    assert part.verify(EXPERIMENT) == (["dense", "50", "80"], [])
    make_older(store, "dense", "50", "80")
    assert store.verify(EXPERIMENT) == (["dense", "50", "80"], [])
    packed = Store(tmp_path / "packed")
    assert packed.adopt(store, EXPERIMENT) == ["dense", "50", "80"]
    assert part.adopt(packed, EXPERIMENT) == []  # other bytes, but the same content
    for level in EXPERIMENT.levels:
        for held in (store, packed):
            found = held.read(EXPERIMENT, level)
            for field in dataclasses.fields(found):
                np.testing.assert_array_equal(getattr(found, field.name), getattr(new[level], field.name))
        old, anew = (held.manifest(EXPERIMENT)["levels"][level.name] for held in (store, packed))
        assert anew["finished"] == old["finished"] and anew["bytes"] < old["bytes"]
    assert {path.name for path in packed.folder(EXPERIMENT).glob("*.npz")} == {"dense.npz", "50.npz", "80.npz"}
