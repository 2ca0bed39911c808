# tests/c/build.mk - builds and runs the C tests; included by the Makefile
#
# Every tests/c/*.c with cases in it (XT_TEST...) is a test program of its own;
# the others are support, but for the wrappers named here. A variant (plain,
# asan, tsan, clang, musl, gcov) builds core, support and tests with its own
# flags in its own folder; helpers are built once.

XT_WRAPPERS := world profile
XT_TESTS := $(patsubst tests/c/%.c,%,$(shell grep -l '^XT_TEST' tests/c/*.c))
XT_SUPPORT_SRC := $(filter-out $(XT_TESTS:%=tests/c/%.c) \
  $(XT_WRAPPERS:%=tests/c/%.c), $(wildcard tests/c/*.c))
XT_HELPERS := child stray tiny reaper witness dirty.so
XT_JOBS ?= 2

XT_CFLAGS := -std=gnu11 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
  -Wno-unused-parameter -Ic/include -Ic/src -Itests/c -Itests/fuzz \
  -DXT_HELPERS='"$(CURDIR)/build/tests/helpers"' \
  -DXT_VECTORS='"$(CURDIR)/tests/vectors"' \
  -DXT_SOURCE='"$(CURDIR)"'

XT_HELPER_BIN := $(XT_HELPERS:%=build/tests/helpers/%)

# Each is one file, but for the child's.
build/tests/helpers/child: tests/helpers/child_given.c \
  tests/helpers/child_says.c
build/tests/helpers/child build/tests/helpers/stray build/tests/helpers/reaper \
  build/tests/helpers/witness: \
  build/tests/helpers/%: tests/helpers/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -static -o $@ $(filter %.c,$^)

# Nothing but the system call: the cheapest child there is.
build/tests/helpers/tiny: tests/helpers/tiny.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Wextra -static -nostdlib -ffreestanding \
	  -fno-stack-protector -fcf-protection=none -o $@ $<

# Preloaded into a host, which it makes odd.
build/tests/helpers/dirty.so: tests/c/dirty.c tests/c/dirty.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -DXT_PRELOADED -fPIC -shared \
	  -o $@ $<

.PHONY: helpers
helpers: $(XT_HELPER_BIN) ## build the helper programs of the tests

# The fuzz targets are support to fuzz_corpus.c and fdplan_model.c.
FZ_TARGET_SRC := $(filter-out tests/fuzz/libfuzzer.c,$(wildcard tests/fuzz/*.c))

# $(call XT_VARIANT,NAME,FOLDER,COMPILER,FLAGS,LINK FLAGS)
define XT_VARIANT
$(1)_CORE := $$(patsubst c/src/%.c,$(2)/core/%.o,$$(wildcard c/src/*/*.c))
$(1)_SUPPORT := $$(patsubst tests/c/%.c,$(2)/tests/%.o,$$(XT_SUPPORT_SRC)) \
  $$(FZ_TARGET_SRC:tests/fuzz/%.c=$(2)/fuzz/%.o)
$(1)_BIN := $$(XT_TESTS:%=$(2)/tests/%)

$(2)/core/%.o: c/src/%.c
	@mkdir -p $$(@D)
	$(3) -std=gnu11 -g -Ic/include -Ic/src -fvisibility=hidden -fPIC -pthread \
	  -DXL_PLAIN_CHILD_SETUP \
	  $(4) $$(XT_OWN_FLAGS) -MMD -MP -c -o $$@ $$<

# The child's half, and the probe's, runs in the parent's memory on a stack of
# its own and ends by exec: what a sanitizer notes there is never taken back.
$(2)/core/start/child_setup.o $(2)/core/kernel/probe_child.o \
  $(2)/core/kernel/keeper_child.o \
  $(2)/core/kernel/facility.o: XT_OWN_FLAGS := -fno-sanitize=all

$(2)/tests/%.o: tests/c/%.c
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) -pthread $(4) -MMD -MP -c -o $$@ $$<

$(2)/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) -pthread $(4) -MMD -MP -c -o $$@ $$<

