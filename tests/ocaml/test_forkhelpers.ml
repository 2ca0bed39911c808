(* test_forkhelpers.ml - what a daemon asked of its fork server *)

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
  Alcotest.check pair "merged" ("err\nout\n", "")
    (output ~redirect_stderr_to_stdout:true "echo err >&2; echo out");
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
  match output ~timeout:0.05 "sleep 1000; echo no" with
  | _ -> Alcotest.fail "no timeout"
  | exception Subprocess_timeout -> ()

let not_started () =
  match execute_command_get_output "/nonexistent" [] with
  | _ -> Alcotest.fail "it started"
  | exception Xlchild.Error { stage = Exec; errno = Some Unix.ENOENT; _ } -> ()

let exec stdin stdout stderr named ?syslog_stdout script =
  let program, arguments = sh script in
  safe_close_and_exec stdin stdout stderr named ?syslog_stdout program arguments

let starting () =
  let r, w = Unix.pipe ~cloexec:true () in
  let p =
    exec None (Some w) None
      [ ("@log@", w) ]
      "echo named $0 >&@log@; read x || exit 5"
  in
  Unix.close w;
  let buffer = Bytes.create 100 in
  let n = Unix.read r buffer 0 100 in
  Unix.close r;
  Alcotest.(check string) "substituted" "named /bin/sh\n"
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
    let buffer = Bytes.create 2000 in
    match Unix.select [ socket ] [] [] 10. with
    | [], _, _ -> Alcotest.fail "no message"
    | _ -> Bytes.sub_string buffer 0 (Unix.read socket buffer 0 2000)
  in
  Fun.protect
    ~finally:(fun () ->
      set_syslog_socket "/dev/log";
      Unix.close socket)
    (fun () -> f next)

let syslog () =
  with_syslog @@ fun next ->
  Alcotest.check pair "returned, too" ("one\ntwo", "")
    (output ~syslog_stdout:(Syslog_WithKey "key") "echo one; printf two");
  Alcotest.(check string) "first" "<30>key: one" (next ());
  Alcotest.(check string) "last" "<30>key: two" (next ());
  let p =
    exec None None None [] ~syslog_stdout:Syslog_DefaultKey "echo three; exit 2"
  in
  Alcotest.(check string) "started" "<30>sh: three" (next ());
  Alcotest.(check bool) "status" true (waitpid p = (getpid p, Unix.WEXITED 2))

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
    case "C15 a program that is not there" not_started;
    case "C16 starting with named descriptors" starting;
    case "C5 not waiting" no_waiting;
    case "syslog" syslog;
    case "log files" log_files;
  ]
