(* cgroup.ml - the cgroup (version 2) that a service has for itself

   Called by loop.ml. Whatever a service leaves behind in it is killed when the
   service has ended: the group is the service's, and nobody else's. *)

let write path text =
  let fd = Unix.openfile path [ Unix.O_WRONLY; Unix.O_CLOEXEC ] 0 in
  Fun.protect
    ~finally:(fun () -> Unix.close fd)
    (fun () -> ignore (Unix.write_substring fd text 0 (String.length text)))

(* Pids, those in groups below it too: cgroup.kill does not spare them. *)
let rec members path =
  let below name =
    let inner = Filename.concat path name in
    if Sys.is_directory inner then members inner else []
  in
  List.filter_map int_of_string_opt
    (Xlchild_syslog.Outside.lines (Filename.concat path "cgroup.procs"))
  @
  match Sys.readdir path with
  | names -> List.concat_map below (Array.to_list names)
  | exception Sys_error _ -> []

let holds_this_process path = List.mem (Unix.getpid ()) (members path)

(* cgroup.kill came with Linux 5.14; a cgroup that is gone holds nobody. *)
let kill path =
  try write (Filename.concat path "cgroup.kill") "1"
  with Unix.Unix_error _ -> ()

let prepare path =
  match Unix.mkdir path 0o755 with
  | () -> ()
  | exception Unix.Unix_error (Unix.EEXIST, _, _) -> (
      match members path with
      | [] -> ()
      | pids when List.for_all Processes.is_marked pids -> kill path
      | _ -> raise (Unix.Unix_error (Unix.EBUSY, "cgroup", path)))
