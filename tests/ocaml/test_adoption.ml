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

let cases =
  Support.not_under_valgrind ~why:"it knows no pidfds"
    [
      Support.case "C6 a killed daemon's services, adopted" adopted;
      Support.case "C6 one that ended while nobody watched" ended_while_away;
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
