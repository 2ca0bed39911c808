(* xlchild_lwt.ml - promises over Xlchild

   One watch on the context's descriptor pumps it; reports and completions
   resolve promises from there. *)

open Lwt.Infix

type t = {
  ctx : Xlchild.t;
  watch : Lwt_engine.event;
  due : (unit -> unit) Queue.t;
      (* promises to resolve once the call of the library is over: what waits
         for them may close the context *)
}

let resolve_due due =
  while not (Queue.is_empty due) do
    (Queue.take due) ()
  done

let rec pump ctx due =
  match Xlchild.check ctx with
  | Some _ -> pump ctx due
  | None -> resolve_due due
  | exception Xlchild.Error { code = Closed; _ } -> resolve_due due
  | exception exn ->
      !Lwt.async_exception_hook exn;
      pump ctx due

let create ?owner ?min_level ?log () =
  let ctx = Xlchild.create ?owner ?min_level ?log () in
  let due = Queue.create () in
  match Xlchild.fileno ctx with
  | fd ->
      let watch = Lwt_engine.on_readable fd (fun _ -> pump ctx due) in
      { ctx; due; watch }
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

let close t =
  Xlchild.close t.ctx;
  Lwt_engine.stop_event t.watch

let count t = Xlchild.count t.ctx

(* ---- children ---- *)

type child = { child : Xlchild.Child.t; ended : Xlchild.ended Lwt.t }

let start t command =
  let ended, resolve = Lwt.wait () in
  let child =
    Xlchild.start t.ctx command ~report:(Callback (resolver t resolve))
  in
  resolve_soon t;
  { child; ended }

let pid child = Xlchild.Child.pid child.child
let wait child = Lwt.protected child.ended

let unless_ended = function
  | Ok () | Result.Error { Xlchild.code = Not_found; _ } -> ()
  | Result.Error e -> raise (Xlchild.Error e)

let kill ?scope child signal =
  unless_ended (Xlchild.Child.kill_result ?scope child.child signal)

let terminate ?policy child =
  match unless_ended (Xlchild.Child.terminate_result ?policy child.child) with
  | () -> wait child
  | exception exn -> Lwt.fail exn

(* Waits for [promise], which cannot be cancelled; cancelled itself, it has
   [stop] bring the end about and waits for it. *)
let until_reaped promise ~stop =
  Lwt.catch
    (fun () -> Lwt.protected promise)
    (function
      | Lwt.Canceled ->
          stop ();
          promise >>= fun _ -> Lwt.fail Lwt.Canceled
      | exn -> Lwt.fail exn)

(* ---- running to completion ---- *)

let exec t command =
  match start t command with
  | exception exn -> Lwt.fail exn
  | child ->
      until_reaped child.ended ~stop:(fun () ->
          unless_ended (Xlchild.Child.terminate_result child.child))

let run ?stdin ?stdout ?stderr ?timeout ?until_eof t command =
  let outcome, resolve = Lwt.wait () in
  match
    Xlchild.run_async ?stdin ?stdout ?stderr ?timeout ?until_eof t.ctx command
      (resolver t resolve)
  with
  | exception exn -> Lwt.fail exn
  | operation ->
      resolve_soon t;
      until_reaped outcome ~stop:(fun () ->
          match Xlchild.abort_result operation with
          | Result.Error { code = Aborted; _ } -> ()
          | result -> unless_ended result)

let capture ?stdin ?timeout t command =
  run ?stdin ~stdout:`Capture ?timeout t command >|= fun outcome ->
  (outcome.Xlchild.out.data, outcome)

let stream ?stdin ?stderr ?timeout t command =
  let chunks, push = Lwt_stream.create () in
  let finish () = try push None with Lwt_stream.Closed -> () in
  let outcome =
    run ?stdin ?stderr ?timeout t command
      ~stdout:
        (`Stream
          (fun data ->
            Queue.add
              (fun () -> if data = "" then finish () else push (Some data))
              t.due))
  in
  Lwt.on_any outcome (fun _ -> finish ()) (fun _ -> finish ());
  (chunks, outcome)
