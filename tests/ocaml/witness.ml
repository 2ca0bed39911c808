(* witness.ml - what a child inherits, in OCaml: C16 C28 B8

   usage: witness WITNESS REPORT; run by run.sh, made odd before its main by
   tests/c/dirty.c, which is preloaded. Starts tests/helpers/witness.c by fork and
   exec alone, by each row of tests/vectors/witness_options.tsv, and in the
   other ways of the libraries, and compares what it tells with witness.tsv. *)

open Xlchild

let witness = Sys.argv.(1)
let report = Sys.argv.(2)
let wrong = ref 0

(* What the types have no word for, or what needs root. *)
let cannot_be_said =
  [
    "keep-sigign-but-sigpipe"; "as-subprocess"; "keep-groups"; "hold-pid";
    "nowait";
  ]

let complain fmt =
  Printf.ksprintf
    (fun s ->
      incr wrong;
      print_endline s)
    fmt

(* The facts that the witness tells when [start] has run it. *)
let told start =
  close_out (open_out report);
  Unix.chmod report 0o666;
  start ();
  List.filter_map
    (fun line ->
      Option.map
        (fun i ->
          ( String.sub line 0 i,
            String.sub line (i + 1) (String.length line - i - 1) ))
        (String.index_opt line ' '))
    (String.split_on_char '\n' (Support.read_all report))

let exited how = function
  | Status (WEXITED 0) -> ()
  | status -> complain "%s: %s" how (Support.status_text status)

let bare =
  told (fun () ->
      match Unix.fork () with
      | 0 -> (
          try Unix.execv witness [| witness; report |] with _ -> Unix._exit 127)
      | pid -> exited "bare" (Status (snd (Unix.waitpid [] pid))))

let facts =
  List.map
    (function
      | [ fact; odd; default; _ ] -> (fact, odd, default)
      | _ -> failwith "columns")
    (Vectors.read "witness.tsv")

(* Descriptors 0, 1 and 2 are inherited, close-on-exec or not. *)
let with_standard fds =
  let numbers = if fds = "none" then [] else Vectors.raw_words fds in
  String.concat " "
    (List.map string_of_int
       (List.sort_uniq compare (0 :: 2 :: List.map int_of_string numbers)))

let compare_facts how changes found =
  if List.length found <> List.length facts then
    complain "%s: %d facts" how (List.length found);
  List.iter
    (fun (fact, _, default) ->
      let expected =
        match List.assoc_opt fact changes with
        | Some value -> value
        | None -> if default = "=" then List.assoc fact bare else default
      in
      let expected =
        if fact = "fds" then with_standard expected else expected
      in
      match List.assoc_opt fact found with
      | Some value when value = expected -> ()
      | Some value ->
          complain "%s, %s: %s instead of %s" how fact value expected
      | None -> complain "%s: nothing of %s" how fact)
    facts

let changes_of = function
  | "-" -> []
  | changes ->
      List.map
        (fun change ->
          let i = String.index change '=' in
          ( String.sub change 0 i,
            String.sub change (i + 1) (String.length change - i - 1) ))
        (String.split_on_char ';' changes)

let row ctx = function
  | [ id; needs; settings; changes; _ ] -> (
      match
        Vectors.command { Vectors.dir = "/" } ~program:witness
          ~verbs:[ report ] settings
      with
      | exception Vectors.Cannot_say _ ->
          if not (List.mem id cannot_be_said) then
            complain "%s: cannot be said" id
      | command ->
          if List.mem id cannot_be_said then complain "%s: can be said" id;
          if needs <> "root" || Unix.geteuid () = 0 then
            compare_facts id (changes_of changes)
              (told (fun () ->
                   exited id (Child.wait (start ctx command)).status)))
  | _ -> failwith "columns"

let command = Xlchild.command ~search:false witness [ report ]

let forkhelpers () =
  ignore (Xlchild_forkhelpers.execute_command_get_output witness [ report ])

let () =
  List.iter
    (fun (fact, odd, _) ->
      if odd <> "?" && List.assoc fact bare <> odd then
        complain "the host passes on %s for %s, not %s"
          (List.assoc fact bare) fact odd)
    facts;
  with_context (fun ctx ->
      List.iter (row ctx) (Vectors.read "witness_options.tsv");
      compare_facts "run" []
        (told (fun () ->
             exited "run" (run ctx command ~stdin:`Inherit).child.status)));
  (* as xapi's fork server starts them *)
  compare_facts "forkhelpers"
    [
      ("fds", "0 1 2"); ("ignored", "13"); ("session", "self");
      ("group", "self"); ("terminal", "no"); ("directory", "/");
      ("environment", "PATH=/sbin:/usr/sbin:/bin:/usr/bin");
    ]
    (told forkhelpers);
  exit (if !wrong = 0 then 0 else 1)
