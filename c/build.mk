# c/build.mk - builds libxlchild, static and shared; included by the Makefile
#
# The objects hide everything that the headers do not mark. The shared library
# exports what c/libxlchild.map lists; the archive holds one object, in which
# only those names are global, so that a static link meets no others. It is never
# unloaded: threads, handlers and fork handlers of ours may outlive the last
# handle (for the archive in a plugin see kernel/pin.c).

CC ?= gcc
XL_CFLAGS ?= -O2 -g
# Tests build it elsewhere, with another compiler or other headers.
XL_BUILD ?= build/c
XL_INCLUDE ?= c/include
# Hardened as far as the compiler can (c/hardening.sh); XL_CFLAGS come later and
# can take it back.
XL_ALL_CFLAGS := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes \
  -Wmissing-prototypes -fvisibility=hidden -fPIC -pthread \
  -I$(XL_INCLUDE) -Ic/src

XL_SRC := $(wildcard c/src/*/*.c)
XL_OBJ := $(XL_SRC:c/src/%.c=$(XL_BUILD)/%.o)

.PHONY: lib
lib: $(XL_BUILD)/libxlchild.a $(XL_BUILD)/libxlchild.so.0 ## build the C library

$(XL_BUILD)/hardening: c/hardening.sh
	@mkdir -p $(@D)
	@CC='$(CC)' sh c/hardening.sh $(XL_CFLAGS) > $@.part
	@mv $@.part $@

$(XL_BUILD)/%.o: c/src/%.c $(XL_BUILD)/hardening
	@mkdir -p $(@D)
	$(CC) $(XL_ALL_CFLAGS) @$(XL_BUILD)/hardening $(XL_CFLAGS) \
	  $(XL_OWN_CFLAGS) -MMD -MP -c -o $@ $<

# The child's half may not call what the stack protector calls (docs/design.md).
XL_CHILDS := start/child_setup kernel/probe_child kernel/keeper_child
$(XL_CHILDS:%=$(XL_BUILD)/%.o): XL_OWN_CFLAGS := -fno-stack-protector \
  -U_FORTIFY_SOURCE

OBJCOPY ?= objcopy

$(XL_BUILD)/libxlchild.o: $(XL_OBJ)
	$(LD) -r -o $@.part $^
	$(OBJCOPY) --wildcard --keep-global-symbol='xlchild_*' $@.part $@
	@rm $@.part

$(XL_BUILD)/libxlchild.a: $(XL_BUILD)/libxlchild.o
	rm -f $@ && $(AR) rcs $@ $^

$(XL_BUILD)/libxlchild.so.0: $(XL_OBJ) c/libxlchild.map
	$(CC) -shared -pthread -Wl,-soname,libxlchild.so.0 \
	  -Wl,--version-script=c/libxlchild.map -Wl,--no-undefined -Wl,-z,now \
	  -Wl,-z,nodelete $(LDFLAGS) \
	  -o $@ $(XL_OBJ) -ldl
	ln -sf libxlchild.so.0 $(XL_BUILD)/libxlchild.so

-include $(XL_OBJ:.o=.d)
