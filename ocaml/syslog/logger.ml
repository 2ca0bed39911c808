(* logger.ml - the daemon's side of the process that logs for it

   Called by Xlchild_syslog.forward and by the supervisor. The other side is
   bindings/ocaml/stub_logger.c: the requests are listed there. One process, and
   one thread that hears of its end, a daemon; both come with the first use.

   Here, too, the reading ends stay open until the logger has come to their
   end: where it is killed, another one gets them, and no child finds that
   nobody reads. *)

external inside : unit -> bool = "xlchild_ml_logger_inside"
external thread : Unix.file_descr -> bool = "xlchild_ml_logger_thread"

external send_fds : Unix.file_descr -> string -> Unix.file_descr array -> int
  = "xlchild_ml_send_fds"

external int_of_fd : Unix.file_descr -> int = "%identity"

(* A descriptor is used only as long as it is what it was: a daemon, forked or
   not, may have closed all there were, and opened something else of that
   number. *)
type known = { fd : Unix.file_descr; device : int; inode : int }

(* What is to be said again to the next logger. *)
type stream = { text : string; fds : known list }

type t = {
  owner : int;  (* the pid of the process that made it *)
  lock : Mutex.t;
  streams : (int, stream) Hashtbl.t;
  mutable socket : known option;
  mutable is_process : bool;
  mutable since : float;
  mutable short_lives : int;
}

let know fd =
  let { Unix.st_dev; st_ino; _ } = Unix.fstat fd in
  { fd; device = st_dev; inode = st_ino }

let is_known k =
  match Unix.fstat k.fd with
  | { Unix.st_dev; st_ino; _ } -> st_dev = k.device && st_ino = k.inode
  | exception Unix.Unix_error _ -> false

let close_known k =
  if is_known k then try Unix.close k.fd with Unix.Unix_error _ -> ()

(* ---- starting one ---- *)

let variable = "XLCHILD_LOGGER"

(* Executing this program anew: the constructor of the stubs runs the logger. In
   bytecode they come with the program, in the hands of ocamlrun. *)
let program () =
  match Sys.backend_type with
  | Sys.Native when inside () -> Some [ "xlchild-logger" ]
  | Sys.Bytecode -> (
      match Unix.readlink "/proc/self/exe" with
      | exception Unix.Unix_error _ -> None
      | exe when inside () -> Some [ exe ]
      | exe
        when String.length (Filename.basename exe) >= 8
             && String.sub (Filename.basename exe) 0 8 = "ocamlrun" ->
          Some [ exe; Sys.executable_name ]
      | _ -> None)
  | Sys.Native | Sys.Other _ -> None

(* The number of its end of the socket, in the process. *)
let its_number = 3

