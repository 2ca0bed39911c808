(* test_moving.ml - the table of docs/forkhelpers.md, a test a row

   What a daemon relies on that was written for the fork server. The parts that
   need a daemon of their own are in moving/daemon.ml. *)

open Xlchild_forkhelpers

let sh ?env ?syslog_stdout ?redirect_stderr_to_stdout ?timeout script =
  execute_command_get_output ?env ?syslog_stdout ?redirect_stderr_to_stdout
    ?timeout "/bin/sh" [ "-c"; script ]

let said script = String.trim (fst (sh script))
let check_string = Alcotest.(check string)
let check_bool = Alcotest.(check bool)

let alive pid =
  match Unix.kill pid 0 with
  | () ->
      (* a zombie has ended *)
      let stat = Support.read_line_of (Printf.sprintf "/proc/%d/stat" pid) in
      stat <> "" && stat.[String.rindex stat ')' + 2] <> 'Z'
  | exception Unix.Unix_error _ -> false

(* ---- what a command finds ---- *)

let folder () = check_string "folder" "/" (said "pwd")

let environment () =
  check_string "path alone" "PATH=/sbin:/usr/sbin:/bin:/usr/bin"
    (said "tr '\\0' '\\n' < /proc/$$/environ");
  check_string "the pair" "PATH=/sbin:/usr/sbin:/bin:/usr/bin"
    default_path_env_pair.(0)

let signals () =
  Sys.set_signal Sys.sighup Signal_ignore;
  Fun.protect ~finally:(fun () -> Sys.set_signal Sys.sighup Signal_default)
  @@ fun () ->
  check_string "SIGPIPE is ignored, no other; none blocked"
    "SigBlk:\t0000000000000000 SigIgn:\t0000000000001000"
    (said "grep -e SigIgn -e SigBlk /proc/self/status | paste -sd' '");
  let p =
    safe_close_and_exec None None None [] "/bin/sh"
      [ "-c"; "grep -q 'SigIgn:.0000000000001000' /proc/self/status" ]
  in
  waitpid_fail_if_bad_exit p

let files () =
  let soft = said "ulimit -Sn" and hard = said "ulimit -Hn" in
  let mine =
    String.trim
      (fst (Support.output_of "sh" [ "-c"; "ulimit -Sn; ulimit -Hn" ]))
  in
  let own_soft, own_hard =
    Scanf.sscanf mine "%s %s" (fun soft hard -> (soft, hard))
  in
  check_string "hard" own_hard hard;
  check_string "soft"
    (match int_of_string_opt own_soft with
    | Some n when n <= 1024 -> own_soft
    | _ -> "1024")
    soft

let session () =
  check_string "leads one" "yes"
    (said "[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && echo yes")

let no_more_descriptors () =
  let out, _ = execute_command_get_output "/bin/ls" [ "/proc/self/fd" ] in
  check_string "0, 1, 2, and the folder" "0\n1\n2\n3\n" out

(* ---- what cannot be executed ---- *)

let with_script ~mode text f =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "script" in
  let file = open_out_gen [ Open_wronly; Open_creat ] mode path in
  output_string file text;
  close_out file;
  f path

let ends_with_code name code program =
  (match execute_command_get_output program [] with
  | _ -> Alcotest.failf "%s: it ran" name
  | exception Spawn_internal_error ("", "", WEXITED n) ->
      Alcotest.(check int) name code n);
  (match execute_command_get_output_send_stdin program [] "text" with
  | _ -> Alcotest.failf "%s: it ran" name
  | exception Spawn_internal_error (_, _, WEXITED n) ->
      Alcotest.(check int) name code n);
  let p = safe_close_and_exec None None None [] program [] in
  check_bool "it has a pid" true (getpid p > 1);
  Alcotest.(check int) "that is this process's child" (getpid p)
    (fst (waitpid p));
  match waitpid_fail_if_bad_exit p with
  | () -> Alcotest.failf "%s: no failure" name
  | exception Subprocess_failed n -> Alcotest.(check int) name code n

let not_there () =
  ends_with_code "absolute" 127 "/bin/nonesuch";
  ends_with_code "searched" 127 "nonesuch-of-nowhere";
  ends_with_code "in no folder" 127 "/nonesuch/program";
  ends_with_code "empty" 127 ""

let no_interpreter () =
  with_script ~mode:0o755 "#!/nonesuch/interpreter\n" @@ fun path ->
  ends_with_code "its interpreter" 127 path

let not_executable () =
  ends_with_code "a file" 126 "/etc/hosts";
  ends_with_code "a folder" 126 "/etc";
  ends_with_code "a file for a folder" 126 "/etc/hosts/program";
  with_script ~mode:0o755 "no program\n" @@ fun path ->
  ends_with_code "no program" 126 path

