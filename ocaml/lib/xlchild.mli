(** Child processes inside somebody else's program.

    POSIX gives a process one SIGCHLD and one [wait], so every library that
    forks fights its host for them. A {!t} (a context) has a {!owner} that says
    who owns them; by default nobody needs to.

    {[
      let () =
        Xlchild.with_context @@ fun ctx ->
        let r =
          Xlchild.run ctx ~stdout:`Capture (Xlchild.command "echo" [ "hello" ])
        in
        print_string r.Xlchild.out.data
    ]}

    Every function may be called from any thread, and releases the runtime lock
    while it works; on OCaml 5, from any domain, too. Functions raise {!exception-Error};
    those whose name ends in [_result] return it, and are otherwise the same.
    What has no such twin raises [Error] with [Closed] at most. Durations are in
    seconds, signal numbers are OCaml's.

    {b Closures.} They run on a thread that is inside this library, or on a
    thread of its own. When one raises, the exception is raised by the call
    that was pumping (one of {!check}, {!wait}, {!wait_many}, {!Child.wait},
    {!run}, {!exited}, {!sigchld_occurred}, {!after_poll}), once it is back, or
    by the next such call on the context; no event is lost by it. *)

include module type of struct
  include Types
end

(** {1 Contexts} *)

type t
(** A context: children, events and a mode. Any number may live in one program,
    in any threads. *)

(** The number of one living process. *)
module Pid : sig
  type t = Pid.t
  (** A private [int], greater than 1: no value means the caller's group, init or everybody.
      [(pid :> int)] is the number. *)

  val of_int : int -> t
  (** Raises [Invalid_argument] for 1 and less. *)
end

val create :
  ?owner:owner ->
  ?min_level:level ->
  ?log:(level -> Unix.error option -> string -> unit) ->
  unit ->
  t
(** [owner] is [Nobody] unless given. Messages from [min_level] (default
    [Warning]) on go to [log], which must not call this library; without it,
    warnings and worse go to stderr. *)

val create_result :
  ?owner:owner ->
  ?min_level:level ->
  ?log:(level -> Unix.error option -> string -> unit) ->
  unit ->
  (t, error) result
(** As {!create}. *)

val close : t -> unit
(** Ends a context: legal while children live (see [on_close] of {!val-command}).
    Raises [Error] with [Busy] from inside one of its closures or while another
    thread is in a call on it, and with [Closed] the second time. A context
    that is dropped without [close] is freed by the garbage collector, with a
    line on stderr, and calls no closure any more. *)

val close_result : t -> (unit, error) result
(** As {!close}. *)

val with_context :
  ?owner:owner ->
  ?min_level:level ->
  ?log:(level -> Unix.error option -> string -> unit) ->
  (t -> 'a) ->
  'a
(** {!create}, the function, {!close}. *)

val fileno : t -> Unix.file_descr
(** Readable exactly when there is work: watch it, and call {!check} until it
    answers [None]. Do not read or close it. *)

val fileno_result : t -> (Unix.file_descr, error) result
(** As {!fileno}. *)

val disaster_latched : t -> code option
(** The first disaster that no hook was told. *)

val leaked : unit -> int
(** How many contexts the garbage collector had to free. *)

(** {1 The treaty about SIGCHLD} *)

val set_mode :
  ?fork_replacement:(unit -> int) ->
  ?childproc_exited:(int -> Unix.process_status -> answer) ->
  t ->
  owner ->
  unit
(** Says who owns SIGCHLD; before the first child.

    [fork_replacement] is called instead of fork, for every child; it answers as
    {!fork} does and must not call this library. A [Unix.Unix_error] is reported
    as fork's errno; in the child, an exception ends it.

    [childproc_exited] (only with [Libxl] and [Libxl_always]) hears of children
    that were reaped and that no context started. *)

val set_mode_result :
  ?fork_replacement:(unit -> int) ->
  ?childproc_exited:(int -> Unix.process_status -> answer) ->
  t ->
  owner ->
  (unit, error) result
(** As {!set_mode}. *)

val fork : unit -> int
(** The bare system call, for a [fork_replacement]: 0 in the child, which may
    only return from the closure, without anything that blocks, prints or, with
    several domains, allocates. *)

val exited : t -> int -> Unix.process_status -> bool
(** Mode [Mainloop]: the host reaped this pid, as [Unix.waitpid] told it;
    whether it was the context's. Not from a signal handler of the system's
    (OCaml's are fine). *)

val sigchld_occurred : t -> unit
(** Mode [Mainloop]: the host saw a SIGCHLD; reaps this context's children that
    have ended, and no others. *)

val postfork_child_noexec : unit -> unit
(** In a child of [Unix.fork] that goes on running OCaml code: gives up every
    context of the parent. New ones work afterwards. *)

(** {1 What to start} *)

(** The child's descriptors: a target cannot repeat. *)
module Fd_map = Fd_map

(** Environments, as lists of [NAME=VALUE]. Raises [Invalid_argument] for a name
    that is empty or has an equals sign or a NUL. *)
module Environment = Environment

type flag =
  | Keep_fds  (** other descriptors without close-on-exec stay open *)
  | Keep_sigmask
  | Keep_sigign
  | Ignore_sigpipe
  | Report_stops  (** [Stopped] and [Continued] events *)
  | Restore_sigpipe
      (** SIGPIPE and SIGXFSZ at their default, even with [Keep_sigign] *)
  | Keep_groups
      (** with [uid] or [gid] and without [groups]: the caller's supplementary
          groups stay. Without it none does; where they may not be dropped, and
          there are any, the start fails at the stage [Groups]. *)
  | Hold_pid
      (** with report [Hold]: once it has ended it is not reaped before
          {!Child.wait} or {!Child.poll} told so, {!Child.detach} let it go or
          the handle is gone, so that its pid stays its own *)
  | Nowait
      (** the start returns once there is a process, whatever keeps its program
          from being executed; see {!not_started} *)

(** A child's whole family, held: whoever the child has started, and they in turn.
    A thing of its own, made before its child, and outliving it. *)
module Family : Family_type.S with type context := t

type session =
  | Same_session
  | New_session
  | New_group
  | Join_group of Pid.t  (** the group of this leader *)

type command
(** Everything about a child to start. *)

val command :
  ?path:string ->
  ?argv0:string ->
  ?search:bool ->
  ?search_path:string ->
  ?env:string list ->
  ?cwd:string ->
  ?cwd_fd:Unix.file_descr ->
  ?fds:Fd_map.t ->
  ?flags:flag list ->
  ?session:session ->
  ?ctty:Unix.file_descr ->
  ?uid:int ->
  ?gid:int ->
  ?groups:int list ->
  ?umask:int ->
  ?nice:int ->
  ?pdeathsig:int ->
  ?rlimits:rlimit list ->
  ?sigmask:int list ->
  ?sigignore:int list ->
  ?cgroup:string ->
  ?family:Family.t ->
  ?account:bool ->
  ?on_close:on_close ->
  ?kill:kill_policy ->
  ?exited_grace:float ->
  string ->
  string list ->
  command
(** [command program arguments]. [program] is also [argv.(0)], unless [argv0]
    is given, and what is executed, unless [path] is. A program without a slash
    is searched in [search_path], else the PATH of [env], else the caller's,
    unless [search] is [false].

    [cwd_fd] is a folder that is open here, and stays so until the start: whatever
    its path is by then. It is found through /proc, with the ids that the child
    is to have.

    Defaults: the caller's environment and directory; descriptors 0, 1, 2
    inherited, close-on-exec or not, and every other closed; no signal blocked or ignored; [on_close]
    is [Detach]; [kill] is SIGTERM, 5 seconds, then SIGKILL, to the process.
    [exited_grace] is how long a host in mode [Mainloop] may take to pass a
    status on (1 s).

    [pdeathsig] is sent when the {e thread} that started the child ends.

    [family] holds the child and whom it starts: one of the context that starts
    it, and that has had no child yet; else the start raises [Error] with
    [Invalid] and argument [family]. It may say what the cgroup and the kill
    policy's scope are, and makes the child lead a group. With [account] it is
    told why the child died, and what it cost: {!Child.account}, and [account] of
    outcomes; not with report [Silent].

    A NUL inside a string is refused at the start, naming the member. *)

val with_fds : (int * fd_source) list -> command -> command
(** The same command with these descriptors, in place of what it had there.
    Raises [Invalid_argument] as {!Fd_map.of_list}. *)

val in_family : Family.t -> command -> command
(** The same command with this family. Raises [Error] with [Invalid] and argument
    [family] where it has one. *)

val kill_policy :
  ?signal:int -> ?grace:float -> ?scope:scope -> unit -> kill_policy
(** [signal] (SIGTERM), then SIGKILL after [grace] seconds (5), to [scope] (the
    process alone). *)

val kill_at_once : scope -> kill_policy
(** SIGKILL, and no grace. *)

val default_kill : kill_policy
(** SIGTERM, 5 seconds, SIGKILL, to the process alone. *)

(** Why a child died, and what it cost, where the command asked for that. *)
module Account = Account

(** {1 Starting children} *)

(** How a child's end is reported: once, by one of these. *)
type report =
  | Hold  (** kept until {!Child.wait} takes it *)
  | Event of int  (** an [Exited] event with this tag *)
  | Callback of (ended -> unit)
  | Silent  (** reaped without a word *)

(** A started child. *)
module Child : Child_type.S with type context := t

val start : ?report:report -> t -> command -> Child.t
(** Returns when the child has executed its program, else raises [Error] with
    the stage and the errno: there is no child then. [report] is [Hold] unless
    given.

    Where a signal handler raises meanwhile, there is no child either: one that
    was started is killed and reaped. Handlers run when the start is over; where
    that takes a second, they run then, and may not call this library. A handle
    that is dropped lets its child go, as {!Child.detach}. *)

val start_result : ?report:report -> t -> command -> (Child.t, error) result
(** As {!start}. *)

val nowait : command -> command
(** The same with the flag [Nowait]. *)

val not_started : command -> ended -> error option
(** Of a child that was started with [Nowait], when it has ended: the error that
    the start would have raised had it waited; [None] where it became its
    program. *)

val with_child : t -> command -> (Child.t -> 'a) -> 'a
(** Starts it (its report is [Hold]) and runs the function. However that ends,
    a child that still lives is terminated by its policy, and it is reaped. *)

val start_many : t -> (command * report) list -> (Child.t, error) result list
(** A batch with one crossing into C, in order; on the starter threads if there
    are any. *)

val set_starters : t -> int -> unit
(** Threads (0 to 64, default 0) that start the children of {!start_many}. *)

val set_starters_result : t -> int -> (unit, error) result
(** As {!set_starters}. *)

val find : t -> Pid.t -> Child.t option
(** The live child of this context with that pid. *)

val count : t -> int
(** Children whose end has not been reported. *)

(** {1 Processes that somebody else started} *)

type identity =
  | By_start_time of { pid : Pid.t; start_time : int }
      (** as {!start_time} told it: survives the reuse of a pid *)
  | By_pidfd of Unix.file_descr  (** duplicated *)

val start_time : Pid.t -> int
(** Names a process beyond its pid: clock ticks after boot. *)

val start_time_result : Pid.t -> (int, error) result
(** As {!start_time}. *)

val adopt : ?report:report -> t -> identity -> Child.t
(** Watches a process: its end is reported like a child's, [Lost Not_ours] where
    only its parent can know. Where a signal handler raises meanwhile, it may be
    watched already: {!find} has it then. *)

val adopt_result :
  ?report:report -> t -> identity -> (Child.t, error) result
(** As {!adopt}. *)

(** {1 Events} *)

val check : ?kinds:kind list -> ?filter:(event -> bool) -> t -> event option
(** Does what is due, and takes an event that is there. [filter] must not call
    this library. *)

val check_result :
  ?kinds:kind list ->
  ?filter:(event -> bool) ->
  t ->
  (event option, error) result
(** As {!check}. *)

val wait : ?kinds:kind list -> ?filter:(event -> bool) -> t -> event
(** Waits for one. OCaml signal handlers run meanwhile: at once for a signal
    that interrupts this thread, within 50 ms (the period of OCaml's own tick)
    for one that came just before or that another thread took. One that raises
    loses no event: the next call has it. *)

val wait_result :
  ?kinds:kind list -> ?filter:(event -> bool) -> t -> (event, error) result
(** As {!wait}. *)

val wait_many :
  ?kinds:kind list -> ?timeout:float -> ?max:int -> t -> event list
(** At least one event and at most [max] (default 64, at most 256), or [[]]
    after [timeout]. *)

val wait_many_result :
  ?kinds:kind list ->
  ?timeout:float ->
  ?max:int ->
  t ->
  (event list, error) result
(** As {!wait_many}. *)

val on_events :
  ?kinds:kind list ->
  ?occurred:(event -> unit) ->
  ?disaster:(kind option -> Unix.error option -> string -> unit) ->
  t ->
  unit
(** From now on events of these kinds (all, unless given) go to [occurred]
    instead of the queue; [disaster] hears what makes reports unreliable, and
    must not call this library. Replaces what was set before. *)

type evenable
(** A wish for events, until {!evdisable} or {!close}. *)

val evenable_exit : ?pid:Pid.t -> tag:int -> t -> evenable
(** An [Exited] event, besides the child's own report, for the end of a live
    child of this context, or of every one. *)

val evenable_exit_result :
  ?pid:Pid.t -> tag:int -> t -> (evenable, error) result
(** As {!evenable_exit}. *)

val evdisable : evenable -> unit
(** Events that occurred already may still come. Raises [Error] with
    [Not_found] the second time. *)

val evdisable_result : evenable -> (unit, error) result
(** As {!evdisable}. *)

(** {1 Running to completion} *)

type input =
  [ `Null  (** /dev/null: the default *)
  | `Inherit
  | `Fd of Unix.file_descr
  | `File of string
  | `String of string ]

type output =
  [ `Inherit  (** the default *)
  | `Null
  | `Fd of Unix.file_descr
  | `File of string  (** created, truncated *)
  | `Append of string
  | `Capture
  | `Capture_at_most of int  (** bytes; what is beyond is counted *)
  | `Stream of string -> unit  (** called in order; [""] at its end *) ]

val run :
  ?stdin:input ->
  ?stdout:output ->
  ?stderr:[ output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  ?started:(Pid.t -> unit) ->
  ?family:Family.policy ->
  t ->
  command ->
  outcome
(** Runs a command and waits for it; [started] is called with its pid. After
    [timeout] it is killed by its policy.
    Where a grandchild holds an output open, what is there is taken, unless
    [until_eof]. When a [`Stream] closure raises, the child is killed by its
    policy and the exception raised. OCaml signal handlers run meanwhile, as in
    {!val-wait}; one that raises ends the child by its policy, and is raised
    when that is reaped.

    With [family] the command has a {!Family} of its own that is ended by that
    policy, with SIGKILL: [~family:Always] leaves nothing behind, where a cgroup
    may be made, and nothing of the command's group elsewhere. Whoever has been
    sent SIGKILL is waited for, for at most 10 seconds.
    {[
      let () =
        Xlchild.with_context @@ fun ctx ->
        let leaves = Xlchild.command "sh" [ "-c"; "sleep 1000 &" ] in
        let o =
          Xlchild.run ctx ~family:Xlchild.Family.Always ~stdout:`Null leaves
        in
        assert (Xlchild.Outcome.is_success o)
    ]}

    Raises [Error] where the command could not be started; a command that fails
    is an outcome. *)

val run_result :
  ?stdin:input ->
  ?stdout:output ->
  ?stderr:[ output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  ?started:(Pid.t -> unit) ->
  ?family:Family.policy ->
  t ->
  command ->
  (outcome, error) result
(** As {!run}. *)

type operation
(** A command that {!run_async} runs. *)

val run_async :
  ?stdin:input ->
  ?stdout:output ->
  ?stderr:[ output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  ?started:(Pid.t -> unit) ->
  ?family:Family.policy ->
  t ->
  command ->
  (outcome -> unit) ->
  operation
(** The same, without waiting: [started] is called with the pid, and the last
    closure once with the outcome, both maybe before the call returns. A start
    that fails later than the call returns is an outcome, too: its [ending] is
    [Not_started]. With [family] the outcome comes when whoever was ended is
    gone. *)

val run_async_result :
  ?stdin:input ->
  ?stdout:output ->
  ?stderr:[ output | `Merge ] ->
  ?timeout:float ->
  ?until_eof:bool ->
  ?started:(Pid.t -> unit) ->
  ?family:Family.policy ->
  t ->
  command ->
  (outcome -> unit) ->
  (operation, error) result
(** As {!run_async}. *)

val abort : operation -> unit
(** Kills by policy; the outcome still comes, when the child is reaped. Raises
    [Error] with [Not_found] when it is over, [Aborted] the second time. *)

val abort_result : operation -> (unit, error) result
(** As {!abort}. *)

(** {1 Foreign event loops}

    From least to most work: watch {!fileno}; {!before_poll} and {!after_poll}
    around a poll of your own; or have the library register with your loop. *)

type fd_watch = { modify : readiness -> unit; unwatch : unit -> unit }

type timer = {
  fire_soon : unit -> unit;  (** make it fire at once *)
  cancel : unit -> unit;
}

(** The loop's side. The closures given to [watch] and [set_timer] are to be
    called by the loop, not from within a hook; late calls are harmless. A
    hook that raises fails the call that caused it. Hooks must not call this
    library. *)
type loop = {
  watch : Unix.file_descr -> readiness -> (readiness -> unit) -> fd_watch;
  set_timer : float -> (unit -> unit) -> timer;
      (** the time is [Unix.gettimeofday]'s *)
}

val register_loop : t -> loop option -> unit
(** Before the first child; [None] goes back to none. *)

val register_loop_result : t -> loop option -> (unit, error) result
(** As {!register_loop}. *)

type poll_entry = { fd : Unix.file_descr; interest : readiness }

val before_poll : ?timeout:float -> t -> poll_entry list * float option
(** What to poll for, and until when at most: [timeout] (none: for ever) is only
    ever lowered. *)

val after_poll : t -> (poll_entry * readiness) list -> unit
(** What poll said; may contain others' entries. Then use {!check}. *)

val poll : ?timeout:float -> Unix.file_descr list -> Unix.file_descr list
(** Those that are readable or at their end, [[]] after [timeout] or where a
    signal came: as [Unix.select], for any number of descriptors. *)

val now : unit -> float
(** Seconds of a clock that never jumps. *)

(** {1 Printing and comparing} *)

include module type of struct
  include Show
end

(** {1 Resource limits} *)

(** Limits by the resource's name. *)
module Rlimit = Limits

(** {1 Diagnosis and names} *)

val diagnose : t -> diagnosis
(** Who owns SIGCHLD now, which mode is in force, and why. *)

val version : string
(** Of this library, ["MAJOR.MINOR.PATCH"]. *)

val code_number : code -> int
(** As in the C library: 0 or less, but for [Hook]. *)

val code_of_number : int -> code
(** The reverse. *)

val code_text : code -> string
(** In words, as {!stage_text}, {!owner_text} and {!lost_text}. *)

val stage_text : stage -> string
(** One word, as ["chdir"]. *)

val owner_text : owner -> string
(** One word, as in the C library. *)

val lost_text : lost_reason -> string
(** Why, in words. *)

val error_text : error -> string
[@@deprecated "Use Xlchild.Error.to_string."]
(** {!Error.to_string}. *)

val system_signal : int -> int
(** An OCaml signal number as the kernel numbers it. *)

val ocaml_signal : int -> int
(** The reverse; real-time signals keep their number. *)
