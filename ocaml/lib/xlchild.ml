(* xlchild.ml - the library: Raw's externals with types and exceptions

   What pumps goes through [pumping], where exceptions of closures come out. *)

include Types

type t = Raw.t

(* ---- errors ---- *)

let codes =
  [
    (Nonspecific, -1); (Version, -2); (Fail, -3); (Not_implemented, -4);
    (No_memory, -5); (Invalid, -6); (Bad_fail, -7); (Timed_out, -9);
    (Not_ready, -11); (Osevent_reg_fail, -12); (Buffer_full, -13);
    (Unknown_child, -14); (Lock_fail, -15); (Aborted, -22); (Not_found, -23);
    (Spawn_failed, -128); (Sigchld_conflict, -129);
    (Sigchld_unavailable, -130); (Busy, -131); (Interrupted, -132);
    (System, -133); (Permission, -134); (Limit, -135); (Closed, -1000);
  ] [@ocamlformat "disable"]

let code_of_number n =
  if n > 0 then Hook n
  else
    match List.find_opt (fun (_, m) -> m = n) codes with
    | Some (code, _) -> code
    | None -> Unknown_code n

let code_number = function
  | Hook n | Unknown_code n -> n
  | code -> List.assoc code codes

let code_text = function
  | Closed -> "the context is closed"
  | Hook n -> Printf.sprintf "a hook of the event loop answered %d" n
  | code -> Raw.strerror (code_number code)

let stage_text = Raw.stage_name
let owner_text = Raw.owner_name

let lost_text reason =
  Raw.lost_text
    (match reason with
    | Stolen -> 1
    | Ignored -> 2
    | Not_passed -> 3
    | Not_ours -> 4)

let error_text e =
  String.concat ""
    [
      code_text e.code;
      (if e.stage = No_stage then "" else ", stage " ^ stage_text e.stage);
      (match e.argument with None -> "" | Some name -> " " ^ name);
      (match e.errno with
      | None -> ""
      | Some errno -> ": " ^ Unix.error_message errno);
    ]

let () =
  Printexc.register_printer (function
    | Error e -> Some ("Xlchild.Error: " ^ error_text e)
    | _ -> None)

let error_of (f : Raw.failure) =
  {
    code = code_of_number f.rc;
    stage = f.raw_stage;
    errno = f.raw_errno;
    argument = f.raw_argument;
  }

(* A hook that raised is known by its exception. *)
let checked t result =
  match result with
  | Ok _ as ok -> ok
  | Result.Error (f : Raw.failure) ->
      if f.rc > 0 then Raw.raise_kept t;
      Result.Error (error_of f)

let plain result = Result.map_error error_of result
let get = function Ok x -> x | Result.Error e -> raise (Error e)

(* What [call] answered is given to [save] where an exception comes first. *)
let pumping t ~save call =
  Raw.raise_kept t;
  let result = call () in
  if Atomic.get t.Raw.raised <> [] then (
    save result;
    Raw.raise_kept t);
  result

let forget _ = ()

let milliseconds seconds =
  if seconds <= 0. then 0
  else if seconds >= 2_000_000. then 2_000_000_000
  else int_of_float (ceil (seconds *. 1000.))

let timeout_of = function None -> -1 | Some s -> milliseconds s

(* ---- contexts ---- *)

let set_mode_result ?fork_replacement ?childproc_exited (t : t) owner =
  let fork = t.fork and stranger = t.stranger in
  t.fork <- fork_replacement;
  t.stranger <- childproc_exited;
  match
    Raw.setmode t owner (fork_replacement <> None) (childproc_exited <> None)
  with
  | Ok () -> Ok ()
  | Result.Error _ as e ->
      t.fork <- fork;
      t.stranger <- stranger;
      checked t e

let set_mode ?fork_replacement ?childproc_exited t owner =
  get (set_mode_result ?fork_replacement ?childproc_exited t owner)

