(* test_events.ml - events, evenables, hooks, threads in wait *)

open Xlchild
open Support

let tag_of = function
  | Operation_complete { tag; _ }
  | Exited { tag; _ }
  | Started { tag; _ }
  | Stopped { tag; _ }
  | Continued { tag; _ } ->
      tag

let each_once () =
  with_context @@ fun ctx ->
  let n = 50 in
  let seen = Array.make n 0 in
  for i = 0 to n - 1 do
    ignore (start ~report:(Event i) ctx (exit_with i))
  done;
  let rec take left =
    if left > 0 then begin
      let events = wait_many ~max:7 ctx in
      Alcotest.(check bool) "at most max" true (List.length events <= 7);
      List.iter
        (function
          | Exited { tag; ended } ->
              seen.(tag) <- seen.(tag) + 1;
              check_status "status" (Printf.sprintf "exit %d" tag) ended
          | _ -> Alcotest.fail "another event")
        events;
      take (left - List.length events)
    end
  in
  take n;
  Alcotest.(check bool) "each once" true (Array.for_all (( = ) 1) seen);
  Alcotest.(check bool) "no more" true (check ctx = None);
  Alcotest.(check bool) "none in time" true (wait_many ~timeout:0.01 ctx = [])

let filters () =
  with_context @@ fun ctx ->
  for i = 1 to 3 do
    ignore (start ~report:(Event i) ctx (exit_with 0))
  done;
  let third = wait ~filter:(fun e -> tag_of e = 3) ctx in
  Alcotest.(check int) "filtered" 3 (tag_of third);
  Alcotest.(check bool) "kinds" true
    (check ~kinds:[ Operation_complete_event ] ctx = None);
  Alcotest.(check bool) "filter" true
    (check ~filter:(fun e -> tag_of e = 3) ctx = None);
  ignore (wait ~kinds:[ Exit_event ] ctx);
  ignore (wait ctx)

let two_threads () =
  with_context @@ fun ctx ->
  let stopped = ref None in
  let t =
    Thread.create
      (fun () -> stopped := Some (wait ~kinds:[ Stopped_event ] ctx))
      ()
  in
  let c =
    start ~report:(Event 1) ctx
      (command ~search:false ~flags:[ Report_stops ] child
         [ "stop"; "exit"; "4" ])
  in
  Thread.join t;
  (match !stopped with
  | Some (Stopped { pid; signal; _ }) ->
      Alcotest.(check int) "pid" (Child.pid c :> int) (pid :> int);
      Alcotest.(check int) "signal" Sys.sigstop signal
  | _ -> Alcotest.fail "no stop");
  Child.kill c Sys.sigcont;
  match wait ~kinds:[ Exit_event ] ctx with
  | Exited { ended; _ } -> check_status "ended" "exit 4" ended
  | _ -> Alcotest.fail "another event"

let by_hook () =
  with_context @@ fun ctx ->
  let seen = ref [] in
  on_events ~kinds:[ Exit_event ] ~occurred:(fun e -> seen := e :: !seen) ctx;
  ignore (start ~report:(Event 5) ctx (exit_with 1));
  while !seen = [] do
    Alcotest.(check bool) "not queued" true (wait_many ~timeout:0.05 ctx = [])
  done;
  Alcotest.(check int) "once" 1 (List.length !seen);
  on_events ctx;
  ignore (start ~report:(Event 6) ctx (exit_with 1));
  Alcotest.(check int) "queued again" 6 (tag_of (wait ctx))

let evenables () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let c = start ~report:(Event 1) ctx (held r []) in
  let one = evenable_exit ~pid:(Child.pid c) ~tag:2 ctx in
  let every = evenable_exit ~tag:3 ctx in
  fails_with "a stranger" Unknown_child (fun () ->
      evenable_exit ~pid:(Pid.of_int 999_999_999) ~tag:0 ctx);
  Unix.close w;
  let tags = List.sort compare (List.init 3 (fun _ -> tag_of (wait ctx))) in
  Alcotest.(check (list int)) "each fires" [ 1; 2; 3 ] tags;
  evdisable one;
  evdisable every;
  fails_with "twice" Not_found (fun () -> evdisable one);
  ignore (start ~report:(Event 7) ctx (exit_with 0));
  Alcotest.(check int) "its own" 7 (tag_of (wait ctx));
  Alcotest.(check bool) "no other" true (check ctx = None)

let one_fd () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let fd = fileno ctx in
  let readable within = readable ~within fd in
  ignore (start ~report:(Event 8) ctx (held r []));
  Alcotest.(check bool) "idle" false (readable 0.);
  Unix.close w;
  Alcotest.(check bool) "work" true (readable 10.);
  let rec pump () =
    match check ctx with
    | Some e -> e
    | None ->
        ignore (readable 10.);
        pump ()
  in
  Alcotest.(check int) "event" 8 (tag_of (pump ()));
  Alcotest.(check bool) "idle again" false (readable 0.)

let signals_run () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let c = start ctx (held r [ "exit"; "2" ]) in
  let seen = ref false in
  let old =
    Sys.signal Sys.sigusr1
      (Sys.Signal_handle
         (fun _ ->
           seen := true;
           Unix.close w))
  in
  let me = Unix.getpid () in
  Fun.protect
    ~finally:(fun () -> Sys.set_signal Sys.sigusr1 old)
    (fun () ->
      (* the handler alone lets the child end *)
      let t =
        Thread.create (fun () -> if me > 1 then Unix.kill me Sys.sigusr1) ()
      in
      check_status "ended" "exit 2" (Child.wait c);
      Thread.join t;
      Alcotest.(check bool) "handled" true !seen)

exception Interrupt

let signal_raises () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let c = start ctx (held r [ "exit"; "2" ]) in
  let old =
    Sys.signal Sys.sigusr2 (Sys.Signal_handle (fun _ -> raise Interrupt))
  in
  let me = Unix.getpid () in
  Fun.protect
    ~finally:(fun () -> Sys.set_signal Sys.sigusr2 old)
    (fun () ->
      match
        (* blocked by every thread but this one: the kernel picks it *)
        if me > 1 then
          ignore (start ~report:Silent ctx
                    (command "sh" [ "-c"; Printf.sprintf "kill -USR2 %d" me ]));
        Child.wait c
      with
      | _ -> Alcotest.fail "it did not raise"
      | exception Interrupt -> ());
  Unix.close w;
  check_status "the context is usable" "exit 2" (Child.wait c);
  while count ctx > 0 do
    ignore (wait_many ~timeout:0.05 ctx)
  done

let cases =
  [
    case "E1 each event once, in bounded batches" each_once;
    case "E1 kinds and filters" filters;
    case "E2 two threads, two masks" two_threads;
    case "E3 events by hook" by_hook;
    case "E6 evenables" evenables;
    case "O5 one descriptor" one_fd;
    case "B2 signal handlers run during a wait" signals_run;
    case "B3 a signal handler that raises ends the wait" signal_raises;
  ]
