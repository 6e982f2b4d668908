"""Training on a machine with nothing installed but torch, numpy, pyarrow and pillow."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made import made_images

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parent.parent
# What these four bring along with them.
BARE = {
    *("torch", "numpy", "pyarrow", "pillow"),
    *("filelock", "typing-extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "setuptools"),
    *("triton", "optree", "opt-einsum"),
}
SCRIPT = """
import sys
blocked = {blocked!r}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in blocked else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.path[:0] = {paths!r}
from made import tiny_experiment
from lib import cli, datasets, training
from lib.experiments import EXPERIMENTS

experiment = tiny_experiment()
EXPERIMENTS.clear()
EXPERIMENTS[experiment.name] = experiment
datasets.SETS["fashion-mnist"] = datasets.dataclasses.replace(
    datasets.SETS["fashion-mnist"], shape=(1, 12, 12), counts=(210, 2000), published=""
)
training.seconds = lambda experiment, **_: 90.0  # that is measured elsewhere
training._train_on_cpu = lambda e, i, level, masks, workers, on_epochs, precision, *_: training.train_stack(
    e, i, level, masks, training.np.arange(e.replicas), "cpu", None, precision
)
for arguments in (
    ["train", experiment.name, "--data", "images", "--tickets", "store", "--out", "out"],
    ["import", "out", "--tickets", "store"],
    ["verify", "--tickets", "store"],
    ["experiments", "--tickets", "store"],
):
    assert cli.main(arguments) == 0, arguments
"""


def test_training_verifying_and_importing_need_four_packages(tmp_path):
    parquet, image = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("PIL.Image")
    import io

    import pyarrow

    images = made_images()
    (tmp_path / "images").mkdir()
    for part in ("train", "test"):
        pixels, labels = getattr(images, part), getattr(images, f"{part}_labels")
        encoded = []
        for picture in pixels:
            buffer = io.BytesIO()
            image.fromarray(picture[0]).save(buffer, "PNG")
            encoded.append(buffer.getvalue())
        table = pyarrow.table({"img": encoded, "label": labels.astype(np.int64)})
        parquet.write_table(table, tmp_path / "images" / f"{part}-0.parquet")
    others = [
        package
        for package, distributions in importlib.metadata.packages_distributions().items()
        if package != "lib"
        and not any(name.lower().replace("_", "-") in BARE or name.startswith("nvidia") for name in distributions)
    ]
    assert {"tqdm", "scipy", "torchvision"} & set(others)
    script = SCRIPT.format(blocked=sorted(others), paths=[str(ROOT / "tests"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LOTTERY_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "added dense, 50, 80" in done.stdout and done.stdout.count("whole") == 3
    assert "trained" in done.stdout and "1.5 min" in done.stdout
