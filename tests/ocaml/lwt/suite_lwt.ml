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

(* On its way to its program it would be killed at once. *)
let timed_out ctx =
  let rec within timeout =
    Xlchild_lwt.run ctx
      (verbs [ "say"; "hello"; "pause" ])
      ~stdout:`Capture ~timeout
    >>= fun outcome ->
    Alcotest.(check bool) "ending" true (outcome.ending = Timeout);
    if outcome.out.data = "" && timeout < 5. then within (timeout *. 4.)
    else begin
      check_status "signal"
        (Printf.sprintf "signal %d" Sys.sigterm)
        outcome.child;
      Lwt.return_unit
    end
  in
  within 0.05

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
    (kill_policy ~grace:0.02 ())
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
      ~kill:(kill_policy ~grace:0.02 ())
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

(* A program that somebody has open for writing cannot be executed, and is tried
   for a fifth of a second: a start that takes its time. *)
let with_busy f =
  let path = Filename.temp_file "xlchild" ".busy" in
  let copy = Printf.sprintf "cp %s %s && chmod 755 %s" child path path in
  Alcotest.(check int) "copied" 0 (Sys.command copy);
  let fd = Unix.openfile path [ O_WRONLY; O_CLOEXEC ] 0 in
  let is_open = ref true in
  let let_go () =
    if !is_open then Unix.close fd;
    is_open := false
  in
  Lwt.finalize
    (fun () -> f path let_go)
    (fun () ->
      let_go ();
      Sys.remove path;
      Lwt.return_unit)

let rec turns n =
  if n = 0 then Lwt.return_unit else Lwt.pause () >>= fun () -> turns (n - 1)

let on_its_way ctx =
  with_busy (fun path let_go ->
      let c = command ~search:false path [ "exit"; "6" ] in
      let exec = Xlchild_lwt.exec ctx c and run = Xlchild_lwt.run ctx c in
      turns 10 >>= fun () ->
      Alcotest.(check bool) "exec is pending" true (Lwt.is_sleeping exec);
      Alcotest.(check bool) "run is pending" true (Lwt.is_sleeping run);
      let_go ();
      exec >>= fun ended ->
      check_status "exec" "exit 6" ended;
      run >|= fun outcome -> check_status "run" "exit 6" outcome.child)

let cancelled_on_its_way ctx =
  with_busy (fun path _ ->
      let pending =
        Xlchild_lwt.exec ctx (command ~search:false path [ "pause" ])
      in
      turns 5 >>= fun () ->
      Alcotest.(check bool) "pending" true (Lwt.is_sleeping pending);
      Lwt.cancel pending;
      Lwt.catch
        (fun () -> pending >>= fun _ -> Alcotest.fail "not cancelled")
        (function Lwt.Canceled -> Lwt.return_unit | exn -> Lwt.fail exn)
      >|= fun () ->
      Alcotest.(check int) "reaped" 0 (Xlchild_lwt.count ctx))

(* What the start would have raised is to be had of the end. *)
let never_ran _ctx =
  let ctx = Xlchild.create () in
  let missing = command ~flags:[ Nowait ] ~search:false "/nonexistent" [] in
  (match Xlchild.start_result ctx missing with
  | Result.Error { stage = Exec; _ } -> () (* it was that quick *)
  | Result.Error e -> Alcotest.fail (Error.to_string e)
  | Ok c -> (
      let ended = Child.wait c in
      Alcotest.(check bool) "lost" true (ended.status = Lost Never_ran);
      match Xlchild.not_started missing ended with
      | Some
          {
            code = Spawn_failed;
            stage = Exec;
            errno = Some Unix.ENOENT;
            program = Some "/nonexistent";
            path = Some "/nonexistent";
            _;
          } ->
          ()
      | Some e -> Alcotest.fail (Error.to_string e)
      | None -> Alcotest.fail "it ran"));
  let ended = Child.wait (Xlchild.start ctx (nowait (exit_with 2))) in
  check_status "ran" "exit 2" ended;
  Alcotest.(check bool)
    "no error" true
    (Xlchild.not_started missing ended = None);
  Xlchild.close ctx;
  Lwt.return_unit

(* ---- back-pressure ---- *)

let resident_mib () =
  let file = open_in "/proc/self/statm" in
  Fun.protect
    ~finally:(fun () -> close_in file)
    (fun () ->
      Scanf.sscanf (input_line file) "%d %d" (fun _ pages -> pages * 4 / 1024))

let slow_reader ctx =
  let n = 300_000_000 in
  let chunks, outcome =
    Xlchild_lwt.stream ctx
      (command "head" [ "-c"; string_of_int n; "/dev/zero" ])
  in
  Gc.compact ();
  let before = resident_mib () in
  let rec slowly bytes left =
    Lwt_stream.get chunks >>= function
    | None -> Lwt.return bytes
    | Some text ->
        let pause = if left > 0 then Lwt_unix.sleep 0.002 else Lwt.pause () in
        pause >>= fun () ->
        Alcotest.(check bool) "memory" true (resident_mib () <= before + 16);
        slowly (bytes + String.length text) (left - 1)
  in
  slowly 0 200 >>= fun bytes ->
  Alcotest.(check int) "all of it" n bytes;
  outcome >|= fun outcome -> check_status "exit" "exit 0" outcome.child

(* Nobody reads: it ends all the same, and what is there can be read later. *)
let read_later ctx =
  let chunks, outcome = Xlchild_lwt.stream ctx (verbs [ "out"; "60000" ]) in
  outcome >>= fun outcome ->
  check_status "exit" "exit 0" outcome.child;
  Lwt_stream.fold (fun s n -> n + String.length s) chunks 0 >|= fun bytes ->
  Alcotest.(check int) "bytes" 60_000 bytes

(* A grandchild holds the output open, and writes. *)
let held_open ctx =
  let chunks, outcome =
    Xlchild_lwt.stream ctx
      (command "sh" [ "-c"; "(trap '' PIPE; while echo x; do :; done) 2>&- & echo said" ])
  in
  Lwt_stream.fold (fun s n -> n + String.length s) chunks 0 >>= fun bytes ->
  outcome >|= fun outcome ->
  check_status "exit" "exit 0" outcome.child;
  Alcotest.(check bool) "bounded" true (bytes >= 5 && bytes < 4_000_000)

let streamed_in ctx =
  let given = ref 0 in
  let chunks =
    Lwt_stream.from (fun () ->
        if !given = 200 then Lwt.return_none
        else begin
          incr given;
          Lwt.return_some (String.make 10_000 'x')
        end)
  in
  Xlchild_lwt.capture ctx (command "wc" [ "-c" ]) ~stdin:(`Stream chunks)
  >|= fun (out, _) ->
  Alcotest.(check string) "bytes" "2000000" (String.trim out)

