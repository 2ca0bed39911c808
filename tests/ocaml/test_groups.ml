(* test_groups.ml - what a service started goes with it; times, folders and
   pipes of a supervisor that root runs

   A daemon that is killed is keeper.ml. *)

open Xlchild_supervisor
open Hearing

let check_bool = Alcotest.(check bool)
let check_string = Alcotest.(check string)

let quick =
  Policy.Always
    (Policy.back_off ~first:0.001 ~factor:1. ~most:0.001 ~restarts:1_000_000 ())

let running m =
  check_bool "it runs" true (await ~timeout:20. m (( = ) Running))

(* ---- the old one is gone before the next one starts ---- *)

(* It takes a lock, as a daemon does, for itself and all that it starts: exit
   code 77 says that somebody still holds it. [then_] is what the leader does. *)
let with_lock ?(restart = quick) ?cgroup folder then_ =
  service ~name:"locked" "flock"
    [
      "-n"; "-E"; "77"; Filename.concat folder "lock"; "sh"; "-c";
      "sleep 1000 & sh -c 'trap \"\" TERM; sleep 1000' & echo up; " ^ then_;
    ]
    ~readiness:(Line "up") ~restart ?cgroup [@@ocamlformat "disable"]

let overlaps heard =
  ignore (said heard);
  times heard "locked ended by itself: exit code 77"

let crash m =
  match pid m with
  | Some pid -> Unix.kill (pid :> int) Sys.sigkill
  | None -> ()

let no_overlap ~state what () =
  Support.with_temporary_folder @@ fun folder ->
  let state_folder =
    if state then Some (Filename.concat folder "state") else None
  in
  let then_ = if what = `Ends then "exit 0" else "wait" in
  Hearing.with_supervisor ?state_folder (fun t heard ->
      let m = add t (with_lock folder then_) in
      for i = 1 to 25 do
        match what with
        | `Restart -> running m; restart m
        | `Stop -> running m; stop m; start m
        | `Crash -> expect heard ~times:i "locked ready"; crash m
        | `Ends -> expect heard ~times:i "locked ended by itself: exit code 0"
      done;
      if what <> `Ends then running m;
      Alcotest.(check int) "met the one before" 0 (overlaps heard);
      stop m;
      (* and nobody holds it now *)
      ignore
        (Support.output_of "flock"
           [ "-n"; Filename.concat folder "lock"; "true" ]))

(* Who is told to be stopped alone leaves its workers alone. *)
let alone () =
  Support.with_temporary_folder @@ fun folder ->
  let file = Filename.concat folder "worker" in
  Hearing.with_supervisor (fun t heard ->
      let m =
        add t
          (service ~name:"alone" "sh"
             [ "-c"; "sleep 1000 & echo $! > " ^ file ^ "; echo up; wait" ]
             ~readiness:(Line "up")
             ~stop:(Xlchild.kill_policy ~grace:5. ~scope:Process ()))
      in
      running m;
      stop m;
      expect heard "alone stopped: signal 15";
      let worker = int_of_string (String.trim (Support.read_all file)) in
      check_bool "it lives" true (Test_moving.alive worker);
      if worker > 1 then Unix.kill worker Sys.sigkill)

(* ---- over the lives of a daemon ---- *)

let program name =
  Filename.concat (Filename.dirname Sys.executable_name) (name ^ ".exe")

(* Starts a keeper, waits until it has said so, and kills it. *)
let one_life ?(meanwhile = ignore) ?(until = "s ready") ?(more = []) folder
    where script =
  let r, w = Unix.pipe ~cloexec:true () in
  let pid =
    Unix.create_process (program "keeper")
      (Array.of_list ([ "keeper"; folder; "s"; where; script ] @ more))
      Unix.stdin w Unix.stderr
  in
  Unix.close w;
  let said = Unix.in_channel_of_descr r in
  let is_it line =
    String.length line >= String.length until
    && String.sub line 0 (String.length until) = until
  in
  while not (is_it (input_line said)) do
    ()
  done;
  meanwhile ();
  if pid > 1 then Unix.kill pid Sys.sigkill;
  ignore (Unix.waitpid [] pid);
  close_in said

let spec ?(restart = Policy.Never) ?(output = Discard) script =
  service ~name:"s" "/bin/sh" [ "-c"; script ] ~readiness:(Line "up") ~output
    ~restart

let in_a_folder f =
  Support.with_temporary_folder @@ fun folder ->
  let state = Filename.concat folder "state" in
  Fun.protect
    ~finally:(fun () ->
      let t = create ~state_folder:state () in
      stop_left t;
      close t)
    (fun () -> f folder state)

