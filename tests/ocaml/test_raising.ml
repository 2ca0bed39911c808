(* test_raising.ml - one answer, however many ask, and whatever is raised where

   sweeping.ml raises at every point; here is what is called, and what has to be
   there afterwards. *)

open Xlchild
open Support
include Sweeping

let none_left ctx () =
  if not (eventually (fun () -> count ctx = 0 && String.trim (children ()) = ""))
  then
    Alcotest.failf "left at point %d: %d in the context, children %s" !point
      (count ctx) (children ())

let is_exit n (e : ended) = Status.equal e.status (Status (WEXITED n))

let starting () =
  with_context @@ fun ctx ->
  let after () = function
    | Some child -> check_bool "status" true (is_exit 3 (Child.wait child))
    | None -> none_left ctx ()
  in
  let c = exit_with 3 in
  sweep ~before:ignore ~after (fun () -> start ctx c);
  sweep ~before:ignore ~after (fun () ->
      match start_result ctx c with Ok c -> c | Error e -> raise (Error e));
  (* one that would live for ever *)
  let pause = verbs [ "pause" ] in
  sweep ~before:ignore
    ~after:(fun () answer ->
      (match answer with
      | None -> ()
      | Some child ->
          Child.kill child Sys.sigkill;
          ignore (Child.wait child));
      none_left ctx ())
    (fun () -> start ctx pause)

let starting_many () =
  with_context @@ fun ctx ->
  let batch = List.init 4 (fun i -> (exit_with i, Hold)) in
  sweep ~before:ignore
    ~after:(fun () answer ->
      (match answer with
      | None -> ()
      | Some results ->
          List.iteri
            (fun i -> function
              | Ok c -> check_bool "status" true (is_exit i (Child.wait c))
              | Error e -> Alcotest.fail (Error.to_string e))
            results);
      none_left ctx ())
    (fun () -> start_many ctx batch)

(* However often it was raised out of, the answer is there. *)
let waiting () =
  with_context @@ fun ctx ->
  let before () = start ctx (exit_with 9) in
  let after child = function
    | Some ended -> check_bool "at once" true (is_exit 9 ended)
    | None ->
        check_bool "later" true (is_exit 9 (Child.wait child));
        check_bool "again" true
          (match Child.poll child with Some e -> is_exit 9 e | None -> false)
  in
  sweep ~before ~after (fun child -> Child.wait child);
  sweep ~before ~after (fun child -> Child.wait ~timeout:60. child);
  sweep ~before ~after (fun child ->
      match Child.wait_result child with
      | Ok ended -> ended
      | Error e -> raise (Error e));
  sweep ~before ~after (fun child ->
      let rec until () =
        match Child.poll child with Some ended -> ended | None -> until ()
      in
      until ())

(* Each event once, also by a call that was raised out of. *)
let events () =
  with_context @@ fun ctx ->
  let tags = ref 0 in
  let before () =
    incr tags;
    ignore (start ctx (exit_with 5) ~report:(Event !tags));
    !tags
  in
  let is_it tag = function
    | Exited e -> e.tag = tag && is_exit 5 e.ended
    | _ -> false
  in
  let after tag answer =
    let event =
      match answer with Some event -> event | None -> wait ctx
    in
    check_bool "its event" true (is_it tag event);
    check_bool "once" true (check ctx = None)
  in
  let first = function e :: _ -> e | [] -> Alcotest.fail "no event" in
  sweep ~before ~after (fun _ -> wait ctx);
  sweep ~before ~after (fun _ ->
      match wait_result ctx with Ok e -> e | Error e -> raise (Error e));
  sweep ~before ~after (fun tag -> wait ctx ~filter:(is_it tag));
  sweep ~before ~after (fun _ -> wait ctx ~kinds:[ Exit_event ]);
  sweep ~before ~after (fun _ -> first (wait_many ctx));
  sweep ~before ~after (fun _ -> first (wait_many ctx ~timeout:60. ~max:3));
  sweep ~before ~after (fun _ ->
      let rec until () =
        match check ctx with Some e -> e | None -> until ()
      in
      until ())

let running () =
  with_context @@ fun ctx ->
  let c = command ~search:false child [ "say"; "hello"; "exit"; "2" ] in
  let after () answer =
    (match answer with
    | None -> ()
    | Some o ->
        Alcotest.(check string) "output" "hello" (String.trim o.out.data);
        check_bool "status" true (is_exit 2 o.child));
    none_left ctx ()
  in
  sweep ~before:ignore ~after (fun () -> run ctx ~stdout:`Capture c);
  sweep ~before:ignore ~after (fun () ->
      let out = Buffer.create 10 in
      let o = run ctx ~stdout:(`Stream (Buffer.add_string out)) c in
      { o with out = { o.out with data = Buffer.contents out } })

