(** Environments, as lists of [NAME=VALUE]. Raises [Invalid_argument] for a name
    that is empty or has an equals sign or a NUL. *)

val current : unit -> string list
(** This process's, as it is now. *)

val extend : ?env:string list -> (string * string) list -> string list
(** [env] (the current one, unless given) with these variables set. *)

val set : string -> string -> string list -> string list
(** [set name value env]: in place of any of that name. *)

val unset : string -> string list -> string list
(** Without any of that name. *)

val find : string -> string list -> string option
(** The value of the first of that name. *)
