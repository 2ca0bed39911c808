(** What one life of a daemon tells the next, in a small file. *)

(** How far a run has come. *)
type stage =
  | Intended  (** about to be started, or started a moment ago *)
  | Living of { pid : Xlchild.Pid.t; start_time : int; ready : bool }
  | Over of { pid : Xlchild.Pid.t; ending : Types.ending; cause : Types.cause }
      (** has ended, and the host may not have been told *)
  | Unknown
      (** was [Intended] when the daemon was killed, and is not there; the host
          may not have been told *)

type entry = { name : string; run : string; stage : stage }

type contents = {
  boot : string;  (** {!Processes.boot} of the life that wrote it *)
  entries : entry list;
}

val to_string : contents -> string

val of_string : string -> (contents, string) result
(** The reason, where it is not what {!to_string} wrote, to the last byte. *)

val load_in : Safe.folder -> string -> (contents option, string) result
(** [None]: there is no file of that name. *)

val save_in : Safe.folder -> string -> contents -> unit
(** In one piece: a reader finds the old or the new, also after a power cut.
    Raises [Unix.Unix_error]; the old one is there then. *)

(** {1 The same by a path} *)

val load : string -> (contents option, string) result

val save : string -> contents -> unit