let with_children () =
  with_context @@ fun ctx ->
  let live = verbs [ "pause" ] and dead = exit_with 0 in
  List.iter
    (fun command ->
      List.iter
        (fun f ->
          sweep ~before:ignore
            ~after:(fun () _ -> none_left ctx ())
            (fun () -> try with_child ctx command f with Exit -> ()))
        [
          ignore;
          (fun _ -> raise Exit);
          (fun c -> ignore (Child.poll c));
          (fun c ->
            ignore (Child.kill_result c Sys.sigkill);
            ignore (Child.wait c));
        ])
    [ live; dead ]
  [@@ocamlformat "disable"]

let contexts () =
  let before () = (leaked (), open_fds ()) in
  let after (leaks, fds) _ =
    Gc.full_major ();
    Alcotest.(check int) "none is left to the collector" leaks (leaked ());
    (* one that is abandoned is reaped in the background *)
    if not (eventually (fun () -> open_fds () = fds)) then
      Alcotest.(check string) "descriptors" fds (open_fds ())
  in
  sweep ~before ~after (fun _ -> with_context ignore);
  sweep ~before ~after (fun _ ->
      try with_context (fun _ -> raise Exit) with Exit -> ());
  sweep ~before ~after (fun _ ->
      with_context (fun ctx -> with_child ctx (exit_with 0) ignore))

let adopting () =
  with_context @@ fun ctx ->
  let before () =
    let said, _ =
      output_of "sh" [ "-c"; "sleep 1000 > /dev/null 2>&1 & echo $!" ]
    in
    let pid = Pid.of_int (int_of_string (String.trim said)) in
    (pid, By_start_time { pid; start_time = start_time pid })
  in
  let after (pid, identity) answer =
    let c =
      match answer with
      | Some c -> c
      | None -> (
          Gc.full_major ();
          match find ctx pid with Some c -> c | None -> adopt ctx identity)
    in
    check_bool "it lives, and is watched" true (Child.poll c = None);
    Child.kill c Sys.sigkill;
    ignore (Child.wait c)
  in
  sweep ~before ~after (fun (_, identity) -> adopt ctx identity)

(* ---- real handlers, in the middle of a wait ---- *)

let alarm ~after ~again =
  ignore
    (Unix.setitimer ITIMER_REAL { it_value = after; it_interval = again })

(* OCaml runs a handler in whichever thread comes by first: it raises in the one
   that calls [f], and comes again until it has. *)
let interrupted name ?(takes = 0.05) f =
  let here = Thread.id (Thread.self ()) in
  let handler _ =
    if Thread.id (Thread.self ()) = here then begin
      alarm ~after:0. ~again:0.;
      raise Raised
    end
  in
  let before = Sys.signal Sys.sigalrm (Signal_handle handler) in
  Fun.protect
    ~finally:(fun () ->
      alarm ~after:0. ~again:0.;
      Sys.set_signal Sys.sigalrm before)
    (fun () ->
      let from = now () in
      alarm ~after:takes ~again:0.02;
      (match f () with
      | () -> Alcotest.failf "%s was not interrupted" name
      | exception Raised -> ());
      check_bool (name ^ ": soon") true (now () -. from < 30.))

