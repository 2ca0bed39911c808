(* suite_lwt.ml - promises: beside Lwt_process, cancelled, before Lwt_main.run

   Run by run.sh. *)

open Lwt.Infix
open Xlchild

let child =
  Filename.concat (Sys.getenv "XLCHILD_ROOT") "build/tests/helpers/child"

let verbs ?kill ?session list = command ?kill ?session ~search:false child list
let exit_with code = verbs [ "exit"; string_of_int code ]

let status_text (ended : ended) =
  match ended.status with
  | Status (Unix.WEXITED n) -> Printf.sprintf "exit %d" n
  | Status (Unix.WSIGNALED n) -> Printf.sprintf "signal %d" n
  | Status (Unix.WSTOPPED n) -> Printf.sprintf "stopped %d" n
  | Lost reason -> "lost: " ^ lost_text reason

let check_status name expected ended =
  Alcotest.(check string) name expected (status_text ended)

let case name f =
  Alcotest.test_case name `Quick (fun () ->
      let ctx = Xlchild_lwt.create () in
      Lwt_main.run
        (Lwt.pick
           [
             f ctx;
             ( Lwt_unix.sleep 20. >>= fun () ->
               Lwt.fail_with "this takes too long" );
           ]);
      Alcotest.(check int) "no child is left" 0 (Xlchild_lwt.count ctx);
      Xlchild_lwt.close ctx)

let statuses ctx =
  Lwt_list.iteri_p
    (fun i () ->
      Xlchild_lwt.exec ctx (exit_with i) >|= fun ended ->
      check_status "exit" (Printf.sprintf "exit %d" i) ended)
    (List.init 100 (fun _ -> ()))

(* The context is older than the first Lwt_main.run of the program. *)
let early = Xlchild_lwt.create ()

let before_the_loop _ctx =
  Xlchild_lwt.exec early (exit_with 3) >|= fun ended ->
  check_status "exit" "exit 3" ended;
  Xlchild_lwt.close early

let beside_lwt_process ctx =
  Lwt_list.iteri_p
    (fun i () ->
      if i mod 2 = 0 then
        Xlchild_lwt.exec ctx (exit_with i) >|= fun ended ->
        check_status "ours" (Printf.sprintf "exit %d" i) ended
      else
        Lwt_process.exec (child, [| child; "exit"; string_of_int i |])
        >|= fun status ->
        Alcotest.(check bool) "Lwt's" true (status = Unix.WEXITED i))
    (List.init 200 (fun _ -> ()))

let captured ctx =
  Xlchild_lwt.capture ctx (verbs [ "cat"; "exit"; "4" ])
    ~stdin:(`String (String.make 300_000 'x'))
  >|= fun (out, outcome) ->
  Alcotest.(check int) "bytes" 300_000 (String.length out);
  check_status "exit" "exit 4" outcome.child

let streamed ctx =
  let chunks, outcome = Xlchild_lwt.stream ctx (verbs [ "out"; "200000" ]) in
  Lwt_stream.fold (fun s n -> n + String.length s) chunks 0 >>= fun bytes ->
  outcome >|= fun outcome ->
  Alcotest.(check int) "bytes" 200_000 bytes;
  check_status "exit" "exit 0" outcome.child

let timed_out ctx =
  Xlchild_lwt.run ctx (verbs [ "pause" ]) ~timeout:0.05 >|= fun outcome ->
  Alcotest.(check bool) "ending" true (outcome.ending = Timeout);
  check_status "signal"
    (Printf.sprintf "signal %d" Sys.sigterm)
    outcome.child

