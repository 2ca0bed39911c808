(* daemon.ml - a small daemon that supervises ten workers

   In the manner of xenopsd: long-lived, threaded, with a big heap. It starts
   ten workers, starts one again that crashes, runs hook scripts with a timeout
   in another thread, and on SIGTERM stops everything and says what it did.
   ocaml/demo.sh runs it and checks each of these. *)

open Xlchild

let say format =
  Printf.ksprintf
    (fun line ->
      print_string (line ^ "\n");
      flush stdout)
    format

(* ---- the heap of a daemon that has run for weeks ---- *)

let big_heap () = Array.init 1_500_000 (fun i -> (i, string_of_int i))

(* A thread that keeps allocating, as the other threads of a daemon do. *)
let churn stopping =
  while not (Atomic.get stopping) do
    ignore (Sys.opaque_identity (List.init 10_000 string_of_int));
    Thread.yield ()
  done

(* ---- workers ---- *)

let workers = 10

type worker = {
  number : int;
  commands : Unix.file_descr;  (* what the worker reads: never written to *)
  mutable child : Child.t option;
}

type daemon = {
  ctx : t;
  pool : worker array;
  mutable started : int;
  mutable crashed : int;
  mutable stopped : int;
}

let work commands =
  command "sh"
    [ "-c"; "while read line; do echo \"$line\"; done" ]
    ~fds:(Fd_map.of_list [ (0, Fd commands) ])
    ~session:New_group ~on_close:Kill
    ~kill:{ first_signal = Sys.sigterm; grace_ms = 2000; scope = Process_group }

let start_worker daemon worker =
  let child =
    start daemon.ctx (work worker.commands) ~report:(Event worker.number)
  in
  worker.child <- Some child;
  daemon.started <- daemon.started + 1;
  say "worker %d started, pid %d" worker.number (Child.pid child)

let in_words = function
  | Status (Unix.WEXITED code) -> Printf.sprintf "exit code %d" code
  | Status (Unix.WSIGNALED s | Unix.WSTOPPED s) ->
      Printf.sprintf "signal %d" (system_signal s)
  | Lost reason -> "lost: " ^ lost_text reason

let worker_ended daemon ~stopping worker (ended : ended) =
  worker.child <- None;
  if stopping then begin
    daemon.stopped <- daemon.stopped + 1;
    say "worker %d stopped: %s" worker.number (in_words ended.status)
  end
  else begin
    daemon.crashed <- daemon.crashed + 1;
    say "worker %d crashed, pid %d: %s" worker.number ended.pid
      (in_words ended.status);
    start_worker daemon worker
  end

(* Takes all events that are there. *)
let rec handle_events daemon ~stopping =
  match check daemon.ctx with
  | None -> ()
  | Some (Exited { tag; ended }) ->
      worker_ended daemon ~stopping daemon.pool.(tag) ended;
      handle_events daemon ~stopping
  | Some _ -> handle_events daemon ~stopping

(* ---- hook scripts, in a thread and a context of their own ---- *)

let run_hook ctx name script =
  match
    run_result ctx (command "sh" [ "-c"; script ] ~session:New_group
        ~kill:
          { first_signal = Sys.sigterm; grace_ms = 200; scope = Process_group })
      ~stdout:`Capture ~stderr:`Merge ~timeout:0.5
  with
  | Ok { ending = Timeout; child; _ } ->
      say "hook %s took too long: %s" name (in_words child.status)
  | Ok { child; out; _ } ->
      say "hook %s: %s, said %S" name (in_words child.status) out.data
  | Result.Error e -> say "hook %s did not start: %s" name (error_text e)

let hooks () =
  with_context @@ fun ctx ->
  run_hook ctx "pre-start" "echo prepared";
  run_hook ctx "failing" "echo no such device >&2; exit 3";
  run_hook ctx "stuck" "trap '' TERM; echo waiting; while :; do sleep 1; done";
  run_hook ctx "post-start" "echo all is well"

(* ---- the daemon ---- *)

let () =
  let heap = big_heap () in
  let stopping = Atomic.make false in
  let wake_r, wake_w = Unix.pipe ~cloexec:true () in
  Sys.set_signal Sys.sigterm
    (Sys.Signal_handle
       (fun _ ->
         if not (Atomic.exchange stopping true) then
           ignore (Unix.write_substring wake_w "x" 0 1)));
  let busy = Thread.create churn stopping in
  with_context @@ fun ctx ->
  let commands_r, commands_w = Unix.pipe ~cloexec:true () in
  let daemon =
    {
      ctx;
      pool =
        Array.init workers (fun number ->
            { number; commands = commands_r; child = None });
      started = 0;
      crashed = 0;
      stopped = 0;
    }
  in
  Array.iter (start_worker daemon) daemon.pool;
  let hooking = Thread.create hooks () in
  say "daemon ready, pid %d" (Unix.getpid ());
  let rec serve () =
    match Unix.select [ fileno ctx; wake_r ] [] [] (-1.) with
    | exception Unix.Unix_error (Unix.EINTR, _, _) -> serve ()
    | _ ->
        if not (Atomic.get stopping) then begin
          handle_events daemon ~stopping:false;
          serve ()
        end
  in
  serve ();
  say "stopping";
  Array.iter
    (fun w ->
      Option.iter
        (fun child ->
          (* it may end by itself at this moment *)
          ignore (Child.terminate_result child))
        w.child)
    daemon.pool;
  while Array.exists (fun w -> w.child <> None) daemon.pool do
    ignore (Unix.select [ fileno ctx ] [] [] 1.);
    handle_events daemon ~stopping:true
  done;
  Thread.join hooking;
  Thread.join busy;
  Unix.close commands_w;
  say "done: %d started, %d crashed, %d stopped, %d left, heap %b"
    daemon.started daemon.crashed daemon.stopped (count ctx)
    (Array.length heap > 0)
