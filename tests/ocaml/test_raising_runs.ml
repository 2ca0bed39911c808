(* test_raising_runs.ml - handlers that raise in runs, loops and closing

   As test_raising.ml, for the rest of what waits or starts: runs in each of their
   ways, runs that nobody waits for, starts with each kind of report, a foreign
   loop's turn, and the end of a context. *)

open Xlchild
open Support
open Test_raising

let check_string = Alcotest.(check string)
let pause = verbs [ "pause" ]
let value = function Ok x -> x | Error e -> raise (Error e)

(* What is raised in a call of the library's own comes out of the next one. *)
let look ctx = try ignore (check ctx) with Raised -> ()

(* Whoever has been told to end is told of by the next call that pumps. *)
let none_is_left ctx () =
  ignore (eventually (fun () -> look ctx; count ctx = 0));
  none_left ctx ()

let runs () =
  with_context @@ fun ctx ->
  let c = command ~search:false child [ "say"; "hello"; "exit"; "2" ] in
  let said expected answer =
    Option.iter
      (fun (o : outcome) ->
        check_string "output" expected (String.trim o.out.data);
        check_bool "status" true (is_exit 2 o.child))
      answer;
    none_left ctx ()
  in
  let go after f = sweep ~step:2 ~before:ignore ~after:(fun () -> after) f in
  go (said "hello") (fun () -> value (run_result ctx ~stdout:`Capture c));
  go (said "hello") (fun () -> run ctx ~stdout:`Capture ~started:ignore c);
  go (said "hello") (fun () ->
      run ctx ~stdout:`Capture ~stderr:`Merge ~until_eof:true ~timeout:100. c);
  go
    (fun answer ->
      Option.iter
        (fun (o : outcome) -> check_string "all of it" "text" o.out.data)
        answer;
      none_left ctx ())
    (fun () ->
      run ctx ~stdin:(`String "text") ~stdout:`Capture (command "cat" []));
  go
    (fun answer ->
      Option.iter (fun o -> check_bool "its time" true (o.ending = Timeout)) answer;
      none_left ctx ())
    (fun () ->
      run ctx ~timeout:0.002
        (command ~search:false ~kill:(kill_at_once Process) child [ "pause" ]))
  [@@ocamlformat "disable"]

(* B11: handed over, or ended. *)
let runs_that_go_on () =
  with_context @@ fun ctx ->
  let ended = ref 0 in
  let go command f =
    sweep
      ~before:(fun () -> ended := 0)
      ~after:(fun () answer ->
        Option.iter
          (fun operation ->
            ignore (abort_result operation);
            check_bool "told" true
              (eventually (fun () -> look ctx; !ended > 0)))
          answer;
        none_is_left ctx ();
        check_bool "once at most" true (!ended <= 1))
      (fun () -> f command (fun (_ : outcome) -> incr ended))
  in
  go pause (run_async ctx);
  go (nowait pause) (run_async ctx);
  go pause (fun c f -> value (run_async_result ctx ~stdout:`Capture c f));
  go pause (run_async ctx ~started:ignore ~stdout:(`Stream ignore));
  go pause (run_async ctx ~family:Always);
  go (exit_with 0) (run_async ctx ~family:On_failure)
  [@@ocamlformat "disable"]

(* Nobody has the handle of one that was interrupted: no event, no call. *)
let with_each_report () =
  with_context @@ fun ctx ->
  let told = ref 0 in
  let go ?(command = pause) report =
    sweep
      ~before:(fun () -> told := 0)
      ~after:(fun () answer ->
        Option.iter (fun child -> Child.kill child Sys.sigkill) answer;
        let expected =
          if answer = None || report = Silent then 0 else 1
        in
        let events = ref 0 in
        check_bool "its end" true
          (eventually (fun () ->
               (match check ctx with Some _ -> incr events | None -> ());
               count ctx = 0 && !events + !told >= expected));
        Alcotest.(check int) "told" expected (!events + !told);
        none_left ctx ())
      (fun () -> start ctx command ~report)
  in
  go Silent;
  go (Event 7);
  sweep
    ~before:(fun () -> told := 0)
    ~after:(fun () answer ->
      Option.iter
        (fun child ->
          Child.kill child Sys.sigkill;
          check_bool "told" true
            (eventually (fun () -> look ctx; !told > 0)))
        answer;
      none_is_left ctx ();
      Alcotest.(check int) "told" (if answer = None then 0 else 1) !told)
    (fun () -> start ctx pause ~report:(Callback (fun _ -> incr told)));
  go ~command:(nowait pause) Silent
  [@@ocamlformat "disable"]

(* Kept for the sake of its group, however often asking was raised out of. *)
let kept_leaders () =
  with_context @@ fun ctx ->
  let leaves =
    command ~search:false ~session:New_group
      ~kill:(kill_policy ~scope:Process_group ())
      child
      [ "grandchild-pause"; "last"; "exit"; "3" ]
  in
  let out = ref Unix.stdin in
  let before () =
    let r, w = Unix.pipe ~cloexec:true () in
    out := r;
    let c = start ctx (with_fds [ (1, Fd w) ] leaves) in
    Unix.close w;
    c
  in
  let after c _ =
    check_bool "its status" true (is_exit 3 (Child.wait ~keep:true c));
    Child.kill ~scope:Process_group c Sys.sigkill;
    Child.detach c;
    let buffer = Bytes.create 100 in
    while Unix.read !out buffer 0 100 > 0 do () done;
    Unix.close !out
  in
  sweep ~before ~after (fun c -> ignore (Child.wait ~keep:true c));
  none_left ctx ()
  [@@ocamlformat "disable"]

let more_events () =
  with_context @@ fun ctx ->
  let before () = ignore (start ctx (exit_with 5) ~report:(Event 3)) in
  let after () answer =
    let event = match answer with Some e -> e | None -> wait ctx in
    (match event with
    | Exited { tag = 3; ended } -> check_bool "its" true (is_exit 5 ended)
    | _ -> Alcotest.fail "another event");
    check_bool "once" true (check ctx = None)
  in
  sweep ~before ~after (fun () -> List.hd (value (wait_many_result ctx)));
  sweep ~before ~after (fun () ->
      let rec until () =
        match value (check_result ctx) with Some e -> e | None -> until ()
      in
      until ())

(* A loop's turn that was raised out of is made up for by the next one. *)
let a_loops_turn () =
  with_context @@ fun ctx ->
  let told = ref 0 in
  let turn () =
    let entries, _ = before_poll ~timeout:0.01 ctx in
    let ready = poll ~timeout:0.01 (List.map (fun e -> e.fd) entries) in
    after_poll ctx
      (List.map
         (fun e ->
           ( e,
             if List.mem e.fd ready then e.interest
             else { readable = false; writable = false } ))
         entries)
  in
  sweep
    ~before:(fun () ->
      told := 0;
      ignore
        (start ctx (exit_with 5)
           ~report:(Callback (fun _ -> incr told))))
    ~after:(fun () _ ->
      check_bool "told" true (eventually (fun () -> turn (); !told > 0));
      Alcotest.(check int) "once" 1 !told;
      none_left ctx ())
    (fun () -> while !told = 0 do turn () done)
  [@@ocamlformat "disable"]

(* Whatever came of it: it can be closed, and what was to be killed is gone. *)
let closing () =
  let fds = open_fds () in
  let all_gone what =
    Gc.full_major ();
    if not (eventually (fun () -> no_children () && open_fds () = fds)) then
      Alcotest.failf "%s, point %d: children %s, descriptors %s" what !point
        (children ()) (open_fds ())
  in
  let command = command ~search:false ~on_close:Kill child [ "pause" ] in
  let before () =
    let ctx = create () in
    ignore (start ctx command);
    ignore (run_async ctx ~stdout:`Capture command ignore);
    ctx
  in
  sweep ~before
    ~after:(fun ctx _ ->
      (match close ctx with () -> () | exception Error { code = Closed; _ } -> ());
      all_gone "close")
    close;
  sweep ~before
    ~after:(fun ctx _ ->
      (match close ctx with () -> () | exception Error { code = Closed; _ } -> ());
      all_gone "close_result")
    (fun ctx -> value (close_result ctx));
  sweep ~before:ignore
    ~after:(fun () answer -> Option.iter close answer; all_gone "create")
    (fun () -> create ());
  sweep ~before:ignore
    ~after:(fun () answer -> Option.iter close answer; all_gone "create_result")
    (fun () -> value (create_result ()))
  [@@ocamlformat "disable"]

let cases =
  not_under_valgrind ~why:points
    [
      case "B10 runs in each of their ways, at every point" runs;
      case "B10 B11 runs that nobody waits for, at every point" runs_that_go_on;
      case "B11 starts with each report, at every point" with_each_report;
      case "B10 C27 kept leaders, at every point" kept_leaders;
      case "B10 events by result, at every point" more_events;
      case "B10 a loop's turn, at every point" a_loops_turn;
      case "B10 X2 closing, at every point" closing;
    ]
