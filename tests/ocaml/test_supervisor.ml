(* test_supervisor.ml - services: ready, restarted, stopped, adopted *)

open Xlchild_supervisor

let child = Support.child

(* What is told, as text; a thread waits for a piece of news by its text. *)
type heard = {
  lock : Mutex.t;
  changed : Condition.t;
  mutable said : string list;  (* newest first *)
}

let text_of name news =
  name ^ " "
  ^
  match news with
  | Started _ -> "started"
  | Adopted _ -> "adopted"
  | Ready -> "ready"
  | Not_ready_in_time -> "not ready in time"
  | Ended { ended; expected } ->
      Printf.sprintf "ended %s%s"
        (Support.status_text ended.status)
        (if expected then ", as told" else "")
  | Not_started e -> "not started: " ^ Xlchild.stage_text e.stage
  | Starting_again_in _ -> "starting again"
  | Given_up -> "given up"

let hearing () =
  { lock = Mutex.create (); changed = Condition.create (); said = [] }

let hear heard name news =
  Mutex.lock heard.lock;
  heard.said <- text_of name news :: heard.said;
  Condition.broadcast heard.changed;
  Mutex.unlock heard.lock

(* Waits until [text] was said [times]. *)
let expect ?(times = 1) heard text =
  Mutex.lock heard.lock;
  while List.length (List.filter (( = ) text) heard.said) < times do
    Condition.wait heard.changed heard.lock
  done;
  Mutex.unlock heard.lock

let said heard =
  Mutex.lock heard.lock;
  let said = List.rev heard.said in
  Mutex.unlock heard.lock;
  said

let quick attempts =
  { first = 0.01; factor = 2.; most = 0.05; settled = 60.; attempts }

let with_supervisor ?state_folder f =
  let heard = hearing () in
  let t = create ?state_folder ~on_news:(hear heard) () in
  match f t heard with
  | () -> close t
  | exception exn ->
      close t;
      raise exn

let state_text = function
  | Some Stopped -> "stopped"
  | Some Starting -> "starting"
  | Some Running -> "running"
  | Some Waiting -> "waiting"
  | Some Stopping -> "stopping"
  | Some Failed -> "failed"
  | None -> "unknown"

let check_state t name expected =
  Alcotest.(check string) "state" expected (state_text (state t name))

let started_and_stopped () =
  with_supervisor @@ fun t heard ->
  add t (service ~name:"plain" child [ "pause" ]);
  Alcotest.(check bool) "running" true (await t "plain" Running);
  Alcotest.(check bool) "pid" true (pid t "plain" <> None);
  stop t "plain";
  check_state t "plain" "stopped";
  let ended =
    Printf.sprintf "plain ended signal %d, as told" Sys.sigterm
  in
  expect heard ended;
  start t "plain";
  Alcotest.(check bool) "again" true (await t "plain" Running);
  (match add t (service ~name:"plain" child []) with
  | () -> Alcotest.fail "a name twice"
  | exception Invalid_argument _ -> ());
  match add t (service ~name:"a/b" child []) with
  | () -> Alcotest.fail "a slash"
  | exception Invalid_argument _ -> ()

let stubborn () =
  with_supervisor @@ fun t heard ->
  add t
    (service ~name:"deaf" child
       [ "ignore"; "SIGTERM"; "say"; "up"; "pause" ]
       ~readiness:(Line "up")
       ~stop:
         {
           first_signal = Sys.sigterm;
           grace_ms = 20;
           scope = Xlchild.Process_group;
         });
  expect heard "deaf ready";
  stop t "deaf";
  expect heard (Printf.sprintf "deaf ended signal %d, as told" Sys.sigkill)

let readiness () =
  Support.with_temporary_folder @@ fun folder ->
  let file = Filename.concat folder "ready" in
  with_supervisor @@ fun t heard ->
  add t
    (service ~name:"line" child ~readiness:(Line "going")
       [ "say"; "now going up"; "pause" ]);
  add t
    (service ~name:"fd" child ~readiness:(Descriptor 5)
       [ "ready"; "5"; "pause" ]);
  add t
    (service ~name:"file" "/bin/sh" ~readiness:(File file)
       [ "-c"; ": > " ^ Filename.quote file ^ "; exec sleep 1000" ]);
  List.iter (fun name -> expect heard (name ^ " ready")) [ "line"; "fd"; "file" ];
  add t
    (service ~name:"late" child ~readiness:(Line "never") ~ready_within:0.05
       ~restart:Never [ "pause" ]);
  expect heard "late not ready in time";
  Alcotest.(check bool) "a failure" true (await t "late" Failed)

