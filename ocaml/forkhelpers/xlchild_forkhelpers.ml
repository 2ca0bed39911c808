(* xlchild_forkhelpers.ml - a fork server's operations, as its callers know them

   Starts are in starting.ml, commands whose output is wanted in output.ml. The
   operations are written once, in [With], and given to the host for its kinds
   of timeouts and of tracers. *)

open Xlchild
include Interface

include Basics

type syslog_stdout_t = syslog_stdout =
  | NoSyslogging
  | Syslog_DefaultKey
  | Syslog_WithKey of string

let default_path = Starting.default_path
let default_path_env_pair = Starting.default_path_env_pair

let set_syslog_socket path = Xlchild_syslog.socket := path
let set_family policy = Atomic.set Starting.policy policy
let context = Starting.context

(* ---- waiting ---- *)

let getpid child = (Child.pid child :> int)
let string_of_pidty child = Printf.sprintf "(xlchild %d)" (getpid child)

let known (ended : ended) =
  match ended.status with
  | Status status -> status
  | Lost reason -> raise (Subprocess_lost reason)

let answer (ended : ended) = ((ended.pid :> int), known ended)
let waitpid child = answer (Child.wait child)

let waitpid_nohang child =
  match Child.poll child with
  | None -> (0, Unix.WEXITED 0)
  | Some ended -> answer ended

let dontwaitpid child =
  match Child.detach_result child with
  | Ok () | Result.Error { code = Not_found; _ } -> ()
  | Result.Error e -> raise (Error e)

let waitpid_fail_if_bad_exit child =
  match snd (waitpid child) with
  | Unix.WEXITED 0 -> ()
  | Unix.WEXITED code -> raise (Subprocess_failed code)
  | Unix.WSIGNALED signal | Unix.WSTOPPED signal ->
      raise (Subprocess_killed signal)

let kill child signal =
  match Child.kill_result child signal with
  | Ok () | Result.Error { code = Not_found; _ } -> ()
  | Result.Error e -> raise (Error e)

(* ---- log files ---- *)

let contents path =
  let file = open_in_bin path in
  Fun.protect
    ~finally:(fun () -> close_in file)
    (fun () -> really_input_string file (in_channel_length file))

let temp_dir_server = Filename.get_temp_dir_name ()

let unlink path = try Unix.unlink path with Unix.Unix_error _ -> ()

let taken path =
  Xlchild_syslog.Elsewhere.run @@ fun () ->
  Fun.protect ~finally:(fun () -> unlink path) (fun () -> contents path)

(* The file is made, and read, where no handler comes into; and it is closed and
   deleted, whatever is raised where. *)
let with_logfile_fd ?(delete = true) prefix f =
  let path, fd =
    Xlchild_syslog.Elsewhere.run @@ fun () ->
    let path = Filename.temp_file ~temp_dir:temp_dir_server prefix ".log" in
    match Unix.openfile path [ Unix.O_WRONLY; Unix.O_CLOEXEC ] 0 with
    | fd -> (path, fd)
    | exception exn ->
        unlink path;
        raise exn
  in
  match f fd with
  | exception exn ->
      Unix.close fd;
      Failure (taken path, exn)
  | x -> (
      Unix.close fd;
      match Success ((if delete then taken path else path), x) with
      | success -> success
      | exception exn ->
          unlink path;
          raise exn)

(* ---- starting, with any timeouts and tracer ---- *)

let key_of program = function
  | NoSyslogging -> None
  | Syslog_DefaultKey -> Some (Filename.basename program)
  | Syslog_WithKey key -> Some key

let prefix = "execute_command_get_output"

let get_output ~env ~syslog_stdout ~merge ~timeout ~stdin program arguments =
  let timeout =
    match timeout with
    | Some t when t > 0. && t < infinity -> Some t
    | _ -> None
  in
  match
    Output.run ~env
      ~key:(key_of program syslog_stdout)
      ~merge ?timeout ~stdin program arguments
  with
  | Result.Error (Never_ran code) ->
      raise (Spawn_internal_error ("", "", Unix.WEXITED code))
  | Result.Error (Refused e) -> Starting.raise_error ~name:prefix e
  | Ok { outcome = { ending = Timeout; _ }; _ } -> raise Subprocess_timeout
  | Ok { outcome; out; err } -> (
      match known outcome.child with
      | Unix.WEXITED 0 -> (out, err)
      | status -> raise (Spawn_internal_error (err, out, status)))

