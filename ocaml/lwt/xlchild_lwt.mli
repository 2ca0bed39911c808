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

    In a child of fork that goes on, make a new one: those of the parent refuse
    every call there, and are out of its loop.

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

type input =
  [ Xlchild.input
  | `Stream of string Lwt_stream.t
    (** taken as fast as the child reads; its end is stdin's end. What a child
        does not read is left in the stream. *) ]

val run :
  ?stdin:input ->
  ?stdout:Xlchild.output ->
  ?stderr:[ Xlchild.output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  t ->
  Xlchild.command ->
  Xlchild.outcome Lwt.t
(** As [Xlchild.run]. Cancelled, as {!exec}. *)

val capture :
  ?stdin:input ->
  ?timeout:float ->
  t ->
  Xlchild.command ->
  (string * Xlchild.outcome) Lwt.t
(** The standard output, and the outcome. *)

val exec_result :
  t -> Xlchild.command -> (Xlchild.ended, Xlchild.error) result Lwt.t
(** As {!exec}; a command that could not be started is an [Error], with stage
    and errno. *)

val run_result :
  ?stdin:input ->
  ?stdout:Xlchild.output ->
  ?stderr:[ Xlchild.output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  t ->
  Xlchild.command ->
  (Xlchild.outcome, Xlchild.error) result Lwt.t
(** As {!run}, likewise. *)

val capture_result :
  ?stdin:input ->
  ?timeout:float ->
  t ->
  Xlchild.command ->
  (string * Xlchild.outcome, Xlchild.error) result Lwt.t
(** As {!capture}, likewise. *)

val stream :
  ?stdin:input ->
  ?stderr:[ Xlchild.output | `Merge ] ->
  ?timeout:float ->
  t ->
  Xlchild.command ->
  string Lwt_stream.t * Xlchild.outcome Lwt.t
(** The standard output as it comes, and the outcome. The stream ends with the
    output, or with the child. It is read when it is asked for: a child that
    writes faster than the stream is read waits, and 128 KiB are held at
    most. *)

(** {1 With channels} *)

type process = {
  child : child;
  stdin : Lwt_io.output_channel;
  stdout : Lwt_io.input_channel;
  stderr : Lwt_io.input_channel;
}
(** A child and the ends of its three pipes. Writing to one that does not read
    any more raises [Unix_error EPIPE]; no SIGPIPE comes of it. *)

val open_process : t -> Xlchild.command -> process
(** Raises [Xlchild.Error]. The command's own descriptors beyond 2 stay. *)

val close_process : process -> Xlchild.ended Lwt.t
(** Closes the channels, and waits for its end. *)

val with_process : t -> Xlchild.command -> (process -> 'a Lwt.t) -> 'a Lwt.t
(** {!open_process}, the function, {!close_process}. Where the function fails or
    is cancelled, the child is ended by its command's policy first. *)