let create_result ?(owner = Nobody) ?(min_level = Warning) ?log () =
  let self = Weak.create 1 in
  match Raw.alloc self min_level (log <> None) with
  | Result.Error e -> Result.Error (error_of e)
  | Ok ctx -> (
      let t : t =
        {
          ctx;
          fork = None;
          stranger = None;
          log;
          occurred = None;
          disaster = None;
          loop = None;
          raised = Atomic.make [];
          stash = Atomic.make [];
          reports = Atomic.make Raw.Numbers.empty;
          operations = Atomic.make Raw.Numbers.empty;
          registrations = Atomic.make Raw.Numbers.empty;
        }
      in
      Weak.set self 0 (Some t);
      match set_mode_result t owner with
      | Ok () -> Ok t
      | Result.Error e ->
          ignore (Raw.close t);
          Result.Error e)

let create ?owner ?min_level ?log () =
  get (create_result ?owner ?min_level ?log ())

let close_result (t : t) =
  match Raw.close t with
  | Result.Error _ as e -> plain e
  | Ok () ->
      t.fork <- None;
      t.stranger <- None;
      t.log <- None;
      t.occurred <- None;
      t.disaster <- None;
      t.loop <- None;
      Atomic.set t.stash [];
      Atomic.set t.reports Raw.Numbers.empty;
      Atomic.set t.operations Raw.Numbers.empty;
      Atomic.set t.registrations Raw.Numbers.empty;
      Raw.raise_kept t;
      Ok ()

let close t = get (close_result t)

let with_context ?owner ?min_level ?log f =
  let t = create ?owner ?min_level ?log () in
  match f t with
  | x ->
      (match close_result t with
      | Ok () | Result.Error { code = Closed; _ } -> ()
      | Result.Error e -> raise (Error e));
      x
  | exception exn ->
      let backtrace = Printexc.get_raw_backtrace () in
      (try ignore (close_result t) with _ -> ());
      Printexc.raise_with_backtrace exn backtrace

let fileno t = get (plain (Raw.fileno t))

let disaster_latched t =
  match get (plain (Raw.disaster_latched t)) with
  | 0 -> None
  | rc -> Some (code_of_number rc)

let leaked = Raw.leaked
let count t = get (plain (Raw.count t))

(* ---- the treaty ---- *)

let errno_of_number =
  [ (11, Unix.EAGAIN); (12, Unix.ENOMEM); (38, Unix.ENOSYS) ]

let fork () =
  let pid = Raw.fork () in
  if pid >= 0 then pid
  else
    let error =
      match List.assoc_opt (-pid) errno_of_number with
      | Some error -> error
      | None -> Unix.EUNKNOWNERR (-pid)
    in
    raise (Unix.Unix_error (error, "fork", ""))

let exited t pid status =
  get
    (plain
       (Result.map (( = ) 0)
          (pumping t ~save:forget (fun () -> Raw.exited t pid status))))

let sigchld_occurred t =
  get
    (plain (pumping t ~save:forget (fun () -> Raw.sigchld_occurred t)))

let postfork_child_noexec = Raw.postfork_child_noexec

(* ---- commands ---- *)

module Fd_map = struct
  module Targets = Map.Make (Int)

  type t = fd_source Targets.t

  let empty = Targets.empty

  let add target source map =
    if target < 0 then invalid_arg "Xlchild.Fd_map.add: a negative target";
    if Targets.mem target map then
      invalid_arg
        (Printf.sprintf "Xlchild.Fd_map.add: target %d is there already" target);
    Targets.add target source map

  let of_list list =
    List.fold_left (fun map (target, source) -> add target source map) empty
      list

  let to_list = Targets.bindings
end

type flag =
  | Keep_fds
  | Keep_sigmask
  | Keep_sigign
  | Ignore_sigpipe
  | Report_stops
  | Restore_sigpipe

type session =
  | Same_session
  | New_session
  | New_group
  | Join_group of int

type command = Raw.command

let bit n = 1 lsl n