let handlers () =
  with_context @@ fun ctx ->
  let pause = verbs [ "pause" ] in
  let kept = start ctx pause in
  let plain f () = ignore (f ()) in
  interrupted "Child.wait" (plain (fun () -> Child.wait kept));
  interrupted "Child.wait, timed"
    (plain (fun () -> Child.wait ~timeout:100. kept));
  interrupted "wait" (plain (fun () -> wait ctx));
  interrupted "wait_many" (plain (fun () -> wait_many ctx));
  interrupted "run" (plain (fun () -> run ctx pause));
  interrupted "run, captured"
    (plain (fun () -> run ctx ~stdout:`Capture ~timeout:100. pause));
  interrupted "with_child" (fun () ->
      with_child ctx pause (fun c -> ignore (Child.wait c)));
  interrupted "forkhelpers, output"
    (plain (fun () ->
         Xlchild_forkhelpers.execute_command_get_output "/bin/sleep" [ "100" ]));
  let p =
    Xlchild_forkhelpers.safe_close_and_exec None None None [] "/bin/sleep"
      [ "100" ]
  in
  interrupted "forkhelpers, waitpid"
    (plain (fun () -> Xlchild_forkhelpers.waitpid p));
  Xlchild_forkhelpers.kill p Sys.sigkill;
  check_bool "its status" true
    (snd (Xlchild_forkhelpers.waitpid p) = WSIGNALED Sys.sigkill);
  Child.kill kept Sys.sigkill;
  check_status "its status" (Printf.sprintf "signal %d" Sys.sigkill)
    (Child.wait kept);
  none_left ctx ()

(* ---- one answer for all ---- *)

let askers = 6

let one_answer () =
  with_context @@ fun ctx ->
  for round = 1 to 20 do
    with_pipe @@ fun r w ->
    let child = start ctx (held r [ "exit"; "9" ]) in
    Unix.close r;
    let right = Atomic.make 0 in
    let ask i () =
      let rec poll () =
        match Child.poll child with
        | Some ended -> ended
        | None -> Thread.yield (); poll ()
      in
      let rec timed () =
        match Child.wait_result ~timeout:0.001 child with
        | Ok ended -> ended
        | Error { code = Timed_out; _ } -> timed ()
        | Error e -> raise (Error e)
      in
      let ended =
        match i mod 3 with 0 -> Child.wait child | 1 -> poll () | _ -> timed ()
      in
      if is_exit 9 ended then Atomic.incr right
    in
    let threads = List.init askers (fun i -> Thread.create (ask i) ()) in
    if round mod 2 = 0 then ignore (Unix.select [] [] [] 0.002);
    Unix.close w;
    List.iter Thread.join threads;
    Alcotest.(check int) "all are told" askers (Atomic.get right);
    check_bool "for ever" true (is_exit 9 (Child.wait child))
  done;
  none_left ctx ()

(* ---- a number that stays its own ---- *)

let state pid =
  match read_line_of (Printf.sprintf "/proc/%d/stat" pid) with
  | "" -> ' '
  | stat -> stat.[String.rindex stat ')' + 2]

let ended_but_there pid = eventually (fun () -> state pid = 'Z')

let held_numbers () =
  let open Xlchild_forkhelpers in
  let go ?syslog_stdout () =
    safe_close_and_exec None None None [] ?syslog_stdout "/bin/sh"
      [ "-c"; "exit 7" ]
  in
  let others () = ignore (execute_command_get_output "/bin/true" []) in
  List.iter
    (fun syslog_stdout ->
      let p = go ?syslog_stdout () in
      let pid = getpid p in
      check_bool "a zombie" true (ended_but_there pid);
      others ();
      check_bool "still" true (state pid = 'Z');
      if pid > 1 then Unix.kill pid Sys.sigkill;
      Xlchild_forkhelpers.kill p Sys.sigkill;
      check_bool "its status" true (waitpid p = (pid, WEXITED 7));
      check_bool "gone" true (state pid = ' '))
    [ None; Some (Syslog_WithKey "k") ];
  (* polled, it is told once and for ever *)
  let p = go () in
  check_bool "a zombie" true (ended_but_there (getpid p));
  check_bool "polled" true (waitpid_nohang p = (getpid p, WEXITED 7));
  check_bool "gone" true (state (getpid p) = ' ');
  (* let go, it is nobody's *)
  let p = go () in
  let pid = getpid p in
  check_bool "a zombie" true (ended_but_there pid);
  dontwaitpid p;
  check_bool "gone" true (eventually (fun () -> state pid = ' '));
  (* let go before it has ended, and nobody calls anything *)
  let p = safe_close_and_exec None None None [] "/bin/sleep" [ "0.05" ] in
  let pid = getpid p in
  dontwaitpid p;
  check_bool "gone" true (eventually (fun () -> state pid = ' '))

(* The handle is the collector's: nobody can ask any more. *)
let dropped_handles () =
  let[@inline never] drop n =
    List.init n (fun _ ->
        Xlchild_forkhelpers.(
          getpid
            (safe_close_and_exec None None None [] "/bin/true" [])))
  in
  let pids = drop 50 in
  check_bool "all have ended" true
    (eventually (fun () -> List.for_all (fun p -> state p <> 'R' && state p <> 'S') pids));
  Gc.full_major ();
  Gc.full_major ();
  check_bool "no zombie" true
    (eventually (fun () -> List.for_all (fun p -> state p <> 'Z') pids))

let points = "it samples no allocations"

let cases =
  not_under_valgrind ~why:points
    [
      case "B10 B11 starting, at every point" starting;
      case "B10 B11 starting many, at every point" starting_many;
      case "B10 waiting, at every point" waiting;
      case "B10 events, at every point" events;
      case "B10 running, at every point" running;
      case "B10 B11 with_child, at every point" with_children;
      case "B10 with_context, at every point" contexts;
      case "B10 adopting, at every point" adopting;
      Alcotest.test_case "B10 handlers that raise in a wait" `Quick handlers;
      case "B9 one answer for all" one_answer;
      Alcotest.test_case "C29 numbers that are held" `Quick held_numbers;
      Alcotest.test_case "C21 handles that are dropped" `Quick dropped_handles;
    ]
