(* loop.ml - inside the host's event loop *)

open Types
open Errors

type fd_watch = { modify : readiness -> unit; unwatch : unit -> unit }
type timer = { fire_soon : unit -> unit; cancel : unit -> unit }

type loop = {
  watch : Unix.file_descr -> readiness -> (readiness -> unit) -> fd_watch;
  set_timer : float -> (unit -> unit) -> timer;
}

(* poll()'s bits *)
let pollin = 1
let pollout = 4

let bits r =
  (if r.readable then pollin else 0) lor if r.writable then pollout else 0

(* POLLERR and POLLHUP wake readers and writers. *)
let readiness_of bits =
  { readable = bits land pollin <> 0; writable = bits land pollout <> 0 }

let raw_loop (t : Raw.t) loop : Raw.loop =
  {
    register_fd =
      (fun number fd events ->
        let interest = ref events in
        let ready r =
          pumping t ~save:forget (fun () ->
              match Raw.occurred_fd t number !interest (bits r) with
              | Ok () | Result.Error { rc = -1000; _ } -> ()
              | Result.Error e -> raise (Error (error_of e)))
        in
        let watch = loop.watch fd (readiness_of events) ready in
        Raw.Watch
          {
            modify =
              (fun events ->
                watch.modify (readiness_of events);
                interest := events);
            forget = watch.unwatch;
          });
    register_timeout =
      (fun number at ->
        let fired () =
          Raw.remove t.registrations number;
          pumping t ~save:forget (fun () ->
              match Raw.occurred_timeout t number with
              | Ok () | Result.Error { rc = -1000; _ } -> ()
              | Result.Error e -> raise (Error (error_of e)))
        in
        let timer = loop.set_timer at fired in
        Raw.Timer { fire = timer.fire_soon; cancel = timer.cancel });
  }

let register_loop_result (t : Raw.t) loop =
  let old = t.loop in
  t.loop <- Option.map (raw_loop t) loop;
  match Raw.register_loop t (loop <> None) with
  | Ok () -> Ok ()
  | Result.Error _ as e ->
      t.loop <- old;
      checked t e

let register_loop t loop = get (register_loop_result t loop)

type poll_entry = { fd : Unix.file_descr; interest : readiness }

let before_poll ?timeout t =
  let entries, ms = get (plain (Raw.beforepoll t (timeout_of timeout))) in
  ( List.map
      (fun (fd, events) -> { fd; interest = readiness_of events })
      (Array.to_list entries),
    if ms < 0 then None else Some (float ms /. 1000.) )

let after_poll t polled =
  let raw =
    Array.of_list
      (List.map
         (fun (entry, ready) -> (entry.fd, bits entry.interest, bits ready))
         polled)
  in
  get (plain (pumping t ~save:forget (fun () -> Raw.afterpoll t raw)))

let poll ?timeout fds =
  match Raw.poll (Array.of_list fds) (timeout_of timeout) with
  | [| errno |] when errno = -4 (* EINTR *) -> []
  | [| errno |] when errno < 0 ->
      raise (Unix.Unix_error (Unix.EUNKNOWNERR (-errno), "poll", ""))
  | revents -> List.filteri (fun i _ -> revents.(i) <> 0) fds

let now () = float (Raw.now ()) *. 1e-9
