# Commands of a fresh clone. Everything is installed into $(VENV); `make help` lists the targets.

VENV ?= .venv
PYTHON ?=
PIP_FLAGS ?=
TEST_JOBS ?= 2
SYSTEM_PACKAGES ?= 1
REFERENCE_PYTHON ?=
BENCH_FLAGS ?=
VISION_BENCH_FLAGS ?=
TRAINING_BENCH_FLAGS ?=
REGRESSION_FLAGS ?=
PICTURES ?=
BENCHMARK_STORE ?= runs/bench-quick

BIN := $(VENV)/bin
# One thread per test process; numpy and torch would otherwise start one per core in each.
ONE_THREAD := OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help train benchmark test lint bench regression docs clean
.DELETE_ON_ERROR:

help:  ## List the targets
	@echo "make train       install, train PPO-Lag on SafetyPointGoal1-v0 (3 to 10 minutes), evaluate, plot, film"
	@echo "make benchmark   install, run the sweep \`quick\` (some minutes), write its report, open it in a desktop's browser"
	@echo "make test        install, lint, check types, run the tests"
	@echo "make lint        ruff and mypy alone"
	@echo "make bench       measure environments, cameras, training (REFERENCE_PYTHON=... compares with safety-gymnasium)"
	@echo "make regression  train every algorithm briefly, compare with stored curves; then the slow tests (about 25 minutes)"
	@echo "make docs        write docs/environments and docs/algorithms (PICTURES=1: draw docs/images as well)"
	@echo "make clean       remove $(VENV), caches and build products; runs/ stays"
	@echo ""
	@echo "Variables: PYTHON=python3.12  VENV=.venv  PIP_FLAGS='--extra-index-url ...'  SYSTEM_PACKAGES=0 (no apt-get)"

$(BIN)/python:
	@bash scripts/make_venv.sh "$(VENV)" "$(PYTHON)"

# One stamp per set of extras: the second call does nothing.
$(VENV)/.stamp-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the extras [$*] into $(VENV); the first time this downloads PyTorch"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e ".[$*]"
	@touch $@

# Software OpenGL for pictures, a virtual display for the tests. Never an error: what needs them says so itself.
$(VENV)/.gl-%: scripts/gl_packages.sh | $(BIN)/python
	@SYSTEM_PACKAGES="$(SYSTEM_PACKAGES)" bash scripts/gl_packages.sh $*
	@touch $@

train: $(VENV)/.stamp-train,render $(VENV)/.gl-pictures  ## Train, evaluate, plot, film
	@$(ONE_THREAD) $(BIN)/python scripts/demo.py

benchmark: $(VENV)/.stamp-bench,render $(VENV)/.gl-pictures  ## Sweep over the suite `quick`, and its report
	@$(BIN)/python -m benchmarks run quick --store $(BENCHMARK_STORE)
	@$(BIN)/python -m benchmarks report $(BENCHMARK_STORE) --open

test: lint $(VENV)/.gl-tests  ## Install, lint, check types, run the tests
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(TEST_JOBS) -m "not slow"

lint: $(VENV)/.stamp-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

BENCH_REFERENCE = $(if $(REFERENCE_PYTHON),--reference-python "$(REFERENCE_PYTHON)")

bench: $(VENV)/.stamp-bench,train $(VENV)/.gl-pictures  ## Measure the speed of environments, cameras and training
	$(BIN)/python benchmarks/speed.py $(BENCH_REFERENCE) $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.vision_speed $(BENCH_REFERENCE) $(VISION_BENCH_FLAGS)
	$(ONE_THREAD) $(BIN)/python -m benchmarks.training $(BENCH_REFERENCE) $(TRAINING_BENCH_FLAGS)

regression: $(VENV)/.stamp-dev  ## Curves of every algorithm against stored ones, then the learning tests that take minutes
	@status=0; \
	$(BIN)/python -m benchmarks.regression $(REGRESSION_FLAGS) || status=$$?; \
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow || status=$$?; \
	exit $$status

docs: $(VENV)/.stamp-dev  ## Write the reference pages of environments and algorithms
	$(BIN)/python scripts/make_docs.py
	$(BIN)/python scripts/make_algorithm_docs.py
	$(if $(PICTURES),$(BIN)/python scripts/doc_pictures.py)

clean:  ## Remove the environment, caches and build products
	rm -rf "$(VENV)" build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find safety_gym safepo benchmarks scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
