#!/bin/sh
# hardening.sh - the hardening flags that a compiler takes, on one line
#
# usage: CC=COMPILER hardening.sh FLAGS...
#
# FLAGS are what it is called with besides; they come later on its command line,
# so that what they say counts. Called by c/build.mk, ocaml/lib/compile.sh and
# setup.py. What each is for, and which two files go without the stack
# protector, is in docs/security.md.
set -eu
: "${CC:=cc}"

# takes FLAG... - without a warning, for a program that could use it
takes() {
    printf '#include <string.h>\nint main(void) { return 0; }\n' |
        $CC $given "$@" -Werror -x c -c -o /dev/null - >/dev/null 2>&1
}

given=$*
wanted='-fstack-protector-strong -fstack-clash-protection'
# Branch targets and return addresses, where the processor checks them.
case $($CC $given -dumpmachine 2>/dev/null || :) in
x86_64-* | i?86-*) wanted="$wanted -fcf-protection" ;;
aarch64-*) wanted="$wanted -mbranch-protection=standard" ;;
esac

# libc's checks need an optimiser, are in the way of a sanitizer's, and may
# have been asked for by whoever calls.
fortify=
optimised=no
for flag; do
    case $flag in
    -O0) optimised=no ;;
    -O*) optimised=yes ;;
    esac
done
case " $given" in
*FORTIFY_SOURCE* | *-fsanitize*) ;;
*)
    if [ $optimised = yes ]; then
        for level in 3 2; do
            if takes -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$level; then
                fortify="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$level"
                break
            fi
        done
    fi
    ;;
esac

taken=
if takes $wanted; then
    taken=$wanted
else
    for flag in $wanted; do
        if takes "$flag"; then
            taken="$taken $flag"
        fi
    done
fi
echo $taken $fortify
