"""The tables of benchmarks/training.py: under which flags, what is kept, and what a case that fails costs."""

import sys

import pytest
import torch

from benchmarks import page, precision
from benchmarks import training as benchmark
from lib import training
from lib.errors import UserError

CPUS = ("training cpu", "training cpu without a matrix unit", "training cpu without AVX-512")
LENET, CONV2 = "a/fashion-lenet/free", "b/conv2/cifar10"


def of_kind(monkeypatch, tiled, vectors, bf16):
    """Pretend another processor: by what its matrix unit is used, its vectors, whether it computes in bf16."""
    monkeypatch.setattr(benchmark.sparse, "tiled_library", lambda _: tiled)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A page with places for all kinds of CPU, on one with a matrix unit."""
    monkeypatch.setattr(page, "PAGE", tmp_path / "performance.md")
    places = (*CPUS, "training cuda")
    page.PAGE.write_text("".join(f"<!-- {place} -->\n\nNot measured yet.\n\n<!-- end -->\n" for place in places))
    of_kind(monkeypatch, "tiles", "AVX512", True)
    return page.PAGE


def run(monkeypatch, rate, *arguments, fails=()):
    """Run the benchmark with made rates; the cases of some densities fail."""

    def case(name, precision, density, *_):
        if density in fails:
            raise RuntimeError(f"{name} cannot be measured")
        return {"plain loop": rate, "vmap": rate / 2, "this library": 4 * rate}

    monkeypatch.setattr(benchmark, "case", case)
    monkeypatch.setattr(sys, "argv", ["training", "--device", "cpu", "--pages", *arguments])
    benchmark.main()


def test_rows_of_the_same_device_stay_and_what_fails_loses_no_others(book, monkeypatch, capsys):
    run(monkeypatch, 1000, "--networks", LENET)
    assert "| lenet-28x28x1 | 10 % | 1,000 | 500 | 4,000 | 4.0 | 8.0 |" in page.read("training cpu")
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, 7, "--networks", LENET, CONV2, fails=(0.1, 0.3))
    assert end.value.code == (
        "not measured, for the reasons above: lenet-28x28x1 at 10 %, conv2 at 30 %, conv2 at 10 %, conv2 bf16 at 30 %"
    )
    assert "a/fashion-lenet/free cannot be measured" in capsys.readouterr().err
    rows = [line.split(" | ")[:3] for line in page.read("training cpu").splitlines() if line.startswith("| ")]
    assert rows == [
        ["| network", "weights left", "plain loop"],
        *[["| lenet-28x28x1", f"{left} %", rate] for left, rate in ((100, "7"), (50, "7"), (20, "7"))],
        ["| lenet-28x28x1", "10 %", "1,000"],
        ["| lenet-28x28x1", "2 %", "7"],
        ["| conv2", "100 %", "7"],
        ["| conv2 bf16", "100 %", "7"],
    ]
    assert {page.read(place) for place in (*CPUS[1:], "training cuda")} == {"Not measured yet."}
    # Of another version of torch nothing stays.
    monkeypatch.setattr(torch, "__version__", "0.0")
    run(monkeypatch, 5, "--networks", CONV2)
    assert "lenet" not in page.read("training cpu") and "torch 0.0." in page.read("training cpu")


@pytest.mark.parametrize(
    ("vectors", "bf16", "place"), [("AVX512", True, CPUS[1]), ("AVX512", False, CPUS[1]), ("AVX2", False, CPUS[2])]
)
def test_every_kind_of_processor_has_a_table_and_bf16_where_it_has_instructions_for_it(
    book, monkeypatch, capsys, vectors, bf16, place
):
    of_kind(monkeypatch, "", vectors, bf16)
    run(monkeypatch, 1000, "--networks", CONV2)
    assert [other for other in CPUS if "| conv2 | 100 %" in page.read(other)] == [place]
    assert f"({vectors})" in page.read(place)
    assert ("| conv2 bf16 | 100 %" in page.read(place)) == bf16
    assert ("imitates very slowly" in capsys.readouterr().out) != bf16


def test_both_tables_are_kept_together(book):
    report = benchmark.Report("cpu", "training cpu")
    report.limits = "Limits measured in the same run: a copy."
    report.add(["| tiny | fp32 | 2 x 20 | 1.00 | 40,000 | 50 % |", "| tiny | bf16 | does not run: ValueError | | | |"])
    again = benchmark.Report("cpu", "training cpu")
    found = dict(zip(("plain loop", "vmap", "this library"), (1.0, 2.0, 8.0), strict=True))
    again.add([benchmark.row("tiny", 0.02, found, "cpu")])
    text = page.read("training cpu")
    assert text == again.text() and "| tiny | 2 % | 1 | 2 | 8 | 8.0 | 4.0 |" in text
    assert "| tiny | bf16 | does not run: ValueError | | | |" in text and text.endswith(report.limits)


def test_a_gpu_has_the_ratio_to_one_replica_in_a_graph_too():
    found = {"plain loop": 100.0, "vmap": 200.0, "one graph": 500.0, "this library": 2000.0}
    cells = benchmark.row("tiny", 1.0, found, "cuda").strip("| ").split(" | ")
    assert dict(zip(benchmark.head("cuda"), cells, strict=True)) == {
        **{"network": "tiny", "weights left": "100 %"},
        **{"plain loop": "100", "vmap": "200", "one graph": "500", "this library": "2,000"},
        **{"over the plain loop": "20.0", "over vmap": "10.0", "over one graph": "4.0"},
    }


@pytest.mark.parametrize("rounded", [True, False])
def test_the_other_sides_run_under_the_flags_of_pytorch(rounded, monkeypatch):
    """Whichever side was measured before them, and whatever the limits were measured with."""
    backends, seen = torch.backends, []
    usual = False, False, True  # deterministic, benchmark and allow_tf32, when torch is imported
    before = (
        backends.cudnn.deterministic,
        backends.cudnn.benchmark,
        backends.cudnn.allow_tf32,
        backends.cuda.matmul.allow_tf32,
    )

    def ours(*_):
        backends.cudnn.deterministic = True  # as a stack on a GPU does
        return ours

    def measure(run, *_):
        flags = backends.cudnn.deterministic, backends.cudnn.benchmark, backends.cudnn.allow_tf32
        seen.append((flags, backends.cuda.matmul.allow_tf32))
        return 1.0, [1.0], [1.0]

    monkeypatch.setattr(benchmark, "ours", ours)
    monkeypatch.setattr(benchmark, "measure", measure)
    try:
        backends.cudnn.deterministic, backends.cuda.matmul.allow_tf32 = True, rounded
        for _ in range(2):
            benchmark.case(LENET, "", 1.0, "cpu", 2, 2)
    finally:
        (
            backends.cudnn.deterministic,
            backends.cudnn.benchmark,
            backends.cudnn.allow_tf32,
            backends.cuda.matmul.allow_tf32,
        ) = before
    assert seen == 2 * [*2 * [(usual, True)], ((True, False, True), True)]


def test_a_network_without_a_place_is_refused_before_it_is_trained(book, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr(sys, "argv", ["precision", LENET, "--pages"])
    with pytest.raises(UserError, match=r"has no line <!-- precision cpu lenet-28x28x1 -->"):
        precision.main()


def test_every_network_whose_precisions_are_compared_has_a_place_for_either_device():
    for network in ("lenet-28x28x1", "conv2", "resnet18-small"):
        for kind in ("cpu", "cuda"):
            assert page.read(f"precision {kind} {network}")


def test_the_tables_of_the_page_have_the_columns_of_the_next_run():
    for place in CPUS:
        assert page.read(place).splitlines()[0].strip("| ").split(" | ") == list(benchmark.head("cpu"))
