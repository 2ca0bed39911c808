(* test_family.ml - families: held before the child is, asked, ended by policy

   tests/c/family.c has what the library promises; here is what OCaml adds. Each
   hold that is to be had on this machine is tried: the group always is. *)

open Xlchild
open Support

let check_bool = Alcotest.(check bool)
let check_string = Alcotest.(check string)
let sh text = command "sh" [ "-c"; text ]

(* Without the host's stdout, which the tests' caller waits for. *)
let shell ?family ?account ?kill text =
  command ?family ?account ?kill "sh" [ "-c"; text ]
    ~fds:(Fd_map.of_list [ (0, Null); (1, Null); (2, Null) ])

let leaves = "sleep 1000 & :"
let fails = "sleep 1000 & exit 3"
let stays = "sleep 1000 & wait"

(* One of each hold, closed afterwards. *)
let each ?policy ?signal ?grace f =
  with_context ~log:(fun _ _ _ -> ()) @@ fun ctx ->
  List.iter
    (fun hold ->
      match
        Family.create_result ?policy ?signal ?grace ~holds:[ hold ] ctx
      with
      | Ok family ->
          check_bool "as allowed" true ((Family.look family).hold = Some hold);
          check_bool "its folder" true
            ((Family.cgroup family <> None) = (hold = Cgroup));
          Fun.protect
            ~finally:(fun () -> ignore (Family.close_result family))
            (fun () -> f ctx family)
      | Error { code = Not_implemented; argument; _ } ->
          check_bool "these may be not to be had" true (hold <> Group);
          Alcotest.(check (option string)) "named" (Some "holds") argument
      | Error e -> Alcotest.fail (Error.to_string e))
    [ Family.Group; Family.Keeper; Family.Cgroup ]

let contains part text =
  match Str.search_forward (Str.regexp_string part) text 0 with
  | _ -> true
  | exception Stdlib.Not_found -> false

let says part family =
  let text = Format.asprintf "%a" Family.pp family in
  if not (contains part text) then Alcotest.failf "%S has no %S" text part

let names argument = function
  | Ok _ -> Alcotest.failf "%s: no error" argument
  | Error (e : error) ->
      check_bool argument true (e.code = Invalid);
      Alcotest.(check (option string)) "named" (Some argument) e.argument

(* ---- F1: made before its child, and outliving it ---- *)

let before_and_after () =
  each @@ fun ctx family ->
  let s = Family.look family in
  check_bool "nobody yet" true (s.empty && (not s.started) && s.pid = None);
  says "not started" family;
  Family.wait family;
  let child = start ctx (shell ~family leaves) in
  check_status "ended" "exit 0" (Child.wait child);
  let s = Family.look family in
  check_bool "it outlives it" true
    (s.started && (not s.empty) && s.pid = Some (Child.pid child));
  says "alive" family;
  Option.iter
    (fun folder -> check_bool "there" true (Sys.is_directory folder))
    (Family.cgroup family);
  check_bool "stopped" true (Family.stop family);
  Family.wait ~timeout:30. family;
  let s = Family.look family in
  check_bool "empty" true (s.empty && s.ending);
  says "empty" family;
  Option.iter
    (fun folder -> check_bool "gone" false (Sys.file_exists folder))
    (Family.cgroup family);
  Family.close family;
  says "closed" family

let best_hold () =
  with_context @@ fun ctx ->
  Family.with_family ctx @@ fun best ->
  Family.with_family ~holds:[ Group ] ctx @@ fun group ->
  let b = Family.look best and g = Family.look group in
  check_bool "no better one" true ((b.hold = Some Cgroup) = (b.why = None));
  check_bool "why" true (g.hold = Some Group && g.why <> None);
  check_bool "a keeper has to be named" true (b.hold <> Some Keeper);
  check_string "named" "group keeper cgroup"
    (String.concat " " (List.map Family.hold_text [ Group; Keeper; Cgroup ]))

