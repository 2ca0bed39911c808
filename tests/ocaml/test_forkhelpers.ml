(* test_forkhelpers.ml - what a daemon asked of its fork server

   The table of docs/forkhelpers.md, a test a row, is in test_moving.ml; how its
   callers call it, in moving/patterns.ml. *)

open Xlchild_forkhelpers

let sh script = ("/bin/sh", [ "-c"; script ])

let output ?env ?syslog_stdout ?redirect_stderr_to_stdout ?timeout script =
  let program, arguments = sh script in
  execute_command_get_output ?env ?syslog_stdout ?redirect_stderr_to_stdout
    ?timeout program arguments

let pair = Alcotest.(pair string string)

let get_output () =
  Alcotest.check pair "both" ("out\n", "err\n")
    (output "echo out; echo err >&2");
  Alcotest.check pair "default environment"
    ("/sbin:/usr/sbin:/bin:/usr/bin\n", "")
    (output "echo $PATH$HOME");
  Alcotest.check pair "environment" ("1\n", "")
    (output ~env:[| "PATH=/bin"; "A=1" |] "echo $A");
  Alcotest.check pair "searched" ("found\n", "")
    (execute_command_get_output "echo" [ "found" ]);
  match output "echo out; echo err >&2; exit 3" with
  | _ -> Alcotest.fail "it failed"
  | exception Spawn_internal_error ("err\n", "out\n", Unix.WEXITED 3) -> ()

let send_stdin () =
  let program, arguments = sh "cat; exit 0" in
  let big = String.make 500_000 'y' in
  Alcotest.(check bool) "through" true
    (fst (execute_command_get_output_send_stdin program arguments big) = big);
  (* a child that does not read does not hang the caller *)
  Alcotest.check pair "deaf" ("", "")
    (execute_command_get_output_send_stdin "/bin/true" [] big);
  Alcotest.check pair "stdin is empty" ("0\n", "") (output "wc -c")

let timeout () =
  (match output ~timeout:0.05 "sleep 1000; echo no" with
  | _ -> Alcotest.fail "no timeout"
  | exception Subprocess_timeout -> ());
  (* one that lives on and never reads what it is sent *)
  let program, arguments = sh "sleep 1000" in
  match
    execute_command_get_output_send_stdin ~timeout:0.05 program arguments
      (String.make 65_536 'y' ^ "more than a pipe holds")
  with
  | _ -> Alcotest.fail "no timeout"
  | exception Subprocess_timeout -> ()

