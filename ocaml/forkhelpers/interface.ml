(* interface.ml - the operations as a module type, for every kind of timeout
   and of tracer

   Included by xlchild_forkhelpers.mli; made by xlchild_forkhelpers.ml. *)

(** What ties the operations to a tracer of the daemon's. *)
module type Tracer = sig
  type span

  val with_span : ?parent:span -> name:string -> (span option -> 'a) -> 'a
  (** Runs the function within a span of that name, and ends it however that
      ends. *)

  val environment : span -> (string * string) list
  (** Variables that the command is to find in its environment besides; [[]]
      where there is nothing to pass on. *)
end

(** How long: in seconds; 0 and less, [nan] and infinity are no timeout. *)
module type Timeout = sig
  type t

  val seconds : t -> float
end

module type S = sig
  type span
  (** What [tracing] is. *)

  type timeout
  (** What [timeout] is. *)

  type syslog_stdout = Basics.syslog_stdout =
    | NoSyslogging
    | Syslog_DefaultKey
    | Syslog_WithKey of string

  type pidty = Basics.pidty

  type 'a result = 'a Basics.result =
    | Success of string * 'a
    | Failure of string * exn

  exception Spawn_internal_error of string * string * Unix.process_status
  exception Subprocess_failed of int
  exception Subprocess_killed of int
  exception Subprocess_timeout
  exception Subprocess_lost of Xlchild.lost_reason

  val default_path : string list
  val default_path_env_pair : string array

  val execute_command_get_output :
    ?tracing:span ->
    ?env:string array ->
    ?syslog_stdout:syslog_stdout ->
    ?redirect_stderr_to_stdout:bool ->
    ?timeout:timeout ->
    string ->
    string list ->
    string * string

  val execute_command_get_output_send_stdin :
    ?tracing:span ->
    ?env:string array ->
    ?syslog_stdout:syslog_stdout ->
    ?redirect_stderr_to_stdout:bool ->
    ?timeout:timeout ->
    string ->
    string list ->
    string ->
    string * string

  val safe_close_and_exec :
    ?tracing:span ->
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

  val string_of_pidty : pidty -> string
  val getpid : pidty -> int
  val waitpid : pidty -> int * Unix.process_status
  val waitpid_nohang : pidty -> int * Unix.process_status
  val dontwaitpid : pidty -> unit
  val waitpid_fail_if_bad_exit : pidty -> unit
  val kill : pidty -> int -> unit

  val with_logfile_fd :
    ?delete:bool -> string -> (Unix.file_descr -> 'a) -> 'a result

  val temp_dir_server : string
end