let bit_of_flag = function
  | Keep_fds -> bit 4
  | Keep_sigmask -> bit 5
  | Keep_sigign -> bit 6
  | Ignore_sigpipe -> bit 7
  | Report_stops -> bit 15
  | Restore_sigpipe -> bit 16

let default_kill =
  { first_signal = Sys.sigterm; grace_ms = 5000; scope = Process }

let command ?path ?argv0 ?(search = true) ?search_path ?env ?cwd
    ?(fds = Fd_map.empty) ?(flags = []) ?(session = Same_session) ?ctty ?uid
    ?gid ?groups ?umask ?nice ?pdeathsig ?(rlimits = []) ?sigmask ?sigignore
    ?cgroup ?(on_close = Detach) ?(kill = default_kill) ?exited_grace program
    arguments : command =
  let given bit_number option =
    match option with None -> 0 | Some _ -> bit bit_number
  in
  let session_bit, group =
    match session with
    | Same_session -> (0, 0)
    | New_session -> (bit 1, 0)
    | New_group -> (bit 2, 0)
    | Join_group group -> (bit 3, group)
  in
  {
    path =
      (match (path, argv0) with
      | None, Some _ -> Some program
      | path, _ -> path);
    argv =
      Array.of_list (Option.value argv0 ~default:program :: arguments);
    env = Option.map Array.of_list env;
    search_path;
    cwd;
    fds = Array.of_list (Fd_map.to_list fds);
    flags =
      List.fold_left
        (fun bits flag -> bits lor bit_of_flag flag)
        ((if search then bit 0 else 0)
        lor session_bit lor given 8 uid lor given 9 gid lor given 10 groups
        lor given 11 umask lor given 12 nice lor given 13 pdeathsig
        lor given 14 ctty)
        flags;
    group;
    uid = Option.value uid ~default:0;
    gid = Option.value gid ~default:0;
    groups = Array.of_list (Option.value groups ~default:[]);
    umask = Option.value umask ~default:0;
    nice = Option.value nice ~default:0;
    pdeathsig = Option.value pdeathsig ~default:0;
    ctty;
    rlimits = Array.of_list rlimits;
    sigmask = Option.map Array.of_list sigmask;
    sigignore = Option.map Array.of_list sigignore;
    cgroup;
    on_close;
    kill;
    exited_grace_ms =
      (match exited_grace with None -> -1 | Some s -> milliseconds s);
  }

(* ---- children ---- *)

type report =
  | Hold
  | Event of int
  | Callback of (ended -> unit)
  | Silent

module Child = struct
  type nonrec t = {
    context : t;
    id : int;
    pid : int;
    report : int;  (* of a callback; 0 *)
    mutable ended : ended option;  (* taken already *)
  }

  let pid child = child.pid
  let id child = child.id
  let context child = child.context

  let wait_result ?timeout child =
    Raw.raise_kept child.context;
    match child.ended with
    | Some ended -> Ok ended
    | None ->
        plain
          (pumping child.context
             ~save:(function
               | Ok ended -> child.ended <- Some ended
               | Result.Error _ -> ())
             (fun () ->
               let result =
                 Raw.wait child.context child.id (timeout_of timeout)
               in
               (match result with
               | Ok ended -> child.ended <- Some ended
               | Result.Error _ -> ());
               result))

  let wait ?timeout child = get (wait_result ?timeout child)

  let poll child =
    match wait_result ~timeout:0. child with
    | Ok ended -> Some ended
    | Result.Error { code = Timed_out; _ } -> None
    | Result.Error e -> raise (Error e)

  let kill_result ?(scope = Process) child signal =
    plain (Raw.kill child.context child.id signal scope)

  let kill ?scope child signal = get (kill_result ?scope child signal)

  let terminate_result ?policy child =
    checked child.context (Raw.terminate child.context child.id policy)

  let terminate ?policy child = get (terminate_result ?policy child)

  let detach_result child =
    let result = plain (Raw.detach child.context child.id) in
    if Result.is_ok result && child.report <> 0 then
      Raw.remove child.context.reports child.report;
    result

  let detach child = get (detach_result child)
end

