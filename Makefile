# make demo: set-up, then the main job on a small drawn world.  make test: set-up, then every test.  GPU=1: TensorFlow with CUDA.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BUILD = $(if $(GPU),gpu,cpu)
STAMP = .venv/installed-$(BUILD)

.PHONY: help setup demo flickr8k gpu test lint soak audit clean
help:  ## show this list
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP)  ## make .venv with all that is needed (GPU=1: with CUDA)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: expected Python 3.11, 3.12 or 3.13, found none; install one or say make PYTHON=/path/to/python"; exit 1; }
	rm -rf .venv  # the two builds of TensorFlow must never lie in one environment
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(BUILD),dev]'
	touch $@

demo: setup  ## draw a small captioned world, pre-train an encoder on it and take all six steps (FULL=1: more and longer)
	.venv/bin/python -m demo --out demo-run $(if $(FULL),--full)

flickr8k: setup  ## run steps 1 to 5 on Flickr8k in DIR (OUT=FOLDER, ENCODER=FILE)
	@test -n "$(DIR)" || { echo "error: expected the folder of Flickr8k; say make flickr8k DIR=/path/to/it"; exit 1; }
	PATH="$(CURDIR)/.venv/bin:$$PATH" bash docs/recipes/flickr8k.sh "$(DIR)" $(or $(OUT),flickr8k-run) $(ENCODER)

gpu:  ## measure and use an NVIDIA GPU: tests, timings and pre-training (ARCHIVE=FILE, MINUTES=60, OUT=FOLDER)
	$(MAKE) GPU=1 setup
	.venv/bin/python -m benchmarks.gpu --archive $(or $(ARCHIVE),photographs.tar) --minutes $(or $(MINUTES),60) --out $(or $(OUT),gpu_run)

lint: setup  ## check the code's form
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

test: setup lint  ## run every test, three at a time (FLICKR8K=DIR: those on real data too)
	.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

soak: setup  ## kill each long script KILLS=12 times at random moments, fuzz the parsers for MINUTES=20, and count
	SOAK_KILLS=$(or $(KILLS),12) SOAK_MINUTES=$(or $(MINUTES),20) FUZZ=100 .venv/bin/python -m pytest \
		tests/core/test_crashes.py tests/core/test_workers.py tests/core/test_bad_input.py tests/core/test_hostile_files.py

audit: setup  ## look up what is installed among the known vulnerabilities (needs the network)
	$(PYTHON) -m venv .venv/audit  # apart, so that it audits nothing of its own
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --skip-editable --path .venv/lib/python*/site-packages

clean:  ## remove the environment and what the demo wrote
	rm -rf .venv demo-run *.egg-info
