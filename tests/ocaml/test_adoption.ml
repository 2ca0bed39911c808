(* test_adoption.ml - services over the lives of a daemon

   The daemon of a previous life is a process of its own (life.ml), which is
   killed; its services (life_service.ml) live on, and the supervisor of the
   test is the next life. *)

open Xlchild_supervisor
open Hearing
module Journal = Xlchild_supervisor__Journal
module Processes = Xlchild_supervisor__Processes
module State_file = Xlchild_supervisor__State_file

let a_pid =
  let print f (pid : Xlchild.Pid.t) = Format.pp_print_int f (pid :> int) in
  Alcotest.testable print ( = )

let state_file folder = Filename.concat folder "services"

(* ---- a daemon's life ---- *)

type daemon = { pid : int; out : in_channel }

let start_daemon folder names =
  List.iter (Life_service.prepare folder) names;
  let program =
    Filename.concat (Filename.dirname Sys.executable_name) "life.exe"
  in
  let r, w = Unix.pipe ~cloexec:true () in
  let arguments = Array.of_list (program :: folder :: names) in
  let pid = Unix.create_process program arguments Unix.stdin w Unix.stderr in
  Unix.close w;
  { pid; out = Unix.in_channel_of_descr r }

(* Until it has said all of these, in any order. *)
let rec await_lines daemon = function
  | [] -> ()
  | texts ->
      let line = input_line daemon.out in
      await_lines daemon (List.filter (( <> ) line) texts)

let await_line daemon text = await_lines daemon [ text ]

let signal daemon number = if daemon.pid > 1 then Unix.kill daemon.pid number

let rec lines daemon =
  match input_line daemon.out with
  | line -> line :: lines daemon
  | exception End_of_file -> []

(* What it still says, and how it ended. *)
let bury daemon =
  let rest = lines daemon in
  close_in daemon.out;
  (rest, snd (Unix.waitpid [] daemon.pid))

(* Starts a daemon with these services; kills it when all are ready. *)
let one_life folder names =
  let daemon = start_daemon folder names in
  await_lines daemon (List.map (fun name -> name ^ " ready") names);
  signal daemon Sys.sigkill;
  ignore (bury daemon)

(* ---- who lives, by the state file ---- *)

let living folder =
  match State_file.load (state_file folder) with
  | Ok (Some { entries; _ }) ->
      List.filter_map
        (fun (e : State_file.entry) ->
          match e.stage with
          | Living { pid; start_time; _ } -> Some (e.name, pid, start_time)
          | Intended | Over _ | Unknown -> None)
        entries
  | Ok None | Error _ -> []

let process_of folder name =
  let _, pid, start_time =
    List.find (fun (each, _, _) -> each = name) (living folder)
  in
  (pid, start_time)

let exit_info =
  lazy
    (List.mem Xlchild.Exit_info
       (Xlchild.with_context (fun ctx -> (Xlchild.diagnose ctx).facilities)))

let ended name text =
  name ^ " ended by itself: "
  ^
  if Lazy.force exit_info then text
  else "lost: " ^ Xlchild.lost_text Not_ours

(* The end of a process that is nobody's child here. *)
let await_end ctx (pid, start_time) =
  match Xlchild.adopt_result ctx (By_start_time { pid; start_time }) with
  | Ok child -> ignore (Xlchild.Child.wait child)
  | Error _ -> ()

let next_life folder f =
  Hearing.with_supervisor ~state_folder:folder f

let adopt t folder name = add t (Life_service.spec folder name)
let away name = name ^ " ended by itself: lost: it ended while no daemon watched it"

(* Whatever a case leaves behind in its folder is ended with it. *)
let in_a_folder f =
  Support.with_temporary_folder @@ fun folder ->
  Fun.protect
    ~finally:(fun () ->
      let t = create ~state_folder:folder () in
      stop_left t;
      close t)
    (fun () -> f folder)

(* ---- the cases ---- *)

let adopted () =
  in_a_folder @@ fun folder ->
  one_life folder [ "lives"; "other" ];
  let before, _ = process_of folder "lives" in
  next_life folder (fun t heard ->
      let names = List.sort compare (List.map fst (left t)) in
      Alcotest.(check (list string)) "left" [ "lives"; "other" ] names;
      let m = adopt t folder "lives" in
      expect heard "lives adopted";
      Alcotest.(check (option a_pid)) "the same" (Some before) (pid m);
      Alcotest.(check string) "state" "running" (state_text (state m));
      Life_service.release folder "lives" 7;
      expect heard (ended "lives" "exit code 7");
      Alcotest.(check string) "what it said meanwhile" "before\nafter\n"
        (Support.read_all (Life_service.log folder "lives"));
      (* one that nobody adds is watched all the same *)
      Life_service.release folder "other" 8;
      expect heard (ended "other" "exit code 8");
      never heard "lives started");
  next_life folder (fun t heard ->
      Alcotest.(check (list string)) "nothing is told twice" [] (said heard);
      Alcotest.(check int) "nobody is left" 0 (List.length (left t)))

(* Of one whose pidfd was kept: what the kernel tells, where it tells it. *)
let told_later name text =
  if Lazy.force exit_info then name ^ " ended by itself: " ^ text
  else away name

let ended_while_away () =
  in_a_folder @@ fun folder ->
  one_life folder [ "gone"; "lives" ];
  let gone = process_of folder "gone" in
  Xlchild.with_context (fun ctx ->
      Life_service.release folder "gone" 3;
      await_end ctx gone);
  next_life folder (fun t heard ->
      expect heard (told_later "gone" "exit code 3");
      let m = adopt t folder "gone" in
      expect heard "gone started";
      Alcotest.(check bool) "another" true
        (Option.is_some (pid m) && pid m <> Some (fst gone));
      catch_up heard;
      Alcotest.(check int) "told once" 1 (times heard (told_later "gone" "exit code 3")))

let stopped_after_adoption () =
  in_a_folder @@ fun folder ->
  one_life folder [ "lives" ];
  let it = process_of folder "lives" in
  next_life folder (fun t heard ->
      let m = adopt t folder "lives" in
      stop m;
      expect heard
        (if Lazy.force exit_info then "lives stopped: exit code 9"
        else "lives stopped: lost: " ^ Xlchild.lost_text Not_ours);
      start m;
      expect heard "lives started";
      Alcotest.(check bool) "another" true (pid m <> Some (fst it)))

let stop_what_is_left () =
  in_a_folder @@ fun folder ->
  one_life folder [ "a"; "b" ];
  next_life folder (fun t heard ->
      stop_left t;
      Alcotest.(check int) "nobody is left" 0 (List.length (left t));
      expect heard (ended "a" "exit code 9");
      expect heard (ended "b" "exit code 9"))

let close_and_leave () =
  in_a_folder @@ fun folder ->
  let daemon = start_daemon folder [ "lives" ] in
  await_line daemon "lives ready";
  let it = process_of folder "lives" in
  signal daemon Sys.sighup;
  let rest, status = bury daemon in
  Alcotest.(check (list string)) "no end is told" [ "closed" ] rest;
  Alcotest.(check string) "exit" "exit 0" (Support.process_status status);
  next_life folder (fun t heard ->
      let m = adopt t folder "lives" in
      expect heard "lives adopted";
      Alcotest.(check (option a_pid)) "the same" (Some (fst it)) (pid m))

(* Of one process's two lives: the first's child is the second's, too. *)
let same_process () =
  in_a_folder @@ fun folder ->
  Life_service.prepare folder "lives";
  let heard = Hearing.make () in
  let t = create ~state_folder:folder ~on_event:(hear heard) () in
  ignore (adopt t folder "lives");
  expect heard "lives ready";
  close t ~leave:true;
  next_life folder (fun t heard ->
      ignore (adopt t folder "lives");
      expect heard "lives adopted";
      Life_service.release folder "lives" 5;
      expect heard "lives ended by itself: exit code 5")

let clean_shutdown number () =
  in_a_folder @@ fun folder ->
  let daemon = start_daemon folder [ "a"; "b" ] in
  await_line daemon "a ready";
  (* [b] may be in the middle of its start *)
  let a = process_of folder "a" in
  signal daemon number;
  let rest, status = bury daemon in
  Alcotest.(check string) "exit" "exit 0" (Support.process_status status);
  let is_end text line =
    String.length line >= String.length text
    && String.sub line 0 (String.length text) = text
  in
  List.iter
    (fun text ->
      Alcotest.(check int) text 1
        (List.length (List.filter (is_end text) rest)))
    [ "a stopped, pid "; "b stopped, pid "; "closed" ];
  Alcotest.(check bool) "it has ended" true
    (match Xlchild.start_time (fst a) with
    | start -> start <> snd a
    | exception Xlchild.Error _ -> true);
  Alcotest.(check int) "nobody is kept" 0 (List.length (living folder))

(* ---- whom it must not touch ---- *)

let entries_are folder boot entries =
  State_file.save (state_file folder) { boot; entries }

let entry name pid start_time : State_file.entry =
  { name; run = "run"; stage = Living { pid; start_time; ready = true } }

let with_bystander f =
  Xlchild.with_context @@ fun ctx ->
  Support.with_pipe @@ fun r w ->
  let child = Xlchild.start ctx (Support.held r []) in
  f (Xlchild.Child.pid child);
  Alcotest.(check bool) "it was not touched" true
    (Xlchild.Child.poll child = None);
  Unix.close w;
  Support.check_status "its own end" "exit 0" (Xlchild.Child.wait child)

(* The pid lives, but it is another process's by now. *)
let reused_pid () =
  with_bystander @@ fun bystander ->
  in_a_folder @@ fun folder ->
  let start = Xlchild.start_time bystander in
  entries_are folder (Processes.boot ()) [ entry "old" bystander (start - 1) ];
  next_life folder (fun t heard ->
      expect heard (away "old");
      Alcotest.(check int) "nobody is left" 0 (List.length (left t));
      let m = add t (service ~name:"old" Support.child [ "pause" ]) in
      expect heard "old started";
      Alcotest.(check bool) "another" true (pid m <> Some bystander);
      never heard "old adopted")

let other_boot () =
  with_bystander @@ fun bystander ->
  in_a_folder @@ fun folder ->
  entries_are folder "another boot"
    [ entry "old" bystander (Xlchild.start_time bystander) ];
  next_life folder (fun t heard ->
      expect heard "old ended by itself: lost: the machine was started anew";
      Alcotest.(check int) "nobody is left" 0 (List.length (left t)))

(* ---- a state file that does not tell ---- *)

(* Whatever it was cut to: what lives is found by its mark, and adopted. *)
let damaged () =
  in_a_folder @@ fun folder ->
  one_life folder [ "lives" ];
  let it, _ = process_of folder "lives" in
  let whole = Support.read_all (state_file folder) in
  let write text =
    let file = open_out_bin (state_file folder) in
    output_string file text;
    close_out file
  in
  QCheck.Test.check_exn
  @@ QCheck.Test.make ~count:12 ~name:"prefixes"
       QCheck.(int_bound (String.length whole - 1))
       (fun n ->
         write (String.sub whole 0 n);
         let heard = Hearing.make () in
         let t = create ~state_folder:folder ~on_event:(hear heard) () in
         expect heard
           "supervisor the state file is unusable: it is damaged; looked for \
            living services among all processes";
         let found = left t in
         close t ~leave:true;
         found = [ ("lives", it) ]);
  (* and the file is whole again *)
  next_life folder (fun t heard ->
      let m = adopt t folder "lives" in
      expect heard "lives adopted";
      Alcotest.(check (option a_pid)) "the same" (Some it) (pid m))

(* The daemon was killed between a start and its record. *)
let unrecorded_start () =
  in_a_folder @@ fun folder ->
  one_life folder [ "lives" ];
  let it, _ = process_of folder "lives" in
  (match State_file.load (state_file folder) with
  | Ok (Some contents) ->
      let entries =
        List.concat_map
          (fun (e : State_file.entry) ->
            [
              { e with stage = State_file.Intended };
              { e with run = "never-came"; stage = Intended };
            ])
          contents.entries
      in
      State_file.save (state_file folder) { contents with entries }
  | Ok None | Error _ -> Alcotest.fail "no state file");
  next_life folder (fun t heard ->
      Alcotest.(check (list (pair string a_pid))) "found" [ ("lives", it) ]
        (left t);
      expect heard
        "lives was being started when the daemon was killed; it does not run";
      let m = adopt t folder "lives" in
      expect heard "lives adopted";
      Alcotest.(check (option a_pid)) "the same" (Some it) (pid m))

(* The daemon was killed while it told an end: the next life tells it again,
   as it was. *)
let told_again () =
  in_a_folder @@ fun folder ->
  let over : State_file.entry =
    {
      name = "x";
      run = "that";
      stage =
        Over
          {
            pid = Xlchild.Pid.of_int 4321;
            ending = Status (Unix.WSIGNALED Sys.sigsegv);
            cause = Told_to;
          };
    }
  in
  entries_are folder (Processes.boot ()) [ over ];
  let stream = Stream.create () in
  let t = create ~state_folder:folder ~on_event:(Stream.push stream) () in
  let event = Stream.next stream in
  close t;
  Alcotest.(check string) "run" "that" event.run;
  Alcotest.(check string) "as it was" "x stopped, pid 4321: signal 11"
    (event_text event);
  next_life folder (fun _ heard ->
      Alcotest.(check (list string)) "no third time" [] (said heard))

(* A daemon dies before its service is ready: the next life still hears it. *)
let ready_later readiness () =
  in_a_folder @@ fun folder ->
  let path = Filename.concat folder "x.gate" in
  Unix.mkfifo path 0o600;
  let spec =
    service ~name:"x" "/bin/sh" ~readiness ~restart:Never
      [
        "-c";
        "read x < " ^ Filename.quote path
        ^ "; echo up; echo >&5; read x < "
        ^ Filename.quote path;
      ]
      ~output:(Log_file { path = Life_service.log folder "x"; most = 100; keep = 0 })
      ~fds:(match readiness with Newline_on _ -> [] | _ -> [ (5, Unix.stdin) ])
  in
  let heard = Hearing.make () in
  let t = create ~state_folder:folder ~on_event:(hear heard) () in
  ignore (add t spec);
  expect heard "x started";
  close t ~leave:true;
  let fd = Unix.openfile path [ Unix.O_RDWR; Unix.O_CLOEXEC ] 0 in
  ignore (Unix.write_substring fd "x\n" 0 2);
  next_life folder (fun t heard ->
      ignore (add t spec);
      expect heard "x adopted";
      expect heard "x ready");
  Unix.close fd

(* ---- the folder ---- *)

let one_owner () =
  in_a_folder @@ fun folder ->
  let in_use name =
    match create_result ~state_folder:folder () with
    | Error (Folder_in_use path) -> Alcotest.(check string) name folder path
    | Error e -> Alcotest.fail (error_text e)
    | Ok t ->
        close t;
        Alcotest.failf "%s: two owners" name
  in
  let t = create ~state_folder:folder () in
  in_use "this process's";
  close t;
  let daemon = start_daemon folder [ "lives" ] in
  await_line daemon "lives ready";
  in_use "another process's";
  signal daemon Sys.sigterm;
  ignore (bury daemon)

(* The services run on where the state cannot be kept, and that is told. *)
let folder_vanishes () =
  Support.with_temporary_folder @@ fun parent ->
  let folder = Filename.concat parent "state" in
  next_life folder (fun t heard ->
      Unix.rename folder (folder ^ ".moved");
      let m = add t (service ~name:"x" Support.child [ "pause" ]) in
      Alcotest.(check bool) "running" true (await m (( = ) Running));
      stop m;
      expect heard "x stopped: signal 15";
      Alcotest.(check int) "told once" 1
        (times heard
           ("supervisor the state file cannot be written: "
           ^ Unix.error_message ENOENT)))

let no_folder () =
  Support.with_temporary_folder @@ fun folder ->
  let missing = Filename.concat folder "a/b" in
  (match create_result ~state_folder:missing () with
  | Error (Folder_unusable (path, ENOENT)) ->
      Alcotest.(check string) "path" missing path
  | Error e -> Alcotest.fail (error_text e)
  | Ok _ -> Alcotest.fail "no error");
  let file = Filename.concat folder "file" in
  close_out (open_out file);
  match create_result ~state_folder:file () with
  | Error (Folder_unusable (path, ENOTDIR)) ->
      Alcotest.(check string) "path" file path
  | Error e -> Alcotest.fail (error_text e)
  | Ok _ -> Alcotest.fail "no error"

(* ---- pidfds that outlive the daemon ---- *)

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
      Support.case "C6 a killed daemon's services, adopted" adopted;
      Support.case "C6 one that ended while nobody watched" ended_while_away;
      Support.case "B12 C6 some that ended while nobody watched"
        many_ended_while_away;
      Support.case "B12 C6 the keeper is killed, too" keeper_killed;
      Support.case "B12 the keeper hangs" keeper_hangs;
      Support.case "B12 a symbolic link for the keeper's socket" (planted a_link);
      Support.case "B12 a link to somebody's socket" (planted a_link_to_a_socket);
      Support.case "B12 a socket that all may write to" (planted for_all_to_write);
      Support.case "B12 C6 in systemd's store" systemd_store;
      Support.case "C13 stopped after its adoption" stopped_after_adoption;
      Support.case "C13 what nobody wants any more" stop_what_is_left;
      Support.case "closed, and left running" close_and_leave;
      Support.case "C5 two lives in one process" same_process;
      Support.case "SIGTERM: a clean shutdown" (clean_shutdown Sys.sigterm);
      Support.case "Ctrl-C: a clean shutdown" (clean_shutdown Sys.sigint);
      Support.case "C13 a pid that was used again" reused_pid;
      Support.case "C13 a state file of another boot" other_boot;
      Support.case "C6 a damaged state file" damaged;
      Support.case "C6 a start without its record" unrecorded_start;
      Support.case "C5 an end that was being told" told_again;
      Support.case "ready after an adoption, by line" (ready_later (Line "up"));
      Support.case "ready after an adoption, by descriptor"
        (ready_later (Newline_on 5));
      Support.case "X3 one supervisor a folder" one_owner;
      Support.case "X1 a folder that cannot be used" no_folder;
      Support.case "a folder that vanishes" folder_vanishes;
    ]
