# `make baseline` and `make test` set up everything they need, inside this folder.

# Any Python from 3.11 on, as in `make test PYTHON=python3.13`; each but python3 has a folder of its
# own, named for its version.
PYTHON := python3
VENV := .venv
ifneq ($(PYTHON),python3)
VERSION := $(shell '$(PYTHON)' -c 'import sys; print(*sys.version_info[:2], sep=".")')
VENV := .venv-$(or $(VERSION),$(error PYTHON=$(PYTHON) cannot be run))
endif

# The build of torch: cpu, or a CUDA build as in `make setup TORCH_BACKEND=cu126` (or `auto`), which
# later calls keep: the name of the stamp tells it.
TORCH_BACKEND ?= $(or $(patsubst $(VENV)/torch-%,%,$(wildcard $(VENV)/torch-*)),cpu)
TORCH_BACKEND := $(TORCH_BACKEND)
TORCH := torch==2.13.0

VENV_PYTHON := $(VENV)/bin/python
PIP := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Nothing outside this folder is written: the libraries' caches lie here too.
export PIP_NO_CACHE_DIR := 1
export UV_NO_CACHE := 1
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/cache/matplotlib
export TORCHINDUCTOR_CACHE_DIR := $(CURDIR)/$(VENV)/cache/torch
export KERAS_HOME := $(CURDIR)/$(VENV)/cache/keras
export IPYTHONDIR := $(CURDIR)/$(VENV)/cache/ipython
export JUPYTER_CONFIG_DIR := $(CURDIR)/$(VENV)/cache/jupyter
export JUPYTER_DATA_DIR := $(CURDIR)/$(VENV)/cache/jupyter
export JUPYTER_RUNTIME_DIR := $(CURDIR)/$(VENV)/cache/jupyter
# Its telemetry writes to the home folder; the tests open stores themselves.
export MLFLOW_DISABLE_TELEMETRY := true

# The longest first, so that two at a time end together.
STUDIES := architectures memory_span recall length_generalisation longer_echoes \
	linear_representation topologies missing_values ignore_state
SCALE ?= full

.PHONY: help baseline ui studies findings check quick test docs system setup lint types package constraints \
	clean

help:
	@echo "make baseline     the tutorial's seq2seq baseline, and how to look at it"
	@echo "make ui           the runs of outputs/ in MLflow's UI"
	@echo "make -j2 studies  all studies and their reports, on two cores (SCALE=quick for a taste)"
	@echo "make findings     copies these reports to docs/findings/"
	@echo "make check        after each change: style, types, and all tests that train and start nothing"
	@echo "make test         all tests; as root on Debian, installs what they need of the system"
	@echo "make docs         this documentation as a site, in build/docs"
	@echo "make setup        only what a run needs"
	@echo "make lint types   style and types"
	@echo "make package      the wheel, tried in an empty environment"
	@echo "make clean        removes what the others made, but not outputs/"
	@echo "PYTHON=python3.13 after any of these: with this Python, in .venv-3.13"

baseline: setup
	$(VENV)/bin/echo-exp

ui: setup
	$(VENV)/bin/echo-exp-ui

# One thread each: two studies at a time have a core each.
studies: $(STUDIES:%=study-%)

study-%: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/echo-exp study=$* study.scale=$(SCALE)
	$(VENV)/bin/echo-exp-report study=$* study.scale=$(SCALE)

# What docs/findings.md is written from.
findings:
	for study in $(STUDIES); do \
		mkdir -p docs/findings/$$study; \
		cp outputs/reports/$$study/$(SCALE)/report.md outputs/reports/$$study/$(SCALE)/*.csv \
			outputs/reports/$$study/$(SCALE)/*.png outputs/reports/$$study/$(SCALE)/runs.parquet \
			docs/findings/$$study/; \
	done

check: lint types quick

quick: $(VENV)/dev
	$(VENV_PYTHON) -m pytest -n 2 --dist worksteal --quick -q

test: $(VENV)/dev system
	$(VENV_PYTHON) -m pytest -n 2 --dist worksteal

# Every warning is an error, and so is a name of the package that is not found.
docs: $(VENV)/dev
	$(VENV_PYTHON) -m sphinx --fresh-env --fail-on-warning --keep-going --nitpicky --quiet docs build/docs
	@echo "build/docs/index.html"

# Debian's packages that tests start: Slurm, PostgreSQL, a browser. Elsewhere these tests are skipped.
SYSTEM := slurm-wlm munge postgresql chromium

system:
	@if dpkg -s $(SYSTEM) >/dev/null 2>&1; then :; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing $(SYSTEM)"; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get update && apt-get install --yes --no-install-recommends $(SYSTEM); } \
			>/dev/null 2>&1 || echo "they cannot be installed: tests that need them are skipped"; \
	else echo "tests that need $(SYSTEM) are skipped where these are not installed"; fi

setup: $(VENV)/run

lint: $(VENV)/dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-cache --no-logo

types: $(VENV)/dev
	$(VENV)/bin/mypy

# A venv gets pip last: one without it was interrupted, and is made again.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# PyPI's torch for Linux carries CUDA. The CPU build is a version of its own; where pip does not
# find it, uv knows PyTorch's index, and where nobody has it, PyPI's torch does as well. Elsewhere
# PyPI's torch is the CPU build.
CPU := $(if $(filter Linux,$(shell uname -s)),+cpu)
install_torch = { [ $(TORCH_BACKEND) = cpu ] \
		&& $(1) -m pip install --quiet -c constraints.txt '$(TORCH)$(CPU)' 2>/dev/null; } \
	|| { $(PIP) uv && $(VENV)/bin/uv pip install --quiet --python $(1) -c constraints.txt \
		--reinstall-package torch --torch-backend=$(TORCH_BACKEND) '$(TORCH)'; } \
	|| { [ $(TORCH_BACKEND) = cpu ] && echo "it is not to be had: PyPI's, which may carry CUDA" \
		&& $(1) -m pip install --quiet -c constraints.txt '$(TORCH)'; }

$(VENV)/torch-$(TORCH_BACKEND): constraints.txt Makefile | $(VENV)/bin/pip
	@echo "installing torch ($(TORCH_BACKEND))"
	@$(call install_torch,$(VENV_PYTHON))
	@rm -f $(VENV)/torch-* && touch $@

$(VENV)/run: pyproject.toml constraints.txt $(VENV)/torch-$(TORCH_BACKEND)
	@echo "installing echo_exp and what it runs on"
	@$(PIP) --editable .
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt $(VENV)/torch-$(TORCH_BACKEND)
	@echo "installing echo_exp and what its tests need"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/run

package: $(VENV)/torch-$(TORCH_BACKEND)
	rm -rf build/package dist
	$(VENV_PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/package
	@$(call install_torch,build/package/bin/python)
	build/package/bin/python -m pip install --quiet -c constraints.txt dist/*.whl
	cd / && "$(CURDIR)/build/package/bin/echo-exp" --cfg job

# After changing a dependency: the versions that this environment has now.
constraints: $(VENV)/dev
	{ echo "# The versions that everything here was tested with; made by 'make constraints'."; \
	$(VENV_PYTHON) -m pip freeze --all --exclude-editable --exclude pip --exclude uv --exclude wheel \
		| sed -e 's/+cpu$$//' -e 's/ @ .*//'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv .venv-* build dist .*_cache .hypothesis
