(* children.ml - starting, waiting, killing, adopting *)

open Types
open Errors
open Handover

type report =
  | Hold
  | Event of int
  | Callback of (ended -> unit)
  | Silent

module Child = struct
  type t = Raw.child

  let pid (child : t) = Pid.known child.pid
  let id (child : t) = child.id
  let context (child : t) = child.context

  (* It is taken once, by whichever thread comes first, and kept here. Letting
     go of the child would drop it. *)
  let take_account (child : t) =
    if child.accounted && child.child_account = None then
      ignore (Raw.account_take child.context child)

  let known (child : t) ended =
    take_account child;
    child.child_ended <- Some ended;
    (* whoever waits, too, finds it here *)
    if not child.kept then ignore (Raw.detach child.context child.id)

  (* Several threads may ask: the first one lets the library's record go, and the
     others are told what it was told. Until then it stays there, whatever is
     raised here. *)
  let ask child timeout =
    match Raw.wait child.Raw.context child.id timeout with
    | Ok ended ->
        known child ended;
        Ok ended
    | Result.Error _ as e -> (
        match child.child_ended with Some ended -> Ok ended | None -> e)

  let wait_result ?timeout ?(keep = false) (child : t) =
    Raw.raise_kept child.context;
    if keep then child.kept <- true;
    match child.child_ended with
    | Some ended -> Ok ended
    | None ->
        plain
          (pumping child.context ~save:forget (fun () ->
               ask child (timeout_of timeout)))

  let wait ?timeout ?keep child = get (wait_result ?timeout ?keep child)

  let poll child =
    match wait_result ~timeout:0. child with
    | Ok ended -> Some ended
    | Result.Error { code = Timed_out; _ } -> None
    | Result.Error e -> raise (Error e)

  (* Another thread has taken it, and is on its way back. *)
  let rec when_taken (child : t) looks =
    if child.child_account = None && looks > 0 then begin
      ignore (Raw.poll [||] 1);
      when_taken child (looks - 1)
    end

  let most_looks = 1000 (* a millisecond each *)

  let account (child : t) =
    take_account child;
    if child.accounted && child.child_ended <> None then
      when_taken child most_looks;
    child.child_account

  let kill_result ?(scope = Process) (child : t) signal =
    plain (Raw.kill child.context child.id signal scope)

  let kill ?scope child signal = get (kill_result ?scope child signal)

  let terminate_result ?policy (child : t) =
    checked child.context (Raw.terminate child.context child.id policy)

  let terminate ?policy child = get (terminate_result ?policy child)

  let detach_result (child : t) =
    child.kept <- false;
    let result = plain (Raw.detach child.context child.id) in
    if Result.is_ok result && child.report_number <> 0 then
      Raw.remove child.context.reports child.report_number;
    result

  let detach child = get (detach_result child)
end

(* The report as C takes it, and the number of its closure. *)
let raw_report (t : Raw.t) child : report -> Raw.report * int = function
  | Hold -> (Raw.Hold, 0)
  | Silent -> (Raw.Silent, 0)
  | Event tag -> (Raw.Event tag, 0)
  | Callback f ->
      let number = Raw.fresh () in
      Raw.add t.reports number
        (fun ended ->
          if child.Raw.accounted then Child.take_account child;
          fun () -> f ended);
      (Raw.Callback number, number)

let drop_report (t : Raw.t) number =
  if number <> 0 then Raw.remove t.reports number

(* A held child whose handle is gone is nobody's to ask for. The collector may
   come anywhere, also in a closure that must not call the library. *)
let let_go (child : Raw.child) =
  if (child.kept || child.child_ended = None) && child.id <> 0 then
    if Raw.in_callback () then
      Raw.change child.context.dropped (fun l -> child.id :: l)
    else Raw.let_go child.context child.id

(* One whose end is an event is told of without its handle; its account is not. *)
let forget_account (child : Raw.child) =
  if child.child_account = None && child.id <> 0 then
    Raw.change child.context.unasked (fun u ->
        { u with ids = child.id :: u.ids })

(* Looked at when there are twice as many as lived the last time. *)
let drop_accounts (t : Raw.t) =
  let u = Atomic.get t.unasked in
  if
    List.compare_length_with u.ids (2 * u.lived) > 0
    && Atomic.compare_and_set t.unasked u { u with ids = [] }
  then begin
    let live = List.filter (fun id -> not (Raw.account_drop t id)) u.ids in
    Raw.change t.unasked (fun newer ->
        { lived = List.length live; ids = live @ newer.ids })
  end

let let_dropped_go (t : Raw.t) =
  if not (Raw.in_callback ()) then drop_accounts t;
  if Atomic.get t.dropped <> [] && not (Raw.in_callback ()) then
    List.iter
      (fun id -> ignore (Raw.detach t id))
      (Atomic.exchange t.dropped [])

let new_child ?(accounted = false) context : Raw.child =
  { context; id = 0; pid = 0; child_account = None; accounted;
    report_number = 0; child_ended = None; kept = false }

let held_child context accounted =
  let child = new_child context ~accounted in
  Gc.finalise let_go child;
  child

let event_child context accounted =
  let child = new_child context ~accounted in
  if accounted then Gc.finalise forget_account child;
  child

let child_for ?(accounted = false) t : report -> Raw.child = function
  | Hold -> held_child t accounted
  | Event _ -> event_child t accounted
  | Silent | Callback _ -> new_child t ~accounted