let find_pid path =
  check_bool "it said who it is" true
    (Support.eventually (fun () ->
         Sys.file_exists path && String.trim (Support.read_all path) <> ""));
  int_of_string (String.trim (Support.read_all path))

let gone pid = Support.eventually (fun () -> not (Test_moving.alive pid))

(* An adopted one that crashes, and one that crashed while nobody looked. *)
let adopted_crash ~away () =
  in_a_folder @@ fun folder state ->
  let leader = Filename.concat folder "leader" in
  let worker = Filename.concat folder "worker" in
  let script =
    Printf.sprintf
      "echo $$ > %s; sleep 1000 & echo $! > %s; echo up; wait" leader worker
  in
  one_life state "none" script;
  let old_leader = find_pid leader and old_worker = find_pid worker in
  let crash () = if old_leader > 1 then Unix.kill old_leader Sys.sigkill in
  if away then crash ();
  Hearing.with_supervisor ~state_folder:state (fun t heard ->
      let m = add t (spec ~restart:quick script) in
      if not away then begin
        expect heard "s adopted";
        crash ()
      end;
      expect heard "s started";
      check_bool "the old worker is gone" false (Test_moving.alive old_worker);
      running m;
      stop m);
  check_bool "all are gone" true (gone (find_pid worker))

(* ---- what is written while no daemon lives ---- *)

(* It waits for [go], writes much more than a pipe holds, and says so in a file
   of its own. *)
let talker folder n =
  Printf.sprintf
    "echo up; i=0; end=0; while read x < %s; do end=$((end+%d)); while [ $i \
     -lt $end ]; do echo line $i \
     xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); \
     done; echo > %s; done"
    (Filename.concat folder "go") n
    (Filename.concat folder "written")

let tell_it_to_talk folder =
  let fd = Unix.openfile (Filename.concat folder "go") [ O_WRONLY ] 0 in
  ignore (Unix.write_substring fd "x\n" 0 2);
  Unix.close fd

let it_wrote folder =
  let path = Filename.concat folder "written" in
  check_bool "it does not wait for a daemon" true
    (Support.eventually (fun () -> Sys.file_exists path));
  Unix.unlink path

let lines_of text =
  List.filter (fun l -> l <> "" && l <> "up") (String.split_on_char '\n' text)

let kept_output ~lives () =
  in_a_folder @@ fun folder state ->
  Unix.mkfifo (Filename.concat folder "go") 0o600;
  let log = Filename.concat folder "log" in
  let n = 5000 in
  let script = talker folder n in
  let logged k () =
    check_bool "every line" true
      (Support.eventually (fun () ->
           List.length (lines_of (Support.read_all log)) >= k * n))
  in
  for life = 1 to lives do
    if life = 1 then one_life state ("log:" ^ log) script
    else
      one_life ~until:"s adopted" state ("log:" ^ log) script
        ~meanwhile:(logged (life - 1));
    tell_it_to_talk folder;
    it_wrote folder
  done;
  let output = Log_file { path = log; most = 100_000_000; keep = 1 } in
  Hearing.with_supervisor ~state_folder:state (fun t heard ->
      let m = add t (spec ~output script) in
      expect heard "s adopted";
      logged lives ();
      stop m);
  List.iteri
    (fun i line ->
      check_string "once, in order"
        (Printf.sprintf "line %d %s" i (String.make 56 'x'))
        line)
    (lines_of (Support.read_all log))

(* More than is kept is dropped, and that is told. *)
let too_much () =
  in_a_folder @@ fun folder state ->
  Unix.mkfifo (Filename.concat folder "go") 0o600;
  let script =
    Printf.sprintf
      "echo up; read x < %s; head -c 6000000 /dev/zero | tr '\\0' x; echo > \
       %s; sleep 1000"
      (Filename.concat folder "go")
      (Filename.concat folder "written")
  in
  let log = Filename.concat folder "log" in
  one_life state ("log:" ^ log) script;
  tell_it_to_talk folder;
  it_wrote folder;
  let output = Log_file { path = log; most = 100_000_000; keep = 1 } in
  Hearing.with_supervisor ~state_folder:state (fun t heard ->
      let m = add t (spec ~output script) in
      expect heard
        ("s output lost: the log cannot be written: "
        ^ Unix.error_message ENOSPC);
      stop m);
  check_bool "so much was kept" true
    ((Unix.stat log).st_size >= 4 * 1024 * 1024)

