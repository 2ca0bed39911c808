(* xlchild_forkhelpers.ml - a fork server's operations on one context

   Commands whose output nobody has to read here are held children of the
   context. Those that log to syslog are operations, pumped by one thread that
   starts with the first of them. *)

open Xlchild

type syslog_stdout_t =
  | NoSyslogging
  | Syslog_DefaultKey
  | Syslog_WithKey of string

let default_path = [ "/sbin"; "/usr/sbin"; "/bin"; "/usr/bin" ]
let default_path_env_pair = [| "PATH=" ^ String.concat ":" default_path |]

exception Spawn_internal_error of string * string * Unix.process_status
exception Subprocess_failed of int
exception Subprocess_killed of int
exception Subprocess_timeout
exception Subprocess_lost of lost_reason

let set_syslog_socket path = Xlchild_syslog.socket := path

(* ---- the context and its thread ---- *)

let lock = Mutex.create ()
let the_context = ref None
let thread_runs = ref false

let locked f =
  Mutex.lock lock;
  Fun.protect ~finally:(fun () -> Mutex.unlock lock) f

let context () =
  locked @@ fun () ->
  match !the_context with
  | Some ctx -> ctx
  | None ->
      let ctx = create () in
      the_context := Some ctx;
      ctx

(* Nothing here makes events: the thread only has work done. What a closure
   raised is nobody's else to hear of. *)
let rec pump ctx =
  (match wait ctx with
  | _ -> ()
  | exception exn ->
      prerr_endline ("xlchild_forkhelpers: " ^ Printexc.to_string exn));
  pump ctx

let with_pumping_thread ctx =
  locked @@ fun () ->
  if not !thread_runs then begin
    ignore (Thread.create pump ctx);
    thread_runs := true
  end

(* ---- commands ---- *)

let kill_group =
  { first_signal = Sys.sigterm; grace_ms = 2000; scope = Process_group }

let command_of ?(env = default_path_env_pair) ?fds program arguments =
  command ~env:(Array.to_list env) ?fds ~session:New_session ~kill:kill_group
    program arguments

let key_of program = function
  | NoSyslogging -> None
  | Syslog_DefaultKey -> Some (Filename.basename program)
  | Syslog_WithKey key -> Some key

let known (ended : ended) =
  match ended.status with
  | Status status -> status
  | Lost reason -> raise (Subprocess_lost reason)

let get_output ?env ?(syslog_stdout = NoSyslogging)
    ?(redirect_stderr_to_stdout = false) ?timeout program arguments stdin =
  let text = Buffer.create 256 in
  let stdout =
    match key_of program syslog_stdout with
    | None -> `Capture
    | Some key ->
        let lines = Xlchild_syslog.make key in
        `Stream
          (fun data ->
            Buffer.add_string text data;
            Xlchild_syslog.add lines data)
  in
  let timeout =
    match timeout with Some t when t > 0. -> Some t | _ -> None
  in
  let outcome =
    run (context ()) ~stdin ~stdout
      ~stderr:(if redirect_stderr_to_stdout then `Merge else `Capture)
      ?timeout
      (command_of ?env program arguments)
  in
  let out =
    match stdout with
    | `Capture -> outcome.out.data
    | `Stream _ -> Buffer.contents text
  in
  if outcome.ending = Timeout then raise Subprocess_timeout;
  match known outcome.child with
  | Unix.WEXITED 0 -> (out, outcome.err.data)
  | status -> raise (Spawn_internal_error (outcome.err.data, out, status))

let execute_command_get_output ?env ?syslog_stdout ?redirect_stderr_to_stdout
    ?timeout program arguments =
  get_output ?env ?syslog_stdout ?redirect_stderr_to_stdout ?timeout program
    arguments `Null

let execute_command_get_output_send_stdin ?env ?syslog_stdout
    ?redirect_stderr_to_stdout ?timeout program arguments stdin =
  get_output ?env ?syslog_stdout ?redirect_stderr_to_stdout ?timeout program
    arguments (`String stdin)

(* ---- starting ---- *)

(* A command that logs: its end comes to a closure. *)
type logging = {
  mutable logging_pid : int;
  mutable ended : ended option;
  changed : Condition.t;
}

type pidty = Plain of Child.t | Logging of logging

let getpid = function
  | Plain child -> (Child.pid child :> int)
  | Logging l -> l.logging_pid

let string_of_pidty p = Printf.sprintf "(xlchild %d)" (getpid p)

