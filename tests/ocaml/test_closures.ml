(* test_closures.ml - closures as hooks: ownership, locks, exceptions, closing *)

open Xlchild
open Support

exception Boom of int

let drain ctx =
  while count ctx > 0 do
    ignore (wait_many ~timeout:0.05 ctx)
  done

(* ---- B1: ownership ---- *)

(* A closure that answers, and a counter of how often it was collected. *)
let tracked released answer =
  let token = ref 0 in
  Gc.finalise (fun _ -> incr released) token;
  fun _ _ ->
    incr token;
    answer

let owned_while_registered () =
  let released = ref 0 in
  let ctx = create ~owner:Libxl () in
  let register () =
    set_mode ~childproc_exited:(tracked released Recognised) ctx Libxl
  in
  register ();
  Gc.full_major ();
  Alcotest.(check int) "kept" 0 !released;
  register ();
  Gc.full_major ();
  Alcotest.(check int) "replaced: released" 1 !released;
  close ctx;
  Gc.full_major ();
  Gc.full_major ();
  Alcotest.(check int) "closed: released, each once" 2 !released

let reports_are_released () =
  let released = ref 0 and calls = ref 0 in
  with_context @@ fun ctx ->
  for _ = 1 to 20 do
    let token = ref 0 in
    Gc.finalise (fun _ -> incr released) token;
    ignore
      (start ctx (exit_with 0)
         ~report:
           (Callback
              (fun _ ->
                incr token;
                incr calls)))
  done;
  Gc.compact ();
  drain ctx;
  Gc.full_major ();
  Gc.full_major ();
  Alcotest.(check int) "called" 20 !calls;
  Alcotest.(check int) "released" 20 !released