let child_of t command report =
  child_for t report ~accounted:(Command.is_accounted command)

(* Of one that is started nobody knows when this is called: it is ended. *)
let abandon (child : Raw.child) =
  Raw.abandon child.context child.id;
  drop_report child.context child.report_number

let start_into child t command report =
  let_dropped_go t;
  let raw, number = raw_report t child report in
  child.Raw.report_number <- number;
  match Raw.spawn t command raw child with
  | Ok () -> Ok ()
  | Result.Error _ as e ->
      drop_report t number;
      about command (checked t e)

let start_result ?(report = Hold) t command =
  handed_over_result (child_of t command report) ~undo:abandon (fun child ->
      start_into child t command report)

let start ?(report = Hold) t command =
  handed_over (child_of t command report) ~undo:abandon (fun child ->
      start_into child t command report)

let not_started command (ended : ended) =
  match ended.failure with
  | None -> None
  | Some (stage, errno) -> (
      let error =
        {
          code = Spawn_failed;
          stage;
          errno;
          argument = None;
          program = None;
          path = None;
        }
      in
      match about command (Result.Error error) with
      | Ok () -> None
      | Result.Error e -> Some e)

(* Ends it, if need be, and takes its result; it may have been detached. *)
let finish child =
  let ended =
    match Child.wait_result ~timeout:0. child with
    | Result.Error { code = Timed_out; _ } ->
        Result.bind (Child.terminate_result child) (fun () ->
            Child.wait_result child)
    | result -> result
  in
  match ended with
  | Ok _ -> if child.Raw.kept then ignore (Child.detach_result child)
  | Result.Error { code = Not_found; _ } -> ()
  | Result.Error e -> raise (Error e)

(* As in with_context: the outer handler begins with what ends the child, and
   that does nothing to one that has been reaped. *)
let with_child t command f =
  let child = start t command in
  match
    match f child with
    | x ->
        finish child;
        x
    | exception exn ->
        let backtrace = Printexc.get_raw_backtrace () in
        (try finish child with _ -> ());
        Printexc.raise_with_backtrace exn backtrace
  with
  | x -> x
  | exception exn ->
      Raw.abandon t child.id;
      raise exn

let start_many t batch =
  let_dropped_go t;
  let children =
    Array.of_list
      (List.map (fun (command, report) -> child_of t command report) batch)
  in
  try
    let prepared =
      Array.of_list
        (List.mapi
           (fun i (command, report) ->
             let raw, number = raw_report t children.(i) report in
             children.(i).report_number <- number;
             (command, raw, children.(i)))
           batch)
    in
    match Raw.spawn_many t prepared with
    | Result.Error _ as e ->
        Array.iter
          (fun (child : Raw.child) -> drop_report t child.report_number)
          children;
        get (checked t e)
    | Ok results ->
        Array.to_list
          (Array.mapi
             (fun i result ->
               let command, _, (child : Raw.child) = prepared.(i) in
               match result with
               | Ok () -> Ok child
               | Result.Error failure ->
                   drop_report t child.report_number;
                   about command (Result.Error (error_of failure)))
             results)
  with exn ->
    Array.iter abandon children;
    raise exn

let set_starters_result t n = plain (Raw.set_starters t n)
let set_starters t n = get (set_starters_result t n)

let find t pid =
  match Raw.lookup t pid with
  | Ok id -> Some { (new_child t) with id; pid = (pid :> int) }
  | Result.Error { rc = -23; _ } -> None
  | Result.Error e -> raise (Error (error_of e))

type identity =
  | By_start_time of { pid : Pid.t; start_time : int }
  | By_pidfd of Unix.file_descr

let start_time_result pid = plain (Raw.start_time pid)
let start_time pid = get (start_time_result pid)

(* What the kernel says of the pidfd; -1 for what is none, or is reaped. *)
let pid_of_pidfd fd =
  match open_in (Printf.sprintf "/proc/self/fdinfo/%d" (Raw.int_of_fd fd)) with
  | exception Sys_error _ -> -1
  | file ->
      let rec find () =
        match Scanf.sscanf (input_line file) "Pid: %d" Fun.id with
        | pid -> pid
        | exception (Scanf.Scan_failure _ | Failure _) -> find ()
      in
      Fun.protect
        ~finally:(fun () -> close_in file)
        (fun () -> try find () with End_of_file -> -1)

let adopt_into child (t : Raw.t) identity report =
  let_dropped_go t;
  let raw, number = raw_report t child report in
  child.Raw.report_number <- number;
  let pid, ticks, pidfd =
    match identity with
    | By_start_time { pid; start_time } -> ((pid :> int), start_time, None)
    | By_pidfd fd -> (pid_of_pidfd fd, 0, Some fd)
  in
  match Raw.adopt t pid ticks pidfd raw child with
  | Ok () -> Ok ()
  | Result.Error _ as e ->
      drop_report t number;
      checked t e

(* It lives on, and stays watched: [find] has it. *)
let give_back (child : Raw.child) = child.id <- 0

let adopt_result ?(report = Hold) t identity =
  handed_over_result (child_for t report) ~undo:give_back (fun child ->
      adopt_into child t identity report)

let adopt ?(report = Hold) t identity =
  handed_over (child_for t report) ~undo:give_back (fun child ->
      adopt_into child t identity report)
