(** Long-running services of a daemon: started, watched for readiness, started
    again, stopped, their output kept; and adopted by the daemon's next life.

    {[
      open Xlchild_supervisor

      let () =
        with_supervisor ~on_event:(fun e -> print_endline (event_text e))
        @@ fun t ->
        let sleeper = add t (service ~name:"sleeper" "sleep" [ "1000" ]) in
        ignore (await sleeper (( = ) Running));
        stop sleeper
    ]}

    One thread serves all services of a supervisor. With a [state_folder], a
    daemon that is killed, or closes its supervisor with [leave], leaves its
    services running; the next life of the daemon {!add}s the same names and
    adopts them: by pid and start time, so never a stranger that got the pid.
    It learns how they end where the kernel tells (Linux 6.15 on), else that
    they ended ([Lost]). Output then goes through a named pipe in the folder,
    both of whose ends the service holds: nothing breaks while no daemon reads
    it. The daemon's logger (see [Xlchild_syslog.forward]) does so then: it sends
    to syslog, or keeps 4 MiB a service for the next life's log.

    Functions may be called from any thread. Those that wait for a service
    raise [Invalid_argument] in the supervisor's own thread, where [on_event]
    runs. Durations are in seconds, and measured by a clock that never jumps.
    Functions raise {!Error}; those whose name ends in [_result] return it. *)

include module type of struct
  include Types
end

(** {1 Describing services} *)

module Policy = Policy
(** Back-off: when to start again, and when to give up. *)

type service = Service.t

val service :
  ?readiness:readiness ->
  ?ready_within:float ->
  ?restart:Policy.restart ->
  ?output:output ->
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
  ?family:Xlchild.Family.policy ->
  ?account:bool ->
  name:string ->
  string ->
  string list ->
  service
(** [service ~name program arguments]: searched in PATH, leader of a process
    group of its own, with nothing on stdin.

    Defaults: ready at once; started again on failure, by
    {!Policy.val-back_off}[ ()]; stdout and stderr discarded; the daemon's
    environment and directory; stopped by SIGTERM, 5 s, SIGKILL, to the group,
    or to the cgroup if there is one. What is left of the group when a service has
    ended, however it did, is killed then, unless the policy's scope is
    [Process]; it has ended when that is gone (5 s at most).

    One that is not ready [ready_within] 30 s is stopped, as a failure.
    [fds] are further descriptors, above 2: of the daemon's, which has to keep
    them open as long as the service may be started. [cgroup] is the directory of a
    version 2 cgroup that is this service's alone: made where it is missing,
    and emptied by SIGKILL when the service has ended, however it did. One that
    holds others is refused at the start, with [EBUSY].

    With [family] each run has an [Xlchild.Family] of its own, which is ended by
    that policy, with SIGKILL, and [cgroup] may not be given: whom a service has
    started is gone with it, whatever they did, where a cgroup may be made, and by
    group elsewhere. [Always]: however it ends. [On_failure]: unless with exit
    code 0. Both, and [On_timeout]: when it is stopped. It has ended when they are
    gone (5 s at most). Whoever else is left is ended before the next start,
    except with [Never]. An adopted one's are so, too: by its cgroup, and by what
    the environment has; one that ended while no daemon lived ended by a failure,
    where nobody can tell how. With [account] an [Accounted] tells, before its
    [Ended], why it died, and what it cost.
    {[
      open Xlchild_supervisor

      let () =
        with_supervisor ~on_event:(fun e -> print_endline (event_text e))
        @@ fun t ->
        let worker = "setsid sleep 1000 & echo up; wait" in
        let m =
          add t
            (service ~name:"shop" "sh" [ "-c"; worker ] ~family:Always
               ~account:true ~readiness:(Line "up"))
        in
        assert (await m (( = ) Running));
        (match family m with
        | Some state -> assert (not state.empty)
        | None -> assert false);
        stop m
    ]}
    The environment has [XLCHILD_SERVICE] besides, which names the run.

    Raises [Invalid_argument], which names the argument, for a [name] that is
    empty, longer than 200 bytes, begins with a dot or has a slash, blank or
    control character, and for numbers that make no sense. *)

(** {1 Supervisors} *)

type t

val create :
  ?state_folder:string ->
  ?on_event:(event -> unit) ->
  ?on_exception:(exn -> unit) ->
  unit ->
  t
