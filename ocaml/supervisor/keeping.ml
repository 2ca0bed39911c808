(* keeping.ml - the pidfds of services, where they outlive the daemon

   Called by loop.ml, turns.ml and xlchild_supervisor.ml, by one thread at a
   time. In systemd's store of descriptors where the daemon has one, else with a
   keeper: a process of ours (bindings/keeper/keeper.c) that is found again by its
   socket in the state folder. Both only know descriptors with labels:

       xlchild.DEVICE.INODE.RUN.PID.START   the folder's, and the service's run

   A pidfd is sent before the state file says that the service lives, and
   dropped after its end has been told. *)

external pidfd_open : int -> int = "xlchild_ml_pidfd_open"
external listen : Unix.file_descr -> int = "xlchild_ml_keeper_listen"
external connect : Unix.file_descr -> int = "xlchild_ml_keeper_connect"

external receive : Unix.file_descr -> Bytes.t -> int * int
  = "xlchild_ml_keeper_receive"

external send_fds : Unix.file_descr -> string -> Unix.file_descr array -> int
  = "xlchild_ml_send_fds"

external fd_of_int : int -> Unix.file_descr = "%identity"

type kept = { pid : int; start_time : int; pidfd : Unix.file_descr }

type place =
  | Nowhere
  | Systemd of Unix.file_descr  (* connected to its socket *)
  | Keeper of { folder : Safe.folder; mutable socket : Unix.file_descr option }

type t = {
  place : place;
  identity : string;
  runs : (string, kept) Hashtbl.t;
}

let nowhere () = { place = Nowhere; identity = ""; runs = Hashtbl.create 1 }

(* ---- labels ---- *)

let label t run { pid; start_time; _ } =
  Printf.sprintf "xlchild.%s.%s.%d.%d" t.identity run pid start_time

let of_label text =
  match String.split_on_char '.' text with
  | [ "xlchild"; device; inode; run; pid; start_time ] -> (
      match (int_of_string_opt pid, int_of_string_opt start_time) with
      | Some pid, Some start_time when pid > 1 ->
          Some (device ^ "." ^ inode, run, pid, start_time)
      | _ -> None)
  | _ -> None

let close_fd fd = try Unix.close fd with Unix.Unix_error _ -> ()

let enter t text pidfd =
  match of_label text with
  | Some (identity, run, pid, start_time)
    when identity = t.identity && not (Hashtbl.mem t.runs run) ->
      Hashtbl.replace t.runs run { pid; start_time; pidfd }
  | _ -> close_fd pidfd

(* One that hangs holds nobody up. *)
let patience = 2.

let limit socket =
  try Unix.setsockopt_float socket Unix.SO_SNDTIMEO patience
  with Unix.Unix_error _ -> ()

(* ---- systemd: LISTEN_FDS, once a process, for all of its supervisors ---- *)

let listen_fds_start = 3

let given () =
  let variable name = Option.value (Sys.getenv_opt name) ~default:"" in
  if int_of_string_opt (variable "LISTEN_PID") <> Some (Unix.getpid ()) then []
  else
    let count =
      Option.value (int_of_string_opt (variable "LISTEN_FDS")) ~default:0
    in
    String.split_on_char ':' (variable "LISTEN_FDNAMES")
    |> List.mapi (fun i name -> (i, name))
    |> List.filter (fun (i, name) -> i < count && of_label name <> None)
    |> List.map (fun (i, name) -> (name, fd_of_int (listen_fds_start + i)))

let mutex = Mutex.create ()
let inherited : (string * Unix.file_descr) list option ref = ref None

(* Those of this folder; each is taken once. *)
let take_inherited identity =
  Xlchild_syslog.Elsewhere.locked mutex @@ fun () ->
  let all =
    match !inherited with
    | Some all -> all
    | None ->
        let all = given () in
        List.iter
          (fun (_, fd) ->
            try Unix.set_close_on_exec fd with Unix.Unix_error _ -> ())
          all;
        all
  in
  let is_mine (name, _) =
    match of_label name with
    | Some (other, _, _, _) -> other = identity
    | None -> false
  in
  let mine, rest = List.partition is_mine all in
  inherited := Some rest;
  mine

(* It says in FDSTORE how many it takes (from its release 254 on); what it does
   not say is not relied upon. *)
let systemd () =
  match (Sys.getenv_opt "NOTIFY_SOCKET", Sys.getenv_opt "FDSTORE") with
  | Some path, Some most
    when path <> ""
         && (match int_of_string_opt most with Some n -> n > 0 | None -> false)
    -> (
      let path =
        if path.[0] = '@' then
          "\000" ^ String.sub path 1 (String.length path - 1)
        else path
      in
      match Unix.socket ~cloexec:true Unix.PF_UNIX Unix.SOCK_DGRAM 0 with
      | exception Unix.Unix_error _ -> None
      | fd -> (
          match Unix.connect fd (Unix.ADDR_UNIX path) with
          | () ->
              limit fd;
              Some fd
          | exception (Unix.Unix_error _ | Invalid_argument _) ->
              close_fd fd;
              None))
  | _ -> None