(* The report as C takes it, and the number of its closure. *)
let raw_report (t : t) : report -> Raw.report * int = function
  | Hold -> (Raw.Hold, 0)
  | Silent -> (Raw.Silent, 0)
  | Event tag -> (Raw.Event tag, 0)
  | Callback f ->
      let number = Raw.fresh () in
      Raw.add t.reports number f;
      (Raw.Callback number, number)

let drop_report (t : t) number = if number <> 0 then Raw.remove t.reports number

let child_of context report (id, pid) =
  { Child.context; id; pid; report; ended = None }

let start_result ?(report = Hold) t command =
  let raw, number = raw_report t report in
  match Raw.spawn t command raw with
  | Ok started -> Ok (child_of t number started)
  | Result.Error _ as e ->
      drop_report t number;
      checked t e

let start ?report t command = get (start_result ?report t command)

let start_many t batch =
  let prepared =
    Array.of_list
      (List.map (fun (command, report) -> (command, raw_report t report)) batch)
  in
  let drop (_, (_, number)) = drop_report t number in
  match
    Raw.spawn_many t (Array.map (fun (c, (raw, _)) -> (c, raw)) prepared)
  with
  | Result.Error _ as e ->
      Array.iter drop prepared;
      get (checked t e)
  | Ok results ->
      Array.to_list
        (Array.mapi
           (fun i result ->
             match result with
             | Ok started -> Ok (child_of t (snd (snd prepared.(i))) started)
             | Result.Error failure ->
                 drop prepared.(i);
                 Result.Error (error_of failure))
           results)

let set_starters t n = get (plain (Raw.set_starters t n))

let find t pid =
  match Raw.lookup t pid with
  | Ok id -> Some (child_of t 0 (id, pid))
  | Result.Error { rc = -23; _ } -> None
  | Result.Error e -> raise (Error (error_of e))

type identity =
  | By_start_time of { pid : int; start_time : int }
  | By_pidfd of Unix.file_descr

let start_time pid = get (plain (Raw.start_time pid))

let adopt_result ?(report = Hold) t identity =
  let raw, number = raw_report t report in
  let pid, ticks, pidfd =
    match identity with
    | By_start_time { pid; start_time } -> (pid, start_time, None)
    | By_pidfd fd -> (-1, 0, Some fd)
  in
  match Raw.adopt t pid ticks pidfd raw with
  | Ok id -> Ok (child_of t number (id, pid))
  | Result.Error _ as e ->
      drop_report t number;
      checked t e

let adopt ?report t identity = get (adopt_result ?report t identity)

(* ---- events ---- *)

let type_of_kind = function
  | Operation_complete_event -> 4
  | Exit_event -> 32
  | Started_event -> 33
  | Stopped_event -> 34
  | Continued_event -> 35

let kind_of_event : event -> kind = function
  | Operation_complete _ -> Operation_complete_event
  | Exited _ -> Exit_event
  | Started _ -> Started_event
  | Stopped _ -> Stopped_event
  | Continued _ -> Continued_event

(* All types: -1 keeps its high bit on its way to 64 bits. *)
let mask_of = function
  | None -> -1
  | Some kinds ->
      List.fold_left (fun m kind -> m lor bit (type_of_kind kind)) 0 kinds

let wanted kinds filter event =
  (match kinds with
  | None -> true
  | Some kinds -> List.mem (kind_of_event event) kinds)
  && match filter with None -> true | Some f -> f event

let stash (t : t) events =
  if events <> [] then Raw.change t.stash (fun old -> old @ events)

(* Up to [max] of the events that a raising call had to leave here. *)
let rec unstash (t : t) ~kinds ~filter max =
  match Atomic.get t.stash with
  | [] -> []
  | old ->
      let taken, left, _ =
        List.fold_left
          (fun (taken, left, n) event ->
            if n < max && wanted kinds filter event then
              (event :: taken, left, n + 1)
            else (taken, event :: left, n))
          ([], [], 0) old
      in
      if Atomic.compare_and_set t.stash old (List.rev left) then List.rev taken
      else unstash t ~kinds ~filter max

