# make book    builds the book into book/_build/html (only what changed)
# make test    checks everything, the built book in a browser included
# make faults  tries what can go wrong: processes killed, disks full, files damaged, input that cannot be used
# make format  formats the code
# make clean   removes all that is made, environments included

PYTHON ?= python3
PINS := $(wildcard requirements/*.txt) pyproject.toml

.PHONY: book test faults format clean

book: .venv-book/ready
	.venv-book/bin/python -m lib build

test: .venv-test/ready
	.venv-test/bin/ruff format --check .
	.venv-test/bin/ruff check .
	.venv-test/bin/mypy
	.venv-test/bin/python -m pytest -q

faults: .venv-test/ready
	.venv-test/bin/python -m pytest -q -m "" tests/faults

format: .venv-test/ready
	.venv-test/bin/ruff format .
	.venv-test/bin/ruff check --fix .

clean:
	rm -rf .venv-book .venv-test .build book/_build book/notebooks book/index.ipynb *.egg-info .*_cache

# An environment is made anew when a pin changes; its 'ready' is made last.
.venv-%/ready: $(PINS)
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/$*.txt -e .
	touch $@
