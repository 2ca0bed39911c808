(* machine.ml - the life of one service, as a pure state machine

   Called by loop.ml, which feeds it and does what it answers; policy.ml says
   when to start again.

       Stopped/Failed --Start--> Launching --Launched--> Starting --Is_ready-->
       Running --Has_ended--> Waiting --Tick--> Launching ...

   [wanted] is what was asked for last. A stop that meets Launching is done when
   the pid is known; a start that meets Stopping, when the process has ended. *)

open Types

type phase =
  | Idle of { failed : bool }
  | Launching
  | Coming of { pid : Xlchild.Pid.t; deadline : float option }
  | Up of { pid : Xlchild.Pid.t; since : float }
  | Going of { pid : Xlchild.Pid.t; cause : cause }
  | Pausing of float  (* until then *)

type t = {
  service : Service.t;
  phase : phase;
  wanted : bool;
  history : Policy.history;
}

let make service =
  {
    service;
    phase = Idle { failed = false };
    wanted = false;
    history = Policy.fresh;
  }

let state t =
  match t.phase with
  | Idle { failed = false } -> Stopped
  | Idle { failed = true } -> Failed
  | Launching | Coming _ -> Starting
  | Up _ -> Running
  | Going _ -> Stopping
  | Pausing _ -> Waiting

let pid t =
  match t.phase with
  | Coming { pid; _ } | Up { pid; _ } | Going { pid; _ } -> Some pid
  | Idle _ | Launching | Pausing _ -> None

let is_ready t = match t.phase with Up _ -> true | _ -> false

let due t =
  match t.phase with
  | Coming { deadline; _ } -> deadline
  | Pausing until -> Some until
  | Idle _ | Launching | Up _ | Going _ -> None

type input =
  | Start
  | Stop
  | Launched of Xlchild.Pid.t
  | Not_launched of Xlchild.error
  | Adopt of { pid : Xlchild.Pid.t; ready : bool }
  | Is_ready
  | Has_ended of ending
  | Tick

type action = Launch | Terminate | Tell of what

let launch t = ({ t with phase = Launching; wanted = true }, [ Launch ])
let idle t ~failed = ({ t with phase = Idle { failed } }, [])

(* It is not running, and nobody asked for that. *)
let again t ~now ~failed ~ready_for =
  let decision, history =
    Policy.decide t.service.restart t.history ~now ~failed ~ready_for
  in
  let t = { t with history } in
  match decision with
  | Leave -> idle t ~failed
  | Give_up -> ({ t with phase = Idle { failed = true } }, [ Tell Given_up ])
  | Start_in wait ->
      ( { t with phase = Pausing (now +. wait) },
        [ Tell (Starting_again_in wait) ] )

let coming t ~now pid =
  match t.service.readiness with
  | At_once ->
      ({ t with phase = Up { pid; since = now } }, [ Tell Ready ])
  | Line _ | Newline_on _ | File _ ->
      let deadline = Some (now +. t.service.ready_within) in
      ({ t with phase = Coming { pid; deadline } }, [])

let start t =
  match t.phase with
  | Idle _ | Pausing _ -> launch { t with history = Policy.fresh }
  | Launching | Coming _ | Up _ | Going _ -> ({ t with wanted = true }, [])

let stop t =
  let t = { t with wanted = false } in
  match t.phase with
  | Idle _ | Pausing _ -> idle t ~failed:false
  | Coming { pid; _ } | Up { pid; _ } ->
      ({ t with phase = Going { pid; cause = Told_to } }, [ Terminate ])
  | Launching | Going _ -> (t, [])

let launched t ~now pid =
  if t.wanted then
    let t, more = coming t ~now pid in
    (t, Tell (Started { pid }) :: more)
  else
    ( { t with phase = Going { pid; cause = Told_to } },
      [ Tell (Started { pid }); Terminate ] )

let not_launched t ~now error =
  let told = Tell (Not_started error) in
  if t.wanted then
    let t, more = again t ~now ~failed:true ~ready_for:0. in
    (t, told :: more)
  else
    let t, more = idle t ~failed:false in
    (t, told :: more)

(* One that is found before it was ready may have said so to nobody: it is
   not stopped for being late. *)
let adopt t ~now ~pid ~ready =
  let phase =
    if ready || t.service.readiness = At_once then Up { pid; since = now }
    else Coming { pid; deadline = None }
  in
  ({ t with phase; wanted = true }, [ Tell (Adopted { pid }) ])

let has_ended t ~now ending =
  let after ~pid ~cause ~ready_for =
    let failed =
      ending <> Status (Unix.WEXITED 0) || cause = Not_ready
    in
    let t, more =
      match cause with
      | _ when not t.wanted -> idle t ~failed:false
      | Told_to -> launch { t with history = Policy.fresh }
      | By_itself | Not_ready -> again t ~now ~failed ~ready_for
    in
    (t, Tell (Ended { pid; ending; cause }) :: more)
  in
  match t.phase with
  | Coming { pid; _ } -> after ~pid ~cause:By_itself ~ready_for:0.
  | Up { pid; since } -> after ~pid ~cause:By_itself ~ready_for:(now -. since)
  | Going { pid; cause } -> after ~pid ~cause ~ready_for:0.
  | Idle _ | Launching | Pausing _ -> (t, [])

let tick t ~now =
  match t.phase with
  | Coming { pid; deadline = Some deadline } when now >= deadline ->
      ( { t with phase = Going { pid; cause = Not_ready } },
        [ Tell Ready_too_late; Terminate ] )
  | Pausing until when now >= until -> launch t
  | _ -> (t, [])

let step ~now t input =
  match (input, t.phase) with
  | Start, _ -> start t
  | Stop, _ -> stop t
  | Launched pid, Launching -> launched t ~now pid
  | Not_launched error, Launching -> not_launched t ~now error
  | Adopt { pid; ready }, Idle _ -> adopt t ~now ~pid ~ready
  | Is_ready, Coming { pid; _ } ->
      ({ t with phase = Up { pid; since = now } }, [ Tell Ready ])
  | Has_ended ending, _ -> has_ended t ~now ending
  | Tick, _ -> tick t ~now
  | (Launched _ | Not_launched _ | Adopt _ | Is_ready), _ -> (t, [])
