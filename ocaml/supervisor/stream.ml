(* stream.ml - events, kept until somebody asks for them

   Given to the host by xlchild_supervisor.ml. An event is taken when nothing
   more is allocated: what a handler raises loses none. *)

open Xlchild_syslog

type t = { lock : Mutex.t; changed : Bell.t; events : Types.event Queue.t }

let create () =
  {
    lock = Mutex.create ();
    changed = Bell.make ();
    events = Queue.create ();
  }

let locked t f = Elsewhere.locked t.lock f

let push t event =
  locked t (fun () -> Queue.add event t.events);
  Bell.ring t.changed

let rec next t =
  let count = Bell.count t.changed in
  match locked t (fun () -> Queue.take t.events) with
  | event -> event
  | exception Queue.Empty ->
      Bell.wait t.changed count;
      next t

let next_opt t =
  locked t (fun () ->
      match Queue.peek_opt t.events with
      | None -> None
      | some ->
          ignore (Queue.take t.events);
          some)
