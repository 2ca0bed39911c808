(* show.ml - what becomes of children, to be printed and compared

   Given to the host as it is. *)

open Types

let pp_of text f x = Format.pp_print_string f (text x)

let signal_text n = Printf.sprintf "signal %d" (Raw.system_signal n)

let status_text = function
  | Status (Unix.WEXITED n) -> Printf.sprintf "exit code %d" n
  | Status (Unix.WSIGNALED n) -> signal_text n
  | Status (Unix.WSTOPPED n) -> "stopped by " ^ signal_text n
  | Lost reason -> "lost: " ^ Errors.lost_text reason

module Status = struct
  type t = status

  let to_string = status_text
  let pp = pp_of to_string
  let equal (a : t) b = a = b
  let compare (a : t) b = compare a b
  let is_success s = s = Status (Unix.WEXITED 0)
end

module Error = struct
  type t = error

  let to_string = Errors.error_text
  let pp = pp_of to_string
  let equal (a : t) b = a = b
  let compare (a : t) b = compare a b
end

module Ended = struct
  type t = ended

  let to_string (e : t) = Printf.sprintf "pid %d: %s" (e.pid :> int) (status_text e.status)
  let pp = pp_of to_string
  let equal (a : t) b = a = b
  let compare (a : t) b = compare a b
  let is_success (e : t) = Status.is_success e.status
end

let ending_text = function
  | Completed -> ""
  | Timeout -> ", killed when its time was over"
  | Abort -> ", aborted"
  | Out_of_memory -> ", killed for want of memory"
  | Not_started e -> ", not started: " ^ Errors.error_text e

module Outcome = struct
  type t = outcome

  let to_string (o : t) =
    Printf.sprintf "%s%s%s"
      (status_text o.child.status)
      (ending_text o.ending)
      (if o.err.data = "" then "" else Printf.sprintf ", stderr %S" o.err.data)

  let pp = pp_of to_string
  let equal (a : t) b = a = b
  let compare (a : t) b = compare a b
  let is_success (o : t) = o.ending = Completed && Ended.is_success o.child

  exception Unsuccessful of t

  let get_ok o = if is_success o then o else raise (Unsuccessful o)
  let to_result o = if is_success o then Ok o else Result.Error o
end

let () =
  Printexc.register_printer (function
    | Outcome.Unsuccessful o ->
        Some ("Xlchild.Outcome.Unsuccessful: " ^ Outcome.to_string o)
    | _ -> None)
