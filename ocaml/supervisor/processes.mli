(** Processes as /proc shows them. *)

val boot : unit -> string
(** Names this boot of the machine and this pid namespace: pids and start times
    of another one say nothing here. *)

val variable : string
(** The variable of the environment by which a run is found again. *)

val mark : folder:string -> name:string -> run:string -> string
(** Its value. *)

val is_marked : int -> bool
(** Whether a supervisor's service, or what it started, has this pid. *)

type found = { name : string; run : string; pid : Xlchild.Pid.t; start_time : int }

val find : folder:string -> found list
(** Leaders of process groups that were started with such a mark, the oldest one
    of each run. [folder] is {!identity}'s. *)

type worker = {
  worker : Xlchild.Pid.t;
  since : int;
  marked : bool;
  leaving : bool;  (** it ends, and has no mark any more *)
}

val workers : ?group:int -> mark:string -> unit -> worker list
(** Who lives in a process group, and whether with this mark; of no group, who
    lives with this mark. *)

val identity_of : Unix.stats -> string
(** As {!identity}, of what is open. *)

val identity : string -> string
(** Names a folder, whatever its path. Raises [Unix.Unix_error]. *)