(* The flags of this process's descriptor, as the kernel has them. *)
let closes_on_exec fd =
  let path =
    Printf.sprintf "/proc/self/fdinfo/%d" (Vectors.int_of_fd fd)
  in
  let file = open_in path in
  let rec flags () =
    match Scanf.sscanf (input_line file) "flags: %o" Fun.id with
    | flags -> flags
    | exception (Scanf.Scan_failure _ | Failure _) -> flags ()
  in
  Fun.protect
    ~finally:(fun () -> close_in file)
    (fun () -> flags () land 0o2000000 <> 0)

let threads () = Array.length (Sys.readdir "/proc/self/task")

(* Descriptors stay as they are, and no thread comes with a timeout, with a
   child that nobody waits for, or (but the first) with one that logs: that is
   who hears of the logger's end, and the logger where it is no process. *)
let callers_own () =
  Support.with_pipe @@ fun r w ->
  (* OCaml's own tick *)
  Thread.join (Thread.create ignore ());
  let before = threads () in
  for _ = 1 to 5 do
    let program, arguments = sh "exit 0" in
    let go ?syslog_stdout () =
      safe_close_and_exec (Some r) (Some w) None
        [ ("@r@", r); ("@w@", w) ]
        ?syslog_stdout program arguments
    in
    dontwaitpid (go ());
    waitpid_fail_if_bad_exit (go ~syslog_stdout:(Syslog_WithKey "key") ());
    ignore (output ~timeout:100. "exit 0")
  done;
  let loggers = if Xlchild_syslog.outlives () then 1 else 2 in
  Alcotest.(check bool) "threads" true (threads () <= before + loggers);
  Alcotest.(check bool) "reading end" true (closes_on_exec r);
  Alcotest.(check bool) "writing end" true (closes_on_exec w)

let exec stdin stdout stderr named ?syslog_stdout script =
  let program, arguments = sh script in
  safe_close_and_exec stdin stdout stderr named ?syslog_stdout program arguments

let starting () =
  let r, w = Unix.pipe ~cloexec:true () in
  let p =
    safe_close_and_exec None None None
      [ ("@log@", w) ]
      "/bin/sh"
      [ "-c"; "echo named $0 >&$1; read x || exit 5"; "sh"; "@log@" ]
  in
  Unix.close w;
  let buffer = Bytes.create 100 in
  let n = Unix.read r buffer 0 100 in
  Unix.close r;
  Alcotest.(check string) "substituted" "named sh\n"
    (Bytes.sub_string buffer 0 n);
  Alcotest.(check bool) "pid" true (getpid p > 1);
  let pid, status = waitpid p in
  Alcotest.(check int) "its pid" (getpid p) pid;
  Alcotest.(check bool) "status" true (status = Unix.WEXITED 5);
  Alcotest.(check bool) "again" true
    (waitpid_nohang p = (pid, Unix.WEXITED 5));
  (match waitpid_fail_if_bad_exit p with
  | () -> Alcotest.fail "a bad exit"
  | exception Subprocess_failed 5 -> ());
  match waitpid_fail_if_bad_exit (exec None None None [] "kill -TERM $$") with
  | () -> Alcotest.fail "killed"
  | exception Subprocess_killed s -> Alcotest.(check int) "signal" Sys.sigterm s

let no_waiting () =
  let r, w = Unix.pipe ~cloexec:true () in
  let p = exec (Some r) None None [] "read x; exit 0" in
  Unix.close r;
  Alcotest.(check bool) "it runs" true (waitpid_nohang p = (0, Unix.WEXITED 0));
  dontwaitpid p;
  Unix.close w;
  Alcotest.(check bool) "never a zombie" true
    (Support.eventually (fun () ->
         ignore (Xlchild.wait_many ~timeout:0. (context ()));
         Xlchild.count (context ()) = 0))

(* A syslog of our own. *)
let with_syslog f =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "log" in
  let socket = Unix.socket ~cloexec:true Unix.PF_UNIX Unix.SOCK_DGRAM 0 in
  Unix.bind socket (Unix.ADDR_UNIX path);
  set_syslog_socket path;
  let next () =
    let buffer = Bytes.create 200_000 in
    match Support.readable ~within:10. socket with
    | false -> Alcotest.fail "no message"
    | true -> Bytes.sub_string buffer 0 (Unix.read socket buffer 0 200_000)
  in
  Fun.protect
    ~finally:(fun () ->
      set_syslog_socket "/dev/log";
      Unix.close socket)
    (fun () -> f next)

let said key pid text = Printf.sprintf "<30>%s[%d]: %s" key pid text

let syslog () =
  with_syslog @@ fun next ->
  Alcotest.check pair "not returned" ("", "err\n")
    (output ~syslog_stdout:(Syslog_WithKey "key")
       "echo $$ >&2; echo one; printf two"
    |> fun (out, err) ->
     let pid = int_of_string (String.trim err) in
     Alcotest.(check string) "first" (said "key" pid "one") (next ());
     Alcotest.(check string) "last" (said "key" pid "two") (next ());
     (out, "err\n"));
  let p =
    exec None None None [] ~syslog_stdout:Syslog_DefaultKey "echo three; exit 2"
  in
  Alcotest.(check string) "started" (said "sh" (getpid p) "three") (next ());
  Alcotest.(check bool) "status" true (waitpid p = (getpid p, Unix.WEXITED 2));
  let program, arguments = sh "echo four >&2" in
  let p =
    safe_close_and_exec None None None [] ~syslog_stdout:Syslog_DefaultKey
      ~redirect_stderr_to_stdout:true program arguments
  in
  waitpid_fail_if_bad_exit p;
  Alcotest.(check string) "stderr, merged" (said "sh" (getpid p) "four")
    (next ())

let log_files () =
  let write fd text =
    ignore (Unix.write_substring fd text 0 (String.length text))
  in
  let name = ref "" in
  (match
     with_logfile_fd "xlchild" (fun fd ->
         name := Unix.readlink (Printf.sprintf "/proc/self/fd/%d"
                                  (Vectors.int_of_fd fd));
         write fd "logged";
         17)
   with
  | Success ("logged", 17) -> ()
  | _ -> Alcotest.fail "no success");
  Alcotest.(check bool) "deleted" false (Sys.file_exists !name);
  match with_logfile_fd "xlchild" (fun fd -> write fd "half"; raise Exit) with
  | Failure ("half", Exit) -> ()
  | _ -> Alcotest.fail "no failure"

let case name f = Alcotest.test_case name `Quick f

let cases =
  [
    case "output, errors, environment" get_output;
    case "C18 stdin" send_stdin;
    case "C13 timeout" timeout;
    case "C16 starting with named descriptors" starting;
    case "C5 not waiting" no_waiting;
    case "C16 the caller's descriptors, and no thread a child" callers_own;
    case "syslog" syslog;
    case "log files" log_files;
  ]
