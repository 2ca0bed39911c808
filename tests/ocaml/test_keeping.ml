(* test_keeping.ml - services' pidfds that outlive the daemon

   With a keeper, or in systemd's store. The daemon of a previous life, and what
   is asked of it, are as in test_adoption.ml. *)

open Xlchild_supervisor
open Hearing
open Test_adoption
module Keeping = Xlchild_supervisor__Keeping
module Safe = Xlchild_supervisor__Safe

let keeper_of folder =
  Array.to_list (Sys.readdir "/proc")
  |> List.filter_map int_of_string_opt
  |> List.filter (fun pid ->
         pid > 1
         && Xlchild_syslog.Outside.lines (Printf.sprintf "/proc/%d/comm" pid)
            = [ "xlchild-keeper" ]
         &&
         match Unix.readlink (Printf.sprintf "/proc/%d/fd/4" pid) with
         | path -> path = folder
         | exception Unix.Unix_error _ -> false)

(* A daemon whose services end while nobody lives: their statuses are told. *)
let many_ended_while_away () =
  in_a_folder @@ fun folder ->
  let names = List.init 5 (Printf.sprintf "s%d") in
  one_life folder names;
  Xlchild.with_context (fun ctx ->
      List.iteri
        (fun i name ->
          let it = process_of folder name in
          if i = 0 then Unix.kill (fst it :> int) Sys.sigkill
          else Life_service.release folder name (i * 50);
          await_end ctx it)
        names);
  next_life folder (fun _ heard ->
      List.iteri
        (fun i name ->
          expect heard
            (told_later name
               (if i = 0 then "signal 9"
               else Printf.sprintf "exit code %d" (i * 50))))
        names);
  next_life folder (fun _ heard ->
      Alcotest.(check (list string)) "nothing is told twice" [] (said heard))

(* Killed itself, it is started anew, with all that it had. *)
let keeper_killed () =
  in_a_folder @@ fun folder ->
  let daemon = start_daemon folder [ "lives" ] in
  await_line daemon "lives ready";
  let it = process_of folder "lives" in
  let before = keeper_of folder in
  List.iter (fun pid -> Unix.kill pid Sys.sigkill) before;
  let rec until_another () =
    match keeper_of folder with
    | [ pid ] when not (List.mem pid before) -> ()
    | _ ->
        ignore (Xlchild.poll ~timeout:0.01 []);
        until_another ()
  in
  if before <> [] then until_another ();
  (* what it had is in its hands once it answers *)
  let asked = Safe.open_folder folder in
  let rec until_held () =
    let identity = Processes.identity folder in
    let k = Keeping.open_ asked ~identity in
    let found =
      List.exists
        (fun (e : State_file.entry) -> Keeping.find k ~run:e.run <> None)
        (match State_file.load (state_file folder) with
        | Ok (Some { entries; _ }) -> entries
        | Ok None | Error _ -> [])
    in
    Keeping.close k ~leave:true;
    if not found then until_held ()
  in
  if before <> [] then until_held ();
  Safe.close_folder asked;
  signal daemon Sys.sigkill;
  ignore (bury daemon);
  Xlchild.with_context (fun ctx ->
      Life_service.release folder "lives" 4;
      await_end ctx it);
  next_life folder (fun _ heard ->
      expect heard (told_later "lives" "exit code 4"))

(* One that hangs holds up a life for a moment: it gets another, and what lives
   is adopted all the same. *)
let keeper_hangs () =
  in_a_folder @@ fun folder ->
  one_life folder [ "lives" ];
  let hanging = keeper_of folder in
  List.iter (fun pid -> Unix.kill pid Sys.sigstop) hanging;
  Fun.protect
    ~finally:(fun () ->
      List.iter
        (fun pid -> try Unix.kill pid Sys.sigkill with Unix.Unix_error _ -> ())
        hanging)
    (fun () ->
      let it = process_of folder "lives" in
      let heard = Hearing.make () in
      let t = create ~state_folder:folder ~on_event:(hear heard) () in
      ignore (adopt t folder "lives");
      expect heard "lives adopted";
      Alcotest.(check bool) "another keeper" true
        (List.exists (fun pid -> not (List.mem pid hanging)) (keeper_of folder));
      close t ~leave:true;
      (* which has what was adopted, too *)
      Xlchild.with_context (fun ctx ->
          Life_service.release folder "lives" 2;
          await_end ctx it);
      next_life folder (fun _ heard ->
          expect heard (told_later "lives" "exit code 2")))

