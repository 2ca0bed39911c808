(* journal.ml - the state folder: whose it is, and what is in it

   Called by loop.ml. A folder belongs to one supervisor at a time, also within
   one process, where the system's locks do not tell. *)

open Types

type t = {
  path : string;
  identity : string;  (* names the folder in the marks of processes *)
  boot : string;
  lock : Unix.file_descr;
}

let folder t = t.path
let identity t = t.identity
let file t = Filename.concat t.path "services"

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

let lock path =
  let fd =
    Unix.openfile
      (Filename.concat path "lock")
      [ Unix.O_RDWR; Unix.O_CREAT; Unix.O_CLOEXEC ]
      0o600
  in
  match Unix.lockf fd Unix.F_TLOCK 0 with
  | () -> fd
  | exception Unix.Unix_error ((EAGAIN | EACCES), _, _) ->
      Unix.close fd;
      raise (Error (Folder_in_use path))

let open_ path =
  let identity =
    try
      (try Unix.mkdir path 0o700
       with Unix.Unix_error (Unix.EEXIST, _, _) -> ());
      Processes.identity path
    with Unix.Unix_error (errno, _, _) ->
      raise (Error (Folder_unusable (path, errno)))
  in
  if not (claim identity) then raise (Error (Folder_in_use path));
  match lock path with
  | lock -> { path; identity; boot = Processes.boot (); lock }
  | exception exn ->
      give_back identity;
      raise
        (match exn with
        | Unix.Unix_error (errno, _, _) ->
            Error (Folder_unusable (path, errno))
        | exn -> exn)

let close t =
  Unix.close t.lock;
  give_back t.identity

let save t entries =
  State_file.save (file t) { boot = t.boot; entries }

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

let of_entry ~same_boot ~found (entry : State_file.entry) =
  let gone stage = Gone { entry with stage } in
  match entry.stage with
  | Over _ | Unknown -> Gone entry
  | Living { pid; start_time; ready } when same_boot ->
      Alive { name = entry.name; run = entry.run; pid; start_time; ready }
  | Living { pid; _ } ->
      gone (Over { pid; ending = Lost Before_boot; cause = By_itself })
  | Intended -> (
      let is_it (f : Processes.found) =
        f.name = entry.name && f.run = entry.run
      in
      match List.find_opt is_it (Lazy.force found) with
      | Some found -> found_alive ~ready:false found
      | None -> gone Unknown)

(* What is left, and why the file could not tell. *)
let load t =
  let found = lazy (Processes.find ~folder:t.identity) in
  match State_file.load (file t) with
  | Ok None -> ([], None)
  | Ok (Some { boot; entries }) ->
      let same_boot = boot = t.boot in
      (List.map (of_entry ~same_boot ~found) entries, None)
  | Error reason ->
      (List.map (found_alive ~ready:true) (Lazy.force found), Some reason)