(* Cancelled, a promise stays pending until the child is reaped. *)
let cancelled ctx =
  let pending = Xlchild_lwt.exec ctx (verbs [ "pause" ]) in
  let running = Xlchild_lwt.run ctx (verbs [ "pause" ]) ~stdout:`Capture in
  Alcotest.(check int) "two live" 2 (Xlchild_lwt.count ctx);
  Lwt.cancel pending;
  Lwt.cancel running;
  let canceled p =
    Lwt.catch
      (fun () -> p >>= fun _ -> Alcotest.fail "not cancelled")
      (function
        | Lwt.Canceled -> Lwt.return_unit
        | exn -> Lwt.fail exn)
  in
  Alcotest.(check bool) "still pending" true (Lwt.is_sleeping pending);
  canceled pending >>= fun () ->
  canceled running >|= fun () ->
  Alcotest.(check int) "both are reaped" 0 (Xlchild_lwt.count ctx)

let ended_by_policy ctx =
  let politely =
    { first_signal = Sys.sigterm; grace_ms = 20; scope = Process }
  in
  let r, w = Lwt_unix.pipe_in ~cloexec:true () in
  let deaf =
    command ~search:false ~kill:politely
      ~fds:(Fd_map.of_list [ (1, Fd w) ])
      child
      [ "ignore"; "SIGTERM"; "ready"; "1"; "pause" ]
  in
  let c = Xlchild_lwt.start ctx deaf in
  Unix.close w;
  Lwt_unix.read r (Bytes.create 1) 0 1 >>= fun _ ->
  Xlchild_lwt.terminate c >>= fun ended ->
  check_status "killed" (Printf.sprintf "signal %d" Sys.sigkill) ended;
  Xlchild_lwt.wait c >>= fun again ->
  check_status "as often as asked" (status_text ended) again;
  Xlchild_lwt.kill c Sys.sigterm;
  Lwt_unix.close r

(* Lwt's own timeout cancels: a child that ignores SIGTERM is killed when its
   grace is over, and only then does the caller hear of it. *)
let timed_out_by_lwt ctx =
  let r, w = Lwt_unix.pipe_in ~cloexec:true () in
  let deaf =
    command ~search:false
      ~kill:{ first_signal = Sys.sigterm; grace_ms = 20; scope = Process }
      ~fds:(Fd_map.of_list [ (1, Fd w) ])
      child
      [ "ignore"; "SIGTERM"; "ready"; "1"; "pause" ]
  in
  let running = Xlchild_lwt.exec ctx deaf in
  Unix.close w;
  Lwt_unix.read r (Bytes.create 1) 0 1 >>= fun _ ->
  Lwt.catch
    (fun () ->
      Lwt_unix.with_timeout 0.01 (fun () -> running) >>= fun _ ->
      Alcotest.fail "it ended by itself")
    (function
      | Lwt_unix.Timeout | Lwt.Canceled -> Lwt.return_unit
      | exn -> Lwt.fail exn)
  >>= fun () ->
  Lwt.catch
    (fun () -> running >>= fun _ -> Alcotest.fail "not cancelled")
    (function Lwt.Canceled -> Lwt.return_unit | exn -> Lwt.fail exn)
  >>= fun () ->
  Alcotest.(check int) "reaped" 0 (Xlchild_lwt.count ctx);
  Lwt_unix.close r

let failing ctx =
  Lwt.catch
    (fun () ->
      Xlchild_lwt.exec ctx (command "/nonexistent" []) >>= fun _ ->
      Alcotest.fail "it started")
    (function
      | Error { stage = Exec; errno = Some Unix.ENOENT; _ } -> Lwt.return_unit
      | exn -> Lwt.fail exn)

exception Boom

let to_the_hook ctx =
  let old = !Lwt.async_exception_hook in
  let seen = ref [] in
  Lwt.async_exception_hook := (fun exn -> seen := exn :: !seen);
  Lwt.finalize
    (fun () ->
      Xlchild_lwt.run ctx
        (verbs [ "say"; "hello"; "pause" ])
        ~stdout:(`Stream (fun _ -> raise Boom))
      >>= fun outcome ->
      check_status "ended" (Printf.sprintf "signal %d" Sys.sigterm)
        outcome.child;
      (* the hook hears of it in the same turn of the loop *)
      Lwt.pause ())
    (fun () ->
      Lwt.async_exception_hook := old;
      Lwt.return_unit)
  >|= fun () -> Alcotest.(check bool) "heard" true (!seen = [ Boom ])

let () =
  Alcotest.run "xlchild-lwt"
    [
      ( "lwt",
        [
          case "a context from before Lwt_main.run" before_the_loop;
          case "C5 statuses" statuses;
          case "beside Lwt_process" beside_lwt_process;
          case "C18 capture" captured;
          case "C18 stream" streamed;
          case "timeout" timed_out;
          case "A2 cancelling kills and waits" cancelled;
          case "C13 termination by policy" ended_by_policy;
          case "A2 C13 Lwt's timeout ends by policy" timed_out_by_lwt;
          case "B5 a failed start" failing;
          case "B3 exceptions go to the loop's handler" to_the_hook;
        ] );
    ]
