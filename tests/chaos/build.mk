# tests/chaos/build.mk - random testers on the real kernel; included by
# tests/c/build.mk, whose variants they are built in.
#
# chaos.c: threads, modes, thieves, signals, forks. reuse.c: numbers that come
# back. load.c: ten thousand live children. What they say last is `N passed, N failed, N skipped`, over all runs.

XC_PROGRAMS := chaos reuse
XC_CHAOS_PARTS := model host calls plans evenables cancels

# $(call XC_RULES,NAME,FOLDER,COMPILER,FLAGS)
define XC_RULES
$(2)/chaos/%.o: tests/chaos/%.c
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) -Itests/chaos -pthread $(4) -MMD -MP -c -o $$@ $$<

$(2)/chaos/%: $(2)/chaos/%.o $(2)/chaos/common.o \
  $(2)/tests/stacks.o $(2)/libcore.a $$(XT_HELPER_BIN)
	$(3) -pthread $(4) -o $$@ $$(filter %.o,$$^) $(2)/libcore.a

$(2)/chaos/chaos: $(XC_CHAOS_PARTS:%=$(2)/chaos/%.o)
$(2)/chaos/reuse: $(2)/chaos/numberspace.o

.PHONY: build-c-$(1)-chaos
build-c-$(1)-chaos: $$(XC_PROGRAMS:%=$(2)/chaos/%) $$(XT_WORLD)

.SECONDARY: $$(XC_PROGRAMS:%=$(2)/chaos/%.o) $(2)/chaos/common.o \
  $(XC_CHAOS_PARTS:%=$(2)/chaos/%.o) $(2)/chaos/numberspace.o
-include $$(wildcard $(2)/chaos/*.d)
endef

$(eval $(call XC_RULES,plain,build/tests/plain,$(CC),-O2))
$(eval $(call XC_RULES,asan,build/tests/asan,$(CC),$(XT_ASAN)))
$(eval $(call XC_RULES,tsan,build/tests/tsan,$(CC),$(XT_TSAN)))

# Twenty thousand in each mode; with fewer where pidfds or exit statuses by
# pidfd are refused, and fewer still in `make check`.
XC_REUSE ?= 20000
XC_REUSE_WORLDS := no-exit-info/ENOSYS no-pidfd/ENOSYS bare/EPERM

# $(call xc_reuse,CHILDREN,CHILDREN IN WORLDS)
xc_reuse = { build/tests/plain/chaos/reuse --children $(1); \
  for w in $(XC_REUSE_WORLDS); do echo "in $$w:"; \
    build/tests/world $${w%/*} $${w\#*/} -- \
      build/tests/plain/chaos/reuse --children $(2); \
  done; } 2>&1 | $(xc_sum)

# The last line is the sum of all closing lines, which are left out.
xc_sum = awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$$/ \
  {p += $$1; f += $$3; s += $$5; next} {print; fflush()} \
  END {print p + 0 " passed, " f + 0 " failed, " s + 0 " skipped"; \
    exit f > 0}'

.PHONY: check-c-reuse check-c-reuse-quick
check-c-reuse: build-c-plain-chaos ## numbers that come back: 100,000 children
	@$(call xc_reuse,$(XC_REUSE),2000)

check-c-reuse-quick: build-c-plain-chaos ## the same, a few seconds
	@$(call xc_reuse,300,200)

# Half of the time as it is, the rest in worlds that refuse something.
XC_SECONDS ?= 60
XC_CHAOS_WORLDS := no-pidfd/ENOSYS no-exit-info/ENOSYS bare/EPERM \
  no-clone3/ENOSYS no-send-signal/EPERM no-waitid-pidfd/EPERM

# $(call xc_chaos,SECONDS)
xc_chaos = { build/tests/plain/chaos/chaos --seconds $$(($(1) / 2)); \
  for w in $(XC_CHAOS_WORLDS); do echo "in $$w:"; \
    build/tests/world $${w%/*} $${w\#*/} -- build/tests/plain/chaos/chaos \
      --seconds $$(($(1) / (2 * $(words $(XC_CHAOS_WORLDS))))); \
  done; } 2>&1 | $(xc_sum)

# $(call xc_under,FOLDER): both testers, in a sanitizer's build. In a pid
# namespace LeakSanitizer cannot trace.
xc_under = { $(1)/chaos/chaos --seconds $$(($(XC_SECONDS) / 2)); \
  ASAN_OPTIONS="$$ASAN_OPTIONS:detect_leaks=0" \
  $(1)/chaos/reuse --children 500; } 2>&1 | $(xc_sum)

.PHONY: check-c-chaos check-c-chaos-asan check-c-chaos-tsan soak-chaos
check-c-chaos: build-c-plain-chaos ## threads, thieves, signals at random (60 s)
	@$(call xc_chaos,$(XC_SECONDS))

check-c-chaos-asan: build-c-asan-chaos ## the random testers under ASan
	@export XT_TIME_SCALE=4 \
	ASAN_OPTIONS=detect_leaks=1:exitcode=99:handle_segv=1 \
	UBSAN_OPTIONS=print_stacktrace=1; $(call xc_under,build/tests/asan)

check-c-chaos-tsan: build-c-tsan-chaos ## the random testers under TSan
	@export XT_TIME_SCALE=8 \
	TSAN_OPTIONS=exitcode=98:die_after_fork=0:report_signal_unsafe=0; \
	$(call xc_under,build/tests/tsan)

XC_SOAK_SECONDS ?= 600
soak-chaos: build-c-plain-chaos ## the random tester, 10 minutes
	@rm -f build/tests/chaos-figures
	@export XC_FIGURES=$(CURDIR)/build/tests/chaos-figures; \
	bad=0; $(call xc_chaos,$(XC_SOAK_SECONDS)) || bad=1; \
	$(PYTHON) -B scripts/reliability.py keep chaos failed=$$bad $$(awk \
	  '{r += $$1; l += $$2} \
	   END {print "children=" r + 0, "lost=" l + 0, "runs=" NR}' \
	  $$XC_FIGURES); exit $$bad

# As many processes as children: fewer with XC_LOAD_CHILDREN.
XC_LOAD_CHILDREN ?= 10000
XC_LOAD_RATE ?= 1000
XC_LOAD_SECONDS ?= 600

build/tests/helpers/lasting: tests/helpers/lasting.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -static -o $@ $<

build/tests/plain/chaos/load: tests/chaos/load.c build/tests/plain/libcore.a
	@mkdir -p $(@D)
	$(CC) $(XT_CFLAGS) -O2 -pthread -o $@ $^

.PHONY: soak-load
soak-load: build/tests/plain/chaos/load build/tests/helpers/lasting ## ten thousand live children, a thousand ends a second (10 minutes)
	@mkdir -p build/reliability
	@build/tests/plain/chaos/load --children $(XC_LOAD_CHILDREN) \
	  --rate $(XC_LOAD_RATE) --seconds $(XC_LOAD_SECONDS) \
	  --kept build/reliability/load.json