let closed_descriptors () =
  let r, w = Unix.pipe () in
  Unix.close r;
  Unix.close w;
  let fails name stdin stdout stderr named =
    match
      safe_close_and_exec stdin stdout stderr named "/bin/true" []
    with
    | _ -> Alcotest.failf "%s: it started" name
    | exception Unix.Unix_error (Unix.EBADF, _, _) -> ()
  in
  fails "stdin" (Some r) None None [];
  fails "stdout" None (Some r) None [];
  fails "stderr" None None (Some r) [];
  fails "named" None None None [ ("fd", r) ]

(* ---- time ---- *)

let at_once () =
  let group = ref 0 in
  Support.with_pipe @@ fun r w ->
  let from = Xlchild.now () in
  (match
     with_logfile_fd "xlchild" (fun fd ->
         ignore fd;
         sh ~timeout:0.2
           "trap '' TERM; sleep 1000 & echo $$ >/tmp/xlchild-moving-$PPID; \
            sleep 1000")
   with
  | Failure (_, Subprocess_timeout) -> ()
  | _ -> Alcotest.fail "no timeout");
  let path = Printf.sprintf "/tmp/xlchild-moving-%d" (Unix.getpid ()) in
  group := int_of_string (String.trim (Support.read_all path));
  Unix.unlink path;
  ignore (r, w);
  check_bool "no grace" true (Xlchild.now () -. from < 1.9);
  check_bool "nothing of its group is left" true
    (Support.eventually (fun () ->
         match Unix.kill (- !group) 0 with
         | () -> false
         | exception Unix.Unix_error (ESRCH, _, _) -> true))

let no_timeout () =
  List.iter
    (fun timeout -> check_string "it ran" "ran\n" (fst (sh ~timeout "echo ran")))
    [ 0.; -1.; nan; infinity; neg_infinity; 1e300 ]

(* ---- syslog ---- *)

let with_syslog = Test_forkhelpers.with_syslog
let line = Test_forkhelpers.said

let not_returned () =
  with_syslog @@ fun next ->
  let key = Syslog_WithKey "k" in
  let out, err = sh ~syslog_stdout:key "echo out; echo $$ >&2" in
  let pid = int_of_string (String.trim err) in
  check_string "stdout" "" out;
  check_string "message" (line "k" pid "out") (next ());
  (match sh ~syslog_stdout:key "echo out; echo err >&2; exit 2" with
  | _ -> Alcotest.fail "no failure"
  | exception Spawn_internal_error (err, out, WEXITED 2) ->
      check_string "stderr" "err\n" err;
      check_string "stdout" "" out);
  ignore (next ());
  let both =
    sh ~syslog_stdout:key ~redirect_stderr_to_stdout:true "echo err >&2"
  in
  Alcotest.(check (pair string string)) "both" ("", "") both;
  ignore (next ())

let merged_only_there () =
  Alcotest.(check (pair string string))
    "as without" ("out\n", "err\n")
    (sh ~redirect_stderr_to_stdout:true "echo out; echo err >&2")

let long_lines () =
  with_syslog @@ fun next ->
  List.iter
    (fun n ->
      let p =
        safe_close_and_exec None None None []
          ~syslog_stdout:(Syslog_WithKey "k") "/bin/sh"
          [ "-c"; Printf.sprintf "head -c %d /dev/zero | tr '\\0' x; echo" n ]
      in
      waitpid_fail_if_bad_exit p;
      check_string "whole" (line "k" (getpid p) (String.make n 'x')) (next ()))
    [ 1; 1024; 5000; 60_000 ]

let loggers () =
  Array.to_list (Sys.readdir "/proc")
  |> List.filter_map int_of_string_opt
  |> List.filter (fun pid ->
         Support.read_line_of (Printf.sprintf "/proc/%d/comm" pid)
         = "xlchild-logger"
         && alive pid
         && Sys.file_exists (Printf.sprintf "/proc/%d/fd/3" pid)
         &&
         (* ours: at the other end of a socket of this process *)
         Unix.readlink (Printf.sprintf "/proc/%d/exe" pid)
         = Unix.readlink "/proc/self/exe")

let talk ?(script = "while read x; do echo $x; done") r =
  safe_close_and_exec (Some r) None None [] ~syslog_stdout:(Syslog_WithKey "k")
    "/bin/sh" [ "-c"; script ]

let write w text = ignore (Unix.write_substring w text 0 (String.length text))

