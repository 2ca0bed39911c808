(** The operations that xapi's daemons ask of their fork server, without a fork
    server, and without a thread a child.

    Names and types are those of its [Forkhelpers] as it was before it had
    tracing and monotonic timeouts: a daemon is moved by changing a module's
    name. As it is today it is made by [Xlchild_forkhelpers_mtime]
    ([xlchild.forkhelpers_mtime]). One context of this module's own, whose mode
    is [Nobody], holds all children: SIGCHLD and the program's own children are
    not touched. What is the same as upstream's, and what is not, is listed in
    docs/forkhelpers.md.

    {b What every command finds}, as with the fork server:
    - environment: [PATH] alone, made of {!default_path}, unless [env] is given;
      a program without a slash is searched in that [PATH];
    - folder: [/];
    - signals: none blocked; SIGPIPE ignored, no other;
    - limits: 1024 open files, unless it is fewer already (the hard limit stays);
    - session: a new one; outside the daemon's cgroup, where that may be;
    - descriptors: 0, 1, 2 and what was named; every other one is closed, and
      the caller's keep their flags. What is not given is /dev/null.

    {b What cannot be executed} ends with 127 where it is not there, else with
    126. A descriptor that is not open raises [Unix.Unix_error] [EBADF]. Other
    failures to start raise [Xlchild.Error], with stage and errno.

    Usable in a child of fork that goes on as it is, too. *)

type syslog_stdout =
  | NoSyslogging
  | Syslog_DefaultKey  (** the program's name *)
  | Syslog_WithKey of string

type syslog_stdout_t = syslog_stdout =
  | NoSyslogging
  | Syslog_DefaultKey
  | Syslog_WithKey of string  (** its older name *)

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
  ?syslog_stdout:syslog_stdout ->
  ?redirect_stderr_to_stdout:bool ->
  ?timeout:float ->
  string ->
  string list ->
  string * string
(** [execute_command_get_output program arguments]: stdout and stderr, where it
    exits with 0. With a syslog key, each line of stdout is a message under
    [key[pid]] instead, and stdout is [""] here; so with stderr, where it is
    redirected, which without a key changes nothing. After [timeout] seconds
    (more than 0; infinity and [nan] are none) it is killed with its group, at
    once, and {!Subprocess_timeout} raised. What it leaves running in the
    background may go on writing. *)

val execute_command_get_output_send_stdin :
  ?env:string array ->
  ?syslog_stdout:syslog_stdout ->
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
  ?syslog_stdout:syslog_stdout ->
  ?redirect_stderr_to_stdout:bool ->
  string ->
  string list ->
  pidty
(** [safe_close_and_exec stdin stdout stderr named program arguments]: [None] is
    /dev/null. Each of the [named] descriptors is open in the child, and where
    an argument ends with its name, that is replaced by its number. With a
    syslog key, stdout (and stderr, if redirected) goes there instead, sent by a
    process of its own, one for all: it goes on when the daemon ends. *)

val waitpid : pidty -> int * Unix.process_status
(** May be asked again. Raises {!Subprocess_lost}. *)

val waitpid_nohang : pidty -> int * Unix.process_status
(** [(0, WEXITED 0)] while it runs. *)

val dontwaitpid : pidty -> unit
(** Nobody will wait; it is reaped all the same. *)

val waitpid_fail_if_bad_exit : pidty -> unit
(** Raises {!Subprocess_failed} or {!Subprocess_killed}. *)

val kill : pidty -> int -> unit
(** [kill p signal]: hits this command, or nobody, where it has ended. Signals
    are numbered as OCaml does. *)

(** {1 Log files} *)

type 'a result =
  | Success of string * 'a
      (** what is in the log file, or with [~delete:false] its path *)
  | Failure of string * exn
      (** what is in the log file, and what the function raised *)

val with_logfile_fd :
  ?delete:bool -> string -> (Unix.file_descr -> 'a) -> 'a result
(** A temporary file whose name begins so, open for the function's writing.
    Closed afterwards, and deleted, unless [delete] is [false] and the function
    did not raise. *)

val temp_dir_server : string
(** Where those files are. There is no server that would have a folder. *)

(** {1 With a tracer, or other timeouts} *)

include module type of struct
  include Interface
end

module No_tracer : Tracer
(** One that traces nothing. *)

module Make (Tracer : Tracer) :
  S with type span = Tracer.span and type timeout = float
(** With [?tracing] as first argument, tied to a tracer of the daemon's:
    {[
      module Forkhelpers = Xlchild_forkhelpers.Make (struct
        type span = unit

        let with_span ?parent ~name f = ignore name; f parent
        let environment () = []
      end)
    ]}
    The types and exceptions are those of this module. *)

module Make_for (Timeout : Timeout) (Tracer : Tracer) :
  S with type span = Tracer.span and type timeout = Timeout.t
(** The same, with timeouts of another kind. *)

(** {1 Set-up} *)

val set_syslog_socket : string -> unit
(** ["/dev/log"] unless set; for commands that are started from now on. *)

val set_family : Xlchild.Family.policy -> unit
(** Whom the commands of [execute_command_get_output] and its kin take along, of
    whatever module of this library's, from now on: [Never] unless set, as with
    the fork server. With [On_timeout] a command that takes too long, or out of
    which a handler raises, leaves nobody of its [Xlchild.Family] behind, also
    whoever has made a session of its own, where a cgroup may be made, and nobody
    of its group elsewhere; [On_failure] and [Always] as there. The calls raise
    and return when they are gone, 10 seconds later at most.
    {[
      let () =
        Xlchild_forkhelpers.set_family On_timeout;
        match
          Xlchild_forkhelpers.execute_command_get_output ~timeout:0.1 "/bin/sh"
            [ "-c"; "setsid sleep 1000 & sleep 1000" ]
        with
        | _ -> assert false
        | exception Xlchild_forkhelpers.Subprocess_timeout -> ()
    ]} *)

val context : unit -> Xlchild.t
(** The one that holds these children; do not close it. *)
