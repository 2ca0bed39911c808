(** What becomes of children, to be printed and compared.

    Included by xlchild.mli. *)

open Types

(** How a child ended. *)
module Status : sig
  type t = status

  val to_string : t -> string
  (** ["exit code 3"], ["signal 9"], ["lost: ..."]; signals by the system's
      numbers. *)

  val pp : Format.formatter -> t -> unit
  (** {!to_string}. *)

  val equal : t -> t -> bool
  (** By their contents. *)

  val compare : t -> t -> int
  (** A total order. *)

  val is_success : t -> bool
  (** Exit code 0. *)
end

(** Why a call failed. *)
module Error : sig
  type t = error

  val to_string : t -> string
  (** Everything about it, in one line. *)

  val pp : Format.formatter -> t -> unit
  (** {!to_string}. *)

  val equal : t -> t -> bool
  (** By their contents. *)

  val compare : t -> t -> int
  (** A total order. *)
end

(** What is known of a child that has ended. *)
module Ended : sig
  type t = ended

  val to_string : t -> string
  (** Its pid and status. *)

  val pp : Format.formatter -> t -> unit
  (** {!to_string}. *)

  val equal : t -> t -> bool
  (** By their contents. *)

  val compare : t -> t -> int
  (** A total order. *)

  val is_success : t -> bool
  (** Exit code 0. *)
end

(** What became of a command. *)
module Outcome : sig
  type t = outcome

  exception Unsuccessful of t
  (** What {!get_ok} raises. *)

  val to_string : t -> string
  (** Its status, its ending and its stderr. *)

  val pp : Format.formatter -> t -> unit
  (** {!to_string}. *)

  val equal : t -> t -> bool
  (** By their contents. *)

  val compare : t -> t -> int
  (** A total order. *)

  val is_success : t -> bool
  (** It ended by itself, with exit code 0. *)

  val get_ok : t -> t
  (** The same, where it is a success. Raises {!Unsuccessful}:
      [(Outcome.get_ok (run ctx ~stdout:`Capture c)).out.data]. *)

  val to_result : t -> (t, t) result
  (** [Error] where it is none. *)
end
