(* test_supervisor.ml - services: ready, restarted, stopped, their output kept

   What outlives a daemon is in test_adoption.ml, what needs no process in
   test_supervisor_parts.ml. *)

open Xlchild_supervisor
open Hearing

let child = Support.child
let with_supervisor = Hearing.with_supervisor

let quick ?(restarts = 1000) () =
  Policy.back_off ~first:0.002 ~factor:2. ~most:0.01 ~restarts ()

let soon scope = Xlchild.kill_policy ~grace:0.02 ~scope ()

let check_state m expected =
  Alcotest.(check string) "state" expected (state_text (state m))

let is wanted state = state = wanted

let fails_with name expected f =
  match f () with
  | _ -> Alcotest.failf "%s: no error" name
  | exception Error e ->
      Alcotest.(check string) name (error_text expected) (error_text e)

(* ---- starting and stopping ---- *)

let started_and_stopped () =
  with_supervisor @@ fun t heard ->
  let m = add t (service ~name:"plain" child [ "pause" ]) in
  Alcotest.(check bool) "running" true (await m (is Running));
  Alcotest.(check bool) "pid" true (pid m <> None);
  Alcotest.(check string) "name" "plain" (name m);
  stop m;
  check_state m "stopped";
  Alcotest.(check bool) "no pid" true (pid m = None);
  expect heard "plain stopped: signal 15";
  start m;
  Alcotest.(check bool) "again" true (await m (is Running));
  let before = pid m in
  restart m;
  check_state m "running";
  Alcotest.(check bool) "another" true (pid m <> before);
  fails_with "a name twice" (Name_taken "plain") (fun () ->
      add t (service ~name:"plain" child []));
  Alcotest.(check bool) "twice, by result" true
    (add_result t (service ~name:"plain" child [])
    = Result.Error (Name_taken "plain"));
  Alcotest.(check bool) "found" true (find t "plain" <> None);
  remove m;
  Alcotest.(check bool) "gone" true (find t "plain" = None);
  fails_with "removed" Closed (fun () -> start m);
  let later = add t ~start:false (service ~name:"plain" child [ "pause" ]) in
  check_state later "stopped";
  Alcotest.(check (list string)) "every event, in order"
    [
      "plain started"; "plain ready"; "plain stopped: signal 15";
      "plain started"; "plain ready"; "plain stopped: signal 15";
      "plain started"; "plain ready"; "plain stopped: signal 15";
    ]
    (said heard)

let after_close () =
  let t = create () in
  let m = add t (service ~name:"x" child [ "pause" ]) in
  close t;
  fails_with "close" Closed (fun () -> close t);
  fails_with "add" Closed (fun () -> add t (service ~name:"y" child []));
  fails_with "start" Closed (fun () -> start m);
  fails_with "reopen" Closed (fun () -> reopen_logs t)

