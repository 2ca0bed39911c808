(** What a service writes while no daemon lives. *)

type t

val open_ :
  folder:Safe.folder ->
  tag:string ->
  name:string ->
  pipe:string ->
  t option
(** For the pipe of this name in the folder: what comes while no daemon lives is
    logged under [tag], or with [""] spooled, in the file [name] of the folder.
    Raises [Unix.Unix_error]. *)

val take : t -> (string -> unit) -> string * bool
(** The pipe is this life's from now on. What was spooled is poured into where it
    belongs, and forgotten then; and whether more was written than that. Waits for the reader of before, at most 0.1 s. *)

val leave : t -> unit
(** The daemon goes, the service stays. *)

val remove : t -> unit
(** Nobody is to keep anything. *)
