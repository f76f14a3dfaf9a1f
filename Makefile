# Rankwise: make demo | make test | make serve | make help
PYTHON ?= python3
VENV ?= .venv
# The PyTorch that the tests ran with; pyproject.toml has the range that is supported. Which build of
# it comes is pip's own configuration's choice; a machine without a GPU may name PyTorch's CPU index,
# TORCH_INDEX=https://download.pytorch.org/whl/cpu, to be spared gigabytes of CUDA libraries.
TORCH ?= torch==2.15.0
TORCH_INDEX ?=
# Tests run side by side, each process on one thread.
TEST_PROCESSES ?= $(shell nproc)
BIN := $(VENV)/bin
BENCHMARKS := statistics_pass plans job_start load openapi_cases linear_algebra
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help check-machine install lock check test serve demo docs bench clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

check-machine:
	@command -v git >/dev/null || { echo "git is missing (Debian: apt install git)"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing (Debian: apt install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing (Debian: apt install python3-venv)"; exit 1; }

# One environment for everything; remade when a lock changes. torch comes first and by pip, which
# honours the machine's own index configuration; the locked rest by uv, several times faster.
install: $(VENV)/.installed  ## make the environment in .venv

$(VENV)/.installed: requirements/dev.lock requirements/assets.lock client/pyproject.toml | check-machine
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -c 'import torch' 2>/dev/null || { echo "installing torch"; \
		$(BIN)/pip --disable-pip-version-check install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'; }
	@$(BIN)/python -c 'import uv' 2>/dev/null || $(BIN)/pip --disable-pip-version-check install --quiet uv
	@echo "installing the locked packages"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --require-hashes -r requirements/assets.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e client
	@touch $@

lock:  ## write requirements/*.lock anew from pyproject.toml
	$(LOCK) pyproject.toml -o requirements/service.lock
	$(LOCK) --extra worker pyproject.toml -o requirements/worker.lock
	$(LOCK) --extra worker --extra demo --extra dev pyproject.toml -o requirements/dev.lock
	$(LOCK) --no-deps --group assets -o requirements/assets.lock

check: install  ## formatting, lint, types, one-way imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache | tail -n 3

test: check  ## every test, with a real PostgreSQL and a real Redis-compatible server
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist worksteal

serve: install  ## start the service and stay up (http://127.0.0.1:8000/dashboard)
	@$(BIN)/python -m core.embedded

demo: install  ## compress a real model on real data, from POST to download
	@$(BIN)/python -m demo

docs: install  ## the guide as a site, in site/
	@$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet -c docs . site

bench: install  ## the small benchmarks, as Markdown on the terminal
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:  ## remove the environment and the service's data
	rm -rf $(VENV) data site