(* To syslog it goes on at once. *)
let logged_while_away () =
  Test_forkhelpers.with_syslog @@ fun next ->
  in_a_folder @@ fun folder state ->
  Unix.mkfifo (Filename.concat folder "go") 0o600;
  let socket = !Xlchild_syslog.socket in
  let script = talker folder 20 in
  one_life state ("syslog:" ^ socket) script;
  check_string "before" "<30>kept: up" (next ());
  tell_it_to_talk folder;
  for i = 0 to 19 do
    check_string "while away"
      (Printf.sprintf "<30>kept: line %d %s" i (String.make 56 'x'))
      (next ())
  done

(* The logger of a daemon that never comes back ends with the last service. *)
let loggers_end () =
  Support.with_temporary_folder @@ fun folder ->
  let state = Filename.concat folder "state" in
  let pid_file = Filename.concat folder "pid" in
  let keepers () =
    Array.to_list (Sys.readdir "/proc")
    |> List.filter (fun pid ->
           Support.read_line_of ("/proc/" ^ pid ^ "/comm") = "xlchild-logger"
           && (try Unix.readlink ("/proc/" ^ pid ^ "/exe") = program "keeper"
               with Unix.Unix_error _ -> false))
  in
  check_bool "none of before" true
    (Support.eventually ~left:200 (fun () -> keepers () = []));
  one_life state
    ("log:" ^ Filename.concat folder "log")
    (Printf.sprintf "echo $$ > %s; echo up; sleep 1000" pid_file);
  Alcotest.(check int) "it keeps the pipe" 1 (List.length (keepers ()));
  let group = find_pid pid_file in
  if group > 1 then Unix.kill (-group) Sys.sigkill;
  check_bool "it ends" true
    (Support.eventually ~left:1000 (fun () -> keepers () = []))

(* ---- times ---- *)

let times_of_no_number () =
  Hearing.with_supervisor (fun t _ ->
      let m = add t (service ~name:"x" "sleep" [ "1000" ]) in
      running m;
      let refused name f =
        match f () with
        | _ -> Alcotest.failf "%s: taken" name
        | exception Invalid_argument _ -> ()
      in
      refused "await" (fun () -> ignore (await ~timeout:nan m (( = ) Failed)));
      refused "ready_within" (fun () ->
          ignore (service ~ready_within:nan ~name:"y" "true" []));
      refused "first" (fun () -> ignore (Policy.back_off ~first:nan ()));
      refused "most" (fun () -> ignore (Policy.back_off ~most:nan ()));
      refused "settled" (fun () -> ignore (Policy.back_off ~settled:nan ()));
      refused "within" (fun () -> ignore (Policy.back_off ~within:nan ()));
      check_bool "for ever" true
        (await ~timeout:infinity m (( = ) Running));
      check_bool "not at all" false
        (await ~timeout:neg_infinity m (( = ) Failed));
      let late =
        add t
          (service ~name:"late" "sh" [ "-c"; "echo up; sleep 1000" ]
             ~readiness:(Line "up") ~ready_within:infinity
             ~restart:
               (On_failure
                  (Policy.back_off ~settled:infinity ~within:infinity ())))
      in
      running late)

let times_of_no_number_in_the_library () =
  Xlchild.with_context @@ fun ctx ->
  Xlchild.with_child ctx (Support.exit_with 0) @@ fun child ->
  let refused name f =
    match f () with
    | _ -> Alcotest.failf "%s: taken" name
    | exception Invalid_argument _ -> ()
  in
  refused "Child.wait" (fun () -> ignore (Xlchild.Child.wait ~timeout:nan child));
  refused "wait_many" (fun () -> ignore (Xlchild.wait_many ~timeout:nan ctx));
  refused "poll" (fun () -> ignore (Xlchild.poll ~timeout:nan []));
  refused "run" (fun () ->
      ignore (Xlchild.run ctx ~timeout:nan (Support.exit_with 0)));
  refused "exited_grace" (fun () ->
      ignore (Xlchild.command ~exited_grace:nan "true" []));
  Support.check_status "wait for ever" "exit 0"
    (Xlchild.Child.wait ~timeout:infinity child);
  Support.check_status "run for ever" "exit 3"
    (Xlchild.run ctx ~timeout:infinity (Support.exit_with 3)).child

(* ---- folders and files of others ---- *)

let refuses name expected path =
  match create_result ~state_folder:path () with
  | Ok t ->
      close t;
      Alcotest.failf "%s: taken" name
  | Error (Folder_unusable (at, errno)) ->
      check_string name (Unix.error_message expected) (Unix.error_message errno);
      check_bool "which" true (String.length at >= String.length path)
  | Error e -> Alcotest.failf "%s: %s" name (error_text e)

