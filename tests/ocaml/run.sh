# run.sh - runs the OCaml tests and counts them
#
# usage: run.sh FOLDER [valgrind]
#
# Called by `make check-ocaml` with dune's output folder, and by `make
# check-ocaml-valgrind`, which runs the suites only. Each line of
# `check NAME COMMAND...` is a test of its own; an Alcotest suite counts its
# cases. Ends with `N passed, N failed, N skipped`.
set -u
out=$1
here=$(dirname "$0")
XLCHILD_ROOT=$(pwd)
export XLCHILD_ROOT
: "${PYTHON:=/usr/bin/python3}"
work=$XLCHILD_ROOT/build/ocaml-tests
mkdir -p "$work"
passed=0 failed=0 skipped=0

check() {
    name=$1
    shift
    if "$@" > "$work/log" 2>&1; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "FAILED - $name"
        sed 's/^/    /' "$work/log" | tail -n 80
        failed=$((failed + 1))
    fi
}

skip() {
    echo "skipped - $1: $2"
    skipped=$((skipped + 1))
}

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

# suite NAME COMMAND...: an Alcotest program, whose cases count
suite() {
    name=$1
    shift
    # what a test orphans is reaped at once, whatever init is like
    (cd "$work" && timeout "$suite_seconds" \
        "$XLCHILD_ROOT/build/tests/helpers/reaper" "$@") > "$work/log" 2>&1
    status=$?
    grep '^skipped - ' "$work/log"
    skipped=$((skipped + $(grep -c '^skipped - ' "$work/log")))
    run=$(sed -n 's/.* \([0-9][0-9]*\) tests\{0,1\} run\..*/\1/p' "$work/log")
    bad=$(sed -n 's/^\([0-9][0-9]*\) failures\{0,1\}!.*/\1/p' "$work/log")
    : "${run:=0}" "${bad:=0}"
    if [ "$status" -ne 0 ] || [ "$run" -eq 0 ]; then
        [ "$bad" -eq 0 ] && bad=1 && run=$((run + 1))
        sed 's/^/    /' "$work/log" | tail -n 120
    fi
    echo "$name: $((run - bad)) passed, $bad failed"
    passed=$((passed + run - bad))
    failed=$((failed + bad))
}

traced() {
    strace -o "$work/strace" \
        -e trace=rt_sigaction,wait4,waitid,access,faccessat,faccessat2 \
        "$out/test/coexist.exe" mainloop 2000 &&
        $PYTHON "$here/strace_check.py" "$work/strace"
}

# What the program exports and what a stranger's library with the same names
# does to it: B7.
nothing_exported() {
    for object in "$out/test/suite.exe" "$out/lib/dllxlchild_stubs.so"; do
        if nm -D --defined-only "$object" | grep -v ' xlchild_ml_' |
            grep -w -e 'libxl_[a-z_]*' -e 'xlchild_[a-z_]*'; then
            return 1
        fi
    done
    nm -g --defined-only "$out/lib/libxlchild_stubs.a" |
        awk 'NF == 3 && $3 !~ /^xlchild_ml_/ { print; bad = 1 }
             END { exit bad }'
}

beside_libxenlight() {
    {
        echo '#include <stdlib.h>'
        for function in $(sed -n 's/^ *xlchild_\([a-z_]*\);.*/\1/p' \
            c/libxlchild.map); do
            echo "int libxl_$function(void) { abort(); }"
            echo "int xlchild_$function(void) { abort(); }"
        done
    } > "$work/libxenlight.c"
    grep -q xlchild_ctx_alloc "$work/libxenlight.c" &&
        ${CC:-cc} -shared -fPIC -w -o "$work/libxenlight.so" \
            "$work/libxenlight.c" &&
        LD_PRELOAD="$work/libxenlight.so" "$out/test/coexist.exe" libxl 20
}

# In a folder where any user can execute it, out of a host that was made odd.
witness() {
    folder=$(mktemp -d) && chmod 755 "$folder" &&
        cp "$XLCHILD_ROOT/build/tests/helpers/witness" "$folder" || return 1
    # only the host is made odd
    timeout 100 env -i A=1 PATH="$PATH" XLCHILD_ROOT="$XLCHILD_ROOT" \
        LD_PRELOAD="$XLCHILD_ROOT/build/tests/helpers/dirty.so" \
        "$out/test/witness.exe" "$folder/witness" \
        "$folder/report" < /dev/null
    status=$?
    rm -r "$folder"
    return $status
}

