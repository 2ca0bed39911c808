(* raw.ml - the externals, and the way back from C

   One external a function of the C library. The C side enters OCaml in
   [dispatch] only; what a closure raises there is kept with the context whose
   call is pumping, and raised by errors.ml when that call is back. *)

open Types

(* ---- what C reads and builds ---- *)

let bit n = 1 lsl n

type ctx
(* a custom block *)

type report = Hold | Silent | Event of int | Callback of int

(* kind, descriptor, path or data, limit *)
type stream = int * Unix.file_descr option * string option * int

type exec_opts = {
  stdin : stream;
  stdout : stream;
  stderr : stream;
  timeout_ms : int;
  linger : int;
  started : bool;
  streams : bool;
}

type failure = {
  rc : int;
  raw_stage : stage;
  raw_errno : Unix.error option;
  raw_argument : string option;
}

type raw_outcome = {
  ended : ended;
  rc : int;
  timed_out : bool;
  aborted : bool;
  written : int;
  raw_out : captured;
  raw_err : captured;
  late : failure option;  (* why it could not be started after all *)
  raw_account : account option;
}

(* Read by position in stub_family.c: signals are the system's. *)
type family_opts = {
  end_when : int;
  end_signal : int;
  end_grace_ms : int;
  holds : int;  (* bits; 0: any *)
  cgroup_parent : string option;
}

type family_state = {
  held_by : int;
  no_better : string option;
  was_started : bool;
  is_empty : bool;
  is_ending : bool;
  of_pid : int;
}

type raw_diagnosis = {
  asked : owner;
  in_force : owner;
  reason : string option;
  bits : int;
  wanted : bool;
  installed : bool;
  displaced : bool;
  ignored : bool;
  blocked : bool;
  object_file : string;
  count : int;
  text : string;
}

(* In the order of the tags in stub_callback.c. *)
type call =
  | Fork
  | Stranger of int * Unix.process_status
  | Log of level * Unix.error option * string
  | Occurred of event
  | Disaster of int * Unix.error option * string
  | Report of int * ended
  | Op_started of int * int * Pid.t
  | Op_stream of int * int * string
  | Op_completed of int * raw_outcome
  | Emptied of int * int
  | Fd_register of int * Unix.file_descr * int
  | Fd_modify of int * int
  | Fd_deregister of int
  | Timeout_register of int * float
  | Timeout_modify of int
  | Timeout_deregister of int

(* ---- a context ---- *)

module Numbers = Map.Make (Int)

(* Told in two steps: what is to be called is made, as often as a handler raises
   meanwhile, and is called once; see [attempt]. *)
type 'a teller = 'a -> unit -> unit

type operation = {
  on_started : int -> Pid.t teller;  (* id, pid *)
  on_data : int -> string teller;  (* stream, data; "" at its end *)
  on_complete : raw_outcome teller;
}

type registration =
  | Watch of { modify : int -> unit; forget : unit -> unit }
  | Timer of { fire : unit -> unit; cancel : unit -> unit }

type loop = {
  register_fd : int -> Unix.file_descr -> int -> registration;
  register_timeout : int -> float -> registration;
}

type t = {
  ctx : ctx;  (* first: C takes it from here *)
  mutable fork : (unit -> int) option;
  mutable stranger : (int -> Unix.process_status -> answer) option;
  mutable log : (level -> Unix.error option -> string -> unit) option;
  mutable occurred : (event -> unit) option;
  mutable disaster : (kind option -> Unix.error option -> string -> unit) option;
  mutable loop : loop option;
  raised : (exn * Printexc.raw_backtrace) list Atomic.t;  (* newest first *)
  stash : event list list Atomic.t;
      (* the ninth field, which C fills: batches of events that were taken and
         not handed over yet, the newest first *)
  reports : ended teller Numbers.t Atomic.t;
  operations : operation Numbers.t Atomic.t;
  dropped : int list Atomic.t;  (* held children that nobody can ask for *)
  emptied : int teller Numbers.t Atomic.t;  (* told a code *)
  forgotten : int list Atomic.t;  (* families that nobody can ask for *)
  registrations : registration Numbers.t Atomic.t;
  unasked : unasked Atomic.t;
}

(* Children whose accounts nobody can ask for: who has not ended, at the last
   look, and who came since. *)
and unasked = { lived : int; ids : int list }

(* Made before its child. C sets [family_id] and [family_cgroup] when there is
   one. *)
type family = {
  of_context : t;
  mutable family_id : int;  (* 0: there is none, or it was closed *)
  mutable family_cgroup : string option;
}

(* Read by position in stub_command.c. *)
type command = {
  path : string option;
  argv : string array;
  env : string array option;
  search_path : string option;
  cwd : string option;
  fds : (int * fd_source) array;
  flags : int;
  group : int;
  uid : int;
  gid : int;
  groups : int array;
  umask : int;
  nice : int;
  pdeathsig : int;
  ctty : Unix.file_descr option;
  rlimits : rlimit array;
  sigmask : int array option;
  sigignore : int array option;
  cgroup : string option;
  on_close : on_close;
  kill : kill_policy;
  exited_grace_ms : int;
  family : family option;  (* of the context that starts it *)
}

(* A started child. C sets [id] and [pid] when there is one: whatever is raised
   then, it is known here. *)
type child = {
  context : t;
  mutable id : int;  (* 0: there is none *)
  mutable pid : int;
  mutable child_account : account option;  (* C sets it, too; known for ever *)
  accounted : bool;
  mutable report_number : int;  (* of a callback; 0 *)
  mutable child_ended : ended option;  (* known for ever *)
  mutable kept : bool;  (* after its end, for the sake of its group *)
}

(* Maps are changed by compare-and-set: a signal handler or a finaliser may come
   in between and use the same context. *)
let rec change cell f =
  let old = Atomic.get cell in
  if not (Atomic.compare_and_set cell old (f old)) then change cell f

let add cell number x = change cell (Numbers.add number x)
let remove cell number = change cell (Numbers.remove number)

let next_number = Atomic.make 1
let fresh () = Atomic.fetch_and_add next_number 1

(* ---- externals ---- *)

external unopened : unit -> ctx = "xlchild_ml_unopened"

external alloc : t -> t Weak.t -> level -> bool -> (unit, failure) result
  = "xlchild_ml_alloc"

external close : t -> (unit, failure) result = "xlchild_ml_close"
external leaked : unit -> int = "xlchild_ml_leaked"
external fileno : t -> (Unix.file_descr, failure) result = "xlchild_ml_fileno"

external disaster_latched : t -> (int, failure) result
  = "xlchild_ml_disaster_latched"

external strerror : int -> string = "xlchild_ml_strerror"
external error_name : int -> string = "xlchild_ml_error_name"
external version : unit -> string = "xlchild_ml_version"
external stage_name : stage -> string = "xlchild_ml_stage_name"
external owner_name : owner -> string = "xlchild_ml_owner_name"
external lost_text : int -> string = "xlchild_ml_lost_text"
external errno_of_error : Unix.error -> int = "xlchild_ml_errno_of_error"
external system_signal : int -> int = "xlchild_ml_system_signal"
external ocaml_signal : int -> int = "xlchild_ml_ocaml_signal"

external setmode : t -> owner -> bool -> bool -> (unit, failure) result
  = "xlchild_ml_setmode"

external exited : t -> int -> Unix.process_status -> (int, failure) result
  = "xlchild_ml_exited"

external sigchld_occurred : t -> (unit, failure) result
  = "xlchild_ml_sigchld_occurred"

external postfork_child_noexec : unit -> unit
  = "xlchild_ml_postfork_child_noexec"

external fork : unit -> int = "xlchild_ml_fork"

external spawn : t -> command -> report -> child -> (unit, failure) result
  = "xlchild_ml_spawn"

external spawn_many :
  t ->
  (command * report * child) array ->
  ((unit, failure) result array, failure) result
  = "xlchild_ml_spawn_many"

external let_go : t -> int -> unit = "xlchild_ml_let_go"
external abandon : t -> int -> unit = "xlchild_ml_abandon"
external in_callback : unit -> bool = "xlchild_ml_in_callback"

external set_starters : t -> int -> (unit, failure) result
  = "xlchild_ml_set_starters"

external wait : t -> int -> int -> (ended, failure) result = "xlchild_ml_wait"

external kill : t -> int -> int -> scope -> (unit, failure) result
  = "xlchild_ml_kill"

external terminate : t -> int -> kill_policy option -> (unit, failure) result
  = "xlchild_ml_terminate"

external detach : t -> int -> (unit, failure) result = "xlchild_ml_detach"
external lookup : t -> Pid.t -> (int, failure) result = "xlchild_ml_lookup"
external count : t -> (int, failure) result = "xlchild_ml_count"
external start_time : Pid.t -> (int, failure) result = "xlchild_ml_start_time"

external adopt :
  t ->
  int ->
  int ->
  Unix.file_descr option ->
  report ->
  child ->
  (unit, failure) result
  = "xlchild_ml_adopt_bytecode" "xlchild_ml_adopt"

external account_take : t -> child -> int = "xlchild_ml_account_take"

external account_drop : t -> int -> bool = "xlchild_ml_account_drop"

external family_new : t -> family_opts -> family -> (unit, failure) result
  = "xlchild_ml_family_new"

external family_free : t -> int -> (unit, failure) result
  = "xlchild_ml_family_free"

external family_sweep : t -> int -> bool = "xlchild_ml_family_sweep"

external family_look : t -> int -> (family_state, failure) result
  = "xlchild_ml_family_look"

external family_wait : t -> int -> int -> (unit, failure) result
  = "xlchild_ml_family_wait"

external family_when_empty : t -> int -> int -> (unit, failure) result
  = "xlchild_ml_family_when_empty"

external family_hold_name : int -> string = "xlchild_ml_family_hold_name"

external family_signal : t -> int -> int -> (unit, failure) result
  = "xlchild_ml_family_signal"

external family_end : t -> int -> int -> int -> (unit, failure) result
  = "xlchild_ml_family_end"

external diagnose : t -> (raw_diagnosis, failure) result
  = "xlchild_ml_diagnose"

external take_events : t -> int -> int -> int -> (unit, failure) result
  = "xlchild_ml_take"

external match_event :
  t -> int -> (event -> bool) -> bool -> (unit, failure) result
  = "xlchild_ml_match"

external register_callbacks : t -> int -> bool -> (unit, failure) result
  = "xlchild_ml_register_callbacks"

external evenable : t -> int -> int -> (int, failure) result
  = "xlchild_ml_evenable"

external evdisable : t -> int -> (unit, failure) result
  = "xlchild_ml_evdisable"

external exec : t -> command -> exec_opts -> int -> (raw_outcome, failure) result
  = "xlchild_ml_exec"

external exec_start : t -> command -> exec_opts -> int -> (unit, failure) result
  = "xlchild_ml_exec_start"

external abort : t -> int -> (unit, failure) result = "xlchild_ml_abort"

external register_loop : t -> bool -> (unit, failure) result
  = "xlchild_ml_register_loop"

external occurred_fd : t -> int -> int -> int -> (unit, failure) result
  = "xlchild_ml_occurred_fd"

external occurred_timeout : t -> int -> (unit, failure) result
  = "xlchild_ml_occurred_timeout"

external beforepoll :
  t -> int -> ((Unix.file_descr * int) array * int, failure) result
  = "xlchild_ml_beforepoll"

external afterpoll :
  t -> (Unix.file_descr * int * int) array -> (unit, failure) result
  = "xlchild_ml_afterpoll"

external getrlimit : int -> int * int = "xlchild_ml_getrlimit"
external error_of_errno : int -> Unix.error = "xlchild_ml_error_of_errno"
external int_of_fd : Unix.file_descr -> int = "%identity"
external poll : Unix.file_descr array -> int -> int array = "xlchild_ml_poll"
external now : unit -> int = "xlchild_ml_now"

(* ---- exceptions of closures ---- *)

(* So many are kept for a context that nobody pumps. *)
let most_raised = 64

let keep t exn backtrace =
  if List.length (Atomic.get t.raised) < most_raised then
    change t.raised (fun l -> (exn, backtrace) :: l)
  else
    prerr_endline
      ("xlchild: too many exceptions in callbacks, this one is lost: "
      ^ Printexc.to_string exn)

let rec raise_kept t =
  match Atomic.get t.raised with
  | [] -> ()
  | kept -> (
      match List.rev kept with
      | [] -> ()
      | (exn, backtrace) :: later ->
          if Atomic.compare_and_set t.raised kept (List.rev later) then
            Printexc.raise_with_backtrace exn backtrace
          else raise_kept t)

(* ---- from C ---- *)

let error_not_ready = -11
let error_fail = -3
let ecanceled = 125

(* A fork replacement that raises in its child must not come back as a second
   parent: the child ends. *)
let call_fork f =
  let parent = Unix.getpid () in
  try f ()
  with exn -> (
    if Unix.getpid () <> parent then Unix._exit 127
    else
      match exn with
      | Unix.Unix_error (error, _, _) -> -errno_of_error error
      | exn -> raise exn)

let kind_of_type = function
  | 4 -> Some Operation_complete_event
  | 32 -> Some Exit_event
  | 33 -> Some Started_event
  | 34 -> Some Stopped_event
  | 35 -> Some Continued_event
  | _ -> None

(* Whoever has the number, if anybody still has. *)
let with_number cell number f =
  Option.iter f (Numbers.find_opt number (Atomic.get cell))

let run_registration t number f = with_number t.registrations number f

let forget_registration t number =
  run_registration t number (fun registration ->
      remove t.registrations number;
      match registration with
      | Watch { forget; _ } -> forget ()
      | Timer { cancel; _ } -> cancel ())

let nothing () = 0

(* Who is told has no number any more, and nothing is raised after that. *)
let told cell number (teller : _ -> _ teller) x =
  match Numbers.find_opt number (Atomic.get cell) with
  | None -> nothing
  | Some it ->
      let tell = teller it x in
      let go () = tell (); 0 in
      remove cell number;
      go

let of_operation t number (teller : operation -> _ teller) x =
  match Numbers.find_opt number (Atomic.get t.operations) with
  | None -> nothing
  | Some operation ->
      let tell = teller operation x in
      fun () -> tell (); 0

(* What is asked, and answered by a number. *)
let ask t = function
  | Fork -> (
      match t.fork with Some f -> call_fork f | None -> -ecanceled)
  | Fd_register (number, fd, events) -> (
      match t.loop with
      | None -> 1
      | Some loop ->
          add t.registrations number (loop.register_fd number fd events);
          0)
  | Fd_modify (number, events) ->
      run_registration t number (function
        | Watch { modify; _ } -> modify events
        | Timer _ -> ());
      0
  | Timeout_register (number, at) -> (
      match t.loop with
      | None -> 1
      | Some loop ->
          add t.registrations number (loop.register_timeout number at);
          0)
  | Timeout_modify number ->
      run_registration t number (function
        | Timer { fire; _ } -> fire ()
        | Watch _ -> ());
      0
  | Fd_deregister number | Timeout_deregister number ->
      forget_registration t number;
      0
  | _ -> 0

(* A closure that calls the host's first of all. *)
let prepare t call =
  match call with
  | Stranger (pid, status) -> (
      match t.stranger with
      | None -> nothing
      | Some f -> (
          fun () ->
            match f pid status with
            | Recognised -> 0
            | Unknown -> error_not_ready
            | Failed -> error_fail))
  | Log (level, error, message) -> (
      match t.log with
      | None -> nothing
      | Some f -> fun () -> f level error message; 0)
  | Occurred event -> (
      match t.occurred with
      | None -> nothing
      | Some f -> fun () -> f event; 0)
  | Disaster (kind, error, message) -> (
      match t.disaster with
      | None -> nothing
      | Some f ->
          let kind = kind_of_type kind in
          fun () -> f kind error message; 0)
  | Report (number, ended) -> told t.reports number Fun.id ended
  | Op_started (number, id, pid) ->
      of_operation t number (fun operation -> operation.on_started id) pid
  | Op_stream (number, stream, data) ->
      of_operation t number (fun operation -> operation.on_data stream) data
  | Op_completed (number, outcome) ->
      told t.operations number (fun operation -> operation.on_complete) outcome
  | Emptied (number, rc) -> told t.emptied number Fun.id rc
  | Fork | Fd_register _ | Fd_modify _ | Timeout_register _
  | Timeout_modify _ | Fd_deregister _ | Timeout_deregister _ ->
      fun () -> ask t call

let prepared (callee : t Weak.t) call =
  match Weak.get callee 0 with
  | None -> ( match call with Fork -> fun () -> -ecanceled | _ -> nothing)
  | Some t -> prepare t call

let is_told = function
  | Stranger _ | Log _ | Occurred _ | Disaster _ | Report _ | Op_started _
  | Op_stream _ | Op_completed _ | Emptied _ ->
      true
  | Fork | Fd_register _ | Fd_modify _ | Timeout_register _
  | Timeout_modify _ | Fd_deregister _ | Timeout_deregister _ ->
      false

(* What C knows as RAISED. *)
let raised = min_int

let caught (callee : t Weak.t) (pumper : t Weak.t) exn =
  let backtrace = Printexc.get_raw_backtrace () in
  match (Weak.get pumper 0, Weak.get callee 0) with
  | Some t, _ | None, Some t -> keep t exn backtrace
  | None, None -> ()

let most_tries = 10

(* A handler that raises before the host's closure is called has that called all
   the same, and what it raised comes out later. Nothing is allocated, so that
   nothing is raised, between the preparation and the call. *)
let rec attempt callee pumper call tries =
  match prepared callee call with
  | tell -> (
      try tell ()
      with exn ->
        caught callee pumper exn;
        raised)
  | exception exn ->
      caught callee pumper exn;
      if tries > 0 && is_told call then
        ignore (attempt callee pumper call (tries - 1) : int);
      raised

(* The callee is the context the callback is of, the pumper the one whose call
   is under way on this thread. *)
let dispatch (callee : t Weak.t) (pumper : t Weak.t) call =
  attempt callee pumper call most_tries

let escaped (pumper : t Weak.t) exn =
  match Weak.get pumper 0 with
  | Some t -> keep t exn (Printexc.get_callstack 0)
  | None -> prerr_endline ("xlchild: " ^ Printexc.to_string exn)

let () =
  Callback.register "xlchild.dispatch" dispatch;
  Callback.register "xlchild.escaped" escaped