let unsafe_folders () =
  Support.with_temporary_folder @@ fun parent ->
  let folder name mode =
    let path = Filename.concat parent name in
    Unix.mkdir path 0o700;
    Unix.chmod path mode;
    path
  in
  let mine = folder "mine" 0o700 in
  let link = Filename.concat parent "link" in
  Unix.symlink mine link;
  refuses "a link" ENOTDIR link;
  refuses "a group's" EPERM (folder "group" 0o770);
  refuses "everybody's" EPERM (folder "all" 0o1777);
  if Unix.geteuid () = 0 then begin
    let other = folder "other" 0o700 in
    Unix.chown other 12345 12345;
    refuses "somebody else's" EPERM other
  end;
  let precious = Filename.concat parent "precious" in
  List.iter
    (fun (name, make, expected) ->
      let path = folder name 0o700 in
      Support.write_file precious "precious";
      Unix.chmod precious 0o644;
      make path;
      refuses name expected path;
      check_string "untouched" "precious" (Support.read_all precious))
    [
      ( "a linked lock",
        (fun p -> Unix.symlink precious (Filename.concat p "lock")),
        Unix.ELOOP );
      ( "a hard link for a lock",
        (fun p -> Unix.link precious (Filename.concat p "lock")),
        Unix.EPERM );
    ];
  (* a state file that is a link is none; it is replaced *)
  let path = folder "state" 0o700 in
  Unix.symlink precious (Filename.concat path "services");
  Unix.symlink precious (Filename.concat path "services.new");
  Hearing.with_supervisor ~state_folder:path (fun t heard ->
      ignore (add t (service ~name:"x" "sleep" [ "1000" ]));
      expect heard "x started");
  check_string "untouched" "precious" (Support.read_all precious)

let unsafe_files () =
  Support.with_temporary_folder @@ fun parent ->
  let state = Filename.concat parent "state" in
  let precious = Filename.concat parent "precious" in
  Support.write_file precious "precious";
  Hearing.with_supervisor ~state_folder:state (fun t _ ->
      let named name = Filename.concat state name in
      let fails what errno path f =
        match f () with
        | _ -> Alcotest.failf "%s: taken" what
        | exception Error (Folder_unusable (at, e) | Log_unusable (at, e)) ->
            check_string what path at;
            check_string what (Unix.error_message errno) (Unix.error_message e)
      in
      Unix.symlink precious (named "a.output");
      fails "a linked pipe" ELOOP (named "a.output") (fun () ->
          add t (service ~name:"a" "true" [] ~readiness:(Line "x")));
      Support.write_file (named "b.output") "";
      fails "a file for a pipe" EEXIST (named "b.output") (fun () ->
          add t (service ~name:"b" "true" [] ~readiness:(Line "x")));
      Unix.symlink precious (named "c.spool");
      fails "a linked spool" ELOOP (named "c.spool") (fun () ->
          add t (service ~name:"c" "true" [] ~readiness:(Line "x")));
      let log = Filename.concat parent "log" in
      Unix.symlink precious log;
      fails "a linked log" ELOOP log (fun () ->
          add t
            (service ~name:"d" "true" []
               ~output:(Log_file { path = log; most = 10; keep = 1 })));
      let fifo = Filename.concat parent "fifo" in
      Unix.mkfifo fifo 0o600;
      fails "a log that nobody reads" ENXIO fifo (fun () ->
          add t
            (service ~name:"e" "true" []
               ~output:(Log_file { path = fifo; most = 10; keep = 1 }))));
  check_string "untouched" "precious" (Support.read_all precious)

let case = Support.case

let cases =
  Support.not_under_valgrind ~why:"it knows no pidfds"
    [
      case "C27 no overlap: restart" (no_overlap ~state:false `Restart);
      case "C27 no overlap: restart, with a folder" (no_overlap ~state:true `Restart);
      case "C27 no overlap: stop and start" (no_overlap ~state:false `Stop);
      case "C27 no overlap: a crash" (no_overlap ~state:false `Crash);
      case "C27 no overlap: a crash, with a folder" (no_overlap ~state:true `Crash);
      case "C27 no overlap: its own end" (no_overlap ~state:false `Ends);
      case "C13 workers of one that is stopped alone" alone;
      case "C27 workers of an adopted one that crashes" (adopted_crash ~away:false);
      case "C27 workers of one that crashed meanwhile" (adopted_crash ~away:true);
      case "output while no daemon lives" (kept_output ~lives:1);
      case "output over four lives" (kept_output ~lives:4);
      case "more output than is kept" too_much;
      case "syslog while no daemon lives" logged_while_away;
      case "a logger without a daemon ends" loggers_end;
      case "X5 times of no number" times_of_no_number;
      case "X5 times of no number, in the library" times_of_no_number_in_the_library;
      case "folders of others" unsafe_folders;
      case "files of others" unsafe_files;
    ]
