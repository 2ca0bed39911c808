(** Looks for a text in the lines of a stream. *)

type t

val make : string -> t

val longest : int
(** What is beyond so many bytes of a line is not looked at. *)

val add : t -> string -> bool
(** The next piece: whether a line that ends in it contains the text. *)
