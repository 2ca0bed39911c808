(* test_children.ml - starting, waiting, killing, adopting *)

open Xlchild
open Support

let statuses () =
  with_context @@ fun ctx ->
  check_status "exit" "exit 7" (Child.wait (start ctx (exit_with 7)));
  check_status "signal"
    (Printf.sprintf "signal %d" Sys.sigterm)
    (Child.wait (start ctx (verbs [ "signal"; "SIGTERM" ])));
  check_status "real-time signal" "signal 40"
    (Child.wait (start ctx (verbs [ "signal"; "40" ])))

let signals_both_ways () =
  List.iter
    (fun s ->
      Alcotest.(check int) "there and back" s (ocaml_signal (system_signal s)))
    Sys.
      [
        sigabrt; sigalrm; sigfpe; sighup; sigill; sigint; sigkill; sigpipe;
        sigquit; sigsegv; sigterm; sigusr1; sigusr2; sigchld; sigcont; sigstop;
        sigtstp; sigttin; sigttou; sigvtalrm; sigprof; sigbus; sigpoll; sigsys;
        sigtrap; sigurg; sigxcpu; sigxfsz;
      ];
  Alcotest.(check int) "SIGTERM" 15 (system_signal Sys.sigterm);
  Alcotest.(check int) "real-time" 40 (system_signal 40);
  Alcotest.(check int) "real-time" 40 (ocaml_signal 40)

let start_failures () =
  with_context @@ fun ctx ->
  (match start_result ctx (command "/nonexistent/program" []) with
  | Ok _ -> Alcotest.fail "it started"
  | Result.Error e ->
      Alcotest.(check bool) "code" true (e.code = Spawn_failed);
      Alcotest.(check bool) "stage" true (e.stage = Exec);
      Alcotest.(check bool) "errno" true (e.errno = Some Unix.ENOENT));
  (match start_result ctx (command ~cwd:"/nonexistent" "true" []) with
  | Ok _ -> Alcotest.fail "it started"
  | Result.Error e ->
      Alcotest.(check string) "in words"
        "child could not be set up or executed, stage chdir /nonexistent: No \
         such file or directory (program true)"
        (Error.to_string e));
  (match start_result ctx (command "true" [ "a\000b" ]) with
  | Ok _ -> Alcotest.fail "it started"
  | Result.Error e ->
      Alcotest.(check bool) "NUL" true (e.code = Invalid);
      Alcotest.(check (option string)) "argument" (Some "argv") e.argument);
  match start ctx (command "/nonexistent/program" []) with
  | _ -> Alcotest.fail "it started"
  | exception Error { stage = Exec; _ } -> ()

let waiting () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let c = start ctx (held r [ "exit"; "3" ]) in
  Alcotest.(check bool) "alive" true (Child.poll c = None);
  fails_with "in time" Timed_out (fun () -> Child.wait ~timeout:0.01 c);
  Alcotest.(check int) "counted" 1 (count ctx);
  (match find ctx (Child.pid c) with
  | Some found -> Alcotest.(check int) "found" (Child.id c) (Child.id found)
  | None -> Alcotest.fail "not found");
  Unix.close w;
  check_status "ended" "exit 3" (Child.wait c);
  check_status "again" "exit 3" (Child.wait c);
  Alcotest.(check bool) "polled" true (Child.poll c <> None);
  fails_with "dead" Not_found (fun () -> Child.kill c Sys.sigterm)

let killing () =
  with_context @@ fun ctx ->
  let c = start ctx (verbs [ "pause" ]) in
  Child.kill c Sys.sigusr1;
  check_status "killed"
    (Printf.sprintf "signal %d" Sys.sigusr1)
    (Child.wait c);
  let c = start ctx (verbs [ "pause" ]) in
  fails_with "scope" Invalid (fun () ->
      Child.kill ~scope:Process_group c Sys.sigterm);
  Child.terminate c;
  check_status "terminated"
    (Printf.sprintf "signal %d" Sys.sigterm)
    (Child.wait c)

let detaching () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let c = start ctx (held r []) in
  Child.detach c;
  fails_with "forgotten" Not_found (fun () -> Child.wait c);
  Unix.close w;
  while count ctx > 0 do
    ignore (wait_many ~timeout:0.05 ctx)
  done

let batches () =
  with_context @@ fun ctx ->
  set_starters ctx 2;
  let n = 40 in
  let batch =
    List.init n (fun i ->
        if i = 7 then (command "/nonexistent" [], Hold)
        else (exit_with i, if i mod 2 = 0 then Hold else Event i))
  in
  let results = start_many ctx batch in
  Alcotest.(check int) "one a command" n (List.length results);
  List.iteri
    (fun i result ->
      match result with
      | Ok c when i mod 2 = 0 ->
          check_status "held" (Printf.sprintf "exit %d" i) (Child.wait c)
      | Ok _ when i <> 7 -> ()
      | Result.Error { stage = Exec; _ } when i = 7 -> ()
      | _ -> Alcotest.failf "entry %d" i)
    results;
  for _ = 1 to (n / 2) - 1 do
    match wait ctx with
    | Exited { tag; ended } ->
        check_status "event" (Printf.sprintf "exit %d" tag) ended
    | _ -> Alcotest.fail "another event"
  done

