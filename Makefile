# Makefile - the way in: builds, shows and checks everything
#
# Each area has its own fragment, included below; this file ties them
# together. Everything generated goes to build/. `make help` lists the targets.

VERSION := 0.1.0
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DESTDIR ?=

.DEFAULT_GOAL := help
.PHONY: help deps demo check check-all soak install uninstall clean lint format \
  check-house check-docs check-loops coverage-of-contract check-trixie \
  check-systemd reliability-page

-include c/build.mk tests/c/build.mk python/build.mk ocaml/build.mk
-include bench/build.mk tests/programs/build.mk scripts/dist.mk

help: ## list the targets
	@awk '{ line = line $$0 } \
	  sub(/\\$$/, "", line) { next } \
	  line ~ /^[a-z][-a-z0-9]*:.*## / { \
	    name = text = line; sub(/:.*/, "", name); sub(/.*## /, "", text); \
	    gsub(/[ \t]+/, " ", text); \
	    printf "  %-22s %s\n", name, text } \
	  { line = "" }' $(MAKEFILE_LIST)

deps: ## install what demo and check need, from Debian
	@scripts/deps demo check

# The packages come first, and a make of its own reads the fragments after.
demo: ## install what is missing, build, and show it in Python and OCaml
	@scripts/deps demo
	@$(MAKE) --no-print-directory lib python ocaml
	@$(MAKE) --no-print-directory demo-python
	@$(MAKE) --no-print-directory demo-ocaml

check: ## install what is missing, build, and run every test
	@scripts/deps check
	@MAKE='$(MAKE)' $(PYTHON) scripts/check.py

check-all: ## check, and all that takes long (40 minutes on 2 processors)
	@scripts/deps all
	@MAKE='$(MAKE)' $(PYTHON) scripts/check.py --all

soak: ## forks, thefts, signals, daemons' lives, a load, without pause (35 minutes)
	@scripts/deps check
	@$(MAKE) --no-print-directory soak-c
	@$(MAKE) --no-print-directory soak-chaos
	@$(MAKE) --no-print-directory soak-load
	@$(MAKE) --no-print-directory soak-ocaml
	@$(MAKE) --no-print-directory soak-services

pytest = PYTHONPATH=scripts PYTHONDONTWRITEBYTECODE=1 PYTHON='$(PYTHON)' \
  $(PYTHON) -m pytest -q --tb=short -p summary_line -p no:cacheprovider

check-house: lib python ocaml ## headers, exports, layers, packaging, hygiene
	@$(pytest) tests/house

check-docs: lib python ocaml ## run the examples of README and docs
	@$(DUNE_BUILD) @install
	@$(pytest) tests/docs

check-loops: lib python ocaml ## the loops of docs/loops are idle when all has ended
	@$(DUNE_BUILD) @install
	@$(pytest) tests/docs/idle_loops.py

# Other areas: scripts/trixie check-c ...
check-trixie: ## build and test in a Debian 13 chroot (as root; 10 minutes)
	@scripts/deps chroot
	@scripts/trixie

check-systemd: ## services under the real systemd, in a new system (as root)
	@scripts/deps chroot py-test
	@$(MAKE) --no-print-directory python
	@$(pytest) tests/systemd

coverage-of-contract: ## write docs/contract-coverage.md
	@$(PYTHON) scripts/contract_coverage.py --write

paths = '$(PREFIX)' '$(LIBDIR)' '$(INCLUDEDIR)' '$(MANDIR)' '$(VERSION)'

install: lib ## install the C library (DESTDIR, PREFIX)
	DESTDIR='$(DESTDIR)' scripts/install $(paths)

uninstall: ## remove what install has put there (same DESTDIR, PREFIX)
	DESTDIR='$(DESTDIR)' scripts/install --remove $(paths)

reliability-page: ## write docs/reliability.md from the last long runs
	@$(PYTHON) -B scripts/reliability.py page --write

lint: ## clang-tidy and cppcheck over the C core
	@scripts/deps lint
	@scripts/lint

format: ## lay out the C sources as .clang-format says
	@scripts/deps format
	clang-format -i $$(scripts/c-sources)

clean: ## remove everything that was built
	rm -rf build
