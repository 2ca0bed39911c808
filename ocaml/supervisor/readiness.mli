(** Whether a service that was started is ready: one watch a run. *)

type t

val nothing : t

val start : folder:Safe.folder option -> Service.t -> t
(** Before a start. Raises [Unix.Unix_error]. *)

val resume : folder:Safe.folder option -> Service.t -> t
(** For one that was started by a previous life. Raises [Unix.Unix_error]. *)

val descriptors : t -> (int * Xlchild.fd_source) list
(** For the service. *)

val started : t -> unit
(** The service has them. *)

val source : t -> Unix.file_descr option
(** To poll. *)

val is_file : t -> bool
(** To be asked now and then. *)

val said : t -> string -> bool
(** A piece of its output: whether that makes it ready. *)

val look : t -> bool
(** Whether it is ready, by its descriptor or its file. *)

val close : t -> unit
