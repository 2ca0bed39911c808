# tests/fuzz/build.mk - libFuzzer on the targets; included by tests/c/build.mk
#
# Core and targets are compiled by clang with coverage, ASan and UBSan into
# build/fuzz. New inputs that reach further go to build/fuzz/found/TARGET; an
# input that fails is left as build/fuzz/crash-TARGET-*, to be mended and kept
# (seeds.py pack) in tests/fuzz/corpus, which fuzz_corpus.c replays in every
# check.

FZ_TARGETS := fdplan spec sequence
FZ_FLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
  -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FZ_BIN := $(FZ_TARGETS:%=build/fuzz/fuzz-%)
FZ_CORE := $(patsubst c/src/%.c,build/fuzz/core/%.o,$(wildcard c/src/*/*.c))
FZ_TARGET_OBJ := $(FZ_TARGET_SRC:tests/fuzz/%.c=build/fuzz/targets/%.o)
FUZZ_SECONDS ?= 600

build/fuzz/core/%.o: c/src/%.c
	@mkdir -p $(@D)
	clang -std=gnu11 -Ic/include -Ic/src -pthread $(FZ_FLAGS) \
	  -DXL_PLAIN_CHILD_SETUP \
	  $(FZ_OWN_FLAGS) -MMD -MP -c -o $@ $<

# As in tests/c/build.mk: it runs in a child that shares our memory.
build/fuzz/core/start/child_setup.o build/fuzz/core/kernel/probe_child.o: \
  FZ_OWN_FLAGS := -fno-sanitize=all

build/fuzz/targets/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	clang $(XT_CFLAGS) -pthread $(FZ_FLAGS) -MMD -MP -c -o $@ $<

build/fuzz/fuzz-%: tests/fuzz/libfuzzer.c $(FZ_CORE) $(FZ_TARGET_OBJ)
	clang $(XT_CFLAGS) -pthread $(FZ_FLAGS) -fsanitize=fuzzer \
	  -DFZ_TARGET=fz_$* -o $@ $^

.SECONDARY: $(FZ_CORE) $(FZ_TARGET_OBJ)
-include $(wildcard build/fuzz/core/*/*.d build/fuzz/targets/*.d)

.PHONY: fuzz
# A third of the time each; the closing line counts targets.
fuzz: ## libFuzzer on every target (FUZZ_SECONDS, 600 for all)
	@scripts/deps fuzz
	@$(MAKE) --no-print-directory fuzz-run

.PHONY: fuzz-run
fuzz-run: $(FZ_BIN)
	@tests/fuzz/seeds.py unpack build/fuzz/seeds
	@passed=0; failed=0; for t in $(FZ_TARGETS); do \
	  mkdir -p build/fuzz/found/$$t; \
	  if build/fuzz/fuzz-$$t -max_total_time=$$(($(FUZZ_SECONDS) / 3)) \
	    -max_len=400 -timeout=10 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/crash-$$t- \
	    build/fuzz/found/$$t build/fuzz/seeds/$$t \
	    > build/fuzz/$$t.log 2>&1; then \
	    passed=$$((passed + 1)); \
	  else \
	    failed=$$((failed + 1)); tail -n 60 build/fuzz/$$t.log; \
	  fi; \
	  echo "$$t: $$(sed -n 's/^stat::number_of_executed_units: *//p' \
	    build/fuzz/$$t.log) inputs"; \
	done; \
	$(PYTHON) -B scripts/reliability.py keep fuzz failed=$$failed inputs=$$( \
	  cat $(FZ_TARGETS:%=build/fuzz/%.log) | \
	  awk '/^stat::number_of_executed_units/ {n += $$2} END {print n + 0}'); \
	echo "$$passed passed, $$failed failed, 0 skipped"; test $$failed = 0
