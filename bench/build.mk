# bench/build.mk - the peers, the child they start, and the runs
#
# Included by the top-level Makefile. A peer whose library is not installed
# is left out, and the runner says so.

BENCH_BUILD := build/bench
BENCH_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Ibench/common -Ic/include
PYTHON ?= /usr/bin/python3

BENCH_COMMON := $(patsubst bench/common/%.c,$(BENCH_BUILD)/common/%.o,\
    $(wildcard bench/common/*.c))
BENCH_PEERS := vfork fork posix_spawn clone_pidfd clone_files xlchild

bench_has = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)
ifeq ($(call bench_has,libuv),yes)
BENCH_PEERS += libuv
endif
ifeq ($(call bench_has,glib-2.0),yes)
BENCH_PEERS += glib
endif
ifeq ($(call bench_has,libsystemd),yes)
BENCH_PEERS += sdevent
endif
ifneq ($(wildcard /usr/include/ev.h),)
BENCH_PEERS += libev
endif

BENCH_PROGRAMS := $(addprefix $(BENCH_BUILD)/,child $(BENCH_PEERS))

bench-programs: $(BENCH_PROGRAMS)

BENCH_DEBIAN13 := $(BENCH_BUILD)/debian13

# Other languages' own ways: each where its compiler is (scripts/packages:
# runtimes), and run.py names the others.
BENCH_RUNTIMES := $(BENCH_BUILD)/runtimes
bench_runs = $(if $(shell command -v $(1)),$(BENCH_RUNTIMES)/$(2))

bench-runtimes: $(BENCH_BUILD)/child $(call bench_runs,go,starts-go) \
    $(call bench_runs,rustc,starts-rust) $(call bench_runs,javac,Starts.class) \
    $(call bench_runs,erlc,starts.beam)

$(BENCH_RUNTIMES)/starts-go: bench/runtimes/starts.go
	@mkdir -p $(@D)
	GO111MODULE=off GOTOOLCHAIN=local GOCACHE=$(CURDIR)/$(@D)/go-cache \
	    go build -o $@ $<

$(BENCH_RUNTIMES)/starts-rust: bench/runtimes/starts.rs
	@mkdir -p $(@D)
	BENCH_RUSTC="$$(rustc --version | cut -d' ' -f2)" \
	    rustc --edition 2021 -O -o $@ $<

$(BENCH_RUNTIMES)/Starts.class: bench/runtimes/Starts.java
	@mkdir -p $(@D)
	javac -d $(@D) $<

$(BENCH_RUNTIMES)/starts.beam: bench/runtimes/starts.erl
	@mkdir -p $(@D)
	erlc -o $(@D) $<

BENCH_OCAML_PEERS := unix_peer lwt_peer ours_peer ours_lwt_peer

# A make of its own reads this file after the packages have come.
bench: ## compare with every peer at hand: tables, ratios, plots (4 minutes)
	@scripts/deps bench
	@$(MAKE) --no-print-directory bench-programs bench-runtimes
	$(PYTHON) -B bench/run.py --out $(BENCH_BUILD)

bench-all: ## every peer that the page has, C, Python, OCaml; and the page (as root)
	@scripts/deps bench runtimes py-test
	@$(MAKE) --no-print-directory bench-peers
	@$(MAKE) --no-print-directory bench bench-python bench-ocaml
	@$(MAKE) --no-print-directory bench-docs

bench-peers: ## libuv, GLib and sd-event of Debian 13, to compare with (as root)
	@scripts/deps chroot
	@[ -e $(BENCH_DEBIAN13)/sdevent ] || bench/debian13 $(BENCH_DEBIAN13)

bench-docs: ## write the last bench runs' figures into docs/performance.md
	$(PYTHON) -B bench/docs.py $(BENCH_BUILD)

bench-quick: bench-programs ## does every figure still come out? (20 seconds)
	$(PYTHON) -B bench/run.py --quick --out $(BENCH_BUILD)/quick

bench-everybody-quick: bench-programs bench-runtimes ## and of the others?
	$(PYTHON) -B bench/run.py --quick --everybody \
	    --out $(BENCH_BUILD)/quick-everybody

bench-python: ## the same for Python: os, asyncio, uvloop, xargs, parallel
	@scripts/deps bench py-test
	@$(MAKE) --no-print-directory $(BENCH_BUILD)/child \
	    $(BENCH_BUILD)/vfork python
	PYTHONPATH=build/python $(PYTHON) -B bench/run.py --plan python \
	    --out $(BENCH_BUILD)/python

bench-ocaml: ## the same for OCaml: Unix, Lwt; and what other threads feel
	@scripts/deps bench
	@$(MAKE) --no-print-directory bench-ocaml-programs
	$(PYTHON) -B bench/run.py --plan ocaml --out $(BENCH_BUILD)/ocaml

bench-ocaml-quick: bench-ocaml-programs ## do its figures still come out?
	$(PYTHON) -B bench/run.py --plan ocaml --quick \
	    --out $(BENCH_BUILD)/quick-ocaml

bench-ocaml-programs: $(BENCH_BUILD)/child \
    $(addprefix $(BENCH_BUILD)/ocaml/,$(BENCH_OCAML_PEERS))

$(BENCH_BUILD)/child: bench/child.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Wextra -ffreestanding -fno-stack-protector \
	    -fno-pie -no-pie -static -nostdlib -Wl,--build-id=none -s \
	    -o $@ $<

$(BENCH_BUILD)/common/%.o: bench/common/%.c bench/common/bench.h
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -c -o $@ $<

$(BENCH_BUILD)/peers/%.o: bench/peers/%.c bench/common/bench.h \
    $(wildcard bench/peers/*.h c/include/xlchild/*.h)
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) $(BENCH_PEER_CFLAGS) -c -o $@ $<

$(BENCH_BUILD)/peers/libuv.o: BENCH_PEER_CFLAGS = \
    $(shell pkg-config --cflags libuv)
$(BENCH_BUILD)/peers/glib.o: BENCH_PEER_CFLAGS = \
    $(shell pkg-config --cflags glib-2.0)
$(BENCH_BUILD)/peers/sdevent.o: BENCH_PEER_CFLAGS = \
    $(shell pkg-config --cflags libsystemd) \
    -DBENCH_LIBRARY_VERSION='"$(shell pkg-config --modversion libsystemd)"'

$(BENCH_BUILD)/libuv: BENCH_LIBS = $(shell pkg-config --libs libuv)
$(BENCH_BUILD)/glib: BENCH_LIBS = $(shell pkg-config --libs glib-2.0)
$(BENCH_BUILD)/sdevent: BENCH_LIBS = $(shell pkg-config --libs libsystemd)
$(BENCH_BUILD)/libev: BENCH_LIBS = -lev

$(BENCH_BUILD)/clone_pidfd $(BENCH_BUILD)/clone_files: \
    $(BENCH_BUILD)/peers/pidfd_loop.o
$(BENCH_BUILD)/xlchild: build/c/libxlchild.a

$(filter-out $(BENCH_BUILD)/child,$(BENCH_PROGRAMS)): \
    $(BENCH_BUILD)/%: $(BENCH_BUILD)/peers/%.o $(BENCH_COMMON)
	$(CC) -pthread -o $@ $(filter %.o,$^) $(filter %.a,$^) -lseccomp \
	    $(BENCH_LIBS)

# The OCaml peers: the sources are copied, for the compiler writes beside them.
BENCH_OCAML := $(BENCH_BUILD)/ocaml

$(BENCH_OCAML)/unix_peer: BENCH_OCAML_PACKAGES = unix,threads.posix
$(BENCH_OCAML)/lwt_peer: BENCH_OCAML_PACKAGES = unix,threads.posix,lwt,lwt.unix
$(BENCH_OCAML)/ours_peer: BENCH_OCAML_PACKAGES = unix,threads.posix,xlchild
$(BENCH_OCAML)/ours_lwt_peer: BENCH_OCAML_PACKAGES = \
    unix,threads.posix,xlchild-lwt
$(BENCH_OCAML)/ours_peer $(BENCH_OCAML)/ours_lwt_peer: ocaml
$(BENCH_OCAML)/unix_peer $(BENCH_OCAML)/ours_peer: BENCH_OCAML_MORE = stall.ml
$(BENCH_OCAML)/unix_peer $(BENCH_OCAML)/ours_peer: bench/ocaml/stall.ml

$(BENCH_OCAML)/%_peer: bench/ocaml/%_peer.ml bench/ocaml/timing.ml
	@mkdir -p $@.d
	cp $(filter %.ml,$^) $@.d
	printf 'let lwt = "%s"\n' "$$(ocamlfind query -format %v lwt)" \
	    > $@.d/versions.ml
	cd $@.d && OCAMLPATH=$(CURDIR)/build/ocaml/install/default/lib \
	    ocamlfind ocamlopt -thread -w +a-4-9-40..42-70 -linkpkg \
	    -package $(BENCH_OCAML_PACKAGES) versions.ml timing.ml $(BENCH_OCAML_MORE) \
	    $*_peer.ml -o ../$(@F)

.PHONY: bench-all bench-peers bench-runtimes bench-everybody-quick
.PHONY: bench bench-docs bench-quick bench-python bench-ocaml \
  bench-ocaml-quick bench-ocaml-programs bench-programs
.SECONDARY: $(BENCH_COMMON) $(BENCH_PEERS:%=$(BENCH_BUILD)/peers/%.o) \
    $(BENCH_BUILD)/peers/pidfd_loop.o