# A daemon of many threads, killed at random. Whoever closes a number twice
# closes somebody else's, or nobody's: nobody's is what can be seen, and so is a
# number that has become another kind of file. Where it was is in the log.
many_threads() {
    ${CC:-cc} -shared -fPIC -w -x c -o "$work/numbers.so" - <<'END' || return 1
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static long seen(const char *what, int fd, long r)
{
    int saved = errno, out;
    void *frames[32];
    if (r < 0 && (saved == EBADF || saved == EINVAL)) {
        out = syscall(SYS_openat, AT_FDCWD, getenv("NUMBERS"),
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        dprintf(out, "%s %d: errno %d\n", what, fd, saved);
        backtrace_symbols_fd(frames, backtrace(frames, 32), out);
        syscall(SYS_close, out);
    }
    errno = saved;
    return r;
}
int close(int fd) { return seen("close", fd, syscall(SYS_close, fd)); }
ssize_t read(int fd, void *p, size_t n)
{
    return seen("read", fd, syscall(SYS_read, fd, p, n));
}
ssize_t write(int fd, const void *p, size_t n)
{
    return seen("write", fd, syscall(SYS_write, fd, p, n));
}
END
    rm -f "$work/numbers"
    NUMBERS=$work/numbers LD_PRELOAD=$work/numbers.so timeout 120 \
        "$XLCHILD_ROOT/build/tests/helpers/reaper" \
        "$out/test/soak/threads.exe" 5 60 &&
        [ ! -s "$work/numbers" ] || { cat "$work/numbers"; return 1; }
}

if [ "${2-}" = valgrind ]; then
    suite_seconds=1200
    XLCHILD_VALGRIND=1
    export XLCHILD_VALGRIND
    # It takes a handler's return from the alternate stack for the end of the
    # stack below, and cannot make a stack longer for a handler: without the
    # one, and with a stack that is long already, what it says is true.
    ${CC:-cc} -shared -fPIC -w -x c -o "$work/onestack.so" - <<'END'
int sigaltstack(const void *stack, void *old) { return 0; }
__attribute__((constructor)) static void lengthen(void)
{
    volatile char deep[1 << 20];
    for (int i = 0; i < 1 << 20; i += 1024) deep[i] = 0;
}
END
    for program in suite lwt/suite_lwt; do
        suite "$program under valgrind" env LD_PRELOAD="$work/onestack.so" \
            valgrind --quiet --error-exitcode=97 --child-silent-after-fork=yes \
            "$XLCHILD_ROOT/$out/test/$program.exe"
    done
    finish
fi

# Modules of other packages are not there for odoc to find.
documentation() {
    flock build/ocaml.lock ${DUNE:-dune} build --root ocaml \
        --build-dir "$XLCHILD_ROOT/build/ocaml" --display quiet @doc \
        > "$work/doc" 2>&1
    status=$?
    cat "$work/doc"
    [ $status -eq 0 ] && [ -s "$out/_doc/_html/xlchild/Xlchild/index.html" ] &&
        ! grep -E 'Reference|[Aa]mbiguous|Unresolved|Error' "$work/doc"
}

suite_seconds=300
suite "suite" "$XLCHILD_ROOT/$out/test/suite.exe"
suite "suite, debug runtime, minor heap of 256 words, compacting" \
    env OCAMLRUNPARAM=s=256,o=20,v=0 XLCHILD_COMPACT=1 \
    "$XLCHILD_ROOT/$out/test/suite_debug.exe"
suite "suite_lwt" "$XLCHILD_ROOT/$out/test/lwt/suite_lwt.exe"
check "how a fork server is called, against each set of operations" \
    timeout 120 build/tests/helpers/reaper "$out/test/moving/patterns.exe"
check "C14 O5 Lwt in a child of fork" \
    timeout 60 build/tests/helpers/reaper "$out/test/lwt/forked.exe"
check "C1 libxl: 2000 children of ours and 2000 of the host's" \
    timeout 120 "$out/test/coexist.exe" libxl 2000
check "C16 C28 B8 what a child inherits" witness
check "C2 mainloop: the same" timeout 120 "$out/test/coexist.exe" mainloop 2000
if command -v strace > "$work/log"; then
    check "C2 mainloop under strace" traced
else
    skip "C2 mainloop under strace" "there is no strace"
fi
version=$(ocamlfind ocamlopt -version)
case $version in
4.*) skip "B2 children of several domains" "OCaml $version has no domains" ;;
*)
    check "B2 children of several domains" \
        timeout 120 "$out/test/domains/domains.exe"
    if printf 'int main(void) { return 0; }' |
        ${CC:-cc} -fsanitize=thread -x c -o "$work/tsan" - 2> "$work/log"; then
        check "B2 B9 the same, with the C half under TSan" \
            timeout 300 sh "$here/tsan.sh"
    else
        skip "B2 B9 the same, with the C half under TSan" "there is no libtsan"
    fi
    ;;
esac
check "B7 nothing of the core is exported" nothing_exported
check "B7 beside a library with the same names" beside_libxenlight
if command -v swig > "$work/log"; then
    check "every public function has an external" \
        $PYTHON "$here/parity.py" "$out"
else
    skip "every public function has an external" "there is no swig"
fi
check "C5 C6 an hour of the supervisor's in ten seconds" \
    "$XLCHILD_ROOT/build/tests/helpers/reaper" "$out/test/soak/soak.exe" 10
check "C5 C13 a daemon of many threads, killed at random, in five seconds" \
    many_threads
check "installed, found by a stranger" sh "$here/package.sh" "$work/package"
if command -v odoc > "$work/log"; then
    check "the documentation" documentation
else
    skip "the documentation" "there is no odoc"
fi
check "the daemon of the examples" sh ocaml/demo.sh "$out"

finish
