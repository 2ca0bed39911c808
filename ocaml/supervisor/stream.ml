(* stream.ml - events, kept until somebody asks for them

   Given to the host by xlchild_supervisor.ml. *)

type t = {
  lock : Mutex.t;
  changed : Condition.t;
  events : Types.event Queue.t;
}

let create () =
  {
    lock = Mutex.create ();
    changed = Condition.create ();
    events = Queue.create ();
  }

let locked t f =
  Mutex.lock t.lock;
  Fun.protect ~finally:(fun () -> Mutex.unlock t.lock) f

let push t event =
  locked t (fun () ->
      Queue.add event t.events;
      Condition.signal t.changed)

let next t =
  locked t (fun () ->
      while Queue.is_empty t.events do
        Condition.wait t.changed t.lock
      done;
      Queue.take t.events)

let next_opt t = locked t (fun () -> Queue.take_opt t.events)
