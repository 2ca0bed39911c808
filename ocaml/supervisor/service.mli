(** What is to be run: a program, and how to watch, restart and stop it. *)

type t = private {
  name : string;
  command : (int * Xlchild.fd_source) list -> (string * string) -> Xlchild.command;
      (** with these descriptors and this variable of the environment *)
  readiness : Types.readiness;
  ready_within : float;
  restart : Policy.restart;
  output : Types.output;
  stop : Xlchild.kill_policy;
  cgroup : string option;
}

val make :
  ?readiness:Types.readiness ->
  ?ready_within:float ->
  ?restart:Policy.restart ->
  ?output:Types.output ->
  ?stop:Xlchild.kill_policy ->
  ?env:string list ->
  ?cwd:string ->
  ?fds:(int * Unix.file_descr) list ->
  ?uid:int ->
  ?gid:int ->
  ?groups:int list ->
  ?umask:int ->
  ?nice:int ->
  ?rlimits:Xlchild.rlimit list ->
  ?cgroup:string ->
  name:string ->
  string ->
  string list ->
  t
(** {!Xlchild_supervisor.service}. *)
