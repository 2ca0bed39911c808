(* child_type.ml - Xlchild.Child as xlchild.mli shows it *)

open Types

module type S = sig
  type context
  (** {!Xlchild.t} *)

  type t

  val pid : t -> Pid.t
  (** Its number while it lives, and until it has been reaped. *)

  val id : t -> int
  (** Names the child in its context; a pid may be reused, this never. *)

  val context : t -> context
  (** The one that started it. *)

  val wait : ?timeout:float -> ?keep:bool -> t -> ended
  (** Waits for a child whose report is [Hold]. Once known, the answer stays, for
      every thread that asks this handle, however often. Raises [Error] with
      [Timed_out] when it lives on. With [~keep:true] whoever is left of the
      group that it leads, or of its cgroup, can be reached by {!kill} and
      {!terminate} after its end, until {!detach} (or the collector has the
      handle); a descriptor, or its pid, is kept for that. Before Linux 6.9 its
      pid is kept for its group only where [Process_group] is the scope of its
      command's policy. *)

  val wait_result : ?timeout:float -> ?keep:bool -> t -> (ended, error) result
  (** As {!wait}. *)

  val poll : t -> ended option
  (** How it ended, if it has; as {!wait}. *)

  val account : t -> Account.t option
  (** Why it died, and what it cost: of one whose command has [~account:true],
      once its end has been noticed; the same for ever. Of a child whose report is
      an [Event] it is kept with the context until this asks for it. [None] after
      {!detach}, and of one that {!Xlchild.find} found. *)

  (** {2 Killing} *)

  val kill : ?scope:scope -> t -> int -> unit
  (** [kill child signal]: hits this child, or nobody. Raises [Error] with
      [Not_found] when it has ended. *)

  val kill_result : ?scope:scope -> t -> int -> (unit, error) result
  (** As {!kill}. *)

  val terminate : ?policy:kill_policy -> t -> unit
  (** By policy (default: its command's): a first signal, then SIGKILL. Needs
      pumping. *)

  val terminate_result : ?policy:kill_policy -> t -> (unit, error) result
  (** As {!terminate}. *)

  val detach : t -> unit
  (** No report any more; it is reaped all the same. *)

  val detach_result : t -> (unit, error) result
  (** As {!detach}. *)
end
