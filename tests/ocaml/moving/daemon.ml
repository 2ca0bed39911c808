(* daemon.ml - daemons that do to their forkhelpers what only a process of its
   own can: called by test_moving.ml

   cgroup FOLDER   is moved there, and starts commands
   restart SOCKET  starts a command that logs, and ends while that goes on
   fork SOCKET     uses all, forks, goes on in the child with files of its own
   close SOCKET    uses all, and goes on itself with files of its own
   first SOCKET    logs half a line of its first command, and another's
   unasked N       starts N, asks for none before all have ended *)

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

(* All that it has is closed, as daemons do, and it opens its own. *)
let go_on ?(closed_at_once = ignore) () =
  let closed = Array.to_list (Sys.readdir "/proc/self/fd") in
  List.iter
    (fun fd ->
      match int_of_string fd with
      | n when n > 2 -> (
          try Unix.close (Obj.magic n : Unix.file_descr)
          with Unix.Unix_error _ -> ())
      | _ -> ())
    closed;
  closed_at_once ();
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

let close () =
  use "before";
  let ctx = Xlchild.create () in
  let run () = Xlchild.run_result ctx (Xlchild.command "/bin/true" []) in
  if Result.is_ok (run ()) then
    go_on () ~closed_at_once:(fun () ->
        (* what ends before anybody looks is told, and right *)
        let rec until_refused n =
          match run () with
          | Error { code = Fds_closed; _ } -> print_endline "refused"
          | Ok o when Xlchild.Outcome.is_success o && n > 0 -> until_refused (n - 1)
          | Ok o -> print_endline (Xlchild.Outcome.to_string o)
          | Error e -> print_endline (Xlchild.Error.to_string e)
        in
        until_refused 100);
  use "again"

let first () =
  let start ?stdin script =
    safe_close_and_exec stdin None None [] ~syslog_stdout:(Syslog_WithKey "k")
      "/bin/sh" [ "-c"; script ]
  in
  let r, w = Unix.pipe ~cloexec:true () in
  let half = start ~stdin:r "printf one; read x; echo more" in
  waitpid_fail_if_bad_exit (start "echo two");
  Unix.close w;
  ignore (waitpid half)

(* What has ended is a zombie until it is asked for: its number is nobody else's,
   and it costs no descriptor. *)
let is_zombie pid =
  match open_in (Printf.sprintf "/proc/%d/stat" pid) with
  | exception Sys_error _ -> false
  | file ->
      Fun.protect ~finally:(fun () -> close_in file) @@ fun () ->
      let line = input_line file in
      line.[String.rindex line ')' + 2] = 'Z'

let unasked n =
  let r, w = Unix.pipe ~cloexec:true () in
  let start k =
    safe_close_and_exec None (Some w) None [] "/bin/sh"
      [ "-c"; Printf.sprintf "exit %d" (k mod 200) ]
  in
  let all = List.init n (fun k -> (k, start k)) in
  Unix.close w;
  ignore (Unix.read r (Bytes.create 1) 0 1 (* all have closed it *));
  List.iter
    (fun (_, p) ->
      while not (is_zombie (getpid p)) do
        Unix.kill (getpid p) 0;
        Thread.yield ()
      done)
    all;
  let right =
    List.filter (fun (k, p) -> snd (waitpid p) = Unix.WEXITED (k mod 200)) all
  in
  Printf.printf "%d right\n%!" (List.length right)

let () =
  match Array.to_list Sys.argv with
  | [ _; "cgroup"; folder ] -> cgroup folder
  | [ _; "restart"; socket ] ->
      set_syslog_socket socket;
      restart ()
  | [ _; "fork"; socket ] ->
      set_syslog_socket socket;
      fork ()
  | [ _; "close"; socket ] ->
      set_syslog_socket socket;
      close ()
  | [ _; "first"; socket ] ->
      set_syslog_socket socket;
      first ()
  | [ _; "unasked"; n ] -> unasked (int_of_string n)
  | _ -> exit 2
