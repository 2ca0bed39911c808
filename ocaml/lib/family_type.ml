(* family_type.ml - Xlchild.Family as xlchild.mli shows it *)

(** By what a family is held. *)
type hold =
  | Group
      (** the process group of the child. Who leaves that ([setsid], a daemon)
          leaves the family *)
  | Keeper
      (** a process of the library's own, whose child the child is, and not the
          caller's: [Unix.getppid] in the child is the keeper, [Unix.waitpid] in the
          caller fails with [ECHILD]. Nobody leaves; needs no right. Taken only
          where [holds] names it. {!Xlchild.Child} is as ever *)
  | Cgroup
      (** a cgroup v2 of its own: nobody leaves. Needs the right to make one *)

(** When a family is ended by itself. *)
type policy =
  | Never
  | On_timeout
      (** when its child is ended by its command's kill policy: a time-out,
          {!Xlchild.abort}, {!Xlchild.Child.terminate}, [Kill] at {!Xlchild.close}.
          The policy's scope is the family then *)
  | On_failure
      (** also when the child ends in any other way than by exit code 0, or its
          status is lost *)
  | Always  (** when the child ends *)

(** What is known of a family. *)
type state = {
  hold : hold option;  (** [None]: it has slipped, nobody can tell any more *)
  why : string option;
      (** in words: why there is no better hold; [None]: there is none *)
  started : bool;  (** a child has been started in it *)
  empty : bool;  (** nobody is in it; so, until it is started. Zombies are nobody *)
  ending : bool;  (** it has been asked to end, or its policy has ended it *)
  pid : Pid.t option;  (** the child's *)
}

module type S = sig
  type context
  (** {!Xlchild.t} *)

  type t
  (** A family: a child, whom it has started, and they in turn. *)

  type nonrec hold = hold = Group | Keeper | Cgroup
  type nonrec policy = policy = Never | On_timeout | On_failure | Always

  type nonrec state = state = {
    hold : hold option;
    why : string option;
    started : bool;
    empty : bool;
    ending : bool;
    pid : Pid.t option;
  }

  val create :
    ?policy:policy ->
    ?signal:int ->
    ?grace:float ->
    ?holds:hold list ->
    ?cgroup_parent:string ->
    context ->
    t
  (** One for a child to come, held by the best of [holds] ([Group] and
      [Cgroup], unless given) that is to be had here. Where [policy] (default [Never]) ends it, everybody
      is sent [signal] (SIGKILL), and SIGKILL after [grace] seconds (0).
      [cgroup_parent] is where a cgroup is made, the absolute path of a folder of
      cgroup v2: the caller's own, unless given. Takes the file system's time.

      Raises [Error] with [Invalid], and [argument] saying which is wrong; with
      [Not_implemented] and argument [holds] where none that is allowed is to be
      had. [[Group]] always is.

      It is the host's until {!close}. One that is dropped is let go of when
      another one is made, and nobody is in it any more: its policy stays in
      force until then. *)

  val create_result :
    ?policy:policy ->
    ?signal:int ->
    ?grace:float ->
    ?holds:hold list ->
    ?cgroup_parent:string ->
    context ->
    (t, Types.error) result
  (** As {!create}. *)

  val close : t -> unit
  (** Lets go of it. Who is in it lives on; if its end is under way, SIGKILL comes
      now. Its policy is no more; whoever waits is answered [Not_found]. Raises
      [Error] with [Busy] while its child is being started, with [Not_found] the
      second time. *)

  val close_result : t -> (unit, Types.error) result
  (** As {!close}. *)

  val with_family :
    ?policy:policy ->
    ?signal:int ->
    ?grace:float ->
    ?holds:hold list ->
    ?cgroup_parent:string ->
    context ->
    (t -> 'a) ->
    'a
  (** {!create}, the function, {!close}:
      {[
        let () =
          Xlchild.with_context @@ fun ctx ->
          Xlchild.Family.with_family ~policy:Always ctx @@ fun family ->
          let leaves =
            Xlchild.command ~family "sh" [ "-c"; "sleep 1000 & :" ]
          in
          let ended = Xlchild.Child.wait (Xlchild.start ctx leaves) in
          Xlchild.Family.wait ~timeout:10. family;
          assert (Xlchild.Ended.is_success ended)
      ]} *)

  (** {2 Asking} *)

  val look : t -> state
  (** As it is now. Raises [Error] with [Not_found] when it was closed. *)

  val look_result : t -> (state, Types.error) result
  (** As {!look}. *)

  val is_empty : t -> bool
  (** Of {!look}. *)

  val cgroup : t -> string option
  (** The folder of its cgroup, if that holds it; removed when it is empty. *)

  val wait : ?timeout:float -> t -> unit
  (** Waits until nobody is in it, in any number of threads. The child counts until
      its end has been noticed. OCaml's signal handlers run meanwhile, as in
      {!Xlchild.val-wait}.
      Raises [Error] with [Timed_out] when somebody is left after [timeout]
      seconds (0.: only looks), [Not_found] when it was closed, perhaps meanwhile,
      [Not_implemented] where its hold has slipped and nobody can tell. *)

  val wait_result : ?timeout:float -> t -> (unit, Types.error) result
  (** As {!wait}. *)

  val when_empty : t -> ((unit, Types.error) result -> unit) -> unit
  (** The same without waiting: the closure is called once with what
      {!wait_result} would answer, maybe before this returns; of a context that is
      closed, that is [Not_found]. Needs pumping. *)

  val when_empty_result :
    t -> ((unit, Types.error) result -> unit) -> (unit, Types.error) result
  (** As {!when_empty}. *)

  (** {2 Ending} *)

  val signal : t -> int -> bool
  (** [signal family number] sends it to everybody in it, and to nobody else: by
      the cgroup, or by pidfds. [false]: nobody is in it. 0 only looks. Raises
      [Error] with [Permission], or with [Not_implemented] where its hold has
      slipped. *)

  val signal_result : t -> int -> (bool, Types.error) result
  (** As {!signal}. *)

  val stop : ?signal:int -> ?grace:float -> t -> bool
  (** Ends it: [signal] (SIGKILL) now, SIGKILL after [grace] seconds (0), which
      needs pumping. Does not wait: {!wait} does. Asked again, it only ever makes
      the SIGKILL come sooner. [false], and raises, as {!val-signal}. *)

  val stop_result :
    ?signal:int -> ?grace:float -> t -> (bool, Types.error) result
  (** As {!stop}. *)

  (** {2 Printing} *)

  val hold_text : hold -> string
  (** One word, as in the C library: ["group"], ["keeper"], ["cgroup"]. *)

  val to_string : t -> string
  (** Its child, its hold and whether somebody is in it. *)

  val pp : Format.formatter -> t -> unit
  (** {!to_string}. *)
end
