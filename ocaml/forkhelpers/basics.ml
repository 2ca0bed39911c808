(* basics.ml - the types and exceptions that every set of operations shares

   Included by interface.ml's S and by xlchild_forkhelpers.ml. *)

type syslog_stdout = NoSyslogging | Syslog_DefaultKey | Syslog_WithKey of string
type pidty = Xlchild.Child.t
type 'a result = Success of string * 'a | Failure of string * exn

exception Spawn_internal_error of string * string * Unix.process_status
exception Subprocess_failed of int
exception Subprocess_killed of int
exception Subprocess_timeout
exception Subprocess_lost of Xlchild.lost_reason

let status_text = function
  | Unix.WEXITED n -> Printf.sprintf "exit code %d" n
  | Unix.WSIGNALED n ->
      Printf.sprintf "signal %d" (Xlchild.system_signal n)
  | Unix.WSTOPPED n ->
      Printf.sprintf "stopped by signal %d" (Xlchild.system_signal n)

let text = function
  | Spawn_internal_error (err, _, status) ->
      Some
        (Printf.sprintf "Spawn_internal_error (%s, stderr %S)"
           (status_text status) err)
  | Subprocess_failed code ->
      Some (Printf.sprintf "Subprocess_failed (exit code %d)" code)
  | Subprocess_killed signal ->
      Some
        (Printf.sprintf "Subprocess_killed (signal %d)"
           (Xlchild.system_signal signal))
  | Subprocess_timeout -> Some "Subprocess_timeout"
  | Subprocess_lost reason ->
      Some ("Subprocess_lost: " ^ Xlchild.lost_text reason)
  | _ -> None

let () =
  Printexc.register_printer (fun exn ->
      Option.map (( ^ ) "Xlchild_forkhelpers.") (text exn))
