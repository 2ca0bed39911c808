(** A stream of text as syslog messages, a line each: RFC 3164 datagrams to the
    local socket, facility daemon, level info. A message that cannot be sent is
    dropped, as syslog(3) does. *)

val socket : string ref
(** ["/dev/log"] unless set. *)

val send : string -> string -> unit
(** [send key line] *)

type t

val make : string -> t
(** A stream whose lines are sent under this key. *)

val add : t -> string -> unit
(** The next piece of it; [""] is its end. *)