(* One that does not read takes no more than a pipe holds. *)
let deaf ctx =
  let given = ref 0 in
  let chunks () =
    Lwt_stream.from (fun () ->
        incr given;
        Lwt.return_some (String.make 10_000 'x'))
  in
  let running =
    Xlchild_lwt.run ctx (verbs [ "pause" ]) ~stdin:(`Stream (chunks ()))
      ~timeout:0.3
  in
  running >>= fun outcome ->
  Alcotest.(check bool) "ending" true (outcome.ending = Timeout);
  Alcotest.(check bool) "bounded" true (!given < 50);
  (* and one that ends without reading is no SIGPIPE *)
  Lwt_list.iter_s
    (fun () ->
      Xlchild_lwt.run ctx (exit_with 3) ~stdin:(`Stream (chunks ()))
      >|= fun outcome -> check_status "exit" "exit 3" outcome.child)
    (List.init 20 (fun _ -> ()))

(* ---- channels ---- *)

let conversation ctx =
  Xlchild_lwt.with_process ctx
    (command "sh"
       [ "-c"; "while read x; do echo out $x; echo err $x >&2; done; exit 7" ])
    (fun p ->
      Lwt_list.iter_s
        (fun i ->
          let word = string_of_int i in
          Lwt_io.write_line p.stdin word >>= fun () ->
          Lwt_io.read_line p.stdout >>= fun out ->
          Alcotest.(check string) "out" ("out " ^ word) out;
          Lwt_io.read_line p.stderr >|= fun err ->
          Alcotest.(check string) "err" ("err " ^ word) err)
        (List.init 50 Fun.id)
      >>= fun () ->
      Lwt_io.close p.stdin >>= fun () ->
      Xlchild_lwt.wait p.child >|= fun ended ->
      check_status "exit" "exit 7" ended)

exception Left

