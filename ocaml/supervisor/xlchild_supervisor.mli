(** Long-running services of a daemon: started, watched for readiness, started
    again, stopped, their output kept; and adopted by the daemon's next life.

    One thread serves all of them. Where a folder for state is given, a daemon
    that ends, or is killed, leaves its services running; the next one finds
    them in that folder, watches them on, and still learns how they end where
    the kernel tells it. Output goes through a named pipe there, which the
    service itself holds open: nothing breaks while no daemon reads it. *)

(** {1 Services} *)

(** When a service that was started is ready. *)
type readiness =
  | At_once
  | Line of string  (** when a line of its output contains this text *)
  | Descriptor of int
      (** when it writes to this descriptor of its own, or closes it *)
  | File of string  (** when this file is there *)

(** [first] seconds before the first start again, [factor] times more before each
    further one, at most [most]; all over when it has run for [settled] seconds.
    After [attempts] starts in a row without that, it is given up. *)
type back_off = {
  first : float;
  factor : float;
  most : float;
  settled : float;
  attempts : int;
}

val patient : back_off
(** 0.5 s, doubled up to 30 s, settled after 60 s, 100 attempts. *)

type restart =
  | Never
  | On_failure of back_off  (** not after exit code 0 *)
  | Always of back_off

type output =
  | Discard
  | Syslog of string  (** under this key *)
  | Log_file of { path : string; most : int; keep : int }
      (** rotated at [most] bytes to [path.1] ... [path.keep] *)

type service

val service :
  ?readiness:readiness ->
  ?ready_within:float ->
  ?restart:restart ->
  ?output:output ->
  ?stop:Xlchild.kill_policy ->
  ?env:string list ->
  ?cwd:string ->
  name:string ->
  string ->
  string list ->
  service
(** [service ~name program arguments]: leader of a group of its own; ready at
    once; started again on failure, with {!patient}; stdout and stderr
    discarded; stopped by SIGTERM, 5 s, SIGKILL to the group. One that is not
    ready within [ready_within] (30 s) is stopped, as a failure. [name] has no
    slash, blank or leading dot. *)

(** {1 What becomes of them} *)

type news =
  | Started of int  (** its pid *)
  | Adopted of int  (** from the daemon's previous life *)
  | Ready
  | Not_ready_in_time
  | Ended of { ended : Xlchild.ended; expected : bool }
      (** [expected]: it had been told to stop *)
  | Not_started of Xlchild.error
  | Starting_again_in of float
  | Given_up

type state =
  | Stopped
  | Starting
  | Running
  | Waiting  (** for its next start *)
  | Stopping
  | Failed  (** given up, or not to be started again *)

type t

val create :
  ?state_folder:string -> ?on_news:(string -> news -> unit) -> unit -> t
(** [on_news] runs in the supervisor's thread, one call at a time; it may call
    {!add}, {!stop} with [~wait:false], and {!state}. *)

val add : t -> service -> unit
(** Starts the service, or adopts it where the state folder says that it lives.
    Raises [Invalid_argument] for a name that is not fit or not new. *)

val stop : ?wait:bool -> t -> string -> unit
(** Ends it by its policy, and does not start it again. Returns when it has
    ended, unless [wait] is [false]. *)

val start : t -> string -> unit
(** Starts one that is stopped or has failed. *)

val state : t -> string -> state option
val pid : t -> string -> int option

val await : ?timeout:float -> t -> string -> state -> bool
(** Whether it came to be in that state in time. *)

val close : ?leave:bool -> t -> unit
(** Stops all services and waits for that; with [leave], leaves them running for
    the daemon's next life. Ends the thread. *)
