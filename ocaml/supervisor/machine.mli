(** The life of one service, as a pure state machine: what happened goes in,
    what is to be done comes out. Time is an argument. *)

type t

val make : Service.t -> t
(** Stopped. *)

val state : t -> Types.state

val pid : t -> Xlchild.Pid.t option
(** Of the process that lives. *)

val is_ready : t -> bool

type input =
  | Start  (** somebody asks for it *)
  | Stop  (** somebody asks it to end *)
  | Launched of Xlchild.Pid.t  (** answers [Launch]: the pid *)
  | Not_launched of Xlchild.error  (** answers [Launch] *)
  | Adopt of { pid : Xlchild.Pid.t; ready : bool }
      (** found living; only where it is stopped *)
  | Is_ready
  | Has_ended of Types.ending
  | Tick  (** time has passed *)

type action =
  | Launch  (** to be answered *)
  | Terminate  (** by the service's policy *)
  | Tell of Types.what

val step : now:float -> t -> input -> t * action list
(** Inputs that do not fit the state change nothing. *)

val due : t -> float option
(** When it wants a [Tick]. *)
