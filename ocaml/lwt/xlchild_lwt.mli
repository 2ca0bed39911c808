(** Child processes as promises.

    Independent of SIGCHLD, of [Lwt_process] and of the disposition that
    [Lwt_main.run] sets: a context made before it works all the same. One
    descriptor is watched, whatever the number of children.

    {[
      let () =
        let ctx = Xlchild_lwt.create () in
        Lwt_main.run
          (Lwt.bind
             (Xlchild_lwt.capture ctx (Xlchild.command "echo" [ "hello" ]))
             (fun (out, _) -> Lwt_io.print out));
        Xlchild_lwt.close ctx
    ]}

    To be used from the thread that runs [Lwt_main.run]. Failures to start
    raise [Xlchild.Error] in the promise; an exception of a closure goes to
    [Lwt.async_exception_hook], unless said otherwise. *)

type t

val create :
  ?owner:Xlchild.owner ->
  ?min_level:Xlchild.level ->
  ?log:(Xlchild.level -> Unix.error option -> string -> unit) ->
  unit ->
  t
(** As [Xlchild.create]; [owner] is [Nobody] unless given. *)

val close : t -> unit
(** Promises of children that still live stay pending for ever: cancel them
    first, or wait. *)

val count : t -> int
(** Children whose end has not been reported. *)

(** {1 Children} *)

type child

val start : t -> Xlchild.command -> child
(** Blocks until the child has executed its program, as every fork does. Raises
    [Xlchild.Error]. *)

val pid : child -> Xlchild.Pid.t
(** As [Xlchild.Child.pid]. *)

val wait : child -> Xlchild.ended Lwt.t
(** Resolved at its end, however often it is asked for. Cancelling it does
    nothing to the child. *)

val kill : ?scope:Xlchild.scope -> child -> int -> unit
(** As [Xlchild.Child.kill]; nothing happens when it has ended. *)

val terminate : ?policy:Xlchild.kill_policy -> child -> Xlchild.ended Lwt.t
(** Ends it by policy, and waits for that. *)

(** {1 Running to completion} *)

val exec : t -> Xlchild.command -> Xlchild.ended Lwt.t
(** Starts and waits. Cancelled, it ends the child by its command's policy and
    is rejected with [Lwt.Canceled] when the child has been reaped. *)

val run :
  ?stdin:Xlchild.input ->
  ?stdout:Xlchild.output ->
  ?stderr:[ Xlchild.output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  t ->
  Xlchild.command ->
  Xlchild.outcome Lwt.t
(** As [Xlchild.run]. Cancelled, as {!exec}. *)

val capture :
  ?stdin:Xlchild.input ->
  ?timeout:float ->
  t ->
  Xlchild.command ->
  (string * Xlchild.outcome) Lwt.t
(** The standard output, and the outcome. *)

val stream :
  ?stdin:Xlchild.input ->
  ?stderr:[ Xlchild.output | `Merge ] ->
  ?timeout:float ->
  t ->
  Xlchild.command ->
  string Lwt_stream.t * Xlchild.outcome Lwt.t
(** The standard output as it comes, and the outcome. The stream ends with the
    output, or with the child. *)
