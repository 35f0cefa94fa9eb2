# Everything a developer or CI calls; `make help` lists it. Nothing is downloaded but packages from the usual registries.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv/bin
LAB ?= single-tor
MINUTES ?= 15
PACKAGES := busybox-static conntrack containerd containernetworking-plugins curl ethtool frr gcc iproute2 iptables libc6-dev musl-tools nftables nginx \
	openssl procps python3 python3-venv runc socat util-linux

help: ## list the targets
	@grep -hE '^[a-z/-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z/-]+):.*## /\1\t/' | expand -t 22

setup: .packages .venv/done build/netmgr-ipam ## install packages, the virtual environment and the plugin
.packages:
	@bash packaging/apt-packages $(PACKAGES)
.venv/done: requirements-dev.lock pyproject.toml
	python3 -m venv .venv
	$(VENV)/pip install --quiet --require-hashes -r requirements-dev.lock
	$(VENV)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
build/netmgr-ipam: cni/plugin/netmgr.c
	mkdir -p build
	musl-gcc -static -Os -s -Wall -Wextra -Werror -o $@ $<
	cp $@ build/netmgr
build/netmgr: build/netmgr-ipam

fmt: ## format the code
	$(VENV)/ruff check --fix --quiet . ; $(VENV)/ruff format --quiet .
lint: ## style and import contracts
	$(VENV)/ruff check . && $(VENV)/ruff format --check --quiet . && $(VENV)/lint-imports
types: ## mypy, strict
	$(VENV)/mypy
unit: ## unit tests
	$(VENV)/pytest tests/unit
integration: ## tests with the real API server and the real kernel
	$(VENV)/pytest tests/integration
e2e: ## tests in the lab, as an outsider sees it
	$(VENV)/pytest tests/e2e
test: setup ## set everything up and run all tests
	@bash .ci/suite
check: lint types unit ## what is quick
demo: setup ## the main job in a lab, step by step, with a verdict
	@$(VENV)/python -m netmgr.demo
lab: setup ## leave a lab running with netmgr installed (LAB=single-tor)
	$(VENV)/netmgr lab up $(LAB)
	$(VENV)/netmgr install --kubeconfig .lab/$(LAB)/kubeconfig
	@echo "export KUBECONFIG=$(CURDIR)/.lab/$(LAB)/kubeconfig"
lab-down: ## end the lab and leave nothing of it
	@if [ -x $(VENV)/netmgr ]; then $(VENV)/netmgr lab down $(LAB); fi
bench: setup ## measure; prints a table and writes build/bench.json
	@$(VENV)/python -m tests.bench
bench-curves: setup ## measure how cost grows with claims, pools and watches; long; writes build/bench-curves.json
	@$(VENV)/python -m tests.bench --curves
crds: setup ## print the CustomResourceDefinitions
	$(VENV)/netmgr crds
soak: setup ## churn and kills in the lab (MINUTES=15, SEED= repeats a run); prints figures, also in build/soak.json
	MINUTES=$(MINUTES) $(if $(SEED),SEED=$(SEED)) $(VENV)/pytest -s tests/e2e/test_soak.py
nightly: setup ## the long tests
	HYPOTHESIS_PROFILE=nightly MINUTES=$(MINUTES) $(VENV)/pytest --timeout=7200 tests
	@$(MAKE) --no-print-directory bench-curves
clean: ## end all labs and remove all that was built
	@if [ -x $(VENV)/netmgr ]; then $(VENV)/netmgr lab down --all; fi
	rm -rf .venv build .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
.PHONY: help setup .packages fmt lint types unit integration e2e test check demo lab lab-down bench bench-curves crds soak nightly clean
