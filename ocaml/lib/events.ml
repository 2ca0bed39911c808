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

(* Everything that C took is in the stash, and goes from there to the host by one
   compare-and-set, with nothing that could raise after it: an exception at any
   moment, of a signal handler say, leaves the events for the next call. *)

(* Up to [max] events that are wanted, and the stash without them. *)
let pick batches ~kinds ~filter max =
  let taken, left, _ =
    List.fold_left
      (List.fold_left (fun (taken, left, n) event ->
           if n < max && wanted kinds filter event then
             (event :: taken, left, n + 1)
           else (taken, event :: left, n)))
      ([], [], 0) (List.rev batches)
  in
  (List.rev taken, match left with [] -> [] | left -> [ List.rev left ])

(* [Some (make events)]; [None] where none is there. *)
let rec hand_over (t : Raw.t) ~kinds ~filter max make =
  match Atomic.get t.stash with
  | [] -> None
  | old -> (
      match pick old ~kinds ~filter max with
      | [], _ -> None
      | events, left ->
          let answer = Some (make events) in
          if Atomic.compare_and_set t.stash old left then answer
          else hand_over t ~kinds ~filter max make)

(* [timeout] in ms, -1 for ever. Returns when there may be some in the stash. *)
let fill t ~kinds ~filter ~max timeout =
  plain
    (pumping t ~save:forget (fun () ->
         match filter with
         | None -> Raw.take_events t max (mask_of kinds) timeout
         | Some filter ->
             Raw.match_event t (mask_of kinds) filter (timeout <> 0)))

let forever = infinity

(* What is there, else what comes until [deadline]; [none] after that. [make] and
   [fail] make answers. *)
let rec take t ~kinds ~filter ~max ~deadline ~make ~none ~fail =
  Raw.raise_kept t;
  match hand_over t ~kinds ~filter max make with
  | Some answer -> answer
  | None -> (
      let now = if deadline = forever then 0. else float (Raw.now ()) *. 1e-9 in
      let left =
        if deadline = forever then -1 else milliseconds (deadline -. now)
      in
      match fill t ~kinds ~filter ~max left with
      | Result.Error e -> fail e
      | Ok () -> (
          match hand_over t ~kinds ~filter max make with
          | Some answer -> answer
          | None ->
              if left = 0 then none
              else take t ~kinds ~filter ~max ~deadline ~make ~none ~fail))

let deadline_of = function
  | None -> forever
  | Some s when s = infinity -> forever
  | Some s ->
      ignore (milliseconds s);
      if s <= 0. then neg_infinity else (float (Raw.now ()) *. 1e-9) +. s

let raise_it e = raise (Error e)

let check ?kinds ?filter t =
  take t ~kinds ~filter ~max:1 ~deadline:neg_infinity
    ~make:(fun l -> Some (List.hd l))
    ~none:None ~fail:raise_it

let check_result ?kinds ?filter t =
  take t ~kinds ~filter ~max:1 ~deadline:neg_infinity
    ~make:(fun l -> Ok (Some (List.hd l)))
    ~none:(Ok None)
    ~fail:(fun e -> Result.Error e)

(* What has no end answers nothing else. *)
let rec wait ?kinds ?filter t =
  match
    take t ~kinds ~filter ~max:1 ~deadline:forever
      ~make:(fun l -> l)
      ~none:[] ~fail:raise_it
  with
  | event :: _ -> event
  | [] -> wait ?kinds ?filter t

let wait_result ?kinds ?filter t =
  take t ~kinds ~filter ~max:1 ~deadline:forever
    ~make:(fun l -> Ok (List.hd l))
    ~none:
      (Result.Error
         (error_of
            { rc = -9; raw_stage = No_stage; raw_errno = None;
              raw_argument = None }))
    ~fail:(fun e -> Result.Error e) [@@ocamlformat "disable"]

let check_max max = if max < 1 then invalid_arg "Xlchild.wait_many: max"

let wait_many ?kinds ?timeout ?(max = 64) t =
  check_max max;
  take t ~kinds ~filter:None ~max ~deadline:(deadline_of timeout)
    ~make:Fun.id ~none:[] ~fail:raise_it

let wait_many_result ?kinds ?timeout ?(max = 64) t =
  check_max max;
  take t ~kinds ~filter:None ~max ~deadline:(deadline_of timeout)
    ~make:Result.ok ~none:(Ok [])
    ~fail:(fun e -> Result.Error e)

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

let evenable_exit_result ?pid ~tag t =
  let pid = Option.fold pid ~none:0 ~some:(fun (p : Pid.t) -> (p :> int)) in
  Result.map
    (fun number -> { of_context = t; number })
    (plain (Raw.evenable t pid tag))

let evenable_exit ?pid ~tag t = get (evenable_exit_result ?pid ~tag t)
let evdisable_result e = plain (Raw.evdisable e.of_context e.number)
let evdisable e = get (evdisable_result e)
