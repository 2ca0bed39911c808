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
    first, or wait. Those of families are resolved with [Not_found]. *)

val count : t -> int
(** Children whose end has not been reported. *)

(** {1 Families} *)

(** A child's whole family, held: [Xlchild.Family], waited for by promises. *)
module Family : sig
  type ctx := t
  type t

  val create :
    ?policy:Xlchild.Family.policy ->
    ?signal:int ->
    ?grace:float ->
    ?holds:Xlchild.Family.hold list ->
    ?cgroup_parent:string ->
    ctx ->
    t
  (** As [Xlchild.Family.create]. Raises [Xlchild.Error]. *)

  val close : t -> unit
  (** As [Xlchild.Family.close]: promises that wait for it fail with
      [Not_found]. Raises [Xlchild.Error]. *)

  val close_result : t -> (unit, Xlchild.error) result
  (** As {!close}. *)

  val with_family :
    ?policy:Xlchild.Family.policy ->
    ?signal:int ->
    ?grace:float ->
    ?holds:Xlchild.Family.hold list ->
    ?cgroup_parent:string ->
    ctx ->
    (t -> 'a Lwt.t) ->
    'a Lwt.t
  (** {!create}, the function, and {!close} when its promise is resolved, or was
      cancelled:
      {[
        let () =
          let ctx = Xlchild_lwt.create () in
          let left =
            Xlchild_lwt.Family.with_family ~policy:Always ctx @@ fun family ->
            let held = Xlchild_lwt.Family.held family in
            let leaves =
              Xlchild.command ~family:held "sh" [ "-c"; "sleep 1000 & :" ]
            in
            let child = Xlchild_lwt.start ctx leaves in
            Lwt.bind (Xlchild_lwt.wait child) @@ fun _ ->
            Lwt.bind (Xlchild_lwt.Family.wait family) @@ fun () ->
            Lwt.return (Xlchild_lwt.Family.signal family 0)
          in
          assert (not (Lwt_main.run left));
          Xlchild_lwt.close ctx
      ]} *)

  val held : t -> Xlchild.Family.t
  (** As a command's [family] takes it, and for whatever does not wait. *)

  val look : t -> Xlchild.Family.state
  (** As [Xlchild.Family.look]. Raises [Xlchild.Error]. *)

  val look_result : t -> (Xlchild.Family.state, Xlchild.error) result
  (** As {!look}. *)

  val is_empty : t -> bool
  (** Of {!look}. *)

  val signal : t -> int -> bool
  (** As [Xlchild.Family.signal]. Raises [Xlchild.Error]. *)

  val signal_result : t -> int -> (bool, Xlchild.error) result
  (** As {!signal}. *)

  val wait : ?timeout:float -> t -> unit Lwt.t
  (** Resolved when nobody is in it, however many wait; cancelled, it leaves
      nothing behind and does nothing to the family. Fails with [Xlchild.Error]:
      [Timed_out] when somebody is left after [timeout] seconds (0.: only looks),
      [Not_found] when it was closed, perhaps meanwhile, [Closed] of a context
      that was closed before, [Not_implemented] where its hold has slipped and
      nobody can tell. *)

  val wait_result : ?timeout:float -> t -> (unit, Xlchild.error) result Lwt.t
  (** As {!wait}. *)

  val stop : ?signal:int -> ?grace:float -> t -> bool Lwt.t
  (** Ends it, now: [signal] (SIGKILL), and SIGKILL after [grace] seconds (0).
      Resolved when nobody is in it; [false]: nobody was. Cancelled, it is not
      waited for any more, and its end goes on. Fails as {!signal} raises, and as
      {!wait}. *)

  val stop_result :
    ?signal:int -> ?grace:float -> t -> (bool, Xlchild.error) result Lwt.t
  (** As {!stop}. *)
end

(** {1 Children} *)

type child

val start :
  ?family:Xlchild.Family.policy -> t -> Xlchild.command -> child
(** Blocks until the child has executed its program, as every fork does. With
    [family] the child has a {!Family} of its own, ended by that policy, which is
    let go of when nobody has the child any more and nobody is in it. Raises
    [Xlchild.Error]: [Invalid] with argument [family] where the command has one,
    too. *)

val family : child -> Family.t option
(** The one of its own. *)

val account : child -> Xlchild.Account.t option
(** As [Xlchild.Child.account]: of one whose command has [~account:true], once it
    has ended. *)

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

val exec :
  ?family:Xlchild.Family.policy ->
  t ->
  Xlchild.command ->
  Xlchild.ended Lwt.t
(** Starts and waits. Cancelled, it ends the child by its command's policy and
    is rejected with [Lwt.Canceled] when the child has been reaped.

    With [family] the command has a {!Family} of its own that is ended by that
    policy, with SIGKILL, and, unless that is [Never], when this is cancelled.
    Whoever has been sent SIGKILL is waited for, for at most 10 seconds:
    {[
      let () =
        let ctx = Xlchild_lwt.create () in
        let leaves = Xlchild.command "sh" [ "-c"; "sleep 1000 & :" ] in
        let ended =
          Lwt_main.run (Xlchild_lwt.exec ctx ~family:Always leaves)
        in
        assert (Xlchild.Ended.is_success ended);
        Xlchild_lwt.close ctx
    ]} *)

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
  ?family:Xlchild.Family.policy ->
  t ->
  Xlchild.command ->
  Xlchild.outcome Lwt.t
(** As [Xlchild.run]. Cancelled, and with [family], as {!exec}. *)

val capture :
  ?stdin:input ->
  ?timeout:float ->
  ?family:Xlchild.Family.policy ->
  t ->
  Xlchild.command ->
  (string * Xlchild.outcome) Lwt.t
(** The standard output, and the outcome. *)

val exec_result :
  ?family:Xlchild.Family.policy ->
  t -> Xlchild.command -> (Xlchild.ended, Xlchild.error) result Lwt.t
(** As {!exec}; a command that could not be started is an [Error], with stage
    and errno. *)

val run_result :
  ?stdin:input ->
  ?stdout:Xlchild.output ->
  ?stderr:[ Xlchild.output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  ?family:Xlchild.Family.policy ->
  t ->
  Xlchild.command ->
  (Xlchild.outcome, Xlchild.error) result Lwt.t
(** As {!run}, likewise. *)

val capture_result :
  ?stdin:input ->
  ?timeout:float ->
  ?family:Xlchild.Family.policy ->
  t ->
  Xlchild.command ->
  (string * Xlchild.outcome, Xlchild.error) result Lwt.t
(** As {!capture}, likewise. *)

val stream :
  ?stdin:input ->
  ?stderr:[ Xlchild.output | `Merge ] ->
  ?timeout:float ->
  ?family:Xlchild.Family.policy ->
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

val open_process :
  ?family:Xlchild.Family.policy -> t -> Xlchild.command -> process
(** [family] as for {!start}. Raises [Xlchild.Error]. The command's own descriptors beyond 2 stay. *)

val close_process : process -> Xlchild.ended Lwt.t
(** Closes the channels, and waits for its end. *)

val with_process :
  ?family:Xlchild.Family.policy ->
  t ->
  Xlchild.command ->
  (process -> 'a Lwt.t) ->
  'a Lwt.t
(** {!open_process}, the function, {!close_process}. Where the function fails or
    is cancelled, the child is ended by its command's policy first. Of [family]
    whoever has been ended is gone then, as with {!exec}. *)
