(* readiness.ml - whether a service that was started is ready

   Called by loop.ml; one watch a run. *)

type t =
  | Nothing
  | Line of Line_watch.t
  | Pipe of { channel : Channel.t; fd : int; mutable at_end : bool }
  | File of string

let nothing = Nothing

let watch ~folder ~fresh (service : Service.t) =
  match service.readiness with
  | At_once -> Nothing
  | Line text -> Line (Line_watch.make text)
  | File path ->
      if fresh then (try Unix.unlink path with Unix.Unix_error _ -> ());
      File path
  | Newline_on fd ->
      let channel =
        Channel.open_ ~folder ~fresh (service.name ^ ".ready")
      in
      Pipe { channel; fd; at_end = false }

let start = watch ~fresh:true
let resume = watch ~fresh:false

let descriptors = function
  | Pipe { channel; fd; _ } -> [ (fd, Xlchild.Fd (Channel.target channel)) ]
  | Nothing | Line _ | File _ -> []

let started = function
  | Pipe { channel; _ } -> Channel.close_target channel
  | Nothing | Line _ | File _ -> ()

let source = function
  | Pipe { channel; at_end = false; _ } -> Some (Channel.source channel)
  | Pipe _ | Nothing | Line _ | File _ -> None

let is_file = function File _ -> true | Nothing | Line _ | Pipe _ -> false

let said t data =
  match t with
  | Line watch -> Line_watch.add watch data
  | Nothing | Pipe _ | File _ -> false

let look = function
  | File path -> Sys.file_exists path
  | Pipe pipe ->
      let ready = ref false in
      Channel.read pipe.channel (function
        | `Data data -> if String.contains data '\n' then ready := true
        | `End -> pipe.at_end <- true);
      !ready
  | Nothing | Line _ -> false

let close = function
  | Pipe { channel; _ } -> Channel.close channel
  | Nothing | Line _ | File _ -> ()
