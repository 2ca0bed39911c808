(** A log file that is rotated by size. *)

type t

val open_ : path:string -> most:int -> keep:int -> t
(** Appends to what is there. Raises [Unix.Unix_error]. *)

val add : t -> string -> unit
(** Rotates first where the file would exceed [most] bytes: a line stays whole
    unless it is longer than that, and none is lost. After a [Unix.Unix_error]
    the next call tries to open the file anew. *)

val end_line : t -> unit
(** A newline, where the last byte was none: what comes next is another's. *)

val reopen : t -> unit
(** The path as it is now: after somebody else moved the file away. *)

val close : t -> unit
