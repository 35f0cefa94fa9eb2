# Everything a developer or CI calls; `make help` lists it. Nothing is downloaded but packages from the usual registries.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv/bin
PACKAGES := busybox-static conntrack containerd containernetworking-plugins ethtool frr gcc iproute2 iptables libc6-dev musl-tools nftables nginx \
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
test: setup ## set everything up and run all tests
	@bash .ci/suite
check: lint types unit ## what is quick
crds: setup ## print the CustomResourceDefinitions
	$(VENV)/netmgr crds
nightly: setup ## the long tests
	HYPOTHESIS_PROFILE=nightly $(VENV)/pytest tests
clean: ## remove all that was built
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
.PHONY: help setup .packages fmt lint types unit integration test check crds nightly clean