let take t ~kinds ~max timeout =
  Raw.raise_kept t;
  match unstash t ~kinds ~filter:None max with
  | _ :: _ as events -> events
  | [] ->
      get
        (plain
           (pumping t
              ~save:(function Ok l -> stash t l | Result.Error _ -> ())
              (fun () -> Raw.take_events t max (mask_of kinds) timeout)))

let take_matching t ~kinds ~filter block =
  Raw.raise_kept t;
  match unstash t ~kinds ~filter:(Some filter) 1 with
  | event :: _ -> Some event
  | [] ->
      get
        (plain
           (pumping t
              ~save:(function
                | Ok event -> stash t (Option.to_list event)
                | Result.Error _ -> ())
              (fun () -> Raw.match_event t (mask_of kinds) filter block)))

let check ?kinds ?filter t =
  match filter with
  | Some filter -> take_matching t ~kinds ~filter false
  | None -> (
      match take t ~kinds ~max:1 0 with event :: _ -> Some event | [] -> None)

let rec wait ?kinds ?filter t =
  let event =
    match filter with
    | Some filter -> take_matching t ~kinds ~filter true
    | None -> (
        match take t ~kinds ~max:1 (-1) with
        | event :: _ -> Some event
        | [] -> None)
  in
  match event with Some event -> event | None -> wait ?kinds ?filter t

let rec wait_many ?kinds ?timeout ?(max = 64) t =
  match take t ~kinds ~max (timeout_of timeout) with
  | [] when timeout = None -> wait_many ?kinds ~max t
  | events -> events

let on_events ?kinds ?occurred ?disaster (t : t) =
  let old_occurred = t.occurred and old_disaster = t.disaster in
  t.occurred <- occurred;
  t.disaster <- disaster;
  match
    Raw.register_callbacks t
      (if occurred = None then 0 else mask_of kinds)
      (disaster <> None)
  with
  | Ok () -> ()
  | Result.Error e ->
      t.occurred <- old_occurred;
      t.disaster <- old_disaster;
      raise (Error (error_of e))

type evenable = { of_context : t; number : int }

let evenable_exit ?(pid = 0) ~tag t =
  { of_context = t; number = get (plain (Raw.evenable t pid tag)) }

let evdisable e = get (plain (Raw.evdisable e.of_context e.number))

(* ---- running to completion ---- *)

