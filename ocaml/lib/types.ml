(* types.ml - the types that Xlchild shows, and nothing that runs

   Included by xlchild.mli. Some layouts are read and built by the C stubs
   (stub_convert.c): a change here is one there. *)

(** {1 Errors} *)

(** What a failure is, as the C library's [ERROR_...] codes. *)
type code =
  | Nonspecific
  | Version
  | Fail
  | Not_implemented
  | No_memory
  | Invalid  (** an argument is wrong: [argument] says which *)
  | Bad_fail
  | Timed_out
  | Not_ready
  | Osevent_reg_fail
  | Buffer_full
  | Unknown_child
  | Lock_fail
  | Aborted
  | Not_found  (** no such child, or its end was reported already *)
  | Spawn_failed  (** [stage] and [errno] say which step failed, and why *)
  | Sigchld_conflict
      (** another context of this process is in a mode that excludes this *)
  | Sigchld_unavailable  (** no way to notice the child's exit *)
  | Busy
  | Interrupted
  | System  (** a system call failed: [errno] says why *)
  | Permission
  | Limit
  | Fds_closed  (** somebody else closed the context's descriptors *)
  | Closed  (** the context was closed *)
  | Hook of int  (** what a hook of the host's event loop answered *)
  | Unknown_code of int

(** The step at which starting a child failed. *)
type stage =
  | No_stage
  | Argument
  | Prepare
  | Fork
  | Gate
  | Fds
  | Signals
  | Session
  | Ctty
  | Cgroup
  | Rlimit
  | Nice
  | Groups
  | Gid
  | Uid
  | Pdeathsig
  | Chdir
  | Exec

type error = {
  code : code;
  stage : stage;
  errno : Unix.error option;
  argument : string option;  (** with [Invalid]: the member at fault *)
  program : string option;  (** what was to be started *)
  path : string option;
      (** the file or folder at fault, where it is known: the program with stage
          [Exec], else the folder or the cgroup that was to be entered *)
}

(** What every function of this library raises, but for the exceptions of
    your own closures and [Invalid_argument]. *)
exception Error of error

(** The standard result, named here so that [Error] stays its constructor in a
    program that opens this module; where an exception is expected it is
    {!exception-Error} all the same. *)
type ('a, 'e) result = ('a, 'e) Stdlib.result = Ok of 'a | Error of 'e

(** {1 How a child ended} *)

(** Why a status could not be learnt. *)
type lost_reason =
  | Stolen  (** another [wait] in this process took it *)
  | Ignored  (** SIGCHLD was ignored: the kernel threw the status away *)
  | Not_passed
      (** mainloop mode: the host reaped the child and never called
          {!Xlchild.exited} *)
  | Not_ours  (** adopted: only its parent learnt the status *)
  | Number_reused
      (** another [wait] took it, and its pid is another process's by now *)
  | Left
      (** a run's child that the kernel did not let us kill: it was left
          running *)
  | Never_ran
      (** a step before its program failed, in a start that nobody waited for:
          [failure] says which, and why *)

(** A status is the kernel's, or it is lost; it is never invented. Signal
    numbers are OCaml's ([Sys.sigterm] ...). *)
type status = Status of Unix.process_status | Lost of lost_reason

(** How the status reached the library. *)
type source =
  | Nowhere  (** it is lost *)
  | Reaped  (** by the library *)
  | Passed  (** by the host, to {!Xlchild.exited} *)
  | From_pidfd  (** by the kernel, after somebody else had reaped *)

(** What the child used; [user_time] and [system_time] in seconds, [max_rss] in
    KiB. *)
type rusage = {
  user_time : float;
  system_time : float;
  max_rss : int;
  minor_faults : int;
  major_faults : int;
  blocks_in : int;
  blocks_out : int;
  voluntary_switches : int;
  involuntary_switches : int;
}

type ended = {
  id : int;  (** names the child in its context; never reused *)
  pid : Pid.t;  (** its number while it lived; somebody else's by now, maybe *)
  status : status;
  source : source;
  rusage : rusage option;  (** only of children that the library reaped *)
  failure : (stage * Unix.error option) option;
      (** of one that never ran ([Lost Never_ran]): the step that failed, and
          why *)
}

(** {1 What it cost} *)

(** Who ended a child. The kernel does not tell who sent a signal; it is known
    what this library sent, and what the memory killer counted. *)
type ended_by =
  | By_unknown  (** the status is lost, or there is none *)
  | By_itself  (** it exited, whatever it was sent before *)
  | By_timeout  (** of its run *)
  | By_abort  (** {!Xlchild.abort}, or its output could not be kept *)
  | By_kill
      (** {!Xlchild.Child.kill} or [terminate], or with its family
          ({!Xlchild.Family.signal}, [stop]) *)
  | By_memory_killer
      (** SIGKILL, not ours, and in its own cgroup the kernel has killed for want
          of memory *)
  | By_others
      (** a signal that this library did not send: of another process, of itself
          ([abort]), or of the kernel (SIGSEGV) *)

(** Why a child died, and what it cost: of one that was started with
    [~account:true]. [None] is "not known". *)
type account = {
  ended_by : ended_by;
  perhaps : bool;  (** [ended_by] is likely, and not proved *)
  core_dumped : bool option;
  sent : (ended_by * int) option;
      (** the last signal of ours that the kernel took for it, whatever came of
          that: why, and which, in OCaml's numbering *)
  exec_time : float option;
      (** seconds since the start was asked for, until it had become its program
          … *)
  end_time : float option;  (** … and until its end was noticed *)
  usage : rusage option;
      (** of the child and what it waited for; only where the library reaped it *)
  memory_kills : int option;
      (** of its own cgroup, as all that follow: processes killed for want of
          memory since the start *)
  cpu_time : float option;  (** seconds since the start *)
  memory_peak : int option;  (** bytes, since the cgroup was made … *)
  pids_peak : int option;  (** … threads at a time … *)
  memory_stall : float option;
      (** … and for how many seconds somebody in it waited for memory … *)
  cpu_stall : float option;  (** … for a processor … *)
  io_stall : float option;  (** … for a device *)
}

(** {1 Events} *)

(** The tag is what the host gave when it asked for the event. *)
type event =
  | Operation_complete of { tag : int; rc : int }
  | Exited of { tag : int; ended : ended }
  | Started of { tag : int; id : int; pid : Pid.t }
  | Stopped of { tag : int; id : int; pid : Pid.t; signal : int }
  | Continued of { tag : int; id : int; pid : Pid.t; signal : int }

type kind =
  | Operation_complete_event
  | Exit_event
  | Started_event
  | Stopped_event
  | Continued_event

(** {1 Modes} *)

(** Who owns SIGCHLD and who reaps.

    - [Libxl]: the library, while it has a child; it reaps all children of the
      process. The C library's default.
    - [Mainloop]: the program, which promises to call {!Xlchild.exited} or
      {!Xlchild.sigchld_occurred}. The library touches no signal state.
    - [Libxl_always]: as [Libxl], but always.
    - [Selective_reap]: the library's handler is always installed, but it
      reaps only what it started.
    - [Nobody]: no handler is needed: exits arrive through pidfds. This
      module's default. *)
type owner = Libxl | Mainloop | Libxl_always | Selective_reap | Nobody

(** What [childproc_exited] says about a child that no context started. *)
type answer =
  | Recognised  (** it is mine, or I keep no records *)
  | Unknown  (** it is not mine either: the library logs a warning *)
  | Failed  (** I cannot cope: a disaster *)

type level = Debug | Info | Warning | Error_level | Critical

(** {1 Ending a child} *)

type scope =
  | Process
  | Process_group  (** needs a child started as leader of one *)
  | Control_group  (** needs a child started in a cgroup of its own *)

(** First [first_signal], then SIGKILL after [grace_ms] milliseconds. A
    [first_signal] of 0 is SIGKILL at once. {!Xlchild.val-kill_policy} makes one
    with seconds, as everywhere else: the record is opaque from the next release
    on. *)
type kill_policy = {
  first_signal : int;
  grace_ms : int;
      [@deprecated "Milliseconds: use Xlchild.kill_policy, whose grace is in seconds."]
  scope : scope;
}

(** What {!Xlchild.close} does with a child that still lives. *)
type on_close =
  | Detach  (** lives on, and is reaped all the same *)
  | Kill
  | Leave  (** lives on; reaping it is the host's matter *)

(** {1 What to start} *)

(** Where a descriptor of the child comes from. *)
type fd_source = Null | Closed_fd | Fd of Unix.file_descr

(** A resource limit, as {!Xlchild.module-Rlimit} makes it; [-1] is no limit.
    [resource] is the system's number. *)
type rlimit = {
  resource : int;
      [@deprecated "A number: use Xlchild.Rlimit.make, by the resource's name."]
  soft : int;
  hard : int;
}

(** {1 Running to completion} *)

type captured = {
  data : string;
  dropped : int;  (** bytes beyond the limit *)
  held_open : bool;  (** somebody still holds the pipe open *)
}

(** Why a command is over. *)
type ending =
  | Completed  (** it ended by itself: see its status *)
  | Timeout  (** it was killed when its time was over *)
  | Abort  (** it was killed by {!Xlchild.abort} *)
  | Out_of_memory  (** its output could not be kept; it was killed *)
  | Not_started of error
      (** of {!Xlchild.run_async}: the call had returned before the child could
          execute its program *)

type outcome = {
  child : ended;
  ending : ending;
  stdin_written : int;  (** bytes of the input that the child's pipe took *)
  out : captured;
  err : captured;
  account : account option;  (** where the command asked for it *)
}

(** {1 Diagnosis} *)

type facility = Pidfd | Shared_files | Close_range | Exit_info | Vfork

type diagnosis = {
  mode_asked : owner;
  mode_in_force : owner;
  mode_reason : string option;  (** why they differ *)
  facilities : facility list;  (** of the kernel, that work here *)
  handler_wanted : bool;
  handler_installed : bool;
  handler_displaced : bool;  (** wanted, but somebody replaced it *)
  sigchld_ignored : bool;
  sigchld_blocked : bool;  (** in the calling thread *)
  handler_object : string;  (** the object file of what handles SIGCHLD *)
  children : int;
  words : string;  (** all of it as text, several lines *)
}

(** {1 The host's event loop} *)

(** Readiness of a descriptor. *)
type readiness = { readable : bool; writable : bool }
