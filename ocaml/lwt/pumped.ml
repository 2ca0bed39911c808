(* pumped.ml - a context in Lwt's loop

   One watch on the context's descriptor pumps it; what it tells resolves promises
   from there. Used by xlchild_lwt.ml and families.ml. *)

open Lwt.Infix

type t = {
  ctx : Xlchild.t;
  watch : Lwt_engine.event;
  owner : int;  (* the pid of the process that made it *)
  due : (unit -> unit) Queue.t;
      (* promises to resolve once the call of the library is over: what waits
         for them may close the context *)
}

let resolve_due due =
  while not (Queue.is_empty due) do
    (Queue.take due) ()
  done

let is_usable ctx =
  match Xlchild.count ctx with _ -> true | exception Xlchild.Error _ -> false

(* What a closure raised is told, and it goes on; so is, once, the refusal of a
   context that cannot be used any more. *)
let rec pump ctx due ~stop =
  match Xlchild.check ctx with
  | Some _ -> pump ctx due ~stop
  | None -> resolve_due due
  | exception Xlchild.Error { code = Closed; _ } ->
      stop ();
      resolve_due due
  | exception exn ->
      let usable = is_usable ctx in
      if not usable then stop ();
      !Lwt.async_exception_hook exn;
      if usable then pump ctx due ~stop

(* Whatever a handler raises meanwhile, nothing is left open. *)
let create ?owner ?min_level ?log () =
  let due = Queue.create () in
  let maker = Unix.getpid () in
  let ctx = Xlchild.create ?owner ?min_level ?log () in
  match
    let watch =
      Lwt_engine.on_readable (Xlchild.fileno ctx) (fun event ->
          let stop () = Lwt_engine.stop_event event in
          (* in a child of fork it is the parent's *)
          if Unix.getpid () <> maker then stop () else pump ctx due ~stop)
    in
    match { ctx; due; watch; owner = maker } with
    | t -> t
    | exception exn ->
        Lwt_engine.stop_event watch;
        raise exn
  with
  | t -> t
  | exception exn ->
      Xlchild.close ctx;
      raise exn

(* Reports may come while a child is being started. *)
let resolve_soon t =
  if not (Queue.is_empty t.due) then
    Lwt.async (fun () ->
        Lwt.pause () >|= fun () -> resolve_due t.due)

let resolver t resolve x =
  Queue.add (fun () -> Lwt.wakeup_later resolve x) t.due

(* Whoever is told so by the close itself hears of it, too. *)
let close t =
  if Unix.getpid () = t.owner then Xlchild.close t.ctx;
  Lwt_engine.stop_event t.watch;
  resolve_soon t