type input =
  [ `Null | `Inherit | `Fd of Unix.file_descr | `File of string
  | `String of string ] [@@ocamlformat "disable"]

type output =
  [ `Inherit | `Null | `Fd of Unix.file_descr | `File of string
  | `Append of string | `Capture | `Capture_at_most of int
  | `Stream of string -> unit ] [@@ocamlformat "disable"]

let raw_input : input -> Raw.stream = function
  | `Inherit -> (0, None, None, 0)
  | `Null -> (1, None, None, 0)
  | `Fd fd -> (2, Some fd, None, 0)
  | `File path -> (3, None, Some path, 0)
  | `String data -> (5, None, Some data, 0)

let raw_output : [ output | `Merge ] -> Raw.stream = function
  | `Inherit -> (0, None, None, 0)
  | `Null -> (1, None, None, 0)
  | `Fd fd -> (2, Some fd, None, 0)
  | `File path -> (3, None, Some path, 0)
  | `Append path -> (4, None, Some path, 0)
  | `Capture -> (6, None, None, 0)
  | `Capture_at_most limit ->
      if limit < 1 then invalid_arg "Xlchild: `Capture_at_most of less than 1";
      (6, None, None, limit)
  | `Stream _ -> (7, None, None, 0)
  | `Merge -> (8, None, None, 0)

let outcome_of (o : Raw.raw_outcome) =
  {
    child = o.ended;
    ending =
      (match code_of_number o.rc with
      | Timed_out -> Timeout
      | Aborted -> Abort
      | No_memory -> Out_of_memory
      | _ -> Completed);
    stdin_written = o.written;
    out = o.raw_out;
    err = o.raw_err;
  }

(* A command under way: the streams' closures, and the first that raised. *)
type running = {
  ctx : t;
  mutable child_id : int;
  mutable stream_raised : (exn * Printexc.raw_backtrace) option;
}

let closure_of (stream : [ output | `Merge ]) =
  match stream with `Stream f -> Some f | _ -> None

let on_data running out err stream data =
  match if stream = 1 then out else err with
  | None -> ()
  | Some _ when running.stream_raised <> None -> ()
  | Some f -> (
      try f data
      with exn ->
        running.stream_raised <- Some (exn, Printexc.get_raw_backtrace ());
        ignore (Raw.terminate running.ctx running.child_id None))

let options ~stdin ~stdout ~stderr ~timeout ~until_eof ~started : Raw.exec_opts
    =
  let streams = closure_of stdout <> None || closure_of stderr <> None in
  {
    stdin = raw_input stdin;
    stdout = raw_output stdout;
    stderr = raw_output stderr;
    timeout_ms =
      (match timeout with None -> 0 | Some s -> max 1 (milliseconds s));
    linger = (if until_eof then 1 else 0);
    started = started || streams;
    streams;
  }

let raise_stream running =
  match running.stream_raised with
  | None -> ()
  | Some (exn, backtrace) -> Printexc.raise_with_backtrace exn backtrace

let run_result ?(stdin = `Null) ?(stdout = `Inherit) ?(stderr = `Inherit)
    ?timeout ?(until_eof = false) (t : t) command =
  Raw.raise_kept t;
  let out = closure_of (stdout :> [ output | `Merge ]) in
  let err = closure_of stderr in
  let running = { ctx = t; child_id = 0; stream_raised = None } in
  let opts =
    options ~stdin
      ~stdout:(stdout :> [ output | `Merge ])
      ~stderr ~timeout ~until_eof ~started:false
  in
  let number = Raw.fresh () in
  if opts.streams then
    Raw.add t.operations number
      {
        on_started = (fun id _ -> running.child_id <- id);
        on_data = on_data running out err;
        on_complete = ignore;
      };
  let result = Raw.exec t command opts number in
  if opts.streams then Raw.remove t.operations number;
  raise_stream running;
  Result.map outcome_of (checked t result)

let run ?stdin ?stdout ?stderr ?timeout ?until_eof t command =
  get (run_result ?stdin ?stdout ?stderr ?timeout ?until_eof t command)

type operation = { op_context : t; op_number : int }

let run_async_result ?(stdin = `Null) ?(stdout = `Inherit)
    ?(stderr = `Inherit) ?timeout ?(until_eof = false) ?started (t : t) command
    complete =
  let stdout = (stdout :> [ output | `Merge ]) in
  let out = closure_of stdout and err = closure_of stderr in
  let running = { ctx = t; child_id = 0; stream_raised = None } in
  let opts =
    options ~stdin ~stdout ~stderr ~timeout ~until_eof
      ~started:(started <> None)
  in
  let number = Raw.fresh () in
  Raw.add t.operations number
    {
      on_started =
        (fun id pid ->
          running.child_id <- id;
          Option.iter (fun f -> f pid) started);
      on_data = on_data running out err;
      on_complete =
        (fun outcome ->
          match running.stream_raised with
          | None -> complete (outcome_of outcome)
          | Some (exn, backtrace) ->
              Raw.keep t exn backtrace;
              complete (outcome_of outcome));
    };
  match Raw.exec_start t command opts number with
  | Ok () -> Ok { op_context = t; op_number = number }
  | Result.Error _ as e ->
      Raw.remove t.operations number;
      checked t e

let run_async ?stdin ?stdout ?stderr ?timeout ?until_eof ?started t command
    complete =
  get
    (run_async_result ?stdin ?stdout ?stderr ?timeout ?until_eof ?started t
       command complete)

let abort_result op = plain (Raw.abort op.op_context op.op_number)
let abort op = get (abort_result op)

(* ---- foreign event loops ---- *)

type fd_watch = { modify : readiness -> unit; unwatch : unit -> unit }
type timer = { fire_soon : unit -> unit; cancel : unit -> unit }

type loop = {
  watch : Unix.file_descr -> readiness -> (readiness -> unit) -> fd_watch;
  set_timer : float -> (unit -> unit) -> timer;
}

(* poll()'s bits *)
let pollin = 1
let pollout = 4

let bits r =
  (if r.readable then pollin else 0) lor if r.writable then pollout else 0

(* POLLERR and POLLHUP wake readers and writers. *)
let readiness_of bits =
  { readable = bits land pollin <> 0; writable = bits land pollout <> 0 }

let raw_loop (t : t) loop : Raw.loop =
  {
    register_fd =
      (fun number fd events ->
        let interest = ref events in
        let ready r =
          pumping t ~save:forget (fun () ->
              match Raw.occurred_fd t number !interest (bits r) with
              | Ok () | Result.Error { rc = -1000; _ } -> ()
              | Result.Error e -> raise (Error (error_of e)))
        in
        let watch = loop.watch fd (readiness_of events) ready in
        Raw.Watch
          {
            modify =
              (fun events ->
                watch.modify (readiness_of events);
                interest := events);
            forget = watch.unwatch;
          });
    register_timeout =
      (fun number at ->
        let fired () =
          Raw.remove t.registrations number;
          pumping t ~save:forget (fun () ->
              match Raw.occurred_timeout t number with
              | Ok () | Result.Error { rc = -1000; _ } -> ()
              | Result.Error e -> raise (Error (error_of e)))
        in
        let timer = loop.set_timer at fired in
        Raw.Timer { fire = timer.fire_soon; cancel = timer.cancel });
  }

let register_loop (t : t) loop =
  let old = t.loop in
  t.loop <- Option.map (raw_loop t) loop;
  match Raw.register_loop t (loop <> None) with
  | Ok () -> ()
  | Result.Error _ as e ->
      t.loop <- old;
      get (checked t e)

type poll_entry = { fd : Unix.file_descr; interest : readiness }

let before_poll ?timeout t =
  let entries, ms = get (plain (Raw.beforepoll t (timeout_of timeout))) in
  ( List.map
      (fun (fd, events) -> { fd; interest = readiness_of events })
      (Array.to_list entries),
    if ms < 0 then None else Some (float ms /. 1000.) )

let after_poll t polled =
  let raw =
    Array.of_list
      (List.map
         (fun (entry, ready) -> (entry.fd, bits entry.interest, bits ready))
         polled)
  in
  get (plain (pumping t ~save:forget (fun () -> Raw.afterpoll t raw)))

let poll ?timeout fds =
  match Raw.poll (Array.of_list fds) (timeout_of timeout) with
  | [| errno |] when errno = -4 (* EINTR *) -> []
  | [| errno |] when errno < 0 ->
      raise (Unix.Unix_error (Unix.EUNKNOWNERR (-errno), "poll", ""))
  | revents -> List.filteri (fun i _ -> revents.(i) <> 0) fds

let now () = float (Raw.now ()) *. 1e-9

(* ---- diagnosis and names ---- *)

let facilities bits =
  List.filteri
    (fun i _ -> bits land bit i <> 0)
    [ Pidfd; Shared_files; Close_range; Exit_info; Vfork ]

let diagnose t =
  let d = get (plain (Raw.diagnose t)) in
  {
    mode_asked = d.asked;
    mode_in_force = d.in_force;
    mode_reason = d.reason;
    facilities = facilities d.bits;
    handler_wanted = d.wanted;
    handler_installed = d.installed;
    handler_displaced = d.displaced;
    sigchld_ignored = d.ignored;
    sigchld_blocked = d.blocked;
    handler_object = d.object_file;
    children = d.count;
    words = d.text;
  }

let version = Raw.version ()
let system_signal = Raw.system_signal
let ocaml_signal = Raw.ocaml_signal
