# tests/c/treaty.mk - programs and worlds of the treaty tests; included by
# build.mk, whose XT_VARIANT it follows.
#
# tests/c/programs/*.c are whole programs on the library, started by
# treaty_programs.c. world.c wraps a run of the suite in a seccomp filter.

XT_PROGRAMS := $(patsubst tests/c/programs/%.c,%, \
                 $(wildcard tests/c/programs/*.c))

# $(call XT_PROGRAM_RULES,NAME,FOLDER,COMPILER,FLAGS,LINK FLAGS)
define XT_PROGRAM_RULES
$(2)/programs/%: tests/c/programs/%.c $(2)/libcore.a
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) -pthread $(4) -MMD -MP -o $$@ $$< $(2)/libcore.a $(5)

build-c-$(1): $$(XT_PROGRAMS:%=$(2)/programs/%) $$(XT_WORLD)
-include $$(wildcard $(2)/programs/*.d)
endef

XT_WORLD := build/tests/world build/tests/profile

$(eval $(call XT_PROGRAM_RULES,plain,build/tests/plain,$(CC),-O2,))
$(eval $(call XT_PROGRAM_RULES,asan,build/tests/asan,$(CC),$(XT_ASAN),))
$(eval $(call XT_PROGRAM_RULES,tsan,build/tests/tsan,$(CC),$(XT_TSAN),))
$(eval $(call XT_PROGRAM_RULES,clang,build/tests/clang,clang,-O2,))
$(eval $(call XT_PROGRAM_RULES,musl,build/tests/musl,musl-gcc,-O2 -static,))
$(eval $(call XT_PROGRAM_RULES,gcov,build/tests/gcov,$(CC),-O0 --coverage,))

$(XT_WORLD): build/tests/%: tests/c/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -o $@ $< -lseccomp

# Every world with each error. clone3 refused with EPERM breaks the C
# library's threads, hence most of the suite: world_worlds.c alone covers it.
XT_WORLDS := no-pidfd-open no-clone-pidfd no-waitid-pidfd no-send-signal \
  no-pidfd no-clone3 no-close-range no-unshare-range no-exit-info bare
XT_WORLD_RUNS := $(filter-out no-clone3/EPERM, \
  $(foreach w,$(XT_WORLDS),$w/ENOSYS $w/EPERM))

# In `make check`: the two that refuse most, and of the suite what talks to the
# kernel about children, less what takes long.
XT_WORLD_QUICK_RUNS := bare/EPERM no-pidfd/ENOSYS
XT_WORLD_PROGRAMS := $(filter-out %/world_worlds,$(plain_BIN))
XT_WORLD_QUICK_PROGRAMS := $(filter-out %/fdplan_model %/vectors \
  %/start_killed \
  %/vector_tables %/child_cost,$(filter-out \
  $(addprefix build/tests/plain/tests/,race_% sweep_% fuzz_%), \
  $(XT_WORLD_PROGRAMS)))

# $(call xt_run_worlds,RUNS,PROGRAMS); the closing line is the sum over them.
xt_run_worlds = mkdir -p build/tests/worlds; rm -f build/tests/worlds/*.log; \
  bad=0; for run in $(1); do \
    world=$${run%/*}; error=$${run\#*/}; \
    log=build/tests/worlds/$$world-$$error.log; \
    build/tests/world $$world $$error -- \
      build/tests/plain/tests/runner-all --jobs $(XT_JOBS) $(2) \
      $(if $(XT_FILTER),-- $(XT_FILTER)) > $$log 2>&1 || bad=1; \
    echo "$$world, $$error: $$(tail -n 1 $$log)"; \
    sed -n '/^not ok/,/^\(ok\|not ok\|[0-9]\)/p' $$log; \
  done; \
  sed -n 's/^ok [0-9]* - \(.*\) \# SKIP \([^\#]*\).*/skipped: \2/p' \
    build/tests/worlds/*.log | sort | uniq -c | \
    sed 's/^ *\([0-9]*\) skipped/skipped \1 times/'; \
  tail -q -n 1 build/tests/worlds/*.log | \
    awk '{p += $$1; f += $$3; s += $$5} \
         END {print p " passed, " f " failed, " s " skipped"}'; \
  exit $$bad

.PHONY: check-worlds check-worlds-quick soak-c

check-worlds: build-c-plain ## the C tests in every world without something
	@$(call xt_run_worlds,$(XT_WORLD_RUNS),$(XT_WORLD_PROGRAMS))

check-worlds-quick: build-c-plain ## the same in two worlds, the quick ones
	@$(call xt_run_worlds,$(XT_WORLD_QUICK_RUNS),$(XT_WORLD_QUICK_PROGRAMS))

XT_SOAK_SECONDS ?= 60
soak-c: build-c-plain ## long runs: forks without pause, thief, flood (3 minutes)
	@XT_SOAK_SECONDS=$(XT_SOAK_SECONDS) XT_THIEF_CHILDREN=10000 \
	  XT_FLOOD_CHILDREN=10000 XT_TIME_SCALE=10 \
	  build/tests/plain/tests/runner-all --verbose \
	  $(addprefix build/tests/plain/tests/,race_fork race_thief race_flood)
	@XT_THIEF_CHILDREN=10000 XT_TIME_SCALE=10 \
	  build/tests/world no-exit-info EPERM -- \
	  build/tests/plain/tests/runner-all --verbose \
	  build/tests/plain/tests/race_thief