(* ---- the keeper ---- *)

let start_keeper (folder : Safe.folder) =
  let listener = listen folder.fd in
  listener >= 0
  && Fun.protect
       ~finally:(fun () -> close_fd (fd_of_int listener))
       (fun () ->
         Xlchild_syslog.Logger.start_other ~variable:"XLCHILD_KEEPER"
           ~name:"xlchild-keeper"
           [ fd_of_int listener; folder.fd ])

(* All that it has, or nothing where it is just about to end. *)
let ask_all socket enter =
  let buffer = Bytes.create 1024 in
  let rec next () =
    match
      if Xlchild.poll ~timeout:patience [ socket ] = [] then (0, -1)
      else receive socket buffer
    with
    | n, _ when n <= 0 -> false
    | n, fd -> (
        let text = Bytes.sub_string buffer 0 n in
        match text with
        | "end" -> true
        | _ when fd >= 0 ->
            enter (String.sub text 5 (max 0 (n - 5))) (fd_of_int fd);
            next ()
        | _ -> next ())
  in
  send_fds socket "list" [||] = 0 && next ()

let reach (folder : Safe.folder) enter =
  let try_once () =
    match connect folder.fd with
    | n when n < 0 -> None
    | n ->
        let socket = fd_of_int n in
        limit socket;
        if ask_all socket enter then Some socket
        else begin
          close_fd socket;
          None
        end
  in
  match try_once () with
  | Some socket -> Some socket
  | None -> if start_keeper folder then try_once () else None

let open_ folder ~identity =
  let make place = { place; identity; runs = Hashtbl.create 16 } in
  match systemd () with
  | Some fd ->
      let t = make (Systemd fd) in
      List.iter (fun (name, fd) -> enter t name fd) (take_inherited identity);
      t
  | None -> (
      let t = make Nowhere in
      List.iter (fun (name, fd) -> enter t name fd) (take_inherited identity);
      match reach folder (enter t) with
      | socket -> { t with place = Keeper { folder; socket } }
      | exception (Unix.Unix_error _ | Xlchild.Error _) -> t)

(* ---- saying it ---- *)

let send_to_keeper socket verb text fds =
  send_fds socket (verb ^ " " ^ text) fds = 0

let say_hold t run kept =
  let text = label t run kept in
  match t.place with
  | Nowhere -> true
  | Systemd fd ->
      (* a pidfd has hung up once its process is reaped: that is no reason to
         close it, as systemd would *)
      let text = Printf.sprintf "FDSTORE=1\nFDPOLL=0\nFDNAME=%s" text in
      send_fds fd text [| kept.pidfd |] = 0
  | Keeper { socket = Some socket; _ } ->
      send_to_keeper socket "hold" text [| kept.pidfd |]
  | Keeper { socket = None; _ } -> false

let say_drop t run kept =
  let text = label t run kept in
  match t.place with
  | Systemd fd ->
      ignore
        (send_fds fd
           (Printf.sprintf "FDSTOREREMOVE=1\nFDNAME=%s" text)
           [||])
  | Keeper { socket = Some socket; _ } ->
      ignore (send_to_keeper socket "drop" text [||])
  | Nowhere | Keeper { socket = None; _ } -> ()

let source t =
  match t.place with Keeper { socket; _ } -> socket | _ -> None

let revive t =
  match t.place with
  | Nowhere | Systemd _ -> ()
  | Keeper keeper -> (
      Option.iter close_fd keeper.socket;
      keeper.socket <- None;
      match reach keeper.folder (fun _ fd -> close_fd fd) with
      | socket ->
          keeper.socket <- socket;
          if socket <> None then
            Hashtbl.iter (fun run kept -> ignore (say_hold t run kept)) t.runs
      | exception (Unix.Unix_error _ | Xlchild.Error _) -> ())

let hold ?(is_it = fun () -> true) t ~run ~pid ~start_time =
  if t.place <> Nowhere && not (Hashtbl.mem t.runs run) then
    match pidfd_open pid with
    | n when n < 0 -> ()
    | n when not (is_it ()) -> close_fd (fd_of_int n)
    | n ->
        let kept = { pid; start_time; pidfd = fd_of_int n } in
        Hashtbl.replace t.runs run kept;
        if not (say_hold t run kept) then revive t

let find t ~run = Hashtbl.find_opt t.runs run

let drop t ~run =
  Option.iter
    (fun kept ->
      say_drop t run kept;
      close_fd kept.pidfd;
      Hashtbl.remove t.runs run)
    (find t ~run)

let retain t runs =
  Hashtbl.fold (fun run _ all -> run :: all) t.runs []
  |> List.iter (fun run -> if not (List.mem run runs) then drop t ~run)

let close t ~leave =
  if not leave then retain t [];
  Hashtbl.iter (fun _ kept -> close_fd kept.pidfd) t.runs;
  Hashtbl.reset t.runs;
  match t.place with
  | Nowhere -> ()
  | Systemd fd -> close_fd fd
  | Keeper { socket; _ } -> Option.iter close_fd socket
