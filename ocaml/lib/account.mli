(* account.mli - Xlchild.Account: why a child died, and what it cost *)

type t = Types.account

val to_string : t -> string
(** In one line: who ended it and how sure that is, the last signal of ours, the
    times, and of the usage and the cgroup what is known. *)

val pp : Format.formatter -> t -> unit
(** {!to_string}. *)

val ended_by_text : Types.ended_by -> string
(** In words: ["itself"], ["a time-out"], ["the memory killer"]. *)

val equal : t -> t -> bool
(** By their contents. *)

val compare : t -> t -> int
(** A total order. *)
