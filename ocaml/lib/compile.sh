# compile.sh - the C half of the OCaml library
#
# Called by lib/dune with OCaml's library folder, the core, the stubs and the
# keeper; leaves libxlchild_stubs.a and dllxlchild_stubs.so in the current folder.
# Everything becomes one object in which only the stubs' externals are global.
set -eu
ocaml=$1 core=$2 stubs=$3 keeper=$4
: "${CC:=cc}" "${XLCHILD_CFLAGS:=-O2 -g}"

rm -rf objects
mkdir objects
export CC
hardening=$(sh "$core/hardening.sh" $XLCHILD_CFLAGS)
export flags="-std=gnu11 $hardening $XLCHILD_CFLAGS -Wall -Wextra -fPIC -pthread
    -fvisibility=hidden -DLIBXL_API=__attribute__((visibility(\"hidden\")))
    -I$core/include -I$core/src -I$stubs -I$keeper -I$ocaml"
# One compiler a processor; xargs fails when one of them does. The child's half
# may not call what the stack protector calls. The core and the stubs may have a
# file of one name each.
compile() {
    xargs -P "$(getconf _NPROCESSORS_ONLN)" -n 1 \
        sh -c 'name=$(basename "$0" .c)
            case $name in
            child_setup | probe_child | keeper_child)
                flags="$flags -fno-stack-protector -U_FORTIFY_SOURCE" ;;
            esac
            object=$(printf %s "${0%.c}" | tr ./ __)
            $CC $flags -c "$0" -o "objects/$object.o"'
}
printf '%s\n' "$core"/src/*/*.c "$keeper"/keeper.c "$keeper"/become.c |
    compile
# Bytecode looks for the externals in the shared object.
flags="$flags -fvisibility=default"
printf '%s\n' "$stubs"/*.c | compile
# A program inside the library (stub_keeper.c): small, where the host's is not.
$CC $flags -fPIE -pie -Wl,-z,relro,-z,now -Wl,--build-id=none -s \
    -o keeper_program "$keeper"/*.c
{
    echo '#include <stddef.h>'
    echo 'const unsigned char xlo_keeper_program[] = {'
    od -An -v -tx1 keeper_program | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo '};'
    echo 'const size_t xlo_keeper_program_size = sizeof(xlo_keeper_program);'
} >keeper_program.c
$CC $flags -fvisibility=hidden -c keeper_program.c -o objects/keeper_program.o

ld -r -o xlchild_all.o objects/*.o
objcopy --wildcard --keep-global-symbol='xlchild_ml_*' xlchild_all.o
rm -f libxlchild_stubs.a
ar rcs libxlchild_stubs.a xlchild_all.o
$CC -shared -pthread -Wl,-z,relro,-z,now -o dllxlchild_stubs.so xlchild_all.o
