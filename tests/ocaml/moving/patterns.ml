(* patterns.ml - the calls of patterns.ml.in against each set of operations

   Run by run.sh. That it compiles is half of the test. *)

let failed = ref 0

let run set (name, f) =
  let said =
    match f () with
    | true -> None
    | false -> Some "another answer"
    | exception exn -> Some (Printexc.to_string exn)
  in
  Option.iter
    (fun what ->
      incr failed;
      Printf.printf "WRONG: %s: %s: %s\n%!" set name what)
    said

let () =
  Xlchild_forkhelpers.set_syslog_socket "/nonexistent";
  List.iter (run "as it was") Patterns_older.patterns;
  List.iter (run "as it is") Patterns_present.patterns;
  List.iter (run "traced") Patterns_traced.patterns;
  List.iter (run "traced") Patterns_traced.traced_patterns;
  let n = List.length Patterns_older.patterns in
  Printf.printf "%d calls, %d wrong\n" n !failed;
  if n < 40 || !failed > 0 then exit 1