$(2)/libcore.a: $$($(1)_CORE)
	rm -f $$@ && $$(AR) rcs $$@ $$^

$(2)/libxt.a: $$($(1)_SUPPORT)
	rm -f $$@ && $$(AR) rcs $$@ $$^

# The archive's main() is harness.c's, wanted by every test; the runner alone
# is the same main() without cases.
$(2)/tests/%: $(2)/tests/%.o $(2)/libxt.a $(2)/libcore.a $$(XT_HELPER_BIN)
	$(3) -pthread $(4) -o $$@ $$< $(2)/libxt.a $(2)/libcore.a $(5)

$(2)/tests/runner-all: $(2)/libxt.a $(2)/libcore.a
	$(3) -pthread $(4) -o $$@ -Wl,--whole-archive $(2)/libxt.a \
	  -Wl,--no-whole-archive $(2)/libcore.a $(5)

.PHONY: build-c-$(1)
build-c-$(1): $$($(1)_BIN) $(2)/tests/runner-all $$(XT_HELPER_BIN)

# Shared objects for linked_apart.c; none where everything is static. They
# hide the core as a binding does.
ifeq ($(filter -static,$(4)),)
$(2)/shared/plugin.so: tests/c/shared/plugin.c $(2)/libcore.a
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) -pthread $(4) -fPIC -fvisibility=hidden -shared \
	  -Wl,--exclude-libs,ALL -o $$@ $$^

$(2)/shared/fakexen.so: tests/c/shared/fakexen.c
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) $(4) -fPIC -shared -o $$@ $$<

$(2)/shared/leaver.so: tests/c/shared/leaver.c $(2)/libcore.a
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) -pthread $(4) -fPIC -fvisibility=hidden -shared \
	  -Wl,--exclude-libs,ALL -o $$@ $$^

build-c-$(1): $(2)/shared/plugin.so $(2)/shared/fakexen.so \
  $(2)/shared/leaver.so
endif