(* A socket in the folder that is not the keeper's is not spoken to. *)
let planted plant () =
  in_a_folder @@ fun folder ->
  let path = Filename.concat folder "keeper" in
  plant path;
  let opened = Safe.open_folder folder in
  let k = Keeping.open_ opened ~identity:(Processes.identity folder) in
  Alcotest.(check bool) "another socket is there" true
    ((Unix.lstat path).st_kind = Unix.S_SOCK);
  Keeping.close k ~leave:true;
  Safe.close_folder opened

let a_link path = Unix.symlink "/dev/null" path

let socket_at path =
  let fd = Unix.socket ~cloexec:true Unix.PF_UNIX Unix.SOCK_SEQPACKET 0 in
  Unix.bind fd (Unix.ADDR_UNIX path);
  Unix.listen fd 1;
  fd

let a_link_to_a_socket path =
  let elsewhere = path ^ "-elsewhere" in
  Unix.close (socket_at elsewhere);
  Unix.symlink elsewhere path

let for_all_to_write path =
  Unix.close (socket_at path);
  Unix.chmod path 0o777

(* ---- systemd's store, as systemd keeps it ---- *)

external receive : Unix.file_descr -> Bytes.t -> int * int
  = "xlchild_ml_keeper_receive"

external fd_of_int : int -> Unix.file_descr = "%identity"

let value_of key text =
  List.find_map
    (fun line ->
      match String.index_opt line '=' with
      | Some i when String.sub line 0 i = key ->
          Some (String.sub line (i + 1) (String.length line - i - 1))
      | _ -> None)
    (String.split_on_char '\n' text)

(* What came so far: those with FDSTORE are kept, as they were asked to be. *)
let rec hear_notes socket store =
  if Xlchild.poll ~timeout:0. [ socket ] = [] then store
  else
    let buffer = Bytes.create 1024 in
    let n, fd = receive socket buffer in
    let text = Bytes.sub_string buffer 0 (max 0 n) in
    let name = Option.get (value_of "FDNAME" text) in
    hear_notes socket
      (if value_of "FDSTORE" text = Some "1" then begin
       Alcotest.(check (option string)) "it is not closed at its end"
         (Some "0") (value_of "FDPOLL" text);
       (name, fd_of_int fd) :: store
     end
     else begin
       Option.iter Unix.close (List.assoc_opt name store);
       List.remove_assoc name store
     end)

let systemd_store () =
  in_a_folder @@ fun folder ->
  let path = Filename.concat folder "notify" in
  let notify = Unix.socket ~cloexec:true Unix.PF_UNIX Unix.SOCK_DGRAM 0 in
  Unix.bind notify (Unix.ADDR_UNIX path);
  Unix.putenv "NOTIFY_SOCKET" path;
  Unix.putenv "FDSTORE" "100";
  let forget () =
    Unix.putenv "NOTIFY_SOCKET" "";
    Unix.putenv "FDSTORE" ""
  in
  Fun.protect ~finally:forget (fun () -> one_life folder [ "a"; "b" ]);
  let store = hear_notes notify [] in
  Alcotest.(check int) "two are kept" 2 (List.length store);
  Alcotest.(check (list int)) "and no keeper" [] (keeper_of folder);
  Xlchild.with_context (fun ctx ->
      List.iter
        (fun name ->
          let it = process_of folder name in
          Life_service.release folder name 6;
          await_end ctx it)
        [ "a"; "b" ]);
  (* as systemd starts it: the descriptors are 3 and 4, and have names *)
  let program =
    Filename.concat (Filename.dirname Sys.executable_name) "life.exe"
  in
  let r, w = Unix.pipe ~cloexec:true () in
  let env =
    [
      "NOTIFY_SOCKET=" ^ path; "FDSTORE=100"; "LISTEN_FDS=2";
      "LISTEN_FDNAMES=" ^ String.concat ":" (List.map fst store);
    ]
  in
  (* exec keeps the shell's number *)
  let command =
    Xlchild.command "/bin/sh"
      [ "-c"; "LISTEN_PID=$$ exec \"$0\" \"$@\""; program; folder; "a"; "b" ]
      ~env:(env @ [ "XLCHILD_ROOT=" ^ Sys.getenv "XLCHILD_ROOT" ])
      ~fds:
        (Xlchild.Fd_map.of_list
           ([ (0, Xlchild.Null); (1, Xlchild.Fd w); (2, Xlchild.Fd Unix.stderr) ]
           @ List.mapi (fun i (_, fd) -> (3 + i, Xlchild.Fd fd)) store))
  in
  Xlchild.with_context @@ fun ctx ->
  let child = Xlchild.start ctx command in
  Unix.close w;
  let daemon =
    { pid = (Xlchild.Child.pid child :> int); out = Unix.in_channel_of_descr r }
  in
  let texts =
    List.map (fun n -> told_later n "exit code 6") [ "a"; "b" ]
  in
  (* with pids, as it prints them *)
  let rec hear wanted =
    if wanted <> [] then
      let line = Str.global_replace (Str.regexp ", pid [0-9]+") "" (input_line daemon.out) in
      hear (List.filter (( <> ) line) wanted)
  in
  hear texts;
  signal daemon Sys.sigterm;
  let rest = lines daemon in
  close_in daemon.out;
  Alcotest.(check bool) "it closes" true (List.mem "closed" rest);
  Support.check_status "its end" "exit 0" (Xlchild.Child.wait child);
  Alcotest.(check int) "and nothing stays in the store" 0
    (List.length (hear_notes notify store));
  Unix.close notify

let cases =
  Support.not_under_valgrind ~why:"it knows no pidfds"
    [
      Support.case "B12 C6 some that ended while nobody watched"
        many_ended_while_away;
      Support.case "B12 C6 the keeper is killed, too" keeper_killed;
      Support.case "B12 the keeper hangs" keeper_hangs;
      Support.case "B12 a symbolic link for the keeper's socket" (planted a_link);
      Support.case "B12 a link to somebody's socket" (planted a_link_to_a_socket);
      Support.case "B12 a socket that all may write to" (planted for_all_to_write);
      Support.case "B12 C6 in systemd's store" systemd_store;
    ]
