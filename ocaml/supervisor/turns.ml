(* turns.ml - the supervisor's thread: turn after turn, until it is closed

   Called by xlchild_supervisor.ml; what a turn does is in loop.ml. It closes
   by itself, whether the host waits for that or a handler has raised there. *)

open Types
open Loop

(* ---- a turn ---- *)

(* A file that is awaited is looked for so often, in seconds. *)
let look_for_files = 0.02

(* And for what an ended service left in its group. *)
let look_for_rest = 0.005

let awaits_file m =
  Readiness.is_file m.watch && Machine.state m.machine = Starting

(* The lock is held. *)
let patience t =
  let dues =
    (if
     List.exists (fun m -> m.rest <> None || m.delayed <> None) t.members
    then
     [ Xlchild.now () +. look_for_rest ]
    else [])
    @ List.filter_map (fun m -> Machine.due m.machine) t.members
    @
    if List.exists awaits_file t.members then
      [ Xlchild.now () +. look_for_files ]
    else []
  in
  match dues with
  | [] -> None
  | first :: more ->
      Some (max 0. (List.fold_left min first more -. Xlchild.now ()))

let sources m =
  Option.to_list (Option.map Channel.source m.output)
  @ Option.to_list (Readiness.source m.watch)

let serve_member t ~readable m =
  let is_readable fd = List.mem fd readable in
  Option.iter
    (fun channel ->
      if is_readable (Channel.source channel) then read_output t m)
    m.output;
  let look =
    match Readiness.source m.watch with
    | Some fd -> is_readable fd
    | None -> awaits_file m
  in
  if look && Readiness.look m.watch then input t m Is_ready

(* [leave]: its pipes are for the next life. *)
let release t m ~leave =
  end_watch m;
  if not leave then let_kin_go t m;
  Sink.close m.sink;
  Option.iter Channel.close m.output;
  Option.iter (if leave then Spool.leave else Spool.remove) m.spool;
  if not leave then
    List.iter
      (fun suffix ->
        Channel.remove ~folder:(folder t) (m.service.name ^ suffix))
      [ ".output"; ".ready" ]

let is_over m =
  match Machine.state m.machine with
  | Stopped | Failed -> m.pending = []
  | Starting | Running | Stopping | Waiting -> false

let has_work t =
  locked t (fun () -> List.exists (fun m -> m.pending <> []) t.members)

let remove_leaving t =
  let goes m = m.leaving && is_over m in
  let gone, stay = locked t (fun () -> List.partition goes t.members) in
  if gone <> [] then begin
    List.iter (release t ~leave:false) gone;
    locked t (fun () ->
        t.members <- stay;
        List.iter (fun m -> m.removed <- true) gone)
  end

let reopen_logs t members =
  if locked t (fun () ->
         let asked = t.reopen in
         t.reopen <- false;
         asked)
  then
    List.iter
      (fun m ->
        Option.iter
          (fun errno ->
            tell t ~service:m.service.name ~run:m.run (Output_lost errno))
          (Sink.reopen m.sink))
      members

let drain_wakes t =
  try ignore (Unix.read t.wake_r (Bytes.create 512) 0 512)
  with Unix.Unix_error _ -> ()

(* The first turn only does what [create] left to do. *)
let turn t ~wait =
  let timeout, fds =
    locked t (fun () ->
        ( (if wait then patience t else Some 0.),
          (Xlchild.fileno t.ctx :: t.wake_r
          :: Option.to_list (Keeping.source t.keeping))
          @ List.concat_map sources t.members ))
  in
  let readable = Xlchild.poll ?timeout fds in
  (match Keeping.source t.keeping with
  | Some fd when List.mem fd readable -> Keeping.revive t.keeping
  | Some _ | None -> ());
  if List.mem t.wake_r readable then drain_wakes t;
  let members = locked t (fun () -> t.members) in
  reopen_logs t members;
  List.iter (serve_member t ~readable) members;
  take_events t;
  List.iter (look_at_rest t) members;
  List.iter (look_at_delayed t) members;
  List.iter (fun m -> input t m Tick) members;
  act t;
  settle t;
  remove_leaving t;
  Xlchild_syslog.Bell.ring t.changed

(* The host's handlers, and what they raise, belong to the host's threads.
   Without pidfds the library needs SIGCHLD. *)
let not_here =
  Sys.[ sigint; sigterm; sighup; sigquit; sigalrm; sigusr1; sigusr2; sigpipe ]

(* What a turn cannot be expected to raise, as an exhausted system makes it: it
   is told, and the next turn tries again. *)
let pause_after_trouble = 0.1

let try_turn t ~wait =
  try turn t ~wait
  with exn ->
    t.on_exception exn;
    ignore (Xlchild.poll ~timeout:pause_after_trouble [])

(* ---- closing: by itself, whoever waits for it or not ---- *)

(* The lock is held. *)
let ask_to_close t ~leave =
  if not t.closing then begin
    t.leave <- leave;
    t.closing <- true
  end;
  wake t

let goes_on t =
  locked t @@ fun () ->
  (not t.closing)
  || (not t.leave)
     && begin
          if not t.stopping then begin
            t.stopping <- true;
            List.iter (fun m -> feed m Stop) t.members
          end;
          not (List.for_all is_over t.members)
        end

let close_all t =
  Xlchild.close t.ctx;
  List.iter (release t ~leave:t.leave) t.members;
  Unix.close t.wake_r;
  Unix.close t.wake_w;
  Keeping.close t.keeping ~leave:t.leave;
  Option.iter Journal.close t.journal

let finish_closing t =
  (try locked t (fun () -> t.finished <- true); close_all t
   with exn -> t.trouble <- Some exn);
  t.over <- true;
  Xlchild_syslog.Bell.ring t.changed

let serve t =
  ignore (Thread.sigmask Unix.SIG_UNBLOCK [ Sys.sigchld ]);
  ignore (Thread.sigmask Unix.SIG_BLOCK not_here);
  t.thread <- Some (Thread.id (Thread.self ()));
  let rec turns ~wait =
    try_turn t ~wait;
    if goes_on t then
      (* what has just been told to stop is not waited for first *)
      turns ~wait:(not (t.closing && has_work t))
    else finish_closing t
  in
  turns ~wait:false
