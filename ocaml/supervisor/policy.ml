(* policy.ml - when a service that ended is started again

   Called by machine.ml, which owns a history a service. Pure. *)

type back_off = {
  first : float;
  factor : float;
  most : float;
  settled : float;
  restarts : int;
  within : float;
}

let back_off ?(first = 0.5) ?(factor = 2.) ?(most = 30.) ?(settled = 60.)
    ?(restarts = 100) ?(within = 3600.) () =
  let demand name holds =
    if not holds then invalid_arg ("Xlchild_supervisor.Policy.back_off: " ^ name)
  in
  (* false also for nan *)
  demand "first" (first >= 0. && first < infinity);
  demand "factor" (factor >= 1. && factor < infinity);
  demand "most" (most >= first);
  demand "settled" (settled >= 0.);
  demand "restarts" (restarts >= 0);
  demand "within" (within >= 0.);
  { first; factor; most; settled; restarts; within }

type restart = Never | On_failure of back_off | Always of back_off

(* [starts]: when it was started again, the newest first, not beyond [within]
   and so never more than [restarts]. *)
type history = { failures : int; starts : float list }

let fresh = { failures = 0; starts = [] }

type decision = Leave | Start_in of float | Give_up

let delay b failures =
  Float.min b.most (b.first *. (b.factor ** float_of_int failures))

let again b history ~now ~ready_for =
  let failures =
    if ready_for > 0. && ready_for >= b.settled then 0 else history.failures
  in
  let starts = List.filter (fun at -> at > now -. b.within) history.starts in
  if List.length starts >= b.restarts then (Give_up, { failures; starts })
  else
    let wait = delay b failures in
    ( Start_in wait,
      { failures = failures + 1; starts = (now +. wait) :: starts } )

let decide restart history ~now ~failed ~ready_for =
  match restart with
  | Never -> (Leave, history)
  | On_failure _ when not failed -> (Leave, history)
  | On_failure b | Always b -> again b history ~now ~ready_for
