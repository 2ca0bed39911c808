(** Where the output of a service goes. *)

type t

val open_ : Types.output -> t
(** Raises [Unix.Unix_error] for a file that cannot be opened. *)

val add : t -> string -> Unix.error option
(** What went wrong: the data is lost then. *)

val end_run : t -> unit
(** The process has ended: what was unfinished is a line. *)

val reopen : t -> Unix.error option
val close : t -> unit
