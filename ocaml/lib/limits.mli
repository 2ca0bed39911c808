(** Limits by the resource's name. *)

open Types

type resource =
  | Cpu  (** seconds *)
  | File_size  (** bytes, as all that are sizes *)
  | Data
  | Stack
  | Core
  | Resident
  | Processes  (** of the user *)
  | Open_files
  | Locked_memory
  | Address_space
  | File_locks
  | Pending_signals
  | Message_queues
  | Nice  (** 20 less the lowest nice value *)
  | Realtime_priority
  | Realtime_time  (** microseconds *)
  | Number of int  (** the system's number of another one *)

val unlimited : int
(** No limit. *)

val make : ?hard:int -> resource -> int -> rlimit
(** [make resource soft]: [hard] is the same unless given. Raises
    [Invalid_argument] for what is negative, but {!unlimited}. *)

val current : resource -> rlimit
(** This process's. Raises [Unix.Unix_error]. *)
