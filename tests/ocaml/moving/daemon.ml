(* daemon.ml - daemons that do to their forkhelpers what only a process of its
   own can: called by test_moving.ml

   cgroup FOLDER   is moved there, and starts commands
   restart SOCKET  starts a command that logs, and ends while that goes on
   fork SOCKET     uses all, forks, goes on in the child with files of its own *)

open Xlchild_forkhelpers

let write path text =
  let fd = Unix.openfile path [ Unix.O_WRONLY ] 0 in
  ignore (Unix.write_substring fd text 0 (String.length text));
  Unix.close fd

let cgroup folder =
  write (Filename.concat folder "cgroup.procs")
    (string_of_int (Unix.getpid ()));
  let name = Filename.basename folder in
  let script =
    Printf.sprintf
      "case $(cat /proc/self/cgroup) in *%s*) echo inside;; *) echo \
       outside;; esac"
      name
  in
  let sh = ("/bin/sh", [ "-c"; script ]) in
  print_string (fst (execute_command_get_output (fst sh) (snd sh)));
  print_string
    (fst (execute_command_get_output_send_stdin (fst sh) (snd sh) "x"));
  flush stdout;
  waitpid_fail_if_bad_exit
    (safe_close_and_exec None (Some Unix.stdout) None [] (fst sh) (snd sh))

let ticks =
  "i=1; while [ $i -le 20 ]; do echo tick $i; i=$((i+1)); sleep 0.02; done"

let restart () =
  let p =
    safe_close_and_exec None None None [] ~syslog_stdout:(Syslog_WithKey "dm")
      "/bin/sh" [ "-c"; ticks ]
  in
  Printf.printf "%d\n%!" (getpid p);
  dontwaitpid p

let use what =
  let log = Syslog_WithKey "k" in
  let out, _ = execute_command_get_output "/bin/echo" [ what ] in
  waitpid_fail_if_bad_exit
    (safe_close_and_exec None None None [] ~syslog_stdout:log "/bin/echo"
       [ what ]);
  Printf.printf "%s%!" out

(* The child closes all that it has, as daemons do, and opens its own. *)
let go_on () =
  let closed = Array.to_list (Sys.readdir "/proc/self/fd") in
  List.iter
    (fun fd ->
      match int_of_string fd with
      | n when n > 2 -> (
          try Unix.close (Obj.magic n : Unix.file_descr)
          with Unix.Unix_error _ -> ())
      | _ -> ())
    closed;
  let mine =
    List.init 20 (fun _ -> Unix.openfile "/dev/null" [ Unix.O_RDONLY ] 0)
  in
  use "after";
  if List.for_all (fun fd -> (Unix.fstat fd).st_kind = S_CHR) mine then
    print_endline "files untouched"

let fork () =
  use "before";
  match Unix.fork () with
  | 0 ->
      ignore (Unix.alarm 20);
      go_on ();
      exit 0
  | pid ->
      if snd (Unix.waitpid [] pid) = WEXITED 0 then use "parent"

let () =
  match Array.to_list Sys.argv with
  | [ _; "cgroup"; folder ] -> cgroup folder
  | [ _; "restart"; socket ] ->
      set_syslog_socket socket;
      restart ()
  | [ _; "fork"; socket ] ->
      set_syslog_socket socket;
      fork ()
  | _ -> exit 2
