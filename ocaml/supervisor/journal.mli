(** The state folder: whose it is, and what is in it. *)

type t

val open_ : string -> t
(** Makes the folder where it is missing. Raises {!Types.Error}. *)

val close : t -> unit
val folder : t -> Safe.folder

val identity : t -> string
(** {!Processes.identity} of the folder. *)

val boot : t -> string
(** {!Processes.boot} of this life. *)

val save : t -> State_file.entry list -> unit
(** Raises [Unix.Unix_error]. *)

(** What the previous life left; [Gone], which is [Over] or [Unknown], is still
    to be told. *)
type left =
  | Alive of {
      name : string;
      run : string;
      pid : Xlchild.Pid.t;
      start_time : int;
      ready : bool;
    }
  | Gone of State_file.entry

val run_of : left -> string

val load :
  t -> kept:(string -> (int * int) option) -> left list * string option
(** [kept]: pid and start time of a run whose pidfd outlived the daemon. And why the file could not tell: the living were found by their marks then. *)
