(** The child's descriptors: a target cannot repeat. *)

open Types

type t

val empty : t
(** 0, 1 and 2 inherited, every other one closed. *)

val add : int -> fd_source -> t -> t
(** [add target source map]: in the child, [target] is a copy of [source].
    Sources may be any permutation of targets. Raises [Invalid_argument]
    where [target] is there already or is negative. *)

val of_list : (int * fd_source) list -> t
(** {!add} each. *)

val to_list : t -> (int * fd_source) list
(** By target, ascending. *)
