(** When a service that ended is started again.

    Pure: time is an argument, in seconds of a clock that never jumps. *)

(** How long to wait before each start, and when to give up. *)
type back_off = private {
  first : float;  (** seconds before the first start again *)
  factor : float;  (** how much longer each further one waits *)
  most : float;  (** seconds that it waits at most *)
  settled : float;
      (** once it was ready for so many seconds, its next failure counts as
          the first *)
  restarts : int;  (** so many starts again are granted... *)
  within : float;  (** ...in any span of so many seconds *)
}

val back_off :
  ?first:float ->
  ?factor:float ->
  ?most:float ->
  ?settled:float ->
  ?restarts:int ->
  ?within:float ->
  unit ->
  back_off
(** By default 0.5 s, doubled up to 30 s, settled after 60 s; at most 100 starts
    again within 3600 s. Raises [Invalid_argument], which names the argument,
    for a number that is negative or none, a [factor] below 1, or a [most]
    below [first]. *)

type restart =
  | Never
  | On_failure of back_off  (** not after exit code 0 *)
  | Always of back_off

type history
(** What happened since somebody last asked for the service. *)

val fresh : history

type decision =
  | Leave  (** the policy does not want it started again *)
  | Start_in of float  (** seconds, from [now] on *)
  | Give_up  (** it was started again too often *)

val decide :
  restart ->
  history ->
  now:float ->
  failed:bool ->
  ready_for:float ->
  decision * history
(** What to do after a service ended: [failed] unless with exit code 0, after it
    had been ready for [ready_for] seconds (0 where it never was). *)