.SECONDARY: $$($(1)_BIN:=.o)
-include $$(wildcard $(2)/core/*/*.d $(2)/tests/*.d $(2)/fuzz/*.d)
endef

XT_ASAN := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
  -fno-omit-frame-pointer
XT_TSAN := -O1 -fsanitize=thread -fno-omit-frame-pointer

$(eval $(call XT_VARIANT,plain,build/tests/plain,$(CC),-O2,))
$(eval $(call XT_VARIANT,asan,build/tests/asan,$(CC),$(XT_ASAN),))
$(eval $(call XT_VARIANT,tsan,build/tests/tsan,$(CC),$(XT_TSAN),))
$(eval $(call XT_VARIANT,clang,build/tests/clang,clang,-O2,))
$(eval $(call XT_VARIANT,musl,build/tests/musl,musl-gcc,-O2 -static,))
# Forked children count, too: harness.c writes their counters before _exit,
# which needs the plain fork (gcc would flush, once and for all, before it).
XT_GCOV := -O0 --coverage -DXT_COVERAGE -fno-builtin-fork
comma := ,
$(eval $(call XT_VARIANT,gcov,build/tests/gcov,$(CC),$(XT_GCOV), \
  -Wl$(comma)--wrap=_exit))

# TSan takes clone() for a fork, and stops looking at whoever called it.
build/tests/tsan/core/kernel/sys.o: XT_OWN_FLAGS := -Dclone=__clone

# A world (tests/c/world.c) or another wrapper may stand before the runner.
XT_WRAP ?=
XT_FILTER ?=
# $(call xt_run,FOLDER,BUT): all, but those programs.
xt_run = $(XT_WRAP) $(1)/tests/runner-all --jobs $(XT_JOBS) \
  $(patsubst %,$(1)/tests/%,$(filter-out $(2),$(XT_TESTS))) $(if $(XT_FILTER),-- $(XT_FILTER))

.PHONY: check-c check-c-asan check-c-tsan check-c-clang check-c-musl \
  check-c-valgrind check-c-races check-c-list check-families coverage

check-c: build-c-plain ## the C tests
	@$(call xt_run,build/tests/plain)

# Half a minute; `make check` runs 36 commands.
check-families: build/tests/plain/tests/family ## 1,000 commands that leave somebody behind leave nobody
	@XT_FAMILIES=1000 build/tests/plain/tests/family

check-c-asan: build-c-asan ## the C tests under ASan and UBSan
	@XT_TIME_SCALE=4 \
	ASAN_OPTIONS=detect_leaks=1:exitcode=99:handle_segv=1 \
	UBSAN_OPTIONS=print_stacktrace=1 \
	$(call xt_run,build/tests/asan,world_worlds)

check-c-tsan: build-c-tsan ## the C tests under TSan
	@XT_TIME_SCALE=8 TSAN_OPTIONS=exitcode=98:die_after_fork=0 \
	$(call xt_run,build/tests/tsan)

check-c-clang: build-c-clang ## the C tests, compiled by clang
	@$(call xt_run,build/tests/clang)

check-c-musl: build-c-musl ## the C tests with musl instead of glibc
	@$(call xt_run,build/tests/musl)

# The runner starts valgrind for each case (XT_UNDER). valgrind does not know
# pidfd_open: in the world that refuses pidfds it is one with the tests.
check-c-valgrind: build-c-plain $(XT_WORLD) ## the C tests under valgrind
	@XT_TIME_SCALE=20 XT_THIEF_CHILDREN=200 XT_FLOOD_CHILDREN=100 \
	XT_UNDER='valgrind -q --vgdb=no --error-exitcode=97 \
	  --leak-check=full --errors-for-leak-kinds=definite \
	  --trace-children=no --child-silent-after-fork=yes' \
	build/tests/world no-pidfd ENOSYS -- $(call xt_run,build/tests/plain)

# With fewer children a case than once, or this would take an hour.
check-c-races: build-c-plain ## the race tests, 100 times
	@XT_THIEF_CHILDREN=300 XT_FLOOD_CHILDREN=100 XT_SOAK_SECONDS=1 \
	  build/tests/plain/tests/runner-all --jobs $(XT_JOBS) --repeat 100 \
	  $(filter build/tests/plain/tests/race_%,$(plain_BIN)) \
	  $(if $(XT_FILTER),-- $(XT_FILTER))

# One line a case: program/case, tab, lines of the contract.
check-c-list: build-c-plain
	@for t in $(plain_BIN); do $$t --list-contract; done

# The suite as it is, and what talks to the kernel in the world that refuses
# most: there the fallbacks run.
XT_COVERAGE ?= 95
coverage: build-c-gcov build/tests/world ## line coverage of c/src by the C tests: at least 95 %
	@find build/tests/gcov -name '*.gcda' -delete
	@mkdir -p build/tests/coverage
	@XT_TIME_SCALE=4 $(call xt_run,build/tests/gcov) \
	  > build/tests/coverage/suite.log 2>&1; \
	  tail -n 1 build/tests/coverage/suite.log
	@XT_TIME_SCALE=4 build/tests/world bare ENOSYS -- \
	  build/tests/gcov/tests/runner-all --jobs $(XT_JOBS) \
	  $(XT_WORLD_QUICK_PROGRAMS:build/tests/plain/%=build/tests/gcov/%) \
	  > build/tests/coverage/bare.log 2>&1; \
	  tail -n 1 build/tests/coverage/bare.log
	@cd build/tests/gcov/core && gcov -n */*.gcda 2>/dev/null | \
	  awk -v least=$(XT_COVERAGE) \
	      '/^File .*c\/src/ {f = $$2} \
	       /^Lines executed/ && f {split($$2, p, /[:%]/); n = $$4; \
	         printf "%s %s\n", f, $$0; hit += p[2] * n / 100; all += n; f = ""} \
	       END {printf "c/src: %.1f %% of %d lines (at least %d %%)\n", \
	         100 * hit / all, all, least; exit 100 * hit / all < least}'

include tests/c/treaty.mk
include tests/gaps/build.mk
include tests/chaos/build.mk
include tests/fuzz/build.mk
include tests/hosts/build.mk
include tests/kernels/build.mk
include tests/faults/build.mk
