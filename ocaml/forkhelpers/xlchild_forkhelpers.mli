(** The operations that xapi's daemons ask of their fork server, without a fork
    server, and without a thread a child.

    Names and types are those of its [Forkhelpers], so that a daemon can be
    moved by changing a module's name. One context of this module's own, whose
    mode is [Nobody], holds all children: SIGCHLD and the program's own children
    are not touched.

    {b Defaults}, of every function here:
    - environment: [PATH] alone, made of {!default_path}, unless [env] is given;
    - a program without a slash is searched in that [PATH];
    - signals: none blocked, none ignored;
    - session: a new one, so that a timeout ends the whole group (SIGTERM, two
      seconds, SIGKILL);
    - descriptors: 0, 1, 2 and what was named; every other one is closed, and
      the caller's keep their flags;
    - stdin: /dev/null unless given; never left open.

    A command that cannot be started raises [Xlchild.Error], with its stage and
    errno: no exit code stands for that. *)

type syslog_stdout_t =
  | NoSyslogging
  | Syslog_DefaultKey  (** the program's name *)
  | Syslog_WithKey of string

val default_path : string list
(** [/sbin], [/usr/sbin], [/bin], [/usr/bin]. *)

val default_path_env_pair : string array
(** An environment with that PATH, and nothing else. *)

(** {1 Running a command} *)

exception Spawn_internal_error of string * string * Unix.process_status
(** stderr, stdout and how it ended: not with exit code 0 *)

exception Subprocess_failed of int
(** an exit code that is not 0 *)

exception Subprocess_killed of int
(** the signal, in OCaml's numbering *)

exception Subprocess_timeout
(** it took too long, and was killed *)

exception Subprocess_lost of Xlchild.lost_reason
(** nobody knows how it ended *)

val execute_command_get_output :
  ?env:string array ->
  ?syslog_stdout:syslog_stdout_t ->
  ?redirect_stderr_to_stdout:bool ->
  ?timeout:float ->
  string ->
  string list ->
  string * string
(** [execute_command_get_output program arguments]: stdout and stderr, where it
    exits with 0. What it writes to stdout goes to syslog, too, if asked for.
    After [timeout] seconds (more than 0) it is killed with its group, and
    {!Subprocess_timeout} raised. *)

val execute_command_get_output_send_stdin :
  ?env:string array ->
  ?syslog_stdout:syslog_stdout_t ->
  ?redirect_stderr_to_stdout:bool ->
  ?timeout:float ->
  string ->
  string list ->
  string ->
  string * string
(** The same with a stdin; a command that does not read it hangs nobody. *)

(** {1 Starting a command} *)

type pidty
(** A command that was started. *)

val string_of_pidty : pidty -> string
(** For messages. *)

val getpid : pidty -> int
(** Its pid. *)

val safe_close_and_exec :
  ?env:string array ->
  Unix.file_descr option ->
  Unix.file_descr option ->
  Unix.file_descr option ->
  (string * Unix.file_descr) list ->
  ?syslog_stdout:syslog_stdout_t ->
  ?redirect_stderr_to_stdout:bool ->
  string ->
  string list ->
  pidty
(** [safe_close_and_exec stdin stdout stderr named program arguments]: [None] is
    /dev/null. Each of the [named] descriptors is open in the child, and its
    name is replaced by its number wherever it occurs in the arguments. With a
    syslog key, stdout (and stderr, if redirected) goes there instead, sent by
    one thread for all children. *)

val waitpid : pidty -> int * Unix.process_status
(** May be asked again. Raises {!Subprocess_lost}. *)

val waitpid_nohang : pidty -> int * Unix.process_status
(** [(0, WEXITED 0)] while it runs. *)

val dontwaitpid : pidty -> unit
(** Nobody will wait; it is reaped all the same. *)

val waitpid_fail_if_bad_exit : pidty -> unit
(** Raises {!Subprocess_failed} or {!Subprocess_killed}. *)

(** {1 Log files} *)

type 'a result =
  | Success of string * 'a
  | Failure of string * exn
      (** what is in the log file, and what the function came to *)

val with_logfile_fd :
  ?delete:bool -> string -> (Unix.file_descr -> 'a) -> 'a result
(** A temporary file whose name begins so, open for the function's writing.
    Closed afterwards, and deleted, unless [delete] is [false] and the function
    did not raise. *)

val temp_dir_server : string
(** Where those files are. There is no server that would have a folder. *)

(** {1 Set-up} *)

val set_syslog_socket : string -> unit
(** ["/dev/log"] unless set. *)

val context : unit -> Xlchild.t
(** The one that holds these children; do not close it. *)
