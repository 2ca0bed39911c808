(* service.ml - what is to be run, and how to watch, restart and stop it

   Made by the host; read by machine.ml (policies) and loop.ml (the rest). *)

open Types

type t = {
  name : string;
  command :
    Xlchild.Family.t option ->
    (int * Xlchild.fd_source) list ->
    string * string ->
    Xlchild.command;
  readiness : readiness;
  ready_within : float;
  restart : Policy.restart;
  output : output;
  stop : Xlchild.kill_policy;
  cgroup : string option;
  family : Xlchild.Family.policy option;
  account : bool;
}

(* Names are parts of file names and fields of the state file. *)
let is_name name =
  name <> ""
  && String.length name <= 200
  && name.[0] <> '.'
  && not (String.exists (fun c -> c = '/' || c <= ' ' || c = '\127') name)

let with_variable env (name, value) =
  let given = name ^ "=" in
  let is_it text =
    String.length text >= String.length given
    && String.sub text 0 (String.length given) = given
  in
  List.filter (fun text -> not (is_it text)) env @ [ given ^ value ]

let make ?(readiness = At_once) ?(ready_within = 30.)
    ?(restart = Policy.On_failure (Policy.back_off ())) ?(output = Discard)
    ?stop ?env ?cwd ?(fds = []) ?uid ?gid ?groups ?umask ?nice ?rlimits ?cgroup
    ?family ?(account = false) ~name program arguments =
  let demand what holds =
    if not holds then invalid_arg ("Xlchild_supervisor.service: " ^ what)
  in
  let stop =
    let scope =
      if cgroup = None then Xlchild.Process_group else Xlchild.Control_group
    in
    Option.value stop ~default:{ Xlchild.default_kill with scope }
  in
  demand "name" (is_name name);
  demand "ready_within" (ready_within >= 0.);
  demand "stop: a Control_group needs a cgroup"
    (stop.scope <> Control_group || cgroup <> None);
  demand "family: beside a cgroup" (family = None || cgroup = None);
  demand "stop: the grace is negative" ((stop.grace_ms [@alert "-deprecated"]) >= 0);
  demand "fds: 0, 1 and 2 are the supervisor's"
    (List.for_all (fun (target, _) -> target > 2) fds);
  (match readiness with
  | At_once -> ()
  | Line text -> demand "readiness: an empty text" (text <> "")
  | File path -> demand "readiness: an empty path" (path <> "")
  | Newline_on fd ->
      demand "readiness: the descriptor"
        (fd > 2 && not (List.mem_assoc fd fds)));
  (match output with
  | Discard | Syslog _ -> ()
  | Log_file { most; keep; _ } ->
      demand "output: most" (most > 0);
      demand "output: keep" (keep >= 0));
  let others = List.map (fun (target, fd) -> (target, Xlchild.Fd fd)) fds in
  let command family fds variable =
    let env =
      Option.value env ~default:(Array.to_list (Unix.environment ()))
    in
    Xlchild.command program arguments
      ~env:(with_variable env variable)
      ?cwd ?uid ?gid ?groups ?umask ?nice ?rlimits ?cgroup
      ?family ~account ~fds:(Xlchild.Fd_map.of_list (fds @ others))
      ~session:New_group ~on_close:Leave ~kill:stop ~flags:[ Hold_pid ]
  in
  ignore (Xlchild.Fd_map.of_list others);
  {
    name;
    command;
    readiness;
    ready_within;
    restart;
    output;
    stop;
    cgroup;
    family;
    account;
  }