let cycles_are_collected () =
  let before = leaked () in
  let make i =
    let self = ref None in
    let ctx =
      create ~owner:Libxl ~log:(fun _ _ _ -> ignore (Sys.opaque_identity !self))
        ()
    in
    self := Some ctx;
    set_mode
      ~childproc_exited:(fun _ _ ->
        ignore (Sys.opaque_identity (!self, i));
        Recognised)
      ctx Libxl;
    on_events ~occurred:(fun _ -> ignore (Sys.opaque_identity !self)) ctx
  in
  (* the warning of each goes to stderr: not into the test's output *)
  let saved = Unix.dup ~cloexec:true Unix.stderr in
  let null = Unix.openfile "/dev/null" [ Unix.O_WRONLY; Unix.O_CLOEXEC ] 0 in
  Unix.dup2 ~cloexec:false null Unix.stderr;
  Unix.close null;
  Fun.protect
    ~finally:(fun () ->
      Unix.dup2 ~cloexec:false saved Unix.stderr;
      Unix.close saved)
    (fun () ->
      for i = 1 to 50 do
        make i
      done;
      Gc.full_major ();
      Gc.full_major ());
  Alcotest.(check int) "all fifty" 50 (leaked () - before)

(* ---- B2: the runtime lock ---- *)

(* The child of the start is stopped before it executes its program: the start
   goes on when another thread of ours lets the child go on. *)
let lock_released_around_start () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  set_mode
    ~fork_replacement:(fun () ->
      match fork () with
      | 0 -> 0
      | pid ->
          if pid > 1 then Unix.kill pid Sys.sigstop;
          let text = string_of_int pid in
          ignore (Unix.write_substring w text 0 (String.length text));
          pid)
    ctx Nobody;
  let t =
    Thread.create
      (fun () ->
        let text = Bytes.create 20 in
        let n = Unix.read r text 0 20 in
        let pid = int_of_string (Bytes.sub_string text 0 n) in
        if pid > 1 then Unix.kill pid Sys.sigcont)
      ()
  in
  let c = start ctx (exit_with 6) in
  Thread.join t;
  check_status "ended" "exit 6" (Child.wait c)

let lock_released_around_wait () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let c = start ctx (held r [ "exit"; "5" ]) in
  let t = Thread.create (fun () -> Unix.close w) () in
  check_status "ended" "exit 5" (Child.wait c);
  Thread.join t

let lock_taken_on_foreign_threads () =
  let messages = ref 0 in
  with_context ~min_level:Debug ~log:(fun _ _ _ -> incr messages)
  @@ fun ctx ->
  set_starters ctx 2;
  let started =
    start_many ctx (List.init 30 (fun _ -> (exit_with 0, Hold)))
  in
  List.iter
    (function
      | Ok c -> check_status "ended" "exit 0" (Child.wait c)
      | Result.Error e -> Alcotest.fail (Error.to_string e))
    started

(* ---- B3: exceptions ---- *)

let raised_from_the_pump () =
  with_context @@ fun ctx ->
  ignore
    (start ctx (exit_with 0) ~report:(Callback (fun _ -> raise (Boom 1))));
  (match wait ctx with
  | _ -> Alcotest.fail "no exception"
  | exception Boom 1 -> ());
  check_status "the context is usable" "exit 3"
    (Child.wait (start ctx (exit_with 3)))

let no_event_is_lost () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let raising = ref 0 in
  for i = 1 to 10 do
    ignore (start ~report:(Event i) ctx (held r []));
    ignore
      (start ctx (held r [])
         ~report:
           (Callback
              (fun _ ->
                incr raising;
                raise (Boom i))))
  done;
  Unix.close w;
  let events = ref [] and exceptions = ref [] in
  while List.length !events + List.length !exceptions < 20 do
    match wait_many ~timeout:10. ctx with
    | [] -> Alcotest.fail "nothing comes"
    | l -> events := l @ !events
    | exception Boom i -> exceptions := i :: !exceptions
  done;
  let all = List.init 10 (fun i -> i + 1) in
  Alcotest.(check (list int)) "every exception" all
    (List.sort compare !exceptions);
  Alcotest.(check (list int)) "every event" all
    (List.sort compare (List.map Test_events.tag_of !events))

let held_result_is_kept () =
  with_context @@ fun ctx ->
  with_pipe @@ fun r w ->
  let c = start ctx (held r [ "exit"; "4" ]) in
  let d =
    start ctx (held r []) ~report:(Callback (fun _ -> raise (Boom 2)))
  in
  ignore d;
  Unix.close w;
  let boom = ref 0 in
  let rec ended () =
    match Child.wait c with
    | ended -> ended
    | exception Boom 2 ->
        incr boom;
        ended ()
  in
  check_status "status" "exit 4" (ended ());
  while !boom = 0 do
    match wait_many ~timeout:0.05 ctx with
    | _ -> ()
    | exception Boom 2 -> incr boom
  done;
  Alcotest.(check int) "raised once" 1 !boom

let log_that_raises () =
  with_context ~owner:Libxl ~log:(fun _ _ _ -> raise (Boom 3)) @@ fun ctx ->
  let pid = Unix.create_process child [| child; "exit"; "1" |] Unix.stdin
      Unix.stdout Unix.stderr in
  ignore pid;
  (* a stranger's end is reaped and logged while ours lives *)
  with_pipe @@ fun r w ->
  let c = start ctx (held r []) in
  (match wait_many ~timeout:10. ctx with
  | _ -> Alcotest.fail "the warning did not come"
  | exception Boom 3 -> ());
  Unix.close w;
  check_status "ended" "exit 0" (Child.wait c)

let nested () =
  with_context @@ fun outer ->
  with_context @@ fun inner ->
  let c = start inner (exit_with 0) ~report:(Callback (fun _ -> raise (Boom 4))) in
  ignore c;
  let caught = ref false in
  ignore
    (start outer (exit_with 0)
       ~report:
         (Callback
            (fun _ ->
              try ignore (wait inner) with Boom 4 -> caught := true)));
  drain outer;
  Alcotest.(check bool) "raised inside" true !caught

let stream_that_raises () =
  with_context @@ fun ctx ->
  (match
     run ctx
       (verbs [ "say"; "hello"; "pause" ])
       ~stdout:(`Stream (fun _ -> raise (Boom 5)))
   with
  | _ -> Alcotest.fail "no exception"
  | exception Boom 5 -> ());
  Alcotest.(check int) "killed and reaped" 0 (count ctx)

let fork_that_raises () =
  with_context @@ fun ctx ->
  set_mode ~fork_replacement:(fun () -> raise (Boom 6)) ctx Nobody;
  (match start_result ctx (exit_with 0) with
  | Ok _ -> Alcotest.fail "it started"
  | Result.Error e -> Alcotest.(check bool) "stage" true (e.stage = Fork));
  (match wait_many ~timeout:0. ctx with
  | _ -> Alcotest.fail "no exception"
  | exception Boom 6 -> ());
  set_mode
    ~fork_replacement:(fun () ->
      raise (Unix.Unix_error (Unix.EAGAIN, "fork", "")))
    ctx Nobody;
  match start_result ctx (exit_with 0) with
  | Ok _ -> Alcotest.fail "it started"
  | Result.Error e ->
      Alcotest.(check bool) "errno" true (e.errno = Some Unix.EAGAIN)

let fork_that_raises_in_the_child () =
  with_context @@ fun ctx ->
  set_mode
    ~fork_replacement:(fun () ->
      match fork () with 0 -> raise (Boom 7) | pid -> pid)
    ctx Nobody;
  (match start_result ctx (exit_with 0) with
  | Ok _ -> Alcotest.fail "it started"
  | Result.Error e -> Alcotest.(check bool) "stage" true (e.stage = Gate));
  set_mode ctx Nobody;
  check_status "this is the parent, once" "exit 1"
    (Child.wait (start ctx (exit_with 1)))

(* ---- B6: closing ---- *)

let closed () =
  let ctx = create () in
  let c = start ctx (exit_with 0) in
  ignore (Child.wait c);
  close ctx;
  fails_with "double close" Closed (fun () -> close ctx);
  fails_with "start" Closed (fun () -> start ctx (exit_with 0));
  fails_with "check" Closed (fun () -> check ctx);
  fails_with "fileno" Closed (fun () -> fileno ctx);
  fails_with "run" Closed (fun () -> run ctx (exit_with 0));
  fails_with "kill" Closed (fun () -> Child.kill c Sys.sigterm);
  fails_with "mode" Closed (fun () -> set_mode ctx Nobody);
  fails_with "diagnose" Closed (fun () -> diagnose ctx);
  fails_with "count" Closed (fun () -> count ctx);
  check_status "what is known stays" "exit 0" (Child.wait c)

let closing_in_a_callback () =
  with_context @@ fun ctx ->
  let answer = ref None in
  ignore
    (start ctx (exit_with 0)
       ~report:(Callback (fun _ -> answer := Some (close_result ctx))));
  drain ctx;
  match !answer with
  | Some (Result.Error { code = Busy; _ }) -> ()
  | _ -> Alcotest.fail "it was not refused"

let closing_under_a_thread () =
  with_context @@ fun ctx ->
  with_pipe @@ fun go_r go_w ->
  with_pipe @@ fun inside_r inside_w ->
  ignore
    (start ctx (exit_with 0)
       ~report:
         (Callback
            (fun _ ->
              ignore (Unix.write_substring inside_w "x" 0 1);
              ignore (Unix.read go_r (Bytes.create 1) 0 1))));
  let t = Thread.create drain ctx in
  ignore (Unix.read inside_r (Bytes.create 1) 0 1);
  fails_with "in use" Busy (fun () -> close ctx);
  Unix.close go_w;
  Thread.join t

let finaliser_is_silent () =
  let called = ref false in
  let saved = Unix.dup ~cloexec:true Unix.stderr in
  let r, warning = Unix.pipe ~cloexec:true () in
  Unix.dup2 ~cloexec:false warning Unix.stderr;
  Unix.close warning;
  let leave () =
    let ctx = create ~log:(fun _ _ _ -> called := true) ~min_level:Debug () in
    on_events ~occurred:(fun _ -> called := true) ctx;
    ignore
      (start ctx
         (command ~search:false ~on_close:Kill child [ "pause" ])
         ~report:(Callback (fun _ -> called := true)))
  in
  leave ();
  called := false;
  Gc.full_major ();
  Gc.full_major ();
  Unix.dup2 ~cloexec:false saved Unix.stderr;
  Unix.close saved;
  let text = Bytes.create 200 in
  let n = Unix.read r text 0 200 in
  Unix.close r;
  Alcotest.(check bool) "no closure was called" false !called;
  Alcotest.(check string) "it warned"
    "xlchild: a context was never closed (Xlchild.close)\n"
    (Bytes.sub_string text 0 n)

(* A finaliser that lets a dropped handle's child go is no call of anybody's: on
   another thread it comes whenever it likes. *)
let closing_beside_the_collector () =
  for _ = 1 to 40 do
    let ctx = create () in
    for _ = 1 to 4 do
      (* whose finaliser asks the library: there was no answer *)
      Child.detach (start ctx (command ~search:false tiny []))
    done;
    let collector = Thread.create Gc.full_major () in
    Thread.yield ();
    close ctx;
    Thread.join collector
  done

let cases =
  [
    case "B1 hooks are owned while registered" owned_while_registered;
    case "B1 report closures are released" reports_are_released;
    case "B1 cycles through closures are collected" cycles_are_collected;
    case "B2 no lock held around start, C10" lock_released_around_start;
    case "B2 no lock held around wait" lock_released_around_wait;
    case "B2 foreign threads" lock_taken_on_foreign_threads;
    case "B3 raised from the pumping call" raised_from_the_pump;
    case "B3 no event is lost by an exception" no_event_is_lost;
    case "B3 no held result is lost by one" held_result_is_kept;
    case "B3 nested pumping" nested;
    case "B3 a stream closure that raises" stream_that_raises;
    case "B3 C10 a fork replacement that raises" fork_that_raises;
    case "B3 C10 and one that raises in the child" fork_that_raises_in_the_child;
    case "B6 use after close, double close" closed;
    case "B6 closing from inside a callback" closing_in_a_callback;
    case "B6 closing while a thread waits" closing_under_a_thread;
    case "B6 closing while the collector works" closing_beside_the_collector;
    case "B6 the finaliser warns and calls nobody" finaliser_is_silent;
  ]
  @ not_under_valgrind ~why:"without pidfds there is a warning more"
      [ case "B3 a log closure that raises, C1" log_that_raises ]
