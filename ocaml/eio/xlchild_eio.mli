(** Child processes in Eio's fibers.

    A child belongs to a switch: when that is released, it is ended by its
    command's policy, and reaped. So is the child of a function that is
    cancelled, before that raises. Independent of SIGCHLD and of the backend's
    own children; one descriptor is watched, whatever the number of children.

    {[
      let () =
        Eio_main.run @@ fun _ ->
        Eio.Switch.run @@ fun sw ->
        let t = Xlchild_eio.create ~sw () in
        let out, _ =
          Xlchild_eio.capture t (Xlchild.command "echo" [ "hello" ])
        in
        print_string out
    ]}

    Functions that start a child block their domain until that has executed its
    program, as every fork does. They raise [Xlchild.Error] where it could not,
    with stage and errno; what a closure of the context raises fails the switch
    that [create] was given. A context may be used from every domain, as long as
    that switch lives.

    In a child of [Unix.fork] the parent's contexts refuse every call. *)

open Eio.Std

type t
(** A context of [Xlchild]'s, and the fiber that does its work. *)

val create :
  sw:Switch.t ->
  ?owner:Xlchild.owner ->
  ?min_level:Xlchild.level ->
  ?log:(Xlchild.level -> Unix.error option -> string -> unit) ->
  unit ->
  t
(** As [Xlchild.create]; closed when the switch is released, after what was
    started in it has ended. *)

val count : t -> int
(** Children whose end has not been reported. *)

(** {1 Children} *)

type child

val start : sw:Switch.t -> t -> Xlchild.command -> child
(** Belongs to this switch, which waits for its end when it is released. *)

val pid : child -> Xlchild.Pid.t
(** As [Xlchild.Child.pid]. *)

val await : child -> Xlchild.ended
(** Waits for its end, in any number of fibers and domains. Cancelled, it does
    nothing to the child. *)

val kill : ?scope:Xlchild.scope -> child -> int -> unit
(** As [Xlchild.Child.kill]; nothing happens when it has ended. *)

val terminate : ?policy:Xlchild.kill_policy -> child -> Xlchild.ended
(** Ends it by policy (its command's), and waits for that. *)

(** {1 Running to completion} *)

val exec : t -> Xlchild.command -> Xlchild.ended
(** Starts and waits. *)

type input =
  [ Xlchild.input
  | `Flow of Eio.Flow.source_ty r
    (** taken as fast as the child reads; its end is stdin's end. What the child
        does not read is dropped, or left. *) ]

type output =
  [ `Inherit
  | `Null
  | `Fd of Unix.file_descr
  | `File of string
  | `Append of string
  | `Capture
  | `Capture_at_most of int
  | `Flow of Eio.Flow.sink_ty r
    (** written as it comes; the child waits for a sink that takes its time *) ]
(** As [Xlchild.output], with a flow in place of a closure. *)

val run :
  ?stdin:input ->
  ?stdout:output ->
  ?stderr:[ output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  t ->
  Xlchild.command ->
  Xlchild.outcome
(** As [Xlchild.run]. It returns when flows have taken what the child wrote. One
    that raises ends the child, and is raised when that is reaped. *)

val capture :
  ?stdin:input ->
  ?timeout:float ->
  t ->
  Xlchild.command ->
  string * Xlchild.outcome
(** The standard output, and the outcome. *)

val exec_result : t -> Xlchild.command -> (Xlchild.ended, Xlchild.error) result
(** As {!exec}; a command that could not be started is an [Error]. *)

val run_result :
  ?stdin:input ->
  ?stdout:output ->
  ?stderr:[ output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  t ->
  Xlchild.command ->
  (Xlchild.outcome, Xlchild.error) result
(** As {!run}, likewise. *)

val capture_result :
  ?stdin:input ->
  ?timeout:float ->
  t ->
  Xlchild.command ->
  (string * Xlchild.outcome, Xlchild.error) result
(** As {!capture}, likewise. *)

(** {1 As Eio's process manager} *)

exception Lost of Xlchild.lost_reason
(** Of [Eio.Process.await], which has no word for a status that nobody
    learnt. *)

val process_mgr : t -> Eio_unix.Process.mgr_ty r
(** In place of [Eio.Stdenv.process_mgr env], for code that was written for that:
    [Eio.Process.spawn], [run], [parse_out] and the others. As there, a switch
    that ends kills at once, and what cannot be executed raises
    [Eio.Process.E]. Not as there: with [uid] or [gid], none of the caller's
    supplementary groups stays, and every descriptor that is not named is closed
    in the child. *)
