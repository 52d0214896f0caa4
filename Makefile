# SPDX-License-Identifier: BSD-3-Clause
# Every habit is one named target; `make help` lists them.
# Options: PYTHON (interpreter for .venv), GRID (where `make run` keeps its grid), NETWORK (its loopback addresses, such
# as 127.21.0), ROWS and SCALE (for bench), FLAVOUR (for iso, image), FORMAT (for image: qcow2 and others), T (tests
# to run), WORKERS (tests at once).

SHELL := /bin/sh
PYTHON ?= /usr/bin/python3
GRID ?= build/grid
NETWORK ?=
ROWS ?=
SCALE ?=
FLAVOUR ?= core
FORMAT ?= qcow2
T ?=
WORKERS ?= 2
export PYTHON

BIN := .venv/bin
BOOTSTRAP := packages/setup/bootstrap
SLOWEST := --durations=5 --durations-min=5
# A file's tests stay together, in their order; each may take longer than alone.
PARALLEL := -n $(WORKERS) --dist loadfile --timeout=60
SOURCES := xos-common/src packages/*/src iso/src
C_FILES := $(wildcard packages/*/command/*.c kernel-modules/*/*.c)
CHECKS := lint types imports gen-check c unit scenario conformance posix system vm

.PHONY: help prepare run stop test check lint format types imports gen gen-check c unit scenario conformance posix system bench docs image-tools install-image-tools rpms repo iso image grid grid-stop image-test vm clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

prepare: ## install what is missing (Debian packages, .venv, our commands); every other target does this first
	@$(BOOTSTRAP)/prepare

run: prepare ## make this machine a grid of three nodes, run the sample job in it, leave it up
	@$(BIN)/xos-setup local demo --root $(GRID) --job docs/examples/hello.jsdl $(if $(NETWORK),--network $(NETWORK))

stop: ## stop the grid of `make run`; its state stays
	@if [ -x $(BIN)/xos-setup ]; then $(BIN)/xos-setup local down --root $(GRID); else echo "There is no grid here."; fi

test: prepare ## everything that CI checks, with a summary
	@$(BOOTSTRAP)/prepare --tests
	@$(BOOTSTRAP)/checks $(CHECKS)

check: prepare ## the quick part of `make test`: no daemons
	@$(BOOTSTRAP)/checks lint types imports gen-check c unit

lint: prepare ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: prepare ## ruff: put the sources into form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: prepare ## mypy --strict on sources and tests
	@$(BIN)/mypy $(SOURCES) tests

imports: prepare ## rooms import downwards only
	@$(BIN)/lint-imports --no-cache

gen: prepare ## generate XATI clients and reference pages from the service classes
	@$(BIN)/python -m xos.dixi.codegen

gen-check: prepare ## what is generated is fresh
	@$(BIN)/python -m xos.dixi.codegen --check

c: prepare ## C sources compile without a warning
	@for file in $(C_FILES); do echo "gcc -fanalyzer $$file"; gcc -std=c17 -O2 -Wall -Wextra -Wshadow -Werror -fanalyzer -fsyntax-only $$file || exit 1; done

unit: prepare ## tests without daemons (T=path or -k expression: only those)
	@$(BIN)/pytest -q $(SLOWEST) $(PARALLEL) -m "not slow" --ignore=tests/scenario --ignore=tests/conformance --ignore=tests/system --ignore=tests/vm $(T)

scenario: prepare ## tests with real daemons, killed and restarted
	@$(BIN)/pytest -q $(SLOWEST) $(PARALLEL) -m "not slow" tests/scenario $(T)

conformance: prepare ## third-party judges: openssl, curl
	@$(BIN)/pytest -q tests/conformance $(T)

posix: prepare ## a POSIX test suite on a mount of XtreemFS; PJDFSTEST=DIR where pjdfstest is built (needs root)
	@PJDFSTEST=$(abspath $(PJDFSTEST)) $(BIN)/pytest -q tests/conformance/test_posix.py

system: prepare ## tests on a grid of real systems, made from our packages (needs root)
	@if [ "$$(id -u)" -ne 0 ]; then echo "Skipped: only root can boot systems in containers."; else \
	    $(BOOTSTRAP)/prepare --tests && $(MAKE) --no-print-directory repo && \
	    $(BIN)/pytest -q $(SLOWEST) -m "not slow" tests/system $(T); fi

bench: prepare ## measure beside peers; ROWS=dixi,submit runs some, SCALE=0.1 does a tenth (build/bench/results.json)
	@PYTHONPATH=tests $(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS)) $(if $(SCALE),--scale $(SCALE))

docs: gen ## the manual: generated reference pages under docs/

image-tools:
	@for program in mmdebstrap git systemd-nspawn ip; do command -v $$program >/dev/null || exec $(MAKE) -s install-image-tools; done

install-image-tools:
	@apt-get update -qq && apt-get install -y -qq --no-install-recommends mmdebstrap git systemd-container iproute2 >/dev/null

rpms: prepare image-tools ## build the packages that changed, in a clean Debian 13 root (needs root; P=NAMES: only those)
	@$(BIN)/xos-image rpms $(P)

repo: rpms ## sign them and make the repository for dnf and urpmi (build/repo)
	@$(BIN)/xos-image repo

iso: repo ## a live ISO that boots by BIOS and UEFI (build/images; needs root; FLAVOUR=core)
	@$(BIN)/xos-image build $(FLAVOUR) --format iso

image: repo ## an image of a flavour (build/images; needs root; FLAVOUR=core FORMAT=qcow2, raw, vmdk, tar or iso)
	@$(BIN)/xos-image build $(FLAVOUR) --format $(FORMAT)

grid: repo ## a core and two resource nodes as systemd containers from these RPMs; runs the sample job (needs root)
	@$(BIN)/xos-image grid up

grid-stop: ## end the containers of `make grid` and remove all of them
	@if [ -x $(BIN)/xos-image ]; then $(BIN)/xos-image grid down; fi

image-test: prepare image-tools ## the slow tests: packages and repositories built and installed for real (needs root)
	@$(BOOTSTRAP)/prepare --tests
	@$(BIN)/pytest -q -m slow tests/image tests/vm $(T)

vm: prepare ## machines in QEMU: installed from the ISO, begun from an image, linked; a job runs (needs root)
	@if [ "$$(id -u)" -ne 0 ]; then echo "Skipped: only root can make images."; else \
	    $(BOOTSTRAP)/prepare --tests && $(MAKE) --no-print-directory repo && \
	    $(BIN)/xos-image build core --format iso && $(BIN)/xos-image build resource --format qcow2 && \
	    $(BIN)/pytest -q $(SLOWEST) -m "vm and not slow" tests/vm $(T); fi

clean: stop ## remove what was built here, and the grid of `make run` with its state
	@if [ -x $(BIN)/xos-setup ]; then $(BIN)/xos-setup local destroy --root $(GRID) --yes; fi
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

distclean: clean ## clean, and remove .venv
	@rm -rf .venv .tox
