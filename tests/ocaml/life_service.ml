(* life_service.ml - services that outlive a daemon

   Shared by the daemon's lives: life.ml and test_adoption.ml. Each says
   "before", waits for a line in its named pipe [go], says "after", and exits
   with that line's number. *)

open Xlchild_supervisor

let go folder name = Filename.concat folder (name ^ ".go")
let log folder name = Filename.concat folder (name ^ ".log")

let spec ?(restart = Policy.Never) ?(readiness = Line "before") folder name =
  let notify =
    match readiness with
    | Newline_on fd -> Printf.sprintf "echo >&%d; " fd
    | At_once | Line _ | File _ -> ""
  in
  service ~name "/bin/sh"
    [
      "-c";
      Printf.sprintf
        "trap 'exit 9' TERM; echo before; %sread x < %s; echo after; exit $x"
        notify
        (Filename.quote (go folder name));
    ]
    ~output:(Log_file { path = log folder name; most = 10_000; keep = 1 })
    ~readiness ~restart

let prepare folder name =
  try Unix.mkfifo (go folder name) 0o600
  with Unix.Unix_error (Unix.EEXIST, _, _) -> ()

(* Waits until it reads, and has it exit with this code. *)
let release folder name code =
  let fd =
    Unix.openfile (go folder name) [ Unix.O_WRONLY; Unix.O_CLOEXEC ] 0
  in
  let line = string_of_int code ^ "\n" in
  ignore (Unix.write_substring fd line 0 (String.length line));
  Unix.close fd
