(* pump.ml - one context in an Eio program: who does its work, and when

   Called by xlchild_eio.ml. A daemon fiber does the context's work whenever its
   descriptor is readable. What a child's end brings about is put on a list by
   the library's callback, for no effect may be performed there, and done when
   the call of the library is over. *)

open Eio.Std

type t = {
  ctx : Xlchild.t;
  due : (unit -> unit) list Atomic.t;  (* the newest first *)
  owner : int;  (* the pid of the process that made it *)
}

let rec soon t f =
  let old = Atomic.get t.due in
  if not (Atomic.compare_and_set t.due old (f :: old)) then soon t f

let settle t = List.iter (fun f -> f ()) (List.rev (Atomic.exchange t.due []))

(* A promise of how it ends, and the callback that keeps it. *)
let promise ?(kept = ignore) t =
  let promise, resolver = Promise.create () in
  ( promise,
    fun x ->
      soon t (fun () ->
          Promise.resolve resolver x;
          kept ()) )

(* What is called may bring ends about. *)
let calling t f =
  match f t.ctx with
  | x ->
      settle t;
      x
  | exception exn ->
      let backtrace = Printexc.get_raw_backtrace () in
      settle t;
      Printexc.raise_with_backtrace exn backtrace

let rec work t = if calling t Xlchild.check <> None then work t

(* For ever, until it is cancelled. *)
let rec pump t =
  Eio_unix.await_readable (Xlchild.fileno t.ctx);
  work t;
  pump t

let create ~sw ?owner ?min_level ?log () =
  let ctx = Xlchild.create ?owner ?min_level ?log () in
  let t = { ctx; due = Atomic.make []; owner = Unix.getpid () } in
  (* in a child of fork it is the parent's *)
  Switch.on_release sw (fun () ->
      if Unix.getpid () = t.owner then Xlchild.close ctx);
  Fiber.fork_daemon ~sw (fun () -> pump t);
  t

(* Waits where the daemon fiber may have been cancelled already, as when a
   switch is released. *)
let await_here t promise =
  Fiber.first (fun () -> Promise.await promise) (fun () -> pump t)
