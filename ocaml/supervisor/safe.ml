(* safe.ml - files of the supervisor's, also where the daemon is root

   Called by journal.ml, channel.ml, state_file.ml, spool.ml and log_file.ml. A
   folder is opened once, and what is in it by that descriptor: whoever moves it
   away, or puts a symbolic link in its place, changes nothing. *)

(* In the order of open_flags in stub_system.c. *)
type flag =
  | Read_write
  | Append
  | Create
  | Exclusive
  | Truncate
  | Directory
  | Nonblock

external open_at : Unix.file_descr -> string -> flag array -> int -> int
  = "xlchild_ml_open_at"

external error_of_errno : int -> Unix.error = "xlchild_ml_error_of_errno"
external fd_of_int : int -> Unix.file_descr = "%identity"
external int_of_fd : Unix.file_descr -> int = "%identity"

type folder = { path : string; fd : Unix.file_descr }

let fail errno path = raise (Unix.Unix_error (errno, "open", path))
let current = fd_of_int (-1)

let openfile ?(folder = current) ?(path = "") name flags mode =
  let n = open_at folder name (Array.of_list flags) mode in
  if n < 0 then
    fail (error_of_errno (-n)) (if path = "" then name else path);
  fd_of_int n

let checked fd path holds =
  match holds (Unix.fstat fd) with
  | true -> fd
  | false ->
      Unix.close fd;
      fail Unix.EPERM path
  | exception exn ->
      Unix.close fd;
      raise exn

let is_mine (s : Unix.stats) = s.st_uid = Unix.geteuid ()

(* ---- the folder: this user's, and nobody else's to write ---- *)

let open_folder path =
  (try Unix.mkdir path 0o700
   with Unix.Unix_error (Unix.EEXIST, _, _) -> ());
  let fd = openfile path [ Directory ] 0 in
  {
    path;
    fd =
      checked fd path (fun s -> is_mine s && s.st_perm land 0o022 = 0);
  }

let close_folder folder = Unix.close folder.fd

(* By the descriptor: no function of Unix's takes that. *)
let inside folder name =
  Printf.sprintf "/proc/self/fd/%d/%s" (int_of_fd folder.fd) name

let told folder name = Filename.concat folder.path name

(* ---- what is in it: regular files of this user ---- *)

let open_file folder name flags =
  let path = told folder name in
  let fd = openfile ~folder:folder.fd ~path name flags 0o600 in
  checked fd path (fun s ->
      s.st_kind = Unix.S_REG && is_mine s && s.st_nlink <= 1)

let unlink folder name =
  try Unix.unlink (inside folder name) with Unix.Unix_error _ -> ()

let rename folder name other =
  Unix.rename (inside folder name) (inside folder other)

(* ---- a FIFO in it, with both of its ends here ---- *)

let open_fifo folder name =
  let path = told folder name in
  (try Unix.mkfifo (inside folder name) 0o600
   with Unix.Unix_error (Unix.EEXIST, _, _) -> ());
  let opened flags =
    let fd =
      openfile ~folder:folder.fd ~path name (Read_write :: flags) 0
    in
    match Unix.fstat fd with
    | s when s.st_kind <> Unix.S_FIFO ->
        Unix.close fd;
        fail Unix.EEXIST path
    | s when not (is_mine s) ->
        Unix.close fd;
        fail Unix.EPERM path
    | s -> (fd, s.st_ino)
  in
  (* two open files: only the reader's does not block *)
  let source, inode = opened [ Nonblock ] in
  match opened [] with
  | target, other when other = inode -> (source, target)
  | target, _ ->
      Unix.close source;
      Unix.close target;
      fail Unix.EPERM path
  | exception exn ->
      Unix.close source;
      raise exn

(* Its reading end alone: that is at its end when nobody else has the pipe. *)
let open_fifo_to_read folder name =
  let path = told folder name in
  let fd = openfile ~folder:folder.fd ~path name [ Nonblock ] 0 in
  checked fd path (fun s -> s.st_kind = Unix.S_FIFO && is_mine s)

(* ---- logs, which are where the host says ---- *)

let begins_with prefix text =
  String.length text >= String.length prefix
  && String.sub text 0 (String.length prefix) = prefix

(* /dev/stdout is a link by nature. *)
let open_log path =
  if begins_with "/dev/" path || begins_with "/proc/" path then
    Unix.openfile path
      [ Unix.O_WRONLY; Unix.O_APPEND; Unix.O_CLOEXEC; Unix.O_NOCTTY ]
      0
  else
    let fd = openfile path [ Append; Create ] 0o640 in
    checked fd path (fun s ->
        s.st_kind <> Unix.S_REG || s.st_nlink <= 1 || is_mine s)
