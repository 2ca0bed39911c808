# package.sh - the packages as a program of somebody else's finds them
#
# Called by run.sh with a folder to work in. Installs into a prefix of its own
# with `dune install`, and builds programs against it with ocamlfind, native
# and bytecode, outside the tree; one uses every library.
set -eu
rm -rf "$1"
mkdir -p "$1"
work=$(cd "$1" && pwd)
prefix=$work/prefix
flock build/ocaml.lock ${DUNE:-dune} install --root ocaml \
    --build-dir "$(pwd)/build/ocaml" --prefix "$prefix" --libdir "$prefix/lib" \
    2> "$work/installed" || { cat "$work/installed"; exit 1; }
wanted=$(sed -n 's/^(version \(.*\))$/\1/p' ocaml/dune-project)
cd "$work"
OCAMLPATH=$prefix/lib
CAML_LD_LIBRARY_PATH=$prefix/lib/stublibs
export OCAMLPATH CAML_LD_LIBRARY_PATH

for package in xlchild xlchild-lwt; do
    [ "$(ocamlfind query -format '%v %d' $package)" = \
        "$wanted $prefix/lib/$package" ] || {
        echo "META of $package: $(ocamlfind query -format '%v %d' $package)"
        exit 1
    }
    [ -s "$prefix/lib/$package/opam" ] || { echo "$package: no opam"; exit 1; }
done

cat > plain.ml <<'END'
let () =
  Xlchild.with_context @@ fun ctx ->
  let said =
    Xlchild.run ctx ~stdout:`Capture (Xlchild.command "echo" [ "hello" ])
  in
  print_string said.out.data
END
cat > every.ml <<'END'
let () =
  let ctx = Xlchild_lwt.create () in
  let said, _ =
    Lwt_main.run (Xlchild_lwt.capture ctx (Xlchild.command "echo" [ "hello" ]))
  in
  Xlchild_lwt.close ctx;
  let again, _ = Xlchild_forkhelpers.execute_command_get_output "echo" [ "hello" ] in
  let present, _ =
    Xlchild_forkhelpers_mtime.execute_command_get_output
      ~timeout:(Mtime.Span.of_uint64_ns 60_000_000_000L)
      "echo" [ "hello" ]
  in
  if said <> again || said <> present then exit 1;
  Xlchild_syslog.socket := "/nonexistent";
  Xlchild_supervisor.(ignore service);
  print_string said
END
# Names that go with the next release work, and say so.
cat > old.ml <<'END'
let kill = { Xlchild.default_kill with grace_ms = 100 }
let limit : Xlchild.rlimit = { resource = 7; soft = 64; hard = 64 }
let text = Xlchild.error_text
let () = ignore (kill, limit, text); print_string "hello"
END
build() {
    ocamlfind "$1" -thread -linkpkg -package "$2" "$3.ml" -o "$3.$1"
    [ "$(./"$3.$1")" = hello ] || { echo "$3.$1 said something else"; exit 1; }
}
for compiler in ocamlopt ocamlc; do
    build $compiler xlchild plain
    build $compiler xlchild old 2> "old.$compiler.said"
    for name in grace_ms resource Xlchild.error_text; do
        grep -q "deprecated.*: $name\$" "old.$compiler.said" || {
            echo "$name is not deprecated"
            exit 1
        }
    done
    build $compiler xlchild,xlchild-lwt,xlchild.forkhelpers,xlchild.forkhelpers_mtime,xlchild.supervisor,xlchild.syslog every
done
