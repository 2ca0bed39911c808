(* journal.ml - the state folder: whose it is, and what is in it

   Called by loop.ml. A folder belongs to one supervisor at a time, also within
   one process, where the system's locks do not tell. *)

open Types

type t = {
  folder : Safe.folder;
  path : string;
  identity : string;  (* names the folder in the marks of processes *)
  boot : string;
  lock : Unix.file_descr;
}

let folder t = t.folder
let identity t = t.identity
let boot t = t.boot
let file = "services"

let mutex = Mutex.create ()
let in_use : string list ref = ref []

let with_mutex f =
  Mutex.lock mutex;
  Fun.protect ~finally:(fun () -> Mutex.unlock mutex) f

let claim identity =
  with_mutex (fun () ->
      let free = not (List.mem identity !in_use) in
      if free then in_use := identity :: !in_use;
      free)

let give_back identity =
  with_mutex (fun () ->
      in_use := List.filter (fun other -> other <> identity) !in_use)

let lock folder =
  let fd = Safe.open_file folder "lock" [ Read_write; Create ] in
  match Unix.lockf fd Unix.F_TLOCK 0 with
  | () -> fd
  | exception Unix.Unix_error ((EAGAIN | EACCES), _, _) ->
      Unix.close fd;
      raise (Error (Folder_in_use folder.path))

let open_ path =
  let folder =
    try Safe.open_folder path
    with Unix.Unix_error (errno, _, _) ->
      raise (Error (Folder_unusable (path, errno)))
  in
  let identity = Processes.identity_of (Unix.fstat folder.fd) in
  if not (claim identity) then begin
    Safe.close_folder folder;
    raise (Error (Folder_in_use path))
  end;
  match lock folder with
  | lock -> { folder; path; identity; boot = Processes.boot (); lock }
  | exception exn ->
      give_back identity;
      Safe.close_folder folder;
      raise
        (match exn with
        | Unix.Unix_error (errno, _, _) ->
            Error (Folder_unusable (path, errno))
        | exn -> exn)

let close t =
  Unix.close t.lock;
  Safe.close_folder t.folder;
  give_back t.identity

(* A folder that was moved away is one that the next life does not find. *)
let save t entries =
  if Processes.identity t.path <> t.identity then
    raise (Unix.Unix_error (Unix.ENOENT, "save", t.path));
  State_file.save_in t.folder file { boot = t.boot; entries }

(* ---- what the previous life left ---- *)

(* [Gone]: [Over] or [Unknown], which is to be told. *)
type left =
  | Alive of {
      name : string;
      run : string;
      pid : Xlchild.Pid.t;
      start_time : int;
      ready : bool;
    }
  | Gone of State_file.entry

let found_alive ~ready ({ name; run; pid; start_time } : Processes.found) =
  Alive { name; run; pid; start_time; ready }

let run_of = function Alive { run; _ } -> run | Gone { run; _ } -> run

let of_entry ~same_boot ~found ~kept (entry : State_file.entry) =
  let gone stage = Gone { entry with stage } in
  match entry.stage with
  | Over _ | Unknown -> Gone entry
  | Living { pid; start_time; ready } when same_boot ->
      Alive { name = entry.name; run = entry.run; pid; start_time; ready }
  | Living { pid; _ } ->
      gone (Over { pid; ending = Lost Before_boot; cause = By_itself })
  | Intended when same_boot && kept entry.run <> None ->
      (* killed between its start and its record: its pidfd has a label *)
      let pid, start_time = Option.get (kept entry.run) in
      let pid = Xlchild.Pid.of_int pid in
      Alive { name = entry.name; run = entry.run; pid; start_time; ready = false }
  | Intended -> (
      let is_it (f : Processes.found) =
        f.name = entry.name && f.run = entry.run
      in
      match List.find_opt is_it (Lazy.force found) with
      | Some found -> found_alive ~ready:false found
      | None -> gone Unknown)

(* What is left, and why the file could not tell. *)
let load t ~kept =
  let found = lazy (Processes.find ~folder:t.identity) in
  match State_file.load_in t.folder file with
  | Ok None -> ([], None)
  | Ok (Some { boot; entries }) ->
      let same_boot = boot = t.boot in
      (List.map (of_entry ~same_boot ~found ~kept) entries, None)
  | Error reason ->
      (List.map (found_alive ~ready:true) (Lazy.force found), Some reason)
