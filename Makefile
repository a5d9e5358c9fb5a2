# `make help` lists the tasks. Each makes the virtual environment .venv first, if there is none.
#
# PIP_ARGS passes pip another source, e.g. for a PyTorch without CUDA:
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt $(PIP_ARGS)
INPUTS := pyproject.toml constraints.txt alembic.ini
ADAPTER_TESTS := $(patsubst %,tests/integrations/test_%.py,accelerate ignite keras lightgbm lightning optuna report_to trl xgboost) \
	$(wildcard tests/integrations/test_wandb*.py)

.PHONY: help demo test test-browser test-adapters coverage soak soak-import soak-merge soak-resume lint pictures docs docs/cli.md docs/notebook.md check-migrations bench bench-peers clean

help: ## list the tasks
	@grep -E '^[a-z/.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: .venv/demo.done ## train four small models through the callback, show the best run
	$(BIN)/trainstore demo

# Much of the suite waits for time-outs, so more processes than cores (tests/fixtures/worker.py says how they begin);
# a file's tests stay together, they share trainings. tests/conftest.py puts the longest files first.
WORKERS := --tx '4*popen//python=$(BIN)/python tests/fixtures/worker.py' --max-worker-restart 16
PYTEST = pytest $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=10 $(PYTEST_ARGS)

# Without bytecode each of hundreds of processes would compile trainstore anew.
test coverage soak: export PYTHONDONTWRITEBYTECODE =

test: export TRAINSTORE_TEST_BROWSER = short
test: .venv/dev.done ## the test suite, PostgreSQL included; of the pages in a browser the short form
	$(BIN)/python -m $(PYTEST)

test-browser: .venv/dev.done ## the dashboard's pages in a browser, in full: every page, tab and theme
	$(BIN)/python -m $(PYTEST) tests/dashboard/browser

coverage: WORKERS := -n 4
coverage: .venv/dev.done ## the same, slower; which lines no test reaches
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-adapters: build/adapters.done ## the adapters of all libraries, also of the large ones, in an environment of its own
	TRAINSTORE_TEST_ADAPTERS=all build/adapters/bin/python -m pytest -n 2 --dist loadfile --durations=10 tests/adapters $(ADAPTER_TESTS) $(PYTEST_ARGS)

soak: .venv/dev.done ## the fault suite's long form: SOAK_KILLS=200 on each database; SOAK_ARGS="--short --markdown FILE"
	$(BIN)/python tests/faults/soak.py $(SOAK_ARGS)

soak-resume: .venv/dev.done ## trainings killed at random events and resumed, RESUME_KILLS=50 of each scene
	RESUME_KILLS=$${RESUME_KILLS:-50} $(BIN)/python -m pytest -q tests/training/test_killed.py

soak-import: .venv/dev.done ## imports of every source killed at random, IMPORT_KILLS=200 each, of IMPORT_DAMAGES=100 damaged copies, of random logs that grow
	IMPORT_KILLS=$${IMPORT_KILLS:-200} IMPORT_DAMAGES=$${IMPORT_DAMAGES:-100} IMPORT_HISTORIES=$${IMPORT_HISTORIES:-200} IMPORT_GROWTHS=$${IMPORT_GROWTHS:-100} \
		$(BIN)/python -m pytest -q -s tests/importing/test_every_source.py tests/importing/test_growing_logs.py tests/importing/test_growing_databases.py

soak-merge: .venv/dev.done ## random histories at three stores, merged in any direction: eighty times as many as in the suite
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -q tests/transfer/test_three_stores.py tests/transfer/test_histories.py

lint: .venv/dev.done ## style, types, floors of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: .venv/dev.done ## every page of the dashboard in both themes and two widths, into build/pictures; PICTURES_ARGS="--docs"
	PYTHONPATH=tests $(BIN)/python -m fixtures.pictures $(PICTURES_ARGS)

docs: .venv/dev.done ## build the site into site/, strictly; run the code of README, docs/ and the notebook
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python -m pytest -q tests/docs

docs/notebook.md: .venv/dev.done ## the notebook's page, from docs/notebook.ipynb
	$(BIN)/python docs/_notebook.py > $@

docs/cli.md: .venv/dev.done ## the command line's reference, from --help
	$(BIN)/python -m trainstore.cli.reference > $@

check-migrations: .venv/dev.done ## models and migrations agree; every revision goes up, down and up on both databases
	$(BIN)/python -m pytest -q tests/migrations

bench: .venv/dev.done ## what recording and reading cost, as ratios to floors; writes docs/benchmarks.md
	mkdir -p build
	$(BIN)/python -m benchmarks --json build/benchmarks.json --markdown docs/benchmarks.md $(BENCH_ARGS)

bench-peers: .venv/dev.done ## the same through Trackio, TensorBoard, MLflow and W&B, installed into build/peers
	mkdir -p build
	$(BIN)/python -m benchmarks.peers --json build/peers.json --markdown docs/benchmarks.md $(BENCH_ARGS)

clean: ## remove the virtual environment and what tools left
	rm -rf .venv .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site

# torch goes first and alone: once it is there, no other package brings another build of it.
.venv/torch.done: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	@touch $@

.venv/demo.done: .venv/torch.done $(INPUTS)
	$(PIP) --editable '.[transformers]'
	@touch $@

build/adapters.done: $(INPUTS)
	test -x build/adapters/bin/python || $(PYTHON) -m venv build/adapters
	$(subst $(BIN),build/adapters/bin,$(PIP)) torch
	$(subst $(BIN),build/adapters/bin,$(PIP)) --editable '.[dev,adapters]'
	@# fastai brings torchvision, which no test uses. Built for another torch, it would break every import of transformers.
	build/adapters/bin/python -c "import torchvision" 2> /dev/null || build/adapters/bin/python -m pip uninstall --quiet --yes torchvision
	@touch $@

.venv/dev.done: .venv/torch.done $(INPUTS)
	$(PIP) --editable '.[dev]'
	@touch $@