(* In the supervisor's own thread, waiting would be for ever. *)
let from_within () =
  let answers = Stream.create () in
  let supervisor = Atomic.make None in
  let raised = ref [] in
  let refused f =
    match f () with
    | () -> "waited"
    | exception Invalid_argument _ -> "refused"
  in
  let on_event event =
    match (event.what, Atomic.get supervisor) with
    | Ready, Some t when event.service = "first" ->
        let other = add t (service ~name:"second" child [ "pause" ]) in
        let m = Option.get (find t "first") in
        raised :=
          [
            refused (fun () -> stop m);
            refused (fun () -> restart m);
            refused (fun () -> remove m);
            refused (fun () -> close t);
            refused (fun () -> ignore (await other (is Running)));
          ];
        Stream.push answers event
    | Ready, _ when event.service = "second" ->
        Stream.push answers event;
        failwith "on_event failed"
    | _ -> ()
  in
  let exceptions = Stream.create () in
  let on_exception exn =
    Stream.push exceptions
      { service = Printexc.to_string exn; run = ""; what = Ready }
  in
  Xlchild_supervisor.with_supervisor ~on_event ~on_exception @@ fun t ->
  Atomic.set supervisor (Some t);
  ignore (add t (service ~name:"first" child [ "pause" ]));
  ignore (Stream.next answers);
  ignore (Stream.next answers);
  Alcotest.(check (list string)) "waiting"
    [ "refused"; "refused"; "refused"; "refused"; "refused" ]
    !raised;
  Alcotest.(check string) "B3 an exception comes out"
    {|Failure("on_event failed")|}
    (Stream.next exceptions).service;
  ignore (add t (service ~name:"third" child [ "pause" ]))

(* ---- readiness ---- *)

let readiness () =
  Support.with_temporary_folder @@ fun folder ->
  let file = Filename.concat folder "ready" in
  with_supervisor @@ fun t heard ->
  let ready name readiness verbs =
    ignore (add t (service ~name child ~readiness verbs));
    expect heard (name ^ " ready")
  in
  ready "line" (Line "going") [ "say"; "now going up"; "pause" ];
  ready "stderr" (Line "going") [ "say-err"; "now going up"; "pause" ];
  ignore
    (add t
       (service ~name:"fd" "/bin/sh" ~readiness:(Newline_on 5)
          [ "-c"; "echo ready >&5; exec " ^ child ^ " pause" ]));
  expect heard "fd ready";
  ignore
    (add t
       (service ~name:"file" "/bin/sh" ~readiness:(File file)
          [
            "-c"; ": > " ^ Filename.quote file ^ "; exec " ^ child ^ " pause";
          ]));
  expect heard "file ready"

let not_ready () =
  Support.with_temporary_folder @@ fun folder ->
  let stale = Filename.concat folder "stale" in
  close_out (open_out stale);
  with_supervisor @@ fun t heard ->
  let late name readiness verbs =
    let m =
      add t
        (service ~name child ~readiness ~ready_within:0.02
           ~restart:Policy.Never verbs)
    in
    expect heard (name ^ " not ready in time");
    expect heard
      (name ^ " stopped, as it was not ready in time: signal 15");
    Alcotest.(check bool) "a failure" true (await m (is Failed));
    never heard (name ^ " ready")
  in
  late "line" (Line "never") [ "say"; "nev"; "put"; "er"; "pause" ];
  late "fd" (Newline_on 5) [ "ready"; "5"; "pause" ];
  late "closed" (Newline_on 5) [ "close"; "5"; "pause" ];
  late "file" (File stale) [ "pause" ]

let dies_before_ready () =
  with_supervisor @@ fun t heard ->
  let m =
    add t
      (service ~name:"dies" child ~readiness:(Line "never")
         ~restart:(On_failure (quick ~restarts:2 ())) [ "exit"; "4" ])
  in
  Alcotest.(check bool) "given up" true (await m (is Failed));
  expect heard "dies given up: it failed too often";
  Alcotest.(check int) "each end told once" 3
    (times heard "dies ended by itself: exit code 4")

(* ---- restarts ---- *)

let crash_loop () =
  with_supervisor @@ fun t heard ->
  let add name program arguments restart =
    ignore (add t (service ~name program arguments ~restart))
  in
  add "crash" child [ "exit"; "3" ] (On_failure (quick ~restarts:3 ()));
  expect heard "crash given up: it failed too often";
  let again wait =
    [
      Printf.sprintf "crash starting again in %s s" wait;
      "crash started"; "crash ready"; "crash ended by itself: exit code 3";
    ]
  in
  Alcotest.(check (list string)) "in order"
    ([ "crash started"; "crash ready"; "crash ended by itself: exit code 3" ]
    @ again "0.002" @ again "0.004" @ again "0.008"
    @ [ "crash given up: it failed too often" ])
    (said heard);
  add "signal" child [ "signal"; "SIGSEGV" ]
    (On_failure (quick ~restarts:1 ()));
  expect ~times:2 heard "signal ended by itself: signal 11";
  add "none" "/nonexistent" [] (On_failure (quick ~restarts:2 ()));
  expect heard "none given up: it failed too often";
  Alcotest.(check int) "C15 every start that failed" 3
    (List.length
       (List.filter
          (fun text ->
            String.length text > 16 && String.sub text 0 16 = "none not started")
          (said heard)))

let ends_well () =
  with_supervisor @@ fun t heard ->
  let m =
    add t
      (service ~name:"done" child [ "exit"; "0" ]
         ~restart:(On_failure (quick ())))
  in
  expect heard "done ended by itself: exit code 0";
  Alcotest.(check bool) "no failure" true (await m (is Stopped));
  let m =
    add t
      (service ~name:"ever" child [ "exit"; "0" ] ~restart:(Always (quick ())))
  in
  expect ~times:5 heard "ever started";
  stop m;
  check_state m "stopped"

(* Stopped while it waits for its next start: it stays down. *)
let stopped_in_between () =
  with_supervisor @@ fun t heard ->
  let b = Policy.back_off ~first:600. ~most:600. () in
  let m =
    add t (service ~name:"waits" child [ "exit"; "1" ] ~restart:(Always b))
  in
  expect heard "waits starting again in 600 s";
  Alcotest.(check bool) "waiting" true (await m (is Waiting));
  Alcotest.(check bool) "in vain" false
    (await ~timeout:0.01 m (is Running));
  start m;
  expect ~times:2 heard "waits ended by itself: exit code 1";
  stop m;
  check_state m "stopped"

(* ---- ending ---- *)

let stubborn () =
  with_supervisor @@ fun t heard ->
  let m =
    add t
      (service ~name:"deaf" child
         [ "ignore"; "SIGTERM"; "say"; "up"; "pause" ]
         ~readiness:(Line "up") ~stop:(soon Process_group))
  in
  expect heard "deaf ready";
  stop m;
  expect heard "deaf stopped: signal 9"

(* Whoever holds the writing end of a pipe: nobody when it is at its end. *)
let nobody_left name r =
  Alcotest.(check int) name 0 (Unix.read r (Bytes.create 1) 0 1)

let family ?cgroup t heard name verbs stop_policy =
  let r, w = Unix.pipe ~cloexec:true () in
  let m =
    add t
      (service ~name child ?cgroup
         ([ "ignore"; "SIGTERM"; "grandchild-pause" ]
         @ verbs
         @ [ "say"; "up"; "pause" ])
         ~readiness:(Line "up") ~stop:stop_policy ~restart:Never
         ~fds:[ (7, w) ])
  in
  expect heard (name ^ " ready");
  Unix.close w;
  (m, r)

(* The leader hangs; or obeys, and leaves a grandchild that does not. *)
let whole_group () =
  with_supervisor @@ fun t heard ->
  let m, r = family t heard "hangs" [] (soon Process_group) in
  stop m;
  expect heard "hangs stopped: signal 9";
  nobody_left "with its grandchild" r;
  Unix.close r;
  let slow = Xlchild.kill_policy ~grace:600. ~scope:Process_group () in
  let m, r =
    family t heard "obeys" [ "on-signal-exit"; "SIGTERM"; "12" ] slow
  in
  stop m;
  expect heard "obeys stopped: exit code 12";
  nobody_left "the rest of it" r;
  Unix.close r

(* A folder of a cgroup2 mount in which one can be made. *)
let cgroup_mount () =
  let file = open_in "/proc/self/mounts" in
  let rec search () =
    match String.split_on_char ' ' (input_line file) with
    | _ :: path :: "cgroup2" :: _ -> Some path
    | _ -> search ()
    | exception End_of_file -> None
  in
  Fun.protect ~finally:(fun () -> close_in file) search

let no_cgroup why = Printf.printf "skipped - C13 cgroups: %s\n%!" why

let in_a_cgroup f =
  match cgroup_mount () with
  | None -> no_cgroup "there is no cgroup2 mount"
  | Some mount -> (
      let path =
        Filename.concat mount (Printf.sprintf "xlchild-%d" (Unix.getpid ()))
      in
      match Unix.mkdir path 0o755 with
      | exception Unix.Unix_error (errno, _, _) ->
          no_cgroup ("none can be made: " ^ Unix.error_message errno)
      | () ->
          let empty () =
            match Unix.rmdir path with
            | () -> true
            | exception Unix.Unix_error (Unix.EBUSY, _, _) -> false
          in
          Fun.protect
            ~finally:(fun () ->
              Alcotest.(check bool) "the cgroup is empty" true
                (Support.eventually empty))
            (fun () -> f path))

let whole_cgroup () =
  in_a_cgroup @@ fun cgroup ->
  with_supervisor @@ fun t heard ->
  (* a grandchild in a session of its own, which only the cgroup holds *)
  let m, r = family ~cgroup t heard "hangs" [] (soon Control_group) in
  stop m;
  expect heard "hangs stopped: signal 9";
  nobody_left "all of it" r;
  Unix.close r;
  remove m;
  let r, w = Unix.pipe ~cloexec:true () in
  ignore
    (add t
       (service ~name:"crashes" "/bin/sh" ~cgroup ~restart:Never
          [ "-c"; "setsid sleep 1000 & exit 3" ]
          ~fds:[ (7, w) ]));
  expect heard "crashes ended by itself: exit code 3";
  Unix.close w;
  nobody_left "what a crash leaves" r;
  Unix.close r

let a_strangers_cgroup () =
  in_a_cgroup @@ fun cgroup ->
  Xlchild.with_context @@ fun ctx ->
  Support.with_pipe @@ fun r w ->
  let stranger =
    Xlchild.start ctx
      (Xlchild.command ~search:false ~cgroup Support.child [ "hold" ]
         ~fds:(Xlchild.Fd_map.of_list [ (0, Xlchild.Fd r) ]))
  in
  (with_supervisor @@ fun t heard ->
   let m =
     add t (service ~name:"x" child [ "pause" ] ~cgroup ~restart:Never)
   in
   Alcotest.(check bool) "refused" true (await m (is Failed));
   never heard "x started");
  Alcotest.(check bool) "it was not touched" true
    (Xlchild.Child.poll stranger = None);
  Unix.close w;
  Support.check_status "its own end" "exit 0" (Xlchild.Child.wait stranger)

let not_our_own_cgroup () =
  match cgroup_mount () with
  | None -> no_cgroup "there is no cgroup2 mount"
  | Some mount ->
      let file = open_in "/proc/self/cgroup" in
      let rec own () =
        match Str.bounded_split_delim (Str.regexp_string "::") (input_line file) 2 with
        | [ "0"; path ] -> mount ^ path
        | _ -> own ()
      in
      let path = Fun.protect ~finally:(fun () -> close_in file) own in
      with_supervisor @@ fun t _ ->
      Test_supervisor_parts.invalid "the daemon's cgroup" (fun () ->
          add t (service ~name:"suicide" child [] ~cgroup:path))

(* ---- output ---- *)

let log_files () =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "log" in
  (with_supervisor @@ fun t heard ->
   ignore
     (add t
        (service ~name:"talks" child ~restart:Never
           ~output:(Log_file { path; most = 30_000; keep = 10 })
           [ "out"; "100000"; "say-err"; "the end"; "put"; "unfinished" ]));
   expect heard "talks ended by itself: exit code 0");
  let all = String.concat "" (Test_supervisor_parts.files_of path) in
  Alcotest.(check bool) "rotated" true (Sys.file_exists (path ^ ".3"));
  Alcotest.(check int) "no byte is lost"
    (100_000 + String.length "the end\nunfinished\n")
    (String.length all);
  Alcotest.(check string) "to its end, which is a line's"
    "the end\nunfinished\n"
    (String.sub all 100_000 (String.length all - 100_000))

let reopened () =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "log" in
  let moved = path ^ ".moved" in
  Support.with_pipe @@ fun r w ->
  with_supervisor @@ fun t heard ->
  ignore
    (add t
       (service ~name:"talks" child ~readiness:(Line "one")
          ~output:(Log_file { path; most = 30_000; keep = 1 }) ~restart:Never
          ~fds:[ (7, r) ]
          [ "say"; "one"; "await"; "7"; "say"; "two" ]));
  expect heard "talks ready";
  Unix.rename path moved;
  reopen_logs t;
  Alcotest.(check bool) "made anew" true
    (Support.eventually (fun () -> Sys.file_exists path));
  ignore (Unix.write_substring w "x" 0 1);
  expect heard "talks ended by itself: exit code 0";
  Alcotest.(check string) "before" "one\n" (Support.read_all moved);
  Alcotest.(check string) "after" "two\n" (Support.read_all path)

let no_log () =
  Support.with_temporary_folder @@ fun folder ->
  with_supervisor @@ fun t heard ->
  let output path = Log_file { path; most = 100; keep = 1 } in
  let nowhere = Filename.concat folder "no/log" in
  fails_with "no folder" (Log_unusable (nowhere, ENOENT)) (fun () ->
      add t (service ~name:"x" child ~output:(output nowhere) [ "pause" ]));
  Alcotest.(check bool) "not added" true (find t "x" = None);
  ignore
    (add t
       (service ~name:"full" child ~output:(output "/dev/full")
          ~restart:Never [ "say"; "lost"; "exit"; "3" ]));
  (* it goes on all the same, and says so once *)
  expect heard "full ended by itself: exit code 3";
  Alcotest.(check int) "told" 1
    (times heard
       ("full output lost: the log cannot be written: "
       ^ Unix.error_message ENOSPC))

(* A syslog daemon's socket, without the daemon. *)
let with_syslog f =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "log" in
  let fd = Unix.socket ~cloexec:true PF_UNIX SOCK_DGRAM 0 in
  Unix.bind fd (ADDR_UNIX path);
  let before = !Xlchild_syslog.socket in
  Xlchild_syslog.socket := path;
  Fun.protect
    ~finally:(fun () ->
      Xlchild_syslog.socket := before;
      Unix.close fd)
    (fun () ->
      f (fun () ->
          let buffer = Bytes.create 4096 in
          Bytes.sub_string buffer 0 (Unix.read fd buffer 0 4096)))

let syslog () =
  with_syslog @@ fun next ->
  with_supervisor @@ fun t heard ->
  ignore
    (add t
       (service ~name:"talks" child ~restart:Never ~output:(Syslog "key")
          [
            "say"; "one"; "put"; "tw"; "put"; "o\n"; "out"; "1500"; "put"; "\n";
            "put"; "unfinished";
          ]));
  expect heard "talks ended by itself: exit code 0";
  let long = String.init 1500 (fun i -> Char.chr (Char.code 'a' + (i mod 26))) in
  List.iter
    (fun line ->
      Alcotest.(check string) "message" ("<30>key: " ^ line) (next ()))
    [
      "one"; "two"; String.sub long 0 1024; String.sub long 1024 476;
      "unfinished";
    ]

(* ---- many ---- *)

let threads () =
  List.length (Array.to_list (Sys.readdir "/proc/self/task"))

let one_thread_for_all () =
  with_supervisor @@ fun t heard ->
  let one name = add t (service ~name child [ "pause" ]) in
  let first = one "0" in
  Alcotest.(check bool) "running" true (await first (is Running));
  let before = threads () in
  let many = List.init 100 (fun i -> one (string_of_int (i + 1))) in
  List.iter
    (fun m -> Alcotest.(check bool) "up" true (await m (is Running)))
    many;
  Alcotest.(check int) "threads" before (threads ());
  List.iter (stop ~wait:false) many;
  List.iter
    (fun m -> Alcotest.(check bool) "down" true (await m (is Stopped)))
    many;
  List.iter
    (fun m -> expect heard (name m ^ " stopped: signal 15"))
    many

let cases =
  [
    Support.case "start, stop, restart, remove" started_and_stopped;
    Support.case "B6 after close" after_close;
    Support.case "B3 from within on_event" from_within;
    Support.case "readiness by line, descriptor and file" readiness;
    Support.case "not ready in time" not_ready;
    Support.case "dead before it was ready" dies_before_ready;
    Support.case "C15 a crash loop backs off, and is given up" crash_loop;
    Support.case "who is not started again" ends_well;
    Support.case "stopped while it waits" stopped_in_between;
    Support.case "C13 one that ignores SIGTERM" stubborn;
    Support.case "C13 the whole group, grandchildren too" whole_group;
    Support.case "C13 the whole cgroup" whole_cgroup;
    Support.case "C13 never the daemon's own cgroup" not_our_own_cgroup;
    Support.case "C13 nor one that holds others" a_strangers_cgroup;
    Support.case "output to a file with rotation" log_files;
    Support.case "a log that is reopened" reopened;
    Support.case "a log that cannot be written" no_log;
    Support.case "output to syslog" syslog;
    Support.case "one thread for a hundred services" one_thread_for_all;
  ]
