# c/build.mk - builds libxlchild, static and shared; included by the Makefile
#
# The objects hide everything that the headers do not mark, so that the
# archive can be linked into a binding; the shared library exports what
# c/libxlchild.map lists. It is never unloaded: threads, handlers and fork
# handlers of ours may outlive the last handle (for the archive in a plugin see
# kernel/pin.c).

CC ?= gcc
XL_CFLAGS ?= -O2 -g
XL_ALL_CFLAGS := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes \
  -Wmissing-prototypes -fvisibility=hidden -fPIC -pthread -Ic/include -Ic/src

XL_SRC := $(wildcard c/src/*/*.c)
XL_OBJ := $(XL_SRC:c/src/%.c=build/c/%.o)

.PHONY: lib
lib: build/c/libxlchild.a build/c/libxlchild.so.0 ## build the C library

build/c/%.o: c/src/%.c
	@mkdir -p $(@D)
	$(CC) $(XL_ALL_CFLAGS) $(XL_CFLAGS) -MMD -MP -c -o $@ $<

build/c/libxlchild.a: $(XL_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

build/c/libxlchild.so.0: $(XL_OBJ) c/libxlchild.map
	$(CC) -shared -pthread -Wl,-soname,libxlchild.so.0 \
	  -Wl,--version-script=c/libxlchild.map -Wl,--no-undefined -Wl,-z,now \
	  -Wl,-z,nodelete \
	  -o $@ $(XL_OBJ) -ldl
	ln -sf libxlchild.so.0 build/c/libxlchild.so

-include $(XL_OBJ:.o=.d)