(* Somebody kills it: nobody dies of that, and it is logged on. *)
let killed_logger () =
  with_syslog @@ fun next ->
  Support.with_pipe @@ fun r w ->
  (* SIGPIPE would kill this one *)
  let p =
    safe_close_and_exec (Some r) None None []
      ~syslog_stdout:(Syslog_WithKey "k") Support.python
      [
        "-c";
        "import signal, sys\n\
         signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n\
         for line in sys.stdin:\n\
        \    print(line, end='', flush=True)";
      ]
  in
  write w "one\n";
  check_string "before" (line "k" (getpid p) "one") (next ());
  let before = loggers () in
  Alcotest.(check int) "one for all" 1 (List.length before);
  List.iter (fun pid -> if pid > 1 then Unix.kill pid Sys.sigkill) before;
  check_bool "it is gone" true
    (Support.eventually (fun () -> not (List.exists alive before)));
  for i = 1 to 3 do
    write w (Printf.sprintf "line %d\n" i);
    check_string "after" (line "k" (getpid p) (Printf.sprintf "line %d" i))
      (next ())
  done;
  Unix.close w;
  check_bool "it ended by itself" true (snd (waitpid p) = WEXITED 0)

let one_for_all () =
  with_syslog @@ fun next ->
  let all =
    List.init 30 (fun _ ->
        let r, w = Unix.pipe ~cloexec:true () in
        let p = talk r in
        Unix.close r;
        (p, w))
  in
  List.iter
    (fun (p, w) ->
      write w "x\n";
      check_string "its own" (line "k" (getpid p) "x") (next ()))
    all;
  Alcotest.(check int) "processes" 1 (List.length (loggers ()));
  List.iter (fun (_, w) -> Unix.close w) all;
  List.iter (fun (p, _) -> waitpid_fail_if_bad_exit p) all

(* ---- names ---- *)

let names () =
  Support.with_pipe @@ fun r w ->
  let p =
    safe_close_and_exec None (Some w) None
      [ ("fd", Unix.stdout); ("long-fd", Unix.stderr); ("3", Unix.stderr) ]
      "/bin/echo"
      [ "fd"; "-f=fd"; "x-long-fd"; "fd,"; "a3b"; ""; "fd:3" ]
  in
  waitpid_fail_if_bad_exit p;
  let buffer = Bytes.create 100 in
  let n = Unix.read r buffer 0 100 in
  check_string "at the end, the longest" "3 -f=3 x-4 fd, a3b  fd:5\n"
    (Bytes.sub_string buffer 0 n)

(* ---- waiting ---- *)

let asked_again () =
  let p = safe_close_and_exec None None None [] "/bin/sh" [ "-c"; "exit 3" ] in
  let first = waitpid p in
  check_bool "again" true (waitpid p = first && waitpid_nohang p = first)

let let_go () =
  let p = safe_close_and_exec None None None [] "/bin/true" [] in
  dontwaitpid p;
  dontwaitpid p

(* By the handle: nobody is hit once it has ended. *)
let killed_by_handle () =
  let p = safe_close_and_exec None None None [] "/bin/sleep" [ "1000" ] in
  kill p Sys.sigterm;
  check_bool "hit" true (snd (waitpid p) = WSIGNALED Sys.sigterm);
  kill p Sys.sigkill

(* ---- files ---- *)

let log_files () =
  match
    with_logfile_fd ~delete:false "xlchild" (fun fd -> write fd "kept"; 42)
  with
  | Failure _ -> Alcotest.fail "it failed"
  | Success (path, n) ->
      Alcotest.(check int) "answer" 42 n;
      check_string "the path of" "kept" (Support.read_all path);
      Unix.unlink path;
      let seen = ref "" in
      (match
         with_logfile_fd ~delete:false "xlchild" (fun fd ->
             seen :=
               Unix.readlink
                 (Printf.sprintf "/proc/self/fd/%d" (Vectors.int_of_fd fd));
             write fd "half";
             raise Exit)
       with
      | Failure ("half", Exit) -> ()
      | _ -> Alcotest.fail "no failure");
      check_bool "gone with an exception" false (Sys.file_exists !seen)

(* ---- what it leaves running ---- *)

let background () =
  Support.with_temporary_folder @@ fun folder ->
  Support.with_pipe @@ fun r w ->
  Unix.clear_close_on_exec r;
  List.iter
    (fun syslog_stdout ->
      let path = Filename.concat folder "lived" in
      let fifo = Filename.concat folder "go" in
      Unix.mkfifo fifo 0o600;
      let program, arguments =
        ( Support.python,
          [
            "-c";
            "import os, signal, sys\n\
             print('started', flush=True)\n\
             if os.fork(): sys.exit(0)\n\
             signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n\
             open(sys.argv[1]).read()\n\
             for i in range(5000): print('late', flush=True)\n\
             open(sys.argv[2], 'w').close()";
            fifo;
            path;
          ] )
      in
      let out, _ =
        execute_command_get_output ~syslog_stdout program arguments
      in
      check_string "what it said"
        (if syslog_stdout = NoSyslogging then "started\n" else "")
        out;
      Unix.close (Unix.openfile fifo [ O_WRONLY ] 0);
      check_bool "the background goes on" true
        (Support.eventually (fun () -> Sys.file_exists path));
      Unix.unlink path;
      Unix.unlink fifo)
    [ NoSyslogging; Syslog_WithKey "k" ];
  ignore w

