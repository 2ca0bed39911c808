(* events.ml - taking events, waiting for them, hooks for them *)

open Types
open Errors

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
      List.fold_left (fun m kind -> m lor Raw.bit (type_of_kind kind)) 0 kinds

let wanted kinds filter event =
  (match kinds with
  | None -> true
  | Some kinds -> List.mem (kind_of_event event) kinds)
  && match filter with None -> true | Some f -> f event

let stash (t : Raw.t) events =
  if events <> [] then Raw.change t.stash (fun old -> old @ events)

(* Up to [max] of the events that a raising call had to leave here. *)
let rec unstash (t : Raw.t) ~kinds ~filter max =
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
  | _ :: _ as events -> Ok events
  | [] ->
      plain
        (pumping t
           ~save:(function Ok l -> stash t l | Result.Error _ -> ())
           (fun () -> Raw.take_events t max (mask_of kinds) timeout))

let take_matching t ~kinds ~filter block =
  Raw.raise_kept t;
  match unstash t ~kinds ~filter:(Some filter) 1 with
  | event :: _ -> Ok (Some event)
  | [] ->
      plain
        (pumping t
           ~save:(function
             | Ok event -> stash t (Option.to_list event)
             | Result.Error _ -> ())
           (fun () -> Raw.match_event t (mask_of kinds) filter block))

(* One event, if there is one: after [timeout] ms, -1 for ever. *)
let take_one ?kinds ?filter t timeout =
  match filter with
  | Some filter -> take_matching t ~kinds ~filter (timeout <> 0)
  | None ->
      Result.map
        (function event :: _ -> Some event | [] -> None)
        (take t ~kinds ~max:1 timeout)

let check_result ?kinds ?filter t = take_one ?kinds ?filter t 0
let check ?kinds ?filter t = get (check_result ?kinds ?filter t)

let rec wait_result ?kinds ?filter t =
  match take_one ?kinds ?filter t (-1) with
  | Ok (Some event) -> Ok event
  | Ok None -> wait_result ?kinds ?filter t
  | Result.Error _ as e -> e

let wait ?kinds ?filter t = get (wait_result ?kinds ?filter t)

let rec wait_many_result ?kinds ?timeout ?(max = 64) t =
  match take t ~kinds ~max (timeout_of timeout) with
  | Ok [] when timeout = None -> wait_many_result ?kinds ~max t
  | result -> result

let wait_many ?kinds ?timeout ?max t =
  get (wait_many_result ?kinds ?timeout ?max t)

let on_events ?kinds ?occurred ?disaster (t : Raw.t) =
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

type evenable = { of_context : Raw.t; number : int }

let evenable_exit_result ?(pid = 0) ~tag t =
  Result.map
    (fun number -> { of_context = t; number })
    (plain (Raw.evenable t pid tag))

let evenable_exit ?pid ~tag t = get (evenable_exit_result ?pid ~tag t)
let evdisable_result e = plain (Raw.evdisable e.of_context e.number)
let evdisable e = get (evdisable_result e)
