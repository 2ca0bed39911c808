# check.sh - builds xlchild-eio where Eio is, tests it and runs its examples
#
# Called by `make check-eio` in a chroot (scripts/chroot), with the tree in
# /source, which is read only. The suite runs once with each backend of Eio's; the
# example of the interface and those of docs/tasks/eio.md are built and run as
# they stand. Ends with `N passed, N failed, N skipped`.
set -eu
mkdir /tree
cd /source
tar --exclude=./build --exclude=./.git --exclude=__pycache__ -cf - . |
    tar --no-same-owner -xf - -C /tree
cd /tree
make -s helpers
mkdir -p build
build() {
    dune build --root ocaml --build-dir "$PWD/build/ocaml" --display quiet "$@"
}
build xlchild.install xlchild-eio.install ./test/eio ./test/domains
passed=0 failed=0 skipped=0

said() {
    run=$(sed -n 's/.* \([0-9][0-9]*\) tests\{0,1\} run\..*/\1/p' log)
    bad=$(sed -n 's/^\([0-9][0-9]*\) failures\{0,1\}!.*/\1/p' log)
    : "${run:=0}" "${bad:=0}"
    if [ "$1" -ne 0 ] || [ "$run" -eq 0 ]; then
        [ "$bad" -ne 0 ] || { bad=1 run=$((run + 1)); }
        tail -n 120 log
    fi
    echo "suite_eio, $backend: $((run - bad)) passed, $bad failed"
    passed=$((passed + run - bad)) failed=$((failed + bad))
}

for backend in posix linux; do
    status=0
    EIO_BACKEND=$backend timeout 300 build/tests/helpers/reaper \
        "$PWD/build/ocaml/default/test/eio/suite_eio.exe" >log 2>&1 || status=$?
    if grep -q 'io_uring.*not available\|Function not implemented' log; then
        echo "skipped - suite_eio, $backend: the kernel refuses io_uring"
        skipped=$((skipped + 1))
    else
        said $status
    fi
done

check() {
    name=$1
    shift
    if "$@" >log 2>&1; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "FAILED - $name"
        tail -n 80 log
        failed=$((failed + 1))
    fi
}

check "B2 children of several domains" env XLCHILD_ROOT="$PWD" \
    timeout 120 build/ocaml/default/test/domains/domains.exe
check "the examples" \
    env OCAMLPATH="$PWD/build/ocaml/install/default/lib" timeout 300 \
    python3 tests/ocaml/eio/examples.py
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
