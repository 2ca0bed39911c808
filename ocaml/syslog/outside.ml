(* outside.ml - where a process of ours is out of the daemon's reach

   Called by logger.ml, by forkhelpers and by the supervisor's cgroup.ml. *)

(* A thread of ours leaves these to the host's. *)
let signals =
  Sys.[ sigint; sigterm; sighup; sigquit; sigalrm; sigusr1; sigusr2; sigchld ]

let lines path =
  match open_in path with
  | exception Sys_error _ -> []
  | file ->
      let rec more acc =
        match input_line file with
        | line -> more (line :: acc)
        | exception (End_of_file | Sys_error _) -> List.rev acc
      in
      Fun.protect ~finally:(fun () -> close_in_noerr file) (fun () -> more [])

(* "9:name=systemd:/a", "0::/a": this process's path below a hierarchy's root *)
let path_in hierarchy =
  List.find_map
    (fun line ->
      match String.split_on_char ':' line with
      | _ :: name :: path when name = hierarchy ->
          Some (String.concat ":" path)
      | _ -> None)
    (lines "/proc/self/cgroup")

let roots =
  [ ("name=systemd", "/sys/fs/cgroup/systemd"); ("", "/sys/fs/cgroup") ]

(* The root of the hierarchy by which a service manager knows the daemon; none
   where the daemon is there already, or may not move a process there. *)
let cgroup () =
  List.find_map
    (fun (hierarchy, root) ->
      match path_in hierarchy with
      | None | Some "/" -> None
      | Some _ -> (
          match Unix.access (root ^ "/cgroup.procs") [ Unix.W_OK ] with
          | () -> Some root
          | exception Unix.Unix_error _ -> None))
    roots
