# `make demo` and `make test` need nothing but Python 3.11 to 3.13, make and a network for the packages.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# The CPU build; a bare `torch` would bring gigabytes of CUDA. For a GPU: make test TORCH=torch
TORCH ?= torch==2.13.0
EXTRAS := device,tflite,metrics,plot,parquet,sign,export,dev
SYSTEM_PACKAGES := gcc libc6-dev portaudio19-dev libasound2-plugins mosquitto mosquitto-clients pulseaudio pulseaudio-utils systemd \
    gir1.2-gst-rtsp-server-1.0 python3-gst-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly

.PHONY: help demo test lint test-kernels test-faults peers system-packages clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.demo ## Analyse a real clip of a talking person; readings and picture go to demo/
	@mkdir -p demo
	@clip=$$($(BIN)/edge-emotion-export fetch jwpIntro.mp4) && \
	$(BIN)/edge-emotion analyze "$$clip" --out demo/readings.jsonl --plot demo/trace.png
	@echo "readings: demo/readings.jsonl"
	@echo "picture:  demo/trace.png"

test: $(VENV)/.test lint ## Everything that CI holds: linters, types, contracts, tests, kernels without the JIT
	$(BIN)/python -m pytest -q -n 2 --dist loadfile
	$(MAKE) test-kernels

lint: $(VENV)/.test ## Style, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-faults: $(VENV)/.test ## Long fault injection: killed brokers and daemons, a real systemd where it can boot
	$(BIN)/python -m pytest -q -m faults --timeout=3600 tests/faults tests/firmware_bridge tests/test_benchmarks.py

test-kernels: $(VENV)/.test ## The kernels' tests once without the JIT and once with bounds checks
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q -n 2 -m "kernels and not compiled" tests/kernels
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/.cache/boundscheck $(BIN)/python -m pytest -q -n 2 -m kernels tests/kernels

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -U pip

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(PIP) install -e ".[plot]"
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python system-packages
	$(PIP) install "$(TORCH)"
	$(PIP) install -e ".[$(EXTRAS)]"
	$(PIP) check
	@touch $@ $(VENV)/.demo

system-packages:
	@missing=""; for name in $(SYSTEM_PACKAGES); do dpkg -s $$name >/dev/null 2>&1 || missing="$$missing $$name"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else echo "missing system packages; run: sudo apt-get install$$missing" >&2; exit 2; fi

peers: $(VENV)/.test ## Environments of the programs that the benchmarks measure beside ours (.peers/)
	$(BIN)/python -m benchmarks.peers

clean: ## Remove what these targets made
	rm -rf $(VENV) .peers demo build .cache *.egg-info
