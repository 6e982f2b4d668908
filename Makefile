# make book    builds the book into book/_build/html (only what changed)
# make pdf     prints the book into runs/winning-tickets.pdf (needs Chromium)
# make test    checks everything, the built book in a browser included
# make faults  tries what can go wrong: processes killed, disks full, files damaged, input that cannot be used
# make lab     opens the chapters in JupyterLab, as notebooks
# make screenshots  takes pictures of all pages, to look at, into runs/screenshots
# make format  formats the code
# make clean   removes all that is made, environments included

PYTHON ?= python3
PINS := $(wildcard requirements/*.txt) pyproject.toml
# As many processes as cores are at work: threads of one would wait for those of the other.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: book pdf test faults lab screenshots format clean

book: .venv-book/ready
	.venv-book/bin/python -m lib build

pdf: book
	.venv-book/bin/python -m lib pdf

test: .venv-test/ready
	.venv-test/bin/ruff format --check .
	.venv-test/bin/ruff check .
	.venv-test/bin/mypy
	$(ONE_THREAD) .venv-test/bin/python -m pytest -q -n logical --dist loadfile --no-loadscope-reorder

faults: .venv-test/ready
	.venv-test/bin/python -m pytest -q -m "" tests/faults

# From the root, where jupytext finds how notebooks are paired; Jupyter would serve the folder of the notebook only.
lab: .venv-lab/ready
	JUPYTER_CONFIG_DIR=.venv-lab/etc/jupyter .venv-lab/bin/jupytext-config set-default-viewer python
	.venv-lab/bin/jupyter lab --ServerApp.root_dir=. notebooks/index.py

screenshots: .venv-test/ready
	.venv-test/bin/python -m lib build
	.venv-test/bin/python -m lib screenshots

format: .venv-test/ready
	.venv-test/bin/ruff format .
	.venv-test/bin/ruff check --fix .

clean:
	rm -rf .venv-book .venv-test .venv-lab .build runs/lab book/_build book/notebooks book/index.ipynb *.egg-info .*_cache

# An environment is made anew when a pin changes; its 'ready' is made last. Of the packages what is imported is compiled
# then; to compile all of them takes longer than to install them.
.venv-%/ready: $(PINS)
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements/$*.txt -e .
	touch $@