let adopting () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let pid =
    Pid.of_int
      (Unix.create_process child [| child; "hold"; "exit"; "9" |] r Unix.stdout
         Unix.stderr)
  in
  fails_with "another's start time" Not_found (fun () ->
      adopt ctx (By_start_time { pid; start_time = 1 }));
  let c =
    adopt ctx (By_start_time { pid; start_time = start_time pid })
  in
  Unix.close w;
  check_status "reaped as our own" "exit 9" (Child.wait c);
  let twin = start ctx (verbs [ "pause" ]) in
  match start_time_result (Child.pid twin) with
  | Ok ticks ->
      Alcotest.(check bool) "later than boot" true (ticks > 0);
      Child.kill twin Sys.sigkill;
      ignore (Child.wait twin);
      Alcotest.(check bool) "gone" true
        (Result.is_error (start_time_result (Child.pid twin)))
  | Result.Error e -> Alcotest.fail (Error.to_string e)

let on_close () =
  let pid =
    with_context @@ fun ctx ->
    (Child.pid
       (start ctx (command ~on_close:Kill ~search:false child [ "pause" ]))
      :> int)
  in
  Alcotest.(check bool) "gone" true
    (eventually (fun () ->
         not (Sys.file_exists (Printf.sprintf "/proc/%d/stat" pid))))

let pids () =
  List.iter
    (fun number ->
      match Pid.of_int number with
      | _ -> Alcotest.failf "%d is no process" number
      | exception Invalid_argument _ -> ())
    [ 1; 0; -1; min_int ];
  Alcotest.(check int) "the number" 2 (Pid.of_int 2 :> int)

let no_zombie pid =
  Alcotest.(check bool) "reaped" false
    (Sys.file_exists (Printf.sprintf "/proc/%d/stat" (pid : Pid.t :> int)))

exception Stop

let scoped () =
  with_context @@ fun ctx ->
  no_zombie (with_child ctx (verbs [ "pause" ]) Child.pid);
  let seen = ref None in
  (match
     with_child ctx (verbs [ "pause" ]) (fun c ->
         seen := Some (Child.pid c);
         raise Stop)
   with
  | () -> Alcotest.fail "it did not raise"
  | exception Stop -> Option.iter no_zombie !seen);
  with_child ctx (exit_with 3) (fun c ->
      check_status "waited for inside" "exit 3" (Child.wait c));
  Alcotest.(check int) "none is left" 0 (count ctx)

(* Who is left holds the pipe. *)
let left_behind () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let leaves =
    (* by that scope its number is kept where a pidfd does not name its group *)
    command ~search:false ~session:New_group
      ~kill:(kill_policy ~scope:Process_group ())
      ~fds:(Fd_map.of_list [ (1, Fd w) ])
      child
      [ "grandchild-pause"; "exit"; "3" ]
  in
  let kill_group c = Child.kill ~scope:Process_group c Sys.sigkill in
  let c = start ctx leaves in
  check_status "ended" "exit 3" (Child.wait ~keep:true c);
  fails_with "itself" Not_found (fun () -> Child.kill c Sys.sigkill);
  kill_group c;
  let last = start ctx leaves in
  Unix.close w;
  Child.detach c;
  fails_with "let go" Not_found (fun () -> kill_group c);
  check_status "known still" "exit 3" (Child.wait c);
  check_status "ended" "exit 3" (Child.wait last ~keep:true);
  kill_group last;
  Alcotest.(check int) "all are gone" 0 (Unix.read r (Bytes.create 1) 0 1);
  let alone = command ~search:false ~session:New_group child [ "exit"; "4" ] in
  let c = start ctx alone in
  check_status "alone" "exit 4" (Child.wait c);
  fails_with "not kept" Not_found (fun () -> kill_group c)

let fd_maps () =
  let swap = Fd_map.of_list [ (3, Fd Unix.stdin); (4, Null) ] in
  (match Fd_map.add 3 Null swap with
  | _ -> Alcotest.fail "a repeated target"
  | exception Invalid_argument _ -> ());
  match Fd_map.add (-1) Null swap with
  | _ -> Alcotest.fail "a negative target"
  | exception Invalid_argument _ -> ()

let cases =
  [
    case "B4 statuses are Unix.process_status" statuses;
    case "B4 signal numbers go both ways" signals_both_ways;
    case "B5 C15 a failed start is a typed error" start_failures;
    case "C5 waiting, polling, timing out" waiting;
    case "C13 killing and terminating" killing;
    case "X2 detaching" detaching;
    case "C5 batches keep order and failures" batches;
    case "X2 closing kills where asked" on_close;
    case "a pid names one process" pids;
    case "C13 a child no longer than its function" scoped;
    case "C27 who is left of a group is reached after the end" left_behind;
    case "descriptor maps cannot repeat a target" fd_maps;
  ]
  @ not_under_valgrind ~why:"it knows no pidfds"
      [ case "C6 adopting by start time" adopting ]