(* Every occurrence of [name] in [text]. *)
let substitute name by text =
  let n = String.length name in
  let b = Buffer.create (String.length text) in
  let rec go i =
    if i + n > String.length text then
      Buffer.add_string b (String.sub text i (String.length text - i))
    else if String.sub text i n = name then begin
      Buffer.add_string b by;
      go (i + n)
    end
    else begin
      Buffer.add_char b text.[i];
      go (i + 1)
    end
  in
  if n = 0 then text
  else begin
    go 0;
    Buffer.contents b
  end

let source = function None -> Null | Some fd -> Fd fd

let start_logging ctx command key ~merge ~stdin ~stderr =
  with_pumping_thread ctx;
  let logging =
    { logging_pid = -1; ended = None; changed = Condition.create () }
  in
  let lines = Xlchild_syslog.make key in
  let of_fd = function None -> `Null | Some fd -> `Fd fd in
  ignore
    (run_async ctx command ~stdin:(of_fd stdin)
       ~stdout:(`Stream (Xlchild_syslog.add lines))
       ~stderr:(if merge then `Merge else of_fd stderr)
       ~started:(fun pid ->
         locked (fun () ->
             logging.logging_pid <- (pid :> int);
             Condition.broadcast logging.changed))
       (fun outcome ->
         locked (fun () ->
             logging.ended <- Some outcome.child;
             logging.logging_pid <- outcome.child.pid;
             Condition.broadcast logging.changed)));
  (* the pumping thread may be the one that hears of the start *)
  locked (fun () ->
      while logging.logging_pid < 0 do
        Condition.wait logging.changed lock
      done);
  Logging logging

let safe_close_and_exec ?env stdin stdout stderr named
    ?(syslog_stdout = NoSyslogging) ?(redirect_stderr_to_stdout = false)
    program arguments =
  let numbered =
    List.mapi (fun i (name, fd) -> (name, i + 3, fd)) named
  in
  let arguments =
    List.map
      (fun argument ->
        List.fold_left
          (fun text (name, target, _) ->
            substitute name (string_of_int target) text)
          argument numbered)
      arguments
  in
  let extra = List.map (fun (_, target, fd) -> (target, Fd fd)) numbered in
  let ctx = context () in
  match key_of program syslog_stdout with
  | Some key ->
      start_logging ctx
        (command_of ?env ~fds:(Fd_map.of_list extra) program arguments)
        key ~merge:redirect_stderr_to_stdout ~stdin ~stderr
  | None ->
      let err = if redirect_stderr_to_stdout then stdout else stderr in
      let fds =
        Fd_map.of_list
          ((0, source stdin) :: (1, source stdout) :: (2, source err) :: extra)
      in
      Plain (start ctx (command_of ?env ~fds program arguments))

(* ---- waiting ---- *)

let waitpid p =
  let ended =
    match p with
    | Plain child -> Child.wait child
    | Logging l ->
        locked @@ fun () ->
        let rec until_known () =
          match l.ended with
          | Some ended -> ended
          | None ->
              Condition.wait l.changed lock;
              until_known ()
        in
        until_known ()
  in
  (ended.pid, known ended)

let waitpid_nohang p =
  let ended =
    match p with
    | Plain child -> Child.poll child
    | Logging l -> locked (fun () -> l.ended)
  in
  match ended with
  | None -> (0, Unix.WEXITED 0)
  | Some ended -> (ended.pid, known ended)

let dontwaitpid = function
  | Plain child -> (
      match Child.detach_result child with
      | Ok () | Result.Error { code = Not_found; _ } -> ()
      | Result.Error e -> raise (Error e))
  | Logging _ -> ()

let waitpid_fail_if_bad_exit p =
  match snd (waitpid p) with
  | Unix.WEXITED 0 -> ()
  | Unix.WEXITED code -> raise (Subprocess_failed code)
  | Unix.WSIGNALED signal | Unix.WSTOPPED signal ->
      raise (Subprocess_killed signal)

(* ---- log files ---- *)

type 'a result = Success of string * 'a | Failure of string * exn

let contents path =
  let file = open_in_bin path in
  Fun.protect
    ~finally:(fun () -> close_in file)
    (fun () -> really_input_string file (in_channel_length file))

let temp_dir_server = Filename.get_temp_dir_name ()

let with_logfile_fd ?(delete = true) prefix f =
  let path = Filename.temp_file ~temp_dir:temp_dir_server prefix ".log" in
  let unlink () = try Unix.unlink path with Unix.Unix_error _ -> () in
  match Unix.openfile path [ Unix.O_WRONLY; Unix.O_CLOEXEC ] 0 with
  | exception exn ->
      unlink ();
      raise exn
  | fd -> (
      let answer = try Ok (f fd) with exn -> Result.Error exn in
      Unix.close fd;
      let text = contents path in
      if delete || Result.is_error answer then unlink ();
      match answer with
      | Ok x -> Success (text, x)
      | Result.Error exn -> Failure (text, exn))
