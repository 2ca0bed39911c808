(** The cgroup (version 2) that a service has for itself. *)

val prepare : string -> unit
(** Makes it, or empties it. Raises [Unix.Unix_error]. *)

val kill : string -> unit
(** SIGKILL to everything in it. *)

val holds_this_process : string -> bool
