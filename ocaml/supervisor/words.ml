(* words.ml - events, states and errors as text, for logs *)

open Types

let ending_text = function
  | Status (Unix.WEXITED code) -> Printf.sprintf "exit code %d" code
  | Status (Unix.WSIGNALED signal | Unix.WSTOPPED signal) ->
      Printf.sprintf "signal %d" (Xlchild.system_signal signal)
  | Lost (Not_told reason) -> "lost: " ^ Xlchild.lost_text reason
  | Lost While_away -> "lost: it ended while no daemon watched it"
  | Lost Before_boot -> "lost: the machine was started anew"

let cause_text = function
  | By_itself -> "ended by itself"
  | Told_to -> "stopped"
  | Not_ready -> "stopped, as it was not ready in time"

let what_text = function
  | Started { pid } -> Printf.sprintf "started, pid %d" (pid :> int)
  | Adopted { pid } -> Printf.sprintf "adopted, pid %d" (pid :> int)
  | Ready -> "ready"
  | Start_unknown ->
      "was being started when the daemon was killed; it does not run"
  | Ready_too_late -> "not ready in time"
  | Ended { pid; ending; cause } ->
      Printf.sprintf "%s, pid %d: %s" (cause_text cause)
        (pid :> int)
        (ending_text ending)
  | Accounted { pid; account } ->
      Printf.sprintf "account, pid %d: %s"
        (pid :> int)
        (Xlchild.Account.to_string account)
  | Not_started error -> "not started: " ^ Xlchild.Error.to_string error
  | Starting_again_in wait -> Printf.sprintf "starting again in %g s" wait
  | Given_up -> "given up: it failed too often"
  | Output_lost errno ->
      "output lost: the log cannot be written: " ^ Unix.error_message errno
  | State_lost reason ->
      "the state file is unusable: " ^ reason
      ^ "; looked for living services among all processes"
  | State_not_kept errno ->
      "the state file cannot be written: " ^ Unix.error_message errno

let event_text { service; what; _ } =
  (if service = "" then "supervisor" else service) ^ " " ^ what_text what

let state_text = function
  | Stopped -> "stopped"
  | Starting -> "starting"
  | Running -> "running"
  | Stopping -> "stopping"
  | Waiting -> "waiting"
  | Failed -> "failed"

let error_text = function
  | Folder_in_use path -> path ^ " is in use by another supervisor"
  | Folder_unusable (path, errno) -> path ^ ": " ^ Unix.error_message errno
  | Name_taken name -> "there is a service " ^ name ^ " already"
  | Log_unusable (path, errno) -> path ^ ": " ^ Unix.error_message errno
  | Context error -> Xlchild.Error.to_string error
  | Closed -> "the supervisor is closed, or the service removed"

let () =
  Printexc.register_printer (function
    | Error e -> Some ("Xlchild_supervisor.Error: " ^ error_text e)
    | _ -> None)
