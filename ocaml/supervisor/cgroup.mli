(** The cgroup (version 2) that a service has for itself. *)

val prepare : string -> unit
(** Makes it, or empties it of what an earlier run left. Raises
    [Unix.Unix_error], [EBUSY] where somebody in it is no service's. *)

val kill : string -> unit
(** SIGKILL to everything in it. *)

val holds_this_process : string -> bool

val members : string -> int list
(** Pids in it, and in those below it; [[]] where there is none. *)
