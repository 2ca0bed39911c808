(* family.ml - a child's whole family, held

   Xlchild.Family; its words are in family_type.ml. A command names one
   (command.ml), and run.ml makes one for a run alone. *)

open Types
open Errors
include Family_type

type t = Raw.family

(* ---- arguments ---- *)

let wrong argument =
  Result.Error
    {
      code = Invalid;
      stage = No_stage;
      errno = None;
      argument = Some argument;
      program = None;
      path = None;
    }

let most_signal = 64

(* As the system numbers it. *)
let signal_of number =
  let number = Raw.system_signal number in
  if number < 0 || number > most_signal then wrong "signal" else Ok number

let grace_of seconds =
  if seconds >= 0. then Ok (milliseconds seconds) else wrong "grace"

let number_of_hold = function Group -> 1 | Keeper -> 2 | Cgroup -> 3

let holds_of = function
  | None -> Ok 0
  | Some [] -> wrong "holds"
  | Some holds ->
      Ok
        (List.fold_left
           (fun bits hold -> bits lor Raw.bit (number_of_hold hold))
           0 holds)

let parent_of = function
  | Some path when path = "" || path.[0] <> '/' || String.contains path '\000'
    ->
      wrong "cgroup_parent"
  | parent -> Ok parent

let number_of_policy = function
  | Never -> 0
  | On_timeout -> 1
  | On_failure -> 2
  | Always -> 3

let ( let* ) = Result.bind

let options ?(policy = Never) ?(signal = Sys.sigkill) ?(grace = 0.) ?holds
    ?cgroup_parent () =
  let* end_signal = signal_of signal in
  let* end_grace_ms = grace_of grace in
  let* holds = holds_of holds in
  let* cgroup_parent = parent_of cgroup_parent in
  Ok
    {
      Raw.end_when = number_of_policy policy;
      end_signal;
      end_grace_ms;
      holds;
      cgroup_parent;
    }

(* ---- making and letting go ---- *)

(* One whose handle is gone: the collector may come anywhere, also where the
   library may not be called. *)
let forget_it (family : t) =
  if family.family_id <> 0 then
    Raw.change family.of_context.forgotten (fun l -> family.family_id :: l)

(* A number that is forgotten twice names nobody the second time. *)
let sweep (context : Raw.t) =
  List.iter
    (fun id ->
      if Raw.family_sweep context id then
        Raw.change context.forgotten (List.filter (( <> ) id)))
    (Atomic.get context.forgotten)

let unmade context : t =
  let family =
    { Raw.of_context = context; family_id = 0; family_cgroup = None }
  in
  Gc.finalise forget_it family;
  family

let make_into (family : t) options =
  let context = family.of_context in
  sweep context;
  let* options = options in
  match checked context (Raw.family_new context options family) with
  | Result.Error ({ code = Not_implemented; _ } as e) ->
      Result.Error { e with argument = Some "holds" }
  | result -> result

(* Nothing is raised here before it is let go. *)
let abandon (family : t) =
  match Raw.family_free family.of_context family.family_id with
  | Ok () -> family.family_id <- 0
  | Result.Error _ -> ()

let create_result ?policy ?signal ?grace ?holds ?cgroup_parent context =
  let options = options ?policy ?signal ?grace ?holds ?cgroup_parent () in
  Handover.handed_over_result (unmade context) ~undo:abandon (fun family ->
      make_into family options)

let create ?policy ?signal ?grace ?holds ?cgroup_parent context =
  let options = options ?policy ?signal ?grace ?holds ?cgroup_parent () in
  Handover.handed_over (unmade context) ~undo:abandon (fun family ->
      make_into family options)

let close_result (family : t) =
  let result =
    checked family.of_context
      (Raw.family_free family.of_context family.family_id)
  in
  if Result.is_ok result then family.family_id <- 0;
  result

let close family = get (close_result family)

