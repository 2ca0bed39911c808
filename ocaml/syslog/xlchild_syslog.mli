(** A stream of text as syslog messages, a line each: RFC 3164 datagrams to the
    local socket, facility daemon, level info. A message that cannot be sent is
    dropped, as syslog(3) does; a line that no datagram holds goes in parts. *)

val socket : string ref
(** ["/dev/log"] unless set. *)

val send : string -> string -> unit
(** [send key line] *)

type t

val make : string -> t
(** A stream whose lines are sent under this key. *)

val add : t -> string -> unit
(** The next piece of it; [""] is its end. *)

(** {1 By a process of its own}

    What children write, also when the daemon that started them has ended or is
    started again: one process a daemon, named [xlchild-logger], has the
    reading ends of all their pipes. It is this program executed anew, of which
    only the logger runs; it is nobody's child, out of the daemon's cgroup where
    that may be, and ends with the last pipe once the daemon is gone. Where the
    program cannot be executed so (no /proc, or OCaml inside a program of
    another language), a thread of the daemon does the same, and ends with it. *)

val forward : tag:string -> Unix.file_descr -> unit
(** [forward ~tag reading_end]: each line of it, to its end, as a message under
    this tag; lines stay whole. The descriptor is the logger's from now on: the
    caller does not use it any more. Raises [Unix.Unix_error]. *)

val outlives : unit -> bool
(** Starts the logger, unless it runs; whether it is a process of its own.
    Raises [Unix.Unix_error]. *)

(**/**)

(* For the supervisor and for forkhelpers, of the same release. *)

(** A pipe that is the daemon's to read while it lives, and the logger's then. *)
module Logger : sig
  type kept

  val keep :
    socket:string ->
    tag:string ->
    most:int ->
    spool:Unix.file_descr ->
    Unix.file_descr ->
    kept
  (** The logger's from now on: reading end and spool, a copy each. What comes
      while the daemon is away is logged, or with a tag of [""] spooled, [most]
      bytes and one. *)

  val away : kept -> unit
  (** The daemon does not read it any more. *)

  val forget : kept -> unit
  (** Nobody is to keep it any more. *)

  val start_other :
    variable:string -> name:string -> Unix.file_descr list -> bool
  (** Executes this program anew, out of the daemon's reach, with these
      descriptors from 3 on and this variable, on which a constructor of the
      stubs runs something else. False where that cannot be. *)
end

(** Short work that a handler of the host's does not come into. *)
module Elsewhere : sig
  val run : (unit -> 'a) -> 'a
  (** In a thread of its own, which the caller waits for: what a handler raises
      comes before or after. *)

  val locked : Mutex.t -> (unit -> 'a) -> 'a
  (** The lock is given back, whatever is raised where. *)

  type held
  (** Room for a descriptor. *)

  val nothing : unit -> held
  (** With nothing in it yet. *)

  val pipe : held -> held -> unit
  (** Reading and writing end. *)

  val get : held -> Unix.file_descr
  (** What it holds. *)

  val take : held -> Unix.file_descr
  (** It holds nothing from now on. *)

  val close : held -> unit
  (** What it holds, if anything. *)
end

(** Waiting for another thread; handlers of the host's run meanwhile. *)
module Bell : sig
  type t

  val make : unit -> t
  (** One that nobody has rung. *)

  val count : t -> int
  (** How often it has rung: to be asked first, then what is waited for. *)

  val ring : t -> unit
  (** Ends all waits. *)

  val wait : ?until:float -> t -> int -> unit
  (** Until the count is another, the time has come ([Xlchild.now]), or there
      may be a handler to run: then look again. *)
end

val forward_held : tag:string -> Elsewhere.held -> unit
(** {!forward}; what is held is taken over in any case. *)

(** Out of the daemon's reach. *)
module Outside : sig
  val signals : int list
  (** What a thread of ours leaves to the host's. *)

  val lines : string -> string list
  (** Of a small file, as those of /proc; none where it cannot be read. *)

  val cgroup : unit -> string option
  (** Where a process has to be to be none of the daemon's. *)
end
