(* cgroup.ml - the cgroup (version 2) that a service has for itself

   Called by loop.ml. Whatever a service leaves behind in it is killed when the
   service has ended: the group is the service's, and nobody else's. *)

let write path text =
  let fd = Unix.openfile path [ Unix.O_WRONLY; Unix.O_CLOEXEC ] 0 in
  Fun.protect
    ~finally:(fun () -> Unix.close fd)
    (fun () -> ignore (Unix.write_substring fd text 0 (String.length text)))

let members path =
  match open_in (Filename.concat path "cgroup.procs") with
  | exception Sys_error _ -> []
  | file ->
      let rec lines acc =
        match input_line file with
        | line -> lines (line :: acc)
        | exception (End_of_file | Sys_error _) -> acc
      in
      Fun.protect ~finally:(fun () -> close_in_noerr file) (fun () -> lines [])

let holds_this_process path =
  List.mem (string_of_int (Unix.getpid ())) (members path)

(* cgroup.kill came with Linux 5.14; a cgroup that is gone holds nobody. *)
let kill path =
  try write (Filename.concat path "cgroup.kill") "1"
  with Unix.Unix_error _ -> ()

let prepare path =
  try Unix.mkdir path 0o755
  with Unix.Unix_error (Unix.EEXIST, _, _) -> kill path
