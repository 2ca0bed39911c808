# tests/chaos/build.mk - random testers on the real kernel; included by
# tests/c/build.mk, whose variants they are built in.
#
# chaos.c: threads, modes, thieves, signals, forks. reuse.c: numbers that come
# back. What they say last is `N passed, N failed, N skipped`, over all runs.

XC_PROGRAMS := chaos reuse
XC_CHAOS_PARTS := model host calls

# $(call XC_RULES,NAME,FOLDER,COMPILER,FLAGS)
define XC_RULES
$(2)/chaos/%.o: tests/chaos/%.c
	@mkdir -p $$(@D)
	$(3) $$(XT_CFLAGS) -Itests/chaos -pthread $(4) -MMD -MP -c -o $$@ $$<

$(2)/chaos/%: $(2)/chaos/%.o $(2)/chaos/common.o \
  $(2)/tests/stacks.o $(2)/libcore.a $$(XT_HELPER_BIN)
	$(3) -pthread $(4) -o $$@ $$(filter %.o,$$^) $(2)/libcore.a

$(2)/chaos/chaos: $(XC_CHAOS_PARTS:%=$(2)/chaos/%.o)

.PHONY: build-c-$(1)-chaos
build-c-$(1)-chaos: $$(XC_PROGRAMS:%=$(2)/chaos/%) $$(XT_WORLD)

.SECONDARY: $$(XC_PROGRAMS:%=$(2)/chaos/%.o) $(2)/chaos/common.o \
  $(XC_CHAOS_PARTS:%=$(2)/chaos/%.o)
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