(* ---- daemons of their own ---- *)

let daemon verb arguments =
  Filename.concat (Sys.getenv "XLCHILD_ROOT")
    "build/ocaml/default/test/moving/daemon.exe"
  |> fun program -> Support.output_of program (verb :: arguments)

let outside () =
  let root = "/sys/fs/cgroup/systemd" in
  let root =
    if Sys.file_exists root then root else "/sys/fs/cgroup"
  in
  let folder =
    Filename.concat root (Printf.sprintf "xlchild-test-%d" (Unix.getpid ()))
  in
  match Unix.mkdir folder 0o755 with
  | exception Unix.Unix_error (e, _, _) ->
      Printf.printf "skipped - outside the daemon's cgroup: %s: %s\n%!" folder
        (Unix.error_message e)
  | () ->
      Fun.protect ~finally:(fun () -> Unix.rmdir folder) @@ fun () ->
      let out, _ = daemon "cgroup" [ folder ] in
      check_string "all kinds of starts" "outside\noutside\noutside\n" out

let restarted () =
  with_syslog @@ fun next ->
  let out, _ = daemon "restart" [ !Xlchild_syslog.socket ] in
  let pid = int_of_string (String.trim out) in
  for i = 1 to 20 do
    check_string "it goes on" (line "dm" pid (Printf.sprintf "tick %d" i))
      (next ())
  done

let unasked () =
  let out, _ =
    Support.output_of "/bin/sh"
      [
        "-c";
        "ulimit -n 256; exec \"$0\" unasked 600";
        Filename.concat (Sys.getenv "XLCHILD_ROOT")
          "build/ocaml/default/test/moving/daemon.exe";
      ]
  in
  check_string "each its own status" "600 right\n" out

let forked () =
  with_syslog @@ fun next ->
  let out, _ = daemon "fork" [ !Xlchild_syslog.socket ] in
  check_string "works in both" "before\nafter\nfiles untouched\nparent\n" out;
  for _ = 1 to 3 do
    ignore (next ())
  done

(* The same in the process itself: what it had is gone, and it goes on. *)
let all_closed () =
  with_syslog @@ fun next ->
  let out, _ = daemon "close" [ !Xlchild_syslog.socket ] in
  check_string "works again" "before\nrefused\nafter\nfiles untouched\nagain\n" out;
  for _ = 1 to 3 do
    ignore (next ())
  done

(* One reader a pipe, from the first command on. *)
let first_lines () =
  with_syslog @@ fun next ->
  ignore (daemon "first" [ !Xlchild_syslog.socket ]);
  let text () =
    let message = next () in
    let from = String.index message ' ' + 1 in
    String.sub message from (String.length message - from)
  in
  let one = text () in
  let other = text () in
  Alcotest.(check (list string))
    "whole" [ "onemore"; "two" ]
    (List.sort compare [ one; other ])

let case name f = Alcotest.test_case name `Quick f

let cases =
  [
    case "C16 folder" folder;
    case "C16 environment" environment;
    case "C16 signals" signals;
    case "C16 session" session;
    case "C16 no more descriptors" no_more_descriptors;
    case "outside the daemon's cgroup" outside;
    case "a program that is not there: 127" not_there;
    case "a program that is not executable: 126" not_executable;
    case "C15 a closed descriptor: EBADF" closed_descriptors;
    case "C13 a timeout kills at once" at_once;
    case "what is no timeout" no_timeout;
    case "stdout that is logged is not returned" not_returned;
    case "stderr is redirected only where that is logged" merged_only_there;
    case "long lines are logged whole" long_lines;
    case "lines go on while the daemon is away" restarted;
    case "C14 fork and go on" forked;
    case "C26 all descriptors closed" all_closed;
    case "lines of the first command are whole" first_lines;
    case "names of descriptors" names;
    case "C29 600 of whom none is asked, with 256 descriptors" unasked;
    case "waitpid, again" asked_again;
    case "dontwaitpid, again" let_go;
    case "C13 kill by handle" killed_by_handle;
    case "log files that are kept" log_files;
    case "C18 what is left in the background" background;
  ]
  @ Support.not_under_valgrind ~why:"it keeps descriptors and limits of its own"
      [ case "C16 open files" files ]
  @ Support.not_under_valgrind ~why:"it ends a child whose exec fails late"
      [
        case "a program whose interpreter is not there: 127" no_interpreter;
      ]
  @ Support.not_under_valgrind
      ~why:"/proc/self/exe is valgrind: the logger is a thread"
      [
        case "one logger for all" one_for_all;
        case "nobody dies with the logger" killed_logger;
      ]
