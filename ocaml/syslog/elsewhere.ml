(* elsewhere.ml - short work that no signal handler of the host's comes into

   Called by logger.ml, by forkhelpers and by the supervisor. What a handler
   raises can come at any allocation of a host's thread, and work that makes
   descriptors, processes or threads would leave some of them behind. So a
   thread does it, that leaves the host's signals alone; the host waits for it,
   and what its handler raises comes before or after, never in between. *)

type 'a answer =
  | Not_yet
  | Answer of 'a
  | Raised of exn * Printexc.raw_backtrace

(* Between the thread's start and the answer nothing is allocated here, and a
   join does not run handlers. One that is run by the thread, before it has
   blocked its signal, is raised here all the same. *)
let run f =
  let answer = ref Not_yet in
  let work () =
    match
      ignore (Thread.sigmask Unix.SIG_BLOCK Outside.signals);
      f ()
    with
    | x -> answer := Answer x
    | exception exn ->
        answer := Raised (exn, Printexc.get_raw_backtrace ())
  in
  Thread.join (Thread.create work ());
  match !answer with
  | Answer x -> x
  | Raised (exn, backtrace) -> Printexc.raise_with_backtrace exn backtrace
  | Not_yet -> raise Out_of_memory (* its answer could not be allocated *)

(* The lock is given back whatever [f] raises: nothing is allocated between
   taking it and the handler. *)
let locked lock f =
  Mutex.lock lock;
  match f () with
  | x ->
      Mutex.unlock lock;
      x
  | exception exn ->
      Mutex.unlock lock;
      raise exn

(* ---- descriptors that are closed whatever is raised where ---- *)

(* Made before what it is to hold; -1: nothing. *)
type held = { mutable fd : int }

external fd_of_int : int -> Unix.file_descr = "%identity"
external int_of_fd : Unix.file_descr -> int = "%identity"

let nothing () = { fd = -1 }
let get held = fd_of_int held.fd

let take held =
  let fd = held.fd in
  held.fd <- -1;
  fd_of_int fd

let close held = if held.fd >= 0 then Unix.close (take held)

let pipe reading writing =
  let r, w = Unix.pipe ~cloexec:true () in
  reading.fd <- int_of_fd r;
  writing.fd <- int_of_fd w