(** [on_event] hears of everything, in order, one call at a time, in the
    supervisor's thread with no lock held. It may use the supervisor, but not
    wait for it. What it raises goes to [on_exception], which must not raise;
    by default it is printed to stderr.

    [state_folder] is made where it is missing, with mode 0700; best on a file
    system that does not outlive a boot, such as /run. It belongs to one
    supervisor at a time, and to this user: where it is a symbolic link, is
    somebody else's or may be written by others, it is [Folder_unusable]; links
    in it are not followed. Raises {!Error}. *)

val create_result :
  ?state_folder:string ->
  ?on_event:(event -> unit) ->
  ?on_exception:(exn -> unit) ->
  unit ->
  (t, error) result
(** As {!create}. *)

val close : ?leave:bool -> t -> unit
(** Stops all services, waits for that, and ends the thread; with [leave], leaves
    them running for the daemon's next life, which has to reap them where that
    is this same process. Processes of {!left} live on in either case. A second
    [close] raises {!Error} [Closed].

    OCaml signal handlers run while this and the others here wait. One that
    raises ends the waiting, not what was asked for: the services are stopped
    and all is closed in the background. *)

val with_supervisor :
  ?state_folder:string ->
  ?on_event:(event -> unit) ->
  ?on_exception:(exn -> unit) ->
  (t -> 'a) ->
  'a
(** {!create}, the function, {!close}; whatever raises where, it is closed. *)

val reopen_logs : t -> unit
(** Log files are opened anew by their path: for a log rotation by others. *)

(** {1 Running services} *)

type member
(** A service that was added to a supervisor. *)

val add : ?start:bool -> t -> service -> member
(** Adopts the process of that name that a previous life left, else starts one,
    unless [start] is [false]. Raises {!Error} with [Name_taken],
    [Log_unusable], [Folder_unusable] or [Closed]; [Invalid_argument] for a
    cgroup that holds the daemon itself. *)

val add_result : ?start:bool -> t -> service -> (member, error) result
(** As {!add}. *)

val start : member -> unit
(** One that is stopped, failed or waiting is started now, with its failures
    forgotten; one that is stopping, when it has ended. Raises {!Error}
    [Closed]. *)

val stop : ?wait:bool -> member -> unit
(** Ends it by its policy, and does not start it again. Returns when it has
    ended, unless [wait] is [false]. *)

val restart : ?wait:bool -> member -> unit
(** {!stop} and {!start}; returns when it is running or has failed, unless [wait]
    is [false]. *)

val remove : ?wait:bool -> member -> unit
(** Stops it and forgets it: its name is free then. *)

val state : member -> state
(** What it is doing now. *)

val pid : member -> Xlchild.Pid.t option
(** Of its process, while it has one. *)

val name : member -> string
(** Its service's. *)

val family : member -> Xlchild.Family.state option
(** What is known of the family of its present or last run; [None]: it has none,
    or a previous life has started it. *)

val await : ?timeout:float -> member -> (state -> bool) -> bool
(** Waits until its state is such; whether it came to that in time. States that
    pass quickly may be missed. *)

val find : t -> string -> member option
(** The one of that name. *)

(** {1 What a previous life left} *)

val left : t -> (string * Xlchild.Pid.t) list
(** Names and pids of living processes that a previous life had started and
    nobody has {!add}ed yet. They are watched: their ends are told. *)

val stop_left : t -> unit
(** Ends them, by SIGTERM, 5 s, SIGKILL to their groups, and waits for that. *)

(** {1 Events as a stream} *)

(** For those who prefer to ask: give [push] as [on_event]. *)
module Stream : sig
  type t

  val create : unit -> t
  (** An empty one. *)

  val push : t -> event -> unit
  (** At its end: fit for [on_event]. *)

  val next : t -> event
  (** Waits for one; in order, each once. *)

  val next_opt : t -> event option
  (** One that is there. *)
end

(** {1 Words} *)

val ending_text : ending -> string
(** ["exit code 3"], ["signal 9"], ["lost: ..."]; signals by the system's
    numbers. *)

val event_text : event -> string
(** A line for a log, without its newline. *)

val state_text : state -> string
(** In words. *)

val error_text : error -> string
(** In words. *)