(* Whatever the function comes to, no child and no descriptor is left. *)
let conversation_left ctx =
  let fds () = Array.length (Sys.readdir "/proc/self/fd") in
  let before = fds () in
  let stubborn =
    command ~kill:(kill_policy ~grace:0.02 ())
      "sh" [ "-c"; "trap '' TERM; echo up; while :; do sleep 0.01; done" ]
  in
  let left how =
    Lwt.catch
      (fun () ->
        Xlchild_lwt.with_process ctx stubborn (fun p ->
            Lwt_io.read_line p.stdout >>= fun _ -> how ()))
      (function Left | Lwt_unix.Timeout -> Lwt.return_unit | e -> Lwt.fail e)
    >|= fun () ->
    Alcotest.(check int) "no child" 0 (Xlchild_lwt.count ctx);
    Alcotest.(check int) "no descriptor" before (fds ())
  in
  left (fun () -> Lwt.fail Left) >>= fun () ->
  left (fun () -> raise Left) >>= fun () ->
  left (fun () -> Lwt_unix.with_timeout 0.02 (fun () -> fst (Lwt.task ())))

let writing_to_the_deaf ctx =
  Xlchild_lwt.with_process ctx (exit_with 0) (fun p ->
      Xlchild_lwt.wait p.child >>= fun _ ->
      Lwt.catch
        (fun () ->
          Lwt_io.write p.stdin (String.make 100_000 'x') >>= fun () ->
          Lwt_io.flush p.stdin >>= fun () -> Alcotest.fail "it was read")
        (function
          | Unix.Unix_error (Unix.EPIPE, _, _) -> Lwt.return_unit
          | exn -> Lwt.fail exn))

let failing_by_result ctx =
  let missing = command "/nonexistent" [] in
  let is_it = function
    | Result.Error { stage = Exec; errno = Some Unix.ENOENT; _ } -> true
    | _ -> false
  in
  Xlchild_lwt.exec_result ctx missing >>= fun a ->
  Xlchild_lwt.run_result ctx missing >>= fun b ->
  Xlchild_lwt.capture_result ctx missing >>= fun c ->
  Xlchild_lwt.exec_result ctx (exit_with 4) >|= fun d ->
  Alcotest.(check bool) "exec" true (is_it a);
  Alcotest.(check bool) "run" true (is_it b);
  Alcotest.(check bool) "capture" true (is_it c);
  match d with
  | Ok ended -> check_status "exit" "exit 4" ended
  | Result.Error _ -> Alcotest.fail "it did not start"

(* Its stdin has no peer while the call is patient; then there is no program. *)
let failing_late ctx =
  let path = Filename.temp_file "xlchild" ".fifo" in
  Sys.remove path;
  Unix.mkfifo path 0o600;
  let pending =
    Xlchild_lwt.run_result ctx ~stdin:(`File path)
      (command ~search:false "/nonexistent" [])
  in
  Alcotest.(check bool) "under way" true (Lwt.is_sleeping pending);
  let peer = Unix.openfile path [ O_WRONLY; O_CLOEXEC ] 0 in
  pending >|= fun answer ->
  Unix.close peer;
  Sys.remove path;
  match answer with
  | Result.Error { stage = Exec; errno = Some Unix.ENOENT; _ } -> ()
  | Result.Error e -> Alcotest.fail (Error.to_string e)
  | Ok o -> Alcotest.fail (Outcome.to_string o)

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
          case "C30 C15 never ran" never_ran;
          case "beside Lwt_process" beside_lwt_process;
          case "C18 capture" captured;
          case "C18 stream" streamed;
          case "C18 a late reader" read_later;
          case "C18 a stream that is held open" held_open;
          case "C18 a stream for stdin" streamed_in;
          case "C18 a stream that nobody reads" deaf;
          case "channels" conversation;
          case "C5 channels that are left" conversation_left;
          case "channels without SIGPIPE" writing_to_the_deaf;
          case "B5 a failed start, by result" failing_by_result;
          case "C15 a start that fails late" failing_late;
          case "timeout" timed_out;
          case "A2 cancelling kills and waits" cancelled;
          case "C13 termination by policy" ended_by_policy;
          case "A2 C13 Lwt's timeout ends by policy" timed_out_by_lwt;
          case "B5 a failed start" failing;
          case "B3 exceptions go to the loop's handler" to_the_hook;
        ]
        @ Valgrind.without ~why:"it ends a child whose exec fails late"
            [
              case "C30 on its way to its program" on_its_way;
              case "C30 B11 cancelled on its way" cancelled_on_its_way;
            ]
        @ Valgrind.without ~why:"the memory is valgrind's"
            [ case "C18 a slow reader" slow_reader ] );
      ("families", Family_lwt.cases case);
      ("raising", Raising_lwt.cases);
    ]
