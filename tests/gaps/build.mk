# tests/gaps/build.mk - two-thread cases at the gaps; included by
# tests/c/build.mk, whose XT_VARIANT it follows.
#
# The core is built with XL_STOP_POINTS (c/src/kernel/stop_point.h), and with
# it the support of the C tests. Every tests/gaps/*.c with cases in it is a
# test program; gap.c is support. TSan looks at the same.

XG_TESTS := $(patsubst tests/gaps/%.c,%, \
  $(shell grep -l 'XT_TEST' tests/gaps/*.c))
XG_SUPPORT := $(filter-out $(XG_TESTS),$(patsubst tests/gaps/%.c,%, \
  $(wildcard tests/gaps/*.c)))

# $(call XG_VARIANT,NAME,FOLDER,FLAGS)
define XG_VARIANT
$$(eval $$(call XT_VARIANT,$(1),$(2),$$(CC),$(3) -DXL_STOP_POINTS,))
$(1)_GAPS := $$(XG_TESTS:%=$(2)/gap/%)

$(2)/gap/%.o: tests/gaps/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(XT_CFLAGS) -Itests/gaps -DXL_STOP_POINTS -pthread $(3) -MMD -MP \
	  -c -o $$@ $$<

$(2)/gap/%: $(2)/gap/%.o $$(XG_SUPPORT:%=$(2)/gap/%.o) $(2)/libxt.a \
  $(2)/libcore.a $$(XT_HELPER_BIN)
	$$(CC) -pthread $(3) -o $$@ $$(filter %.o %.a,$$^)

.PHONY: build-c-$(1)-cases
build-c-$(1)-cases: $$($(1)_GAPS) $(2)/tests/runner-all

.SECONDARY: $$($(1)_GAPS:=.o) $$(XG_SUPPORT:%=$(2)/gap/%.o)
-include $$(wildcard $(2)/gap/*.d)
endef

$(eval $(call XG_VARIANT,gaps,build/tests/gaps,-O2))
$(eval $(call XG_VARIANT,gaps-tsan,build/tests/gaps-tsan,$(XT_TSAN)))

build/tests/gaps-tsan/core/kernel/sys.o: XT_OWN_FLAGS := -Dclone=__clone

xg_run = $(XT_WRAP) $(1)/tests/runner-all --jobs $(XT_JOBS) \
  $(XG_TESTS:%=$(1)/gap/%) $(if $(XT_FILTER),-- $(XT_FILTER))

.PHONY: check-c-gaps check-c-gaps-tsan
check-c-gaps: build-c-gaps-cases ## two threads, one stopped at each gap
	@$(call xg_run,build/tests/gaps)

check-c-gaps-tsan: build-c-gaps-tsan-cases ## the same under TSan
	@XT_TIME_SCALE=8 TSAN_OPTIONS=exitcode=98:die_after_fork=0 \
	$(call xg_run,build/tests/gaps-tsan)
