(* daemon.ml - a small daemon that supervises ten workers

   In the manner of xenopsd: long-lived, threaded, with a big heap. It starts
   ten workers, or adopts those that its previous life left when it was killed,
   starts one again that ends, runs hook scripts with a timeout in another
   thread, and on SIGTERM stops everything and says what it did. Its argument
   is the folder in which its lives tell each other what lives.
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

type counts = {
  mutable started : int;
  mutable adopted : int;
  mutable died : int;
  mutable stopped : int;
}

(* What the supervisor tells, in its thread. *)
let on_event counts (event : Xlchild_supervisor.event) =
  let say_it () = say "%s" (Xlchild_supervisor.event_text event) in
  match event.what with
  | Started _ ->
      counts.started <- counts.started + 1;
      say_it ()
  | Adopted _ ->
      counts.adopted <- counts.adopted + 1;
      say_it ()
  | Ended { cause = Told_to; _ } ->
      counts.stopped <- counts.stopped + 1;
      say_it ()
  | Ended { cause = By_itself | Not_ready; _ } ->
      counts.died <- counts.died + 1;
      say_it ()
  | Ready | Starting_again_in _ | Accounted _ -> ()
  | Start_unknown | Not_started _ | Ready_too_late | Given_up | Output_lost _ | State_lost _
  | State_not_kept _ ->
      say_it ()

let worker number =
  let open Xlchild_supervisor in
  service "sleep" [ "100000" ]
    ~name:(Printf.sprintf "worker-%d" number)
    ~restart:(Always (Policy.back_off ~first:0.05 ()))
    ~stop:(kill_policy ~grace:2. ~scope:Process_group ())

(* ---- hook scripts, in a thread and a context of their own ---- *)

let in_words = function
  | Status (Unix.WEXITED code) -> Printf.sprintf "exit code %d" code
  | Status (Unix.WSIGNALED s | Unix.WSTOPPED s) ->
      Printf.sprintf "signal %d" (system_signal s)
  | Lost reason -> "lost: " ^ lost_text reason

let run_hook ctx name script =
  match
    run_result ctx (command "sh" [ "-c"; script ] ~session:New_group
        ~kill:(kill_policy ~grace:0.2 ~scope:Process_group ()))
      ~stdout:`Capture ~stderr:`Merge ~timeout:0.5
  with
  | Ok { ending = Timeout; child; _ } ->
      say "hook %s took too long: %s" name (in_words child.status)
  | Ok { child; out; _ } ->
      say "hook %s: %s, said %S" name (in_words child.status) out.data
  | Result.Error e -> say "hook %s did not start: %s" name (Error.to_string e)

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
  let counts = { started = 0; adopted = 0; died = 0; stopped = 0 } in
  let supervisor =
    Xlchild_supervisor.create ~state_folder:Sys.argv.(1)
      ~on_event:(on_event counts) ()
  in
  let members =
    List.init workers (fun i -> Xlchild_supervisor.add supervisor (worker i))
  in
  let running state = state = Xlchild_supervisor.Running in
  List.iter (fun m -> ignore (Xlchild_supervisor.await m running)) members;
  let busy = Thread.create churn stopping in
  let hooking = Thread.create hooks () in
  say "daemon ready, pid %d" (Unix.getpid ());
  while not (Atomic.get stopping) do
    ignore (poll [ wake_r ])
  done;
  say "stopping";
  Xlchild_supervisor.close supervisor;
  let left = List.filter_map Xlchild_supervisor.pid members in
  Thread.join hooking;
  Thread.join busy;
  say "done: %d started, %d adopted, %d died, %d stopped, %d left, heap %b"
    counts.started counts.adopted counts.died counts.stopped
    (List.length left)
    (Array.length heap > 0)
