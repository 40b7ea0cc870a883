# Two commands do everything: `make demo` and `make test`. PYTHON names another interpreter, VENV another environment.
VENV ?= .venv
export VENV
python := $(VENV)/bin/python

.PHONY: help install demo demo-recognition test test-gpu test-upstream lint benchmark wheel
help:
	@echo 'make demo       install, then train and compare teacher, LR base and A-SKD on toy data (15 minutes, 2 cores)'
	@echo 'make demo-recognition   the same for face recognition'
	@echo 'make test       install, then run all tests'
	@echo 'make test-gpu   what a GPU must show: equality with the CPU, AMP, NCCL, memory, throughput (printed)'
	@echo "make test-upstream   the core's tests on upstream's mmengine and mmcv-lite, in $(VENV)-upstream"
	@echo 'make install    only make the environment $(VENV)'
	@echo 'make wheel      write the package to dist/'
	@echo 'make lint       check the style'
	@echo 'make benchmark  measure the ratios that docs/benchmarks.md quotes'

install: $(VENV)/.installed
$(VENV)/.installed: tools/install.sh pyproject.toml requirements/constraints.txt
	@tools/install.sh

demo: install
	@PYTHONWARNINGS=ignore $(python) -m askd_mmdet demo

demo-recognition: install
	@PYTHONWARNINGS=ignore $(python) -m askd_mmdet table demo-recognition

# The tests of a file share what they train, so a file stays in one process; these have a thread each.
test: install lint
	@OMP_NUM_THREADS=1 $(python) -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

# In one process, which has the GPU to itself; what is measured is printed, not judged.
test-gpu: install
	@$(python) -m pytest -s tests/gpu

# The core on upstream's OpenMMLab, which most people have, in an environment of its own where nothing is compiled.
core := attention degradation distillation training
test-upstream: $(VENV)-upstream/.installed
	@OMP_NUM_THREADS=1 $(VENV)-upstream/bin/python -m pytest $(core:%=tests/%) $(core:%=askd_mmdet/%)
$(VENV)-upstream/.installed: tools/install.sh requirements/constraints.txt
	@VENV=$(VENV)-upstream tools/install.sh upstream

lint: install
	@$(python) -m ruff check . && $(python) -m ruff format --check .

# What an earlier build left in build/ would get into the wheel.
wheel: install
	@rm -rf build
	@$(python) -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

benchmark: install
	@missed=0; for script in benchmarks/*.py; do $(python) $$script || missed=1; done; exit $$missed