let execute ?(variable = variable) ?(name = "xlchild-logger") ~cgroup arguments
    theirs =
  let argv0 =
    match List.hd arguments with "xlchild-logger" -> name | ocamlrun -> ocamlrun
  in
  let fds =
    Xlchild.Fd_map.of_list
      ([ (0, Xlchild.Null); (1, Null); (2, Null) ]
      @ List.mapi (fun i fd -> (its_number + i, Xlchild.Fd fd)) theirs)
  in
  let command =
    Xlchild.command ~path:"/proc/self/exe" ?cgroup ~cwd:"/" ~fds
      ~session:New_session ~on_close:Leave
      ~env:[ Printf.sprintf "%s=%d" variable its_number ]
      argv0 (List.tl arguments)
  in
  Xlchild.with_context @@ fun ctx ->
  match Xlchild.run_result ctx ~stdout:`Inherit ~timeout:10. command with
  | Ok { child = { status = Status (WEXITED 0); _ }; _ } -> true
  | Ok _ | Error _ -> false

let says_ready ours =
  Xlchild.poll ~timeout:10. [ ours ] <> []
  &&
  let buffer = Bytes.create 100 in
  match Unix.read ours buffer 0 100 with
  | n -> Bytes.sub_string buffer 0 n = "ready"
  | exception Unix.Unix_error _ -> false

(* Out of the daemon's cgroup where that may be: else a service manager ends it
   with the daemon. *)
let start_process () =
  match program () with
  | None -> None
  | Some arguments -> (
      let ours, theirs =
        Unix.socketpair ~cloexec:true Unix.PF_UNIX Unix.SOCK_SEQPACKET 0
      in
      let started =
        Fun.protect
          ~finally:(fun () -> Unix.close theirs)
          (fun () ->
            (match Outside.cgroup () with
            | Some cgroup -> execute ~cgroup:(Some cgroup) arguments [ theirs ]
            | None -> false)
            || execute ~cgroup:None arguments [ theirs ])
      in
      match started && says_ready ours with
      | true -> Some ours
      | false ->
          Unix.close ours;
          None)

(* Another one of the program's processes: it has these descriptors from 3 on. *)
let start_other ~variable ~name fds =
  match program () with
  | None -> false
  | Some arguments ->
      let start cgroup = execute ~variable ~name ~cgroup arguments fds in
      let outside = Outside.cgroup () in
      (outside <> None && start outside) || start None

let start_thread () =
  let ours, theirs =
    Unix.socketpair ~cloexec:true Unix.PF_UNIX Unix.SOCK_SEQPACKET 0
  in
  if thread theirs && says_ready ours then ours
  else begin
    Unix.close ours;
    raise (Unix.Unix_error (Unix.EAGAIN, "Xlchild_syslog: the logger", ""))
  end

(* ---- one a process ---- *)

let the_logger : t option Atomic.t = Atomic.make None
let leftovers : known list Atomic.t = Atomic.make []

let rec change cell f =
  let old = Atomic.get cell in
  if not (Atomic.compare_and_set cell old (f old)) then change cell f

(* In a child of fork that goes on: the parent's are closed here, so that they
   are at an end when the parent is. *)
let rec get () =
  match Atomic.get the_logger with
  | Some t when t.owner = Unix.getpid () -> t
  | old ->
      let fresh =
        {
          owner = Unix.getpid ();
          lock = Mutex.create ();
          streams = Hashtbl.create 8;
          socket = None;
          is_process = false;
          since = 0.;
          short_lives = 0;
        }
      in
      if Atomic.compare_and_set the_logger old (Some fresh) then begin
        if old <> None then
          List.iter close_known (Atomic.exchange leftovers []);
        fresh
      end
      else get ()

let remember known = change leftovers (fun l -> known :: l)

let close known =
  change leftovers (List.filter (fun k -> k != known));
  close_known known

let locked t f = Elsewhere.locked t.lock f
let put_away stream = List.iter close stream.fds

(* The lock is held. *)
let say t stream =
  match t.socket with
  | Some socket when is_known socket && List.for_all is_known stream.fds ->
      send_fds socket.fd stream.text
        (Array.of_list (List.map (fun k -> k.fd) stream.fds))
      = 0
  | _ -> false

(* One that somebody always ends at once is a thread in the end. *)
let short = 1.
let most_short_lives = 3

(* The daemon has closed everything: the logger goes on with what it has, and
   this side forgets the numbers. The lock is held. *)
let forget_closed t =
  match t.socket with
  | Some socket when not (is_known socket) ->
      t.socket <- None;
      Hashtbl.reset t.streams
  | _ -> ()

let rec connect t =
  forget_closed t;
  match t.socket with
  | Some _ -> ()
  | None ->
      let fd, is_process =
        match
          if t.short_lives < most_short_lives then start_process () else None
        with
        | Some fd -> (fd, true)
        | None -> (start_thread (), false)
      in
      let socket = know fd in
      t.since <- Xlchild.now ();
      remember socket;
      t.socket <- Some socket;
      t.is_process <- is_process;
      (match Thread.create (fun () -> listen t socket) () with
      | _ -> ()
      | exception exn ->
          (* one that nobody listens to is none *)
          t.socket <- None;
          close socket;
          raise exn);
      Hashtbl.iter (fun _ stream -> ignore (say t stream)) t.streams

(* Its end is noticed at once, and another one started. *)
and listen t socket =
  ignore (Thread.sigmask Unix.SIG_BLOCK Outside.signals);
  let buffer = Bytes.create 100 in
  let rec next () =
    match if is_known socket then Unix.read socket.fd buffer 0 100 else 0 with
    | exception Unix.Unix_error (Unix.EINTR, _, _) -> next ()
    | exception Unix.Unix_error _ -> ()
    | 0 -> ()
    | n ->
        (match Scanf.sscanf (Bytes.sub_string buffer 0 n) "done %d" Fun.id with
        | id -> locked t (fun () -> is_over t id)
        | exception _ -> ());
        next ()
  in
  next ();
  locked t (fun () ->
      close socket;
      match t.socket with
      | Some current when current == socket -> has_gone t
      | _ -> () (* it was forgotten *))

and has_gone t =
  t.socket <- None;
  if Xlchild.now () -. t.since < short then t.short_lives <- t.short_lives + 1
  else t.short_lives <- 0;
  if Hashtbl.length t.streams > 0 then
    try connect t
    with Unix.Unix_error _ | Xlchild.Error _ | Sys_error _ ->
      () (* no thread, say: the next one that logs tries again *)

and is_over t id =
  Option.iter put_away (Hashtbl.find_opt t.streams id);
  Hashtbl.remove t.streams id

let next_id = Atomic.make 1

(* Strings of a packet end with a NUL, and messages with a newline. *)
let clean text =
  let text = String.sub text 0 (min 1000 (String.length text)) in
  String.map (fun c -> if c < ' ' || c = '\127' then '?' else c) text

let tell kind id words = String.concat "\000" ((kind :: string_of_int id :: words) @ [ "" ])

(* Not in the host's thread: see elsewhere.ml. *)
let give_here t kind words fds =
  let fds = List.map know fds in
  let id = Atomic.fetch_and_add next_id 1 in
  let stream = { text = tell kind id words; fds } in
  List.iter remember fds;
  locked t (fun () ->
      try
        (* a new one is told of those that are there: not of this one, too *)
        connect t;
        Hashtbl.replace t.streams id stream;
        if not (say t stream) then
          (* it has just died *)
          Option.iter
            (fun s ->
              if is_known s then Unix.shutdown s.fd Unix.SHUTDOWN_ALL)
            t.socket
      with exn ->
        Hashtbl.remove t.streams id;
        put_away stream;
        raise exn);
  id

let give t kind words fds =
  Elsewhere.run (fun () -> give_here t kind words fds)

(* It is taken over in any case. *)
let log_held ~socket ~tag held =
  Elsewhere.run (fun () ->
      let words = [ socket; clean tag ] in
      ignore (give_here (get ()) "log" words [ Elsewhere.take held ]))

let log ~socket ~tag fd =
  ignore (give (get ()) "log" [ socket; clean tag ] [ fd ])

type kept = { of_ : t; id : int }

let keep ~socket ~tag ~most ~spool fd =
  let t = get () in
  {
    of_ = t;
    id = give t "keep" [ socket; clean tag; string_of_int most ] [ fd; spool ];
  }

let let_go kind kept =
  let t = kept.of_ in
  if t.owner = Unix.getpid () then
    locked t (fun () ->
        forget_closed t;
        if Hashtbl.mem t.streams kept.id then begin
          ignore (say t { text = tell kind kept.id []; fds = [] });
          is_over t kept.id
        end)

let away = let_go "away"
let forget = let_go "forget"

let start () =
  Elsewhere.run (fun () ->
      let t = get () in
      locked t (fun () -> connect t);
      t.is_process)