(* As in with_context: whatever is raised where, it is let go. *)
let with_family ?policy ?signal ?grace ?holds ?cgroup_parent context f =
  let family = create ?policy ?signal ?grace ?holds ?cgroup_parent context in
  match
    match f family with
    | x -> (
        match close_result family with
        | Ok () | Result.Error { code = Not_found | Closed; _ } -> x
        | Result.Error e -> raise (Error e))
    | exception exn ->
        let backtrace = Printexc.get_raw_backtrace () in
        (try ignore (close_result family) with _ -> ());
        Printexc.raise_with_backtrace exn backtrace
  with
  | x -> x
  | exception exn ->
      abandon family;
      raise exn

(* ---- asking ---- *)

let hold_of = function
  | 1 -> Some Group
  | 2 -> Some Keeper
  | 3 -> Some Cgroup
  | _ -> None

let state_of (s : Raw.family_state) =
  {
    hold = hold_of s.held_by;
    why = s.no_better;
    started = s.was_started;
    empty = s.is_empty;
    ending = s.is_ending;
    pid = (if s.of_pid > 0 then Some (Pid.known s.of_pid) else None);
  }

let look_result (family : t) =
  Result.map state_of
    (plain (Raw.family_look family.of_context family.family_id))

let look family = get (look_result family)
let is_empty family = (look family).empty
let cgroup (family : t) = family.family_cgroup

(* In C a family is a number. Until this is called, it is not forgotten. *)
let stays (family : t) = ignore (Sys.opaque_identity family)

let wait_result ?timeout (family : t) =
  let timeout = timeout_of timeout in
  plain
    (pumping family.of_context ~save:forget (fun () ->
         let answer =
           Raw.family_wait family.of_context family.family_id timeout
         in
         stays family;
         answer))

let wait ?timeout family = get (wait_result ?timeout family)

let answer_of = function
  | 0 -> Ok ()
  | rc ->
      Result.Error
        (error_of
           {
             rc;
             raw_stage = No_stage;
             raw_errno = None;
             raw_argument = None;
           })

(* The closure has it, so that it is not forgotten meanwhile. *)
let told_when_empty (family : t) teller =
  let context = family.of_context in
  let number = Raw.fresh () in
  Raw.add context.emptied number (fun rc ->
      stays family;
      teller (answer_of rc));
  match Raw.family_when_empty context family.family_id number with
  | Ok () -> Ok ()
  | Result.Error _ as e ->
      Raw.remove context.emptied number;
      checked context e

let when_empty_result family f =
  told_when_empty family (fun answer () -> f answer)

let when_empty family f = get (when_empty_result family f)

(* ---- ending ---- *)

(* Of one that was closed, too, that is what the library answers. *)
let somebody (family : t) result =
  match checked family.of_context result with
  | Ok () -> Ok true
  | Result.Error { code = Not_found; _ } when family.family_id <> 0 -> Ok false
  | Result.Error _ as e -> e

let signal_result (family : t) number =
  let* number = signal_of number in
  somebody family
    (Raw.family_signal family.of_context family.family_id number)

let signal family number = get (signal_result family number)

let stop_result ?(signal = Sys.sigkill) ?(grace = 0.) (family : t) =
  let* signal = signal_of signal in
  let* grace = grace_of grace in
  somebody family
    (Raw.family_end family.of_context family.family_id signal grace)

let stop ?signal ?grace family = get (stop_result ?signal ?grace family)

(* ---- printing ---- *)

let hold_text hold = Raw.family_hold_name (number_of_hold hold)

let to_string family =
  match look_result family with
  | Result.Error _ -> "family (closed)"
  | Ok s ->
      Printf.sprintf "family of %s by %s: %s"
        (match s.pid with
        | None -> "nobody"
        | Some pid -> string_of_int (pid :> int))
        (match s.hold with None -> "nothing" | Some hold -> hold_text hold)
        (if not s.started then "not started"
        else if s.empty then "empty"
        else if s.ending then "ending"
        else "alive")

let pp formatter family = Format.pp_print_string formatter (to_string family)
