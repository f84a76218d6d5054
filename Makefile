# Every target sets itself up: a virtual environment in .venv, installed from requirements.lock. A stamp named after
# the lock, pyproject.toml and this folder says that it is done, so that a second call installs nothing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
OLDEST := .venv-oldest
UV := uv==0.13.8
# More than two cores need: the tests of Slurm wait more than they compute.
WORKERS ?= 3

stamp = $(1)/.installed-$(shell { pwd; cat $(2) pyproject.toml; } | cksum | tr ' ' '-')
READY := $(call stamp,$(VENV),requirements.lock)
READY_OLDEST := $(call stamp,$(OLDEST),requirements-oldest.txt)

# One thread a process: spinning OpenMP threads beside each other cost many times the CPU time.
PYTEST = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(1)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

.PHONY: help demo test check format format-check lint types bench test-oldest lock install hooks clean distclean latex slurm

help:
	@echo 'make demo         measure two tables on this machine: an ablation trained on real images, a paper counted again'
	@echo 'make test         the tests (TESTS=tests/bench for some of them, WORKERS=4 for more processes)'
	@echo 'make check        format, lint, types and tests: what has to pass before a change goes in'
	@echo 'make format       rewrite the files as the formatter wants them'
	@echo 'make bench        time and memory: commands that answer at once, 10,000 trials, counting beside other counters, training, scoring, sweeps'
	@echo 'make test-oldest  the tests on the oldest versions that pyproject.toml allows (torch 2.11), in $(OLDEST)'
	@echo 'make install      only set up $(VENV) (PYTHON=python3.12 to choose which Python)'
	@echo 'make hooks        run the checks before every git commit'
	@echo 'make lock         pin everything again as pyproject.toml asks (UPGRADE=1 takes the newest of everything)'
	@echo 'make clean        remove caches and built files; make distclean removes the environments too'

install: $(READY)

$(READY):
	@sh .ci/environment $(VENV) requirements.lock $@

$(READY_OLDEST):
	@sh .ci/environment $(OLDEST) requirements-oldest.txt $@

demo: $(READY)
	$(VENV)/bin/vitab run positional_embedding
	$(VENV)/bin/vitab run swin_imagenet --columns params,flops
	@echo
	@echo 'Next:'
	@echo '  $(VENV)/bin/vitab why positional_embedding none top1     where a number of these tables comes from'
	@echo '  $(VENV)/bin/vitab table swin_imagenet --as latex         the whole table for a paper: what is counted, and what is not yet'
	@echo '  $(VENV)/bin/vitab count vit_base_patch16_224 --by module where the FLOPs of a model are'

test: $(READY) latex slurm
	$(call PYTEST,$(VENV))

check: format-check lint types test

format: $(READY)
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

format-check: $(READY)
	$(VENV)/bin/ruff format --check .

lint: $(READY)
	$(VENV)/bin/ruff check .

types: $(READY)
	$(VENV)/bin/mypy

bench: $(READY)
	$(VENV)/bin/python benchmarks/commands.py
	$(VENV)/bin/python benchmarks/scale.py
	$(VENV)/bin/python benchmarks/significance.py
	$(VENV)/bin/python -m pip install -qq --no-build-isolation --editable '.[bench]'
	$(VENV)/bin/python benchmarks/counting.py
	$(VENV)/bin/python benchmarks/every_timm_model.py
	$(VENV)/bin/python benchmarks/fvcore_convention.py
	$(VENV)/bin/python benchmarks/training.py
	$(VENV)/bin/python benchmarks/detection_scoring.py
	$(VENV)/bin/python benchmarks/segmentation_scoring.py
	$(VENV)/bin/python benchmarks/sweeps.py
	$(VENV)/bin/python benchmarks/sending.py

test-oldest: $(READY_OLDEST) latex
	@sh .ci/slurm $(OLDEST)
	$(call PYTEST,$(OLDEST))

# Tests that typeset need pdflatex; without it they are skipped with that reason (VITAB_REQUIRE=latex: they fail).
latex:
	@sh .ci/latex

# Tests that send jobs bring up a Slurm: it is installed where that takes no question, and without its programs they are
# skipped by name (VITAB_REQUIRE=slurm: they fail).
slurm: $(READY)
	@sh .ci/slurm $(VENV)

hooks: $(READY)
	$(VENV)/bin/pre-commit install

lock:
	@sh .ci/lock '$(UV)' $(if $(UPGRADE),--upgrade)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(OLDEST) .venv-lock
