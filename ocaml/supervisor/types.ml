(* types.ml - the types that Xlchild_supervisor shows, and nothing that runs

   Included by xlchild_supervisor.mli. *)

(** {1 What a service is} *)

(** When a service that was started is ready. *)
type readiness =
  | At_once
  | Line of string
      (** when a line of its output contains this text, within the line's first
          8192 bytes *)
  | Newline_on of int
      (** when it writes a newline to this descriptor of its own, as s6's
          services do; above 2 *)
  | File of string
      (** when this file is there; one that is there before the start is
          removed *)

(** Where stdout and stderr of a service go. *)
type output =
  | Discard
  | Syslog of string  (** a message a line, under this key *)
  | Log_file of { path : string; most : int; keep : int }
      (** no symbolic link; rotated before it exceeds [most] bytes, to [path.1] ... [path.keep]
          (the oldest); with [keep] 0, started anew *)

(** {1 What becomes of it} *)

(** Why nobody can tell how a service ended. *)
type lost =
  | Not_told of Xlchild.lost_reason  (** the kernel did not tell *)
  | While_away
      (** it ended while no daemon watched it, and its pidfd was with nobody, or
          the kernel is older than 6.15 *)
  | Before_boot  (** the machine was started anew since *)

(** A status is the kernel's, or it is lost; none is invented. *)
type ending = Status of Unix.process_status | Lost of lost

(** Whose doing the end was: only [By_itself] is unexpected. *)
type cause =
  | By_itself
  | Told_to  (** {!Xlchild_supervisor.stop} *)
  | Not_ready  (** it was not ready in time, and therefore stopped *)

type what =
  | Started of { pid : Xlchild.Pid.t }
  | Adopted of { pid : Xlchild.Pid.t }  (** started by a previous life of the daemon *)
  | Ready
  | Start_unknown
      (** the daemon was killed while it was starting this run, and no process of
          it is there: it never came to run, or has ended since *)
  | Ready_too_late  (** not ready in time: it is stopped, as a failure *)
  | Ended of { pid : Xlchild.Pid.t; ending : ending; cause : cause }
  | Accounted of { pid : Xlchild.Pid.t; account : Xlchild.Account.t }
      (** why it died, and what it cost: before its [Ended], of a service that
          asks for it and that this life has started *)
  | Not_started of Xlchild.error
  | Starting_again_in of float  (** seconds *)
  | Given_up  (** failed more often than its policy grants *)
  | Output_lost of Unix.error
      (** the log cannot be written; told once until it can be again *)
  | State_lost of string
      (** the state folder's file was unusable, for this reason; what lives was
          found by looking at all processes. [service] is [""] *)
  | State_not_kept of Unix.error
      (** the state file cannot be written; told once until it can be again.
          [service] is [""] *)

(** [run] names one run of one service, from its start to its end, for ever and
    over lives of the daemon: [""] where the event belongs to none. An [Ended]
    is told once; where a daemon is killed in the very act of telling it, the
    next life tells it again, with the same [run]. *)
type event = { service : string; run : string; what : what }

type state =
  | Stopped
  | Starting  (** until it is ready *)
  | Running
  | Stopping
  | Waiting  (** for its next start *)
  | Failed  (** given up, or not to be started again *)

(** {1 Errors} *)

type error =
  | Folder_in_use of string  (** by another supervisor *)
  | Folder_unusable of string * Unix.error
  | Name_taken of string
  | Log_unusable of string * Unix.error
  | Context of Xlchild.error
  | Closed  (** the supervisor was closed, or the service removed *)

(** What functions raise, besides [Invalid_argument] for an argument that makes
    no sense. *)
exception Error of error
