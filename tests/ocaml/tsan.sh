# tsan.sh - several domains, the C half under ThreadSanitizer
#
# usage: tsan.sh
#
# Called by run.sh where OCaml has domains, from the root of the tree. Debian's
# OCaml is built without TSan: only the core and the stubs are instrumented here,
# in a build folder of their own, and the mutexes are seen of the runtime. What
# else it does is not: its own order of locks, and memory that it maps in one
# thread and hands to another.
set -eu
build=$XLCHILD_ROOT/build/ocaml-tsan
log=$build.log
suppressions=$build.suppressions
mkdir -p "$build"
printf '%s\n' 'race:caml_plat_mem_map' > "$suppressions"
XLCHILD_CFLAGS='-O1 -g -fsanitize=thread -fno-omit-frame-pointer' \
    OCAMLPARAM='_,ccopt=-fsanitize=thread' \
    ${DUNE:-dune} build --root ocaml --build-dir "$build" --display quiet \
    ./test/domains
# Without random addresses: more of them than this TSan knows are a kernel's to
# give.
TSAN_OPTIONS="suppressions=$suppressions detect_deadlocks=0 print_suppressions=0" \
    setarch -R "$XLCHILD_ROOT/build/tests/helpers/reaper" \
    "$build/default/test/domains/domains.exe" > "$log" 2>&1 && status=0 || status=$?
cat "$log"
[ "$status" -eq 0 ] && ! grep -q ThreadSanitizer "$log"