let restarted () =
  with_supervisor @@ fun t heard ->
  add t (service ~name:"crash" child [ "exit"; "3" ] ~restart:(On_failure (quick 3)));
  expect heard "crash given up";
  Alcotest.(check (list string)) "in order"
    ([ "crash started"; "crash ready"; "crash ended exit 3" ]
    @ List.concat
        (List.init 3 (fun _ ->
             [
               "crash starting again"; "crash started"; "crash ready";
               "crash ended exit 3";
             ]))
    @ [ "crash given up" ])
    (said heard);
  add t (service ~name:"done" child [ "exit"; "0" ] ~restart:(On_failure (quick 3)));
  expect heard "done ended exit 0";
  Alcotest.(check bool) "no failure" true (await t "done" Stopped);
  add t (service ~name:"ever" child [ "exit"; "0" ] ~restart:(Always (quick 1000)));
  expect ~times:4 heard "ever started";
  stop t "ever";
  check_state t "ever" "stopped";
  add t (service ~name:"none" "/nonexistent" [] ~restart:(On_failure (quick 2)));
  expect heard "none given up";
  expect ~times:3 heard "none not started: exec"

let log_files () =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "log" in
  (with_supervisor @@ fun t heard ->
   add t
     (service ~name:"talks" child ~restart:Never
        ~output:(Log_file { path; most = 30_000; keep = 2 })
        [ "out"; "100000"; "say-err"; "the end" ]);
   expect heard "talks ended exit 0");
  let size name = (Unix.stat name).st_size in
  Alcotest.(check bool) "rotated" true
    (Sys.file_exists (path ^ ".1") && Sys.file_exists (path ^ ".2"));
  Alcotest.(check bool) "not more than were asked for" false
    (Sys.file_exists (path ^ ".3"));
  Alcotest.(check bool) "not all in one" true (size path < 100_000);
  let last = Support.read_all path in
  let tail = "the end\n" in
  Alcotest.(check string) "to its end" tail
    (String.sub last
       (String.length last - String.length tail)
       (String.length tail))

(* The daemon of the previous life is a process of its own (life.ml), which is
   killed; the service lives on. *)
let adopted () =
  Support.with_temporary_folder @@ fun folder ->
  let go = Life_service.go folder in
  Unix.mkfifo go 0o600;
  let life = Filename.concat (Filename.dirname Sys.executable_name) "life.exe" in
  let r, w = Unix.pipe ~cloexec:true () in
  let daemon =
    Unix.create_process life [| life; folder |] Unix.stdin w Unix.stderr
  in
  Unix.close w;
  let said = Bytes.create 100 in
  let n = Unix.read r said 0 100 in
  let before = int_of_string (String.trim (Bytes.sub_string said 0 n)) in
  if daemon > 1 then Unix.kill daemon Sys.sigkill;
  ignore (Unix.waitpid [] daemon);
  Unix.close r;
  with_supervisor ~state_folder:folder @@ fun t heard ->
  add t (Life_service.spec folder);
  expect heard "lives adopted";
  Alcotest.(check (option int)) "the same" (Some before) (pid t "lives");
  check_state t "lives" "running";
  let fd = Unix.openfile go [ Unix.O_WRONLY; Unix.O_CLOEXEC ] 0 in
  ignore (Unix.write_substring fd "x\n" 0 2);
  Unix.close fd;
  (* it is another's child: only a newer kernel tells how it ended *)
  let facilities =
    Xlchild.with_context (fun ctx -> (Xlchild.diagnose ctx).facilities)
  in
  expect heard
    (if List.mem Xlchild.Exit_info facilities then "lives ended exit 7"
    else "lives ended lost: " ^ Xlchild.lost_text Not_ours);
  Alcotest.(check string) "what it said meanwhile" "before\nafter\n"
    (Support.read_all (Life_service.log folder))

let cases =
  [
    Support.case "start, stop, start again" started_and_stopped;
    Support.case "C13 one that ignores SIGTERM" stubborn;
    Support.case "readiness by line, descriptor, file, and too late" readiness;
    Support.case "C15 restarts with back-off, and giving up" restarted;
    Support.case "output to a file with rotation" log_files;
  ]
  @ Support.not_under_valgrind ~why:"it knows no pidfds"
      [ Support.case "C6 adopted by the next supervisor" adopted ]