(* Whose child it is: the keeper's, of whose family daemons are, too. *)
let a_keepers_child () =
  with_context @@ fun ctx ->
  match Family.create_result ~policy:Always ~holds:[ Keeper ] ctx with
  | Error { code = Not_implemented; argument = Some "holds"; _ } ->
      print_endline "skipped - no keeper here"
  | Error e -> Alcotest.fail (Error.to_string e)
  | Ok family ->
      let line = "test $PPID != $0 && { setsid sleep 1000 & } ; exit 5" in
      let own = string_of_int (Unix.getpid ()) in
      let child = start ctx (command ~family "sh" [ "-c"; line; own ]) in
      check_status "told" "exit 5" (Child.wait child);
      (match Unix.waitpid [ Unix.WNOHANG ] (Child.pid child :> int) with
      | _ -> Alcotest.fail "it is ours"
      | exception Unix.Unix_error (Unix.ECHILD, _, _) -> ());
      Family.wait ~timeout:30. family;
      let s = Family.look family in
      check_bool "kept" true (s.hold = Some Keeper && s.empty);
      Family.close family

let wrong_arguments () =
  with_context ~log:(fun _ _ _ -> ()) @@ fun ctx ->
  let fds = open_fds () in
  names "signal" (Family.create_result ~signal:65 ctx);
  names "signal" (Family.create_result ~signal:(-99) ctx);
  names "grace" (Family.create_result ~grace:(-1.) ctx);
  names "grace" (Family.create_result ~grace:nan ctx);
  names "holds" (Family.create_result ~holds:[] ctx);
  names "cgroup_parent" (Family.create_result ~cgroup_parent:"relative" ctx);
  names "cgroup_parent" (Family.create_result ~cgroup_parent:"/a\000b" ctx);
  (match
     Family.create_result ~holds:[ Cgroup ] ~cgroup_parent:"/proc" ctx
   with
  | Ok _ -> Alcotest.fail "a cgroup in /proc"
  | Error e ->
      check_bool "not to be had" true (e.code = Not_implemented);
      Alcotest.(check (option string)) "named" (Some "holds") e.argument);
  check_string "nothing is made" fds (open_fds ());
  Family.with_family ctx @@ fun family ->
  names "signal" (Family.signal_result family 99);
  names "signal" (Family.stop_result ~signal:99 family);
  names "grace" (Family.stop_result ~grace:(-1.) family)

(* In each way to start, and as what is wrong is told there. *)
let refused ctx family =
  let c = command ~family "true" [] in
  names "family" (start_result ctx c);
  names "family" (run_result ctx c);
  names "family" (run_async_result ctx c ignore);
  match start_many ctx [ (c, Hold) ] with
  | [ r ] -> names "family" r
  | _ -> Alcotest.fail "another number"
  | exception Error e -> names "family" (Error e)

let one_family_a_start () =
  with_context ~log:(fun _ _ _ -> ()) @@ fun ctx ->
  let used = Family.create ctx in
  ignore (Child.wait (start ctx (command ~family:used "true" [])));
  refused ctx used;
  Family.close used;
  refused ctx used;
  names "family"
    (run_result ~family:Always ctx (command ~family:used "true" []));
  names "family"
    (run_async_result ~family:Always ctx
       (command ~family:used "true" [])
       ignore);
  with_context @@ fun other ->
  Family.with_family other (refused ctx)

let of_a_batch_one_gets_it () =
  with_context ~log:(fun _ _ _ -> ()) @@ fun ctx ->
  Family.with_family ctx @@ fun family ->
  let c = command ~family "true" [] in
  match start_many ctx [ (c, Hold); (c, Hold) ] with
  | [ Ok child; second ] ->
      check_status "it" "exit 0" (Child.wait child);
      names "family" second
  | _ -> Alcotest.fail "another answer"

let closed_ones () =
  with_context @@ fun ctx ->
  let family = Family.create ctx in
  Family.close family;
  List.iter
    (fun use -> fails_with "closed" Not_found (fun () -> use family))
    [
      Family.close;
      Family.wait ?timeout:None;
      (fun f -> ignore (Family.look f));
      (fun f -> ignore (Family.is_empty f));
      (fun f -> ignore (Family.signal f Sys.sigterm));
      (fun f -> ignore (Family.stop f));
      (fun f -> Family.when_empty f ignore);
    ];
  let family = Family.with_family ctx (fun f -> Family.close f; f) in
  fails_with "closed inside" Not_found (fun () -> Family.close family);
  let orphan = with_context Family.create in
  fails_with "its context" Closed (fun () -> Family.wait orphan)

let anew_after_a_failure () =
  with_context @@ fun ctx ->
  Family.with_family ~policy:Always ctx @@ fun family ->
  fails_with "no program" Spawn_failed (fun () ->
      start ctx (command ~family "/nonexistent" []));
  check_bool "empty" true (Family.is_empty family);
  check_status "started" "exit 0"
    (Child.wait (start ctx (command ~family "true" [])));
  Family.wait ~timeout:30. family

(* ---- F2: asked, waited for, signalled, ended ---- *)

let signalled () =
  each @@ fun ctx family ->
  let child = start ctx (shell ~family stays) in
  fails_with "alive" Timed_out (fun () -> Family.wait ~timeout:0. family);
  fails_with "alive" Timed_out (fun () -> Family.wait ~timeout:0.01 family);
  check_bool "somebody" true (Family.signal family 0);
  check_bool "sent" true (Family.signal family Sys.sigterm);
  check_status "by it"
    (Printf.sprintf "signal %d" Sys.sigterm)
    (Child.wait child);
  Family.wait ~timeout:30. family;
  check_bool "nobody" false (Family.signal family Sys.sigterm);
  check_bool "nobody" false (Family.stop family)

let grace () =
  each @@ fun ctx family ->
  let child = start ctx (shell ~family "trap '' TERM; sleep 1000 & :") in
  ignore (Child.wait child);
  check_bool "asked" true
    (Family.stop ~signal:Sys.sigterm ~grace:0.01 family);
  Family.wait ~timeout:30. family

let many_threads () =
  each @@ fun ctx family ->
  ignore (Child.wait (start ctx (shell ~family leaves)));
  let told = Atomic.make 0 in
  let ask () =
    Family.wait ~timeout:60. family;
    Atomic.incr told
  in
  let threads = List.init 3 (fun _ -> Thread.create ask ()) in
  ignore (Family.stop family);
  List.iter Thread.join threads;
  Alcotest.(check int) "all are told" 3 (Atomic.get told)

(* Once each; also the one that asks when it is empty, and the one whose family
   is closed meanwhile. *)
let told_by_a_closure () =
  each @@ fun ctx family ->
  let told = ref [] in
  let ask name =
    Family.when_empty family (fun r -> told := (name, r) :: !told)
  in
  ask "before";
  check_bool "at once" true (!told = [ ("before", Ok ()) ]);
  told := [];
  ignore (Child.wait (start ctx (shell ~family leaves)));
  ask "one";
  ask "two";
  ignore (check ctx);
  check_bool "not yet" true (!told = []);
  ignore (Family.stop family);
  check_bool "both" true
    (eventually (fun () ->
         ignore (check ctx);
         List.length !told = 2));
  check_bool "well" true (List.for_all (fun (_, r) -> r = Ok ()) !told);
  told := [];
  Family.close family;
  let family = Family.create ~holds:[ Group ] ctx in
  let child = start ctx (shell ~family stays) in
  Family.when_empty family (fun r -> told := ("closed", r) :: !told);
  (* one that raises is the pumping call's *)
  Family.when_empty family (fun _ -> raise Exit);
  ignore (Family.stop ~signal:Sys.sigterm ~grace:0. family);
  (match Family.close family with
  | () -> (
      match check ctx with
      | _ -> Alcotest.fail "what it raised is lost"
      | exception Exit -> ())
  | exception Exit -> ());
  (match !told with
  | [ ("closed", Error { code = Not_found; _ }) ] -> ()
  | _ -> Alcotest.fail "whoever waits is told");
  ignore (Child.wait child)

(* A context that goes tells whoever waits; and nothing is called after that. *)
let told_by_its_context () =
  let told = ref [] in
  let child, orphan =
    with_context @@ fun ctx ->
    let family = Family.create ~holds:[ Group ] ctx in
    let child = start ctx (shell ~family "exec sleep 1000") in
    Family.when_empty family (fun r -> told := r :: !told);
    ((Child.pid child :> int), family)
  in
  (match !told with
  | [ Error { code = Not_found; _ } ] -> ()
  | _ -> Alcotest.fail "whoever waits is told");
  fails_with "closed" Closed (fun () -> Family.wait orphan);
  if child > 1 then Unix.kill child Sys.sigkill

(* ---- F3: the policy ---- *)

let policies () =
  List.iter
    (fun (policy, text, ends) ->
      each ~policy @@ fun ctx family ->
      ignore (Child.wait (start ctx (shell ~family text)));
      check_bool "as it says" ends (Family.look family).ending;
      if not ends then begin
        check_bool "alive" false (Family.is_empty family);
        ignore (Family.stop family)
      end;
      Family.wait ~timeout:30. family)
    Family.
      [
        (Never, fails, false);
        (On_timeout, fails, false);
        (On_failure, leaves, false);
        (On_failure, fails, true);
        (Always, leaves, true);
      ]

let a_timeout_takes_it_along () =
  each ~policy:On_timeout @@ fun ctx family ->
  let o = run ctx ~timeout:0.1 (shell ~family ~kill:(kill_at_once Process) stays) in
  check_bool "timed out" true (o.ending = Timeout);
  Family.wait ~timeout:30. family

(* Nobody has the pipe open when the run is over. *)
let nobody_has_it f =
  with_pipe @@ fun r w ->
  f w;
  Unix.close w;
  check_bool "at its end" true
    (readable ~within:30. r && Unix.read r (Bytes.create 1) 0 1 = 0)

let run_leaves_nobody () =
  with_context @@ fun ctx ->
  let go ?timeout family text w =
    run ctx ~family ~stdout:(`Fd w) ?timeout
      (command ~kill:(kill_at_once Process) "sh" [ "-c"; text ])
  in
  nobody_has_it (fun w ->
      check_bool "well" true (Outcome.is_success (go Always leaves w)));
  nobody_has_it (fun w ->
      check_status "failed" "exit 3" (go On_failure fails w).child);
  nobody_has_it (fun w ->
      check_bool "timed out" true
        ((go ~timeout:0.05 On_timeout stays w).ending = Timeout));
  (* a closure that raises ends it, and its family *)
  nobody_has_it (fun w ->
      match
        run ctx ~family:On_timeout ~stdout:(`Fd w)
          ~started:(fun _ -> raise Exit)
          (sh stays)
      with
      | _ -> Alcotest.fail "no exception"
      | exception Exit -> ());
  (* and what cannot be started is an error as ever *)
  match run_result ctx ~family:Always (command "/nonexistent" []) with
  | Error { stage = Exec; _ } -> ()
  | _ -> Alcotest.fail "it started"

let run_async_leaves_nobody () =
  with_context @@ fun ctx ->
  List.iter
    (fun (family, text) ->
      nobody_has_it @@ fun w ->
      let outcome = ref None in
      ignore
        (run_async ctx ~family ~stdout:(`Fd w) (sh text) (fun o ->
             outcome := Some o));
      check_bool "told" true
        (eventually (fun () ->
             ignore (check ctx);
             !outcome <> None)))
    Family.[ (Always, leaves); (On_failure, fails) ]

(* ---- what is raised, and what is forgotten ---- *)

let every_point () =
  with_context @@ fun ctx ->
  ignore (run ctx ~family:Always (exit_with 0));
  let fds = open_fds () in
  let after () _ =
    Gc.full_major ();
    Family.close (Family.create ~holds:[ Group ] ctx);
    Test_raising.none_left ctx ();
    if not (eventually (fun () -> open_fds () = fds)) then
      check_string "descriptors" fds (open_fds ())
  in
  let sweep f = Test_raising.sweep ~step:3 ~before:ignore ~after f in
  sweep (fun () -> Family.close (Family.create ctx));
  sweep (fun () -> Family.with_family ~policy:Always ctx ignore);
  sweep (fun () ->
      Family.with_family ~policy:Always ctx @@ fun family ->
      let c = command ~family ~search:false child [ "exit"; "0" ] in
      ignore (Child.wait (start ctx c));
      Family.wait ~timeout:30. family);
  sweep (fun () -> ignore (run ctx ~family:Always (exit_with 0)))

let handlers () =
  each ~policy:On_failure @@ fun ctx family ->
  ignore (run ctx ~family:Always (exit_with 0));
  let fds = open_fds () in
  let child = start ctx (shell ~family "exec sleep 1000") in
  Test_raising.interrupted "Family.wait" (fun () -> Family.wait family);
  Test_raising.interrupted "Family.wait, timed" (fun () ->
      Family.wait ~timeout:100. family);
  Test_raising.interrupted "with_family" (fun () ->
      Family.with_family ~policy:Always ctx @@ fun family ->
      let child = start ctx (shell ~family "exec sleep 1000") in
      Fun.protect
        ~finally:(fun () -> Child.kill child Sys.sigkill; ignore (Child.wait child))
        (fun () -> Family.wait family));
  Test_raising.interrupted "run with a family" (fun () ->
      ignore (run ctx ~family:On_timeout (sh stays)));
  Child.kill child Sys.sigkill;
  ignore (Child.wait child);
  Family.wait ~timeout:30. family;
  Family.close family;
  Gc.full_major ();
  let fewer () = String.length (open_fds ()) <= String.length fds in
  if not (eventually fewer) then check_string "nothing leaks" fds (open_fds ())

(* One that nobody has any more stays in force while somebody is in it, and is
   let go of when another one is made. *)
let forgotten () =
  with_context @@ fun ctx ->
  Family.close (Family.create ctx);
  let fds = open_fds () in
  let[@inline never] forget () =
    ignore (Family.create ctx);
    let used = Family.create ctx in
    ignore (Child.wait (start ctx (command ~family:used "true" [])));
    Family.wait ~timeout:30. used
  in
  forget ();
  Gc.full_major ();
  Family.close (Family.create ctx);
  check_string "nothing is left" fds (open_fds ());
  nobody_has_it @@ fun out ->
  with_pipe @@ fun r w ->
  let[@inline never] start_it () =
    let family = Family.create ~policy:Always ctx in
    start ctx
      (command ~family "sh"
         [ "-c"; "sleep 1000 & read x" ]
         ~fds:(Fd_map.of_list [ (0, Fd r); (1, Fd out); (2, Null) ]))
  in
  let child = start_it () in
  Gc.full_major ();
  Family.close (Family.create ctx);
  check_bool "it lives" true (Child.poll child = None);
  Unix.close w;
  Unix.close r;
  check_status "it goes on" "exit 1" (Child.wait child)

let cases =
  [
    case "F1 the best hold, and why there is no better" best_hold;
    case "F4 a keeper's child" a_keepers_child;
    case "F1 B5 a wrong argument is named" wrong_arguments;
    case "F1 one family a start" one_family_a_start;
    case "F1 of a batch one gets it" of_a_batch_one_gets_it;
    case "F1 B6 one that was closed" closed_ones;
    case "F1 started anew after a failure" anew_after_a_failure;
    case "F2 B1 told by its context" told_by_its_context;
    case "F3 run leaves nobody" run_leaves_nobody;
    case "F3 run_async leaves nobody" run_async_leaves_nobody;
    case "F1 F3 one that is forgotten" forgotten;
  ]
  @ not_under_valgrind ~why:"it knows no pidfds"
      [
        case "F1 before its child and after it" before_and_after;
        case "F2 everybody is signalled, and the wait is timed" signalled;
        case "F2 SIGKILL comes after the grace" grace;
        case "F2 B2 any number of threads wait" many_threads;
        case "F2 B3 told by a closure" told_by_a_closure;
        case "F3 a policy says when it ends" policies;
        case "F3 a time-out takes it along" a_timeout_takes_it_along;
      ]
  @ not_under_valgrind ~why:Test_raising.points
      [
        case "B10 F1 families, at every point" every_point;
        case "B10 F2 handlers that raise" handlers;
      ]