let close_and_exec ~env stdin stdout stderr named ~syslog_stdout ~merge program
    arguments =
  let name = "safe_close_and_exec" in
  let given = List.filter_map Fun.id [ stdin; stdout; stderr ] in
  Starting.check_descriptors name (given @ List.map snd named);
  let named = List.mapi (fun i (id, fd) -> (id, i + 3, fd)) named in
  let arguments = List.map (Starting.numbered named) arguments in
  let extra = List.map (fun (_, target, fd) -> (target, Fd fd)) named in
  let start ~out ~err =
    let streams =
      [ (0, Starting.source stdin); (1, out); (2, err) ]
    in
    Starting.start ~name ~env
      ~fds:(Fd_map.of_list (streams @ extra))
      program arguments
  in
  match key_of program syslog_stdout with
  | None -> start ~out:(Starting.source stdout) ~err:(Starting.source stderr)
  | Some key ->
      Starting.with_log_pipe @@ fun writing forward ->
      let err = if merge then Fd writing else Starting.source stderr in
      let child = start ~out:(Fd writing) ~err in
      (match forward ~key ~pid:(getpid child) with
      | () -> child
      | exception exn ->
          Starting.abandon child;
          raise exn)

module With (Timeout : Timeout) (Tracer : Tracer) = struct
  type span = Tracer.span
  type timeout = Timeout.t

  let traced tracing name f =
    Tracer.with_span ?parent:tracing ~name:("forkhelpers." ^ name) f

  let environment env span =
    let env = Array.to_list (Option.value env ~default:default_path_env_pair) in
    match span with
    | None -> env
    | Some span ->
        Environment.extend ~env (Tracer.environment span)

  let output name ?tracing ?env ?(syslog_stdout = NoSyslogging)
      ?redirect_stderr_to_stdout:(merge = false) ?timeout program arguments
      stdin =
    traced tracing name @@ fun span ->
    get_output ~env:(environment env span) ~syslog_stdout ~merge
      ~timeout:(Option.map Timeout.seconds timeout)
      ~stdin program arguments

  let execute_command_get_output ?tracing ?env ?syslog_stdout
      ?redirect_stderr_to_stdout ?timeout program arguments =
    output "execute_command_get_output" ?tracing ?env ?syslog_stdout
      ?redirect_stderr_to_stdout ?timeout program arguments `Null

  let execute_command_get_output_send_stdin ?tracing ?env ?syslog_stdout
      ?redirect_stderr_to_stdout ?timeout program arguments stdin =
    output "execute_command_get_output_send_stdin" ?tracing ?env ?syslog_stdout
      ?redirect_stderr_to_stdout ?timeout program arguments (`String stdin)

  let safe_close_and_exec ?tracing ?env stdin stdout stderr named
      ?(syslog_stdout = NoSyslogging)
      ?redirect_stderr_to_stdout:(merge = false) program arguments =
    traced tracing "safe_close_and_exec" @@ fun span ->
    close_and_exec ~env:(environment env span) stdin stdout stderr named
      ~syslog_stdout ~merge program arguments
end

module Seconds = struct
  type t = float

  let seconds = Fun.id
end

module No_tracer = struct
  type span = |

  let with_span ?parent:_ ~name:_ f = f None
  let environment : span -> (string * string) list = function _ -> .
end

module Plain = With (Seconds) (No_tracer)

let execute_command_get_output ?env = Plain.execute_command_get_output ?tracing:None ?env

let execute_command_get_output_send_stdin ?env =
  Plain.execute_command_get_output_send_stdin ?tracing:None ?env

let safe_close_and_exec ?env = Plain.safe_close_and_exec ?tracing:None ?env

(* The whole of it, for these timeouts and this tracer. *)
module Make_for (Timeout : Timeout) (Tracer : Tracer) = struct
  include Basics
  include With (Timeout) (Tracer)

  let default_path = default_path
  let default_path_env_pair = default_path_env_pair
  let string_of_pidty = string_of_pidty
  let getpid = getpid
  let waitpid = waitpid
  let waitpid_nohang = waitpid_nohang
  let dontwaitpid = dontwaitpid
  let waitpid_fail_if_bad_exit = waitpid_fail_if_bad_exit
  let kill = kill
  let with_logfile_fd = with_logfile_fd
  let temp_dir_server = temp_dir_server
end

module Make = Make_for (Seconds)
