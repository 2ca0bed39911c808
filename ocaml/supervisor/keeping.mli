(** The pidfds of services, where they outlive the daemon: with them the next
    life asks the kernel how a service ended that ended while nobody lived. *)

type t

val open_ : Safe.folder -> identity:string -> t
(** With all that previous lives left there. Where there is neither a store of
    systemd's nor a keeper to be had, nothing is kept, and nothing raised. *)

val nowhere : unit -> t
(** Keeps nothing. *)

type kept = { pid : int; start_time : int; pidfd : Unix.file_descr }

val hold :
  ?is_it:(unit -> bool) ->
  t ->
  run:string ->
  pid:int ->
  start_time:int ->
  unit
(** For a child that has not been reaped; for another process, [is_it] asks once
    its pidfd is open whether the number is still its own. *)

val find : t -> run:string -> kept option

val drop : t -> run:string -> unit
(** Nobody will ask for it any more. *)

val retain : t -> string list -> unit
(** Drops all but these runs. *)

val source : t -> Unix.file_descr option
(** To be polled: readable when the keeper is gone. *)

val revive : t -> unit
(** Another keeper then, with what this one had. *)

val close : t -> leave:bool -> unit
(** Closes what this life has open. Without [leave] nothing is for a next one. *)
