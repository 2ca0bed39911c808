(* command.ml - what to start: Raw.command from labelled arguments *)

[@@@alert "-deprecated"] (* the records are made here *)

open Types
open Errors

type flag =
  | Keep_fds
  | Keep_sigmask
  | Keep_sigign
  | Ignore_sigpipe
  | Report_stops
  | Restore_sigpipe
  | Keep_groups
  | Hold_pid
  | Nowait

type session =
  | Same_session
  | New_session
  | New_group
  | Join_group of Pid.t

type command = Raw.command

let bit_of_flag = function
  | Keep_fds -> Raw.bit 4
  | Keep_sigmask -> Raw.bit 5
  | Keep_sigign -> Raw.bit 6
  | Ignore_sigpipe -> Raw.bit 7
  | Report_stops -> Raw.bit 15
  | Restore_sigpipe -> Raw.bit 16
  | Keep_groups -> Raw.bit 17
  | Hold_pid -> Raw.bit 18
  | Nowait -> Raw.bit 19

let account_bit = Raw.bit 21
let is_accounted (c : command) = c.flags land account_bit <> 0

let nowait (c : command) : command =
  { c with flags = c.flags lor bit_of_flag Nowait }

let default_kill =
  { first_signal = Sys.sigterm; grace_ms = 5000; scope = Process }

let in_family family (c : command) : command =
  if c.family = None then { c with family = Some family }
  else get (Family.wrong "family")

let with_fds fds (c : command) : command =
  let fds = Fd_map.of_list fds in
  let others =
    List.filter
      (fun (target, _) -> not (List.mem_assoc target (Fd_map.to_list fds)))
      (Array.to_list c.fds)
  in
  { c with fds = Array.of_list (Fd_map.to_list fds @ others) }

let kill_policy ?(signal = Sys.sigterm) ?(grace = 5.) ?(scope = Process) () =
  { first_signal = signal; grace_ms = milliseconds grace; scope }

let kill_at_once scope = { first_signal = 0; grace_ms = 0; scope }

(* By way of this process's own descriptor: the child has closed its copy by
   then. *)
let folder_of = function
  | None -> None
  | Some fd ->
      Some (Printf.sprintf "/proc/%d/fd/%d" (Unix.getpid ()) (Raw.int_of_fd fd))

let command ?path ?argv0 ?(search = true) ?search_path ?env ?cwd ?cwd_fd
    ?(fds = Fd_map.empty) ?(flags = []) ?(session = Same_session) ?ctty ?uid
    ?gid ?groups ?umask ?nice ?pdeathsig ?(rlimits = []) ?sigmask ?sigignore
    ?cgroup ?family ?(account = false) ?(on_close = Detach) ?(kill = default_kill) ?exited_grace program
    arguments : command =
  let given bit_number option =
    match option with None -> 0 | Some _ -> Raw.bit bit_number
  in
  let session_bit, group =
    match session with
    | Same_session -> (0, 0)
    | New_session -> (Raw.bit 1, 0)
    | New_group -> (Raw.bit 2, 0)
    | Join_group group -> (Raw.bit 3, (group :> int))
  in
  {
    path =
      (match (path, argv0) with
      | None, Some _ -> Some program
      | path, _ -> path);
    argv =
      Array.of_list (Option.value argv0 ~default:program :: arguments);
    env = Option.map Array.of_list env;
    search_path;
    cwd =
      (match cwd_fd with
      | None -> cwd
      | Some _ when cwd <> None ->
          invalid_arg "Xlchild.command: both cwd and cwd_fd"
      | Some _ -> folder_of cwd_fd);
    fds = Array.of_list (Fd_map.to_list fds);
    flags =
      List.fold_left
        (fun bits flag -> bits lor bit_of_flag flag)
        ((if search then Raw.bit 0 else 0)
        lor (if account then account_bit else 0)
        lor session_bit lor given 8 uid lor given 9 gid lor given 10 groups
        lor given 11 umask lor given 12 nice lor given 13 pdeathsig
        lor given 14 ctty)
        flags;
    group;
    uid = Option.value uid ~default:0;
    gid = Option.value gid ~default:0;
    groups = Array.of_list (Option.value groups ~default:[]);
    umask = Option.value umask ~default:0;
    nice = Option.value nice ~default:0;
    pdeathsig = Option.value pdeathsig ~default:0;
    ctty;
    rlimits = Array.of_list rlimits;
    sigmask = Option.map Array.of_list sigmask;
    sigignore = Option.map Array.of_list sigignore;
    cgroup;
    on_close;
    kill;
    exited_grace_ms =
      (match exited_grace with None -> -1 | Some s -> milliseconds s);
    family;
  }
