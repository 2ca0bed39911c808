(** A pipe from a service to its supervisor. In a state folder it has a name,
    and the service holds both of its ends: it lasts while no daemon reads it,
    and the next daemon finds it there. *)

type t

val open_ : folder:Safe.folder option -> fresh:bool -> string -> t
(** By its file name in the folder; [fresh]: another one than was there before,
    which nobody else holds. Raises [Unix.Unix_error]. *)

val source : t -> Unix.file_descr
(** To poll. *)

val target : t -> Unix.file_descr
(** For the service. *)

val close_target : t -> unit
val close : t -> unit

val remove : folder:Safe.folder option -> string -> unit
(** Its name. *)

val read : t -> ([ `Data of string | `End ] -> unit) -> unit
(** All that is there, but not for ever: a service may write without end. *)
