(* test_raising_daemons.ml - handlers that raise in what daemons call

   As test_raising.ml, whose [sweep] raises at every point in turn: the
   operations of a fork server, its logger, and the supervisor. Afterwards nothing
   is left of the one that was interrupted, and the next one works: no lock is
   held, no descriptor open, no process alive. *)

open Support
open Test_raising
module F = Xlchild_forkhelpers
module S = Xlchild_supervisor

let check_string = Alcotest.(check string)

(* ---- forkhelpers ---- *)

let descriptors () =
  String.split_on_char ' ' (open_fds ())
  |> List.map (fun fd ->
         match Unix.readlink ("/proc/self/fd/" ^ fd) with
         | what -> fd ^ " " ^ what
         | exception Unix.Unix_error _ -> fd)

(* What is open and was not is closed soon: by the logger, say. *)
let as_before fds =
  if not (eventually (fun () -> open_fds () = fds && no_children ())) then
    Alcotest.failf "left at point %d: children %s; %s; instead of %s" !point
      (children ())
      (String.concat ", " (descriptors ()))
      fds

let leaving_nothing f =
  let fds = ref "" in
  f ~before:(fun () -> fds := open_fds ()) ~after:(fun () -> as_before !fds)

let syslogs = [ F.NoSyslogging; F.Syslog_WithKey "k" ]

(* Its threads, and the logger, take their time. *)
let step_of syslog = if syslog = F.NoSyslogging then 1 else 5

let output () =
  leaving_nothing @@ fun ~before ~after ->
  List.iter
    (fun syslog_stdout ->
      let expected = if syslog_stdout = F.NoSyslogging then "out\n" else "" in
      let step = step_of syslog_stdout in
      sweep ~step ~before
        ~after:(fun () answer ->
          Option.iter (fun (out, _) -> check_string "stdout" expected out) answer;
          after ())
        (fun () ->
          F.execute_command_get_output ~syslog_stdout "/bin/echo" [ "out" ]);
      sweep ~step ~before
        ~after:(fun () answer ->
          Option.iter (fun (out, _) -> check_string "stdout" expected out) answer;
          after ())
        (fun () ->
          F.execute_command_get_output_send_stdin ~syslog_stdout "/bin/cat" []
            "out\n"))
    syslogs

let starting () =
  leaving_nothing @@ fun ~before ~after ->
  List.iter
    (fun syslog_stdout ->
      List.iter
        (fun (program, arguments) ->
          sweep ~step:(step_of syslog_stdout) ~before
            ~after:(fun () answer ->
              Option.iter
                (fun p ->
                  F.kill p Sys.sigkill;
                  ignore (F.waitpid p))
                answer;
              after ())
            (fun () ->
              F.safe_close_and_exec None None None [] ~syslog_stdout program
                arguments))
        [ ("/bin/sleep", [ "1000" ]); ("/bin/true", []); ("/bin/nonesuch", []) ])
    syslogs

let waiting () =
  let before () =
    F.safe_close_and_exec None None None [] "/bin/sh" [ "-c"; "exit 9" ]
  in
  let after p answer =
    let right status = status = Unix.WEXITED 9 in
    Option.iter (fun (_, status) -> check_bool "status" true (right status)) answer;
    check_bool "again" true (right (snd (F.waitpid p)))
  in
  sweep ~before ~after F.waitpid;
  sweep ~before ~after (fun p ->
      let rec until () =
        match F.waitpid_nohang p with 0, _ -> until () | answer -> answer
      in
      until ())

let log_files () =
  leaving_nothing @@ fun ~before ~after ->
  let prefix = Printf.sprintf "xlchild-sweeping-%d-" (Unix.getpid ()) in
  let n = String.length prefix in
  let left () =
    Array.to_list (Sys.readdir F.temp_dir_server)
    |> List.filter (fun name ->
           String.length name > n && String.sub name 0 n = prefix)
  in
  let none () =
    after ();
    Alcotest.(check (list string)) "files" [] (left ())
  in
  sweep ~before
    ~after:(fun () _ -> none ())
    (fun () -> F.with_logfile_fd prefix ignore);
  sweep ~before
    ~after:(fun () answer ->
      (match answer with
      | Some (F.Success (path, ())) -> Unix.unlink path
      | Some (F.Failure _) | None -> ());
      none ())
    (fun () -> F.with_logfile_fd ~delete:false prefix ignore)

(* ---- the supervisor ---- *)

let long = S.service ~name:"long" "/bin/sleep" [ "1000" ]
let is_running s = s = S.Running

let supervisors () =
  leaving_nothing @@ fun ~before ~after ->
  let after () _ = after () in
  sweep ~before ~after (fun () -> S.with_supervisor ignore);
  sweep ~before ~after (fun () ->
      try S.with_supervisor (fun _ -> raise Exit) with Exit -> ());
  with_temporary_folder @@ fun state_folder ->
  sweep ~before ~after (fun () ->
      S.with_supervisor ~state_folder (fun s -> ignore (S.add s long)));
  sweep ~before ~after (fun () ->
      S.with_supervisor (fun s ->
          let m = S.add s long in
          ignore (S.await m is_running)))

(* It goes on with whatever was asked of it. *)
let members () =
  S.with_supervisor @@ fun s ->
  let m = S.add s long in
  check_bool "running" true (S.await m is_running);
  let before = ignore in
  let works () _ =
    S.start m;
    check_bool "running" true (S.await ~timeout:30. m is_running)
  in
  sweep ~before ~after:works (fun () -> S.await m is_running);
  sweep ~before ~after:works (fun () ->
      S.await ~timeout:0.002 m (( = ) S.Failed));
  sweep ~before ~after:works (fun () -> S.stop m);
  sweep ~before ~after:works (fun () -> S.restart m);
  sweep ~before ~after:works (fun () -> S.stop ~wait:false m);
  sweep ~before ~after:works (fun () -> (S.state m, S.pid m, S.find s "long"));
  sweep ~before
    ~after:(fun () _ ->
      Option.iter S.remove (S.find s "other");
      check_bool "its name is free" true (S.find s "other" = None))
    (fun () -> S.add ~start:false s (S.service ~name:"other" "/bin/true" []))

(* Each event once, whoever was interrupted. *)
let streams () =
  let s = S.Stream.create () in
  let event run = { S.service = "s"; run; what = S.Ready } in
  let n = ref 0 in
  let before () =
    incr n;
    S.Stream.push s (event (string_of_int !n))
  in
  let after () answer =
    let e = match answer with Some e -> e | None -> S.Stream.next s in
    check_string "the next" (string_of_int !n) e.S.run;
    check_bool "once" true (S.Stream.next_opt s = None)
  in
  sweep ~before ~after (fun () -> S.Stream.next s);
  sweep ~before ~after (fun () ->
      match S.Stream.next_opt s with
      | Some e -> e
      | None -> Alcotest.fail "it is there")

(* ---- real handlers, in the middle of a wait ---- *)

let stubborn =
  S.service ~name:"stubborn"
    ~stop:(Xlchild.kill_policy ~grace:60. ~scope:Process_group ())
    ~readiness:(S.Line "up") "/bin/sh"
    [ "-c"; "trap '' TERM; echo up; while :; do sleep 1000; done" ]

let handlers () =
  let stream = S.Stream.create () in
  let s = S.create () in
  let m = S.add s stubborn in
  check_bool "running" true (S.await m is_running);
  let pid = (Option.get (S.pid m) :> int) in
  interrupted "await" (fun () -> ignore (S.await m (( = ) S.Failed)));
  interrupted "await, timed" (fun () ->
      ignore (S.await ~timeout:100. m (( = ) S.Failed)));
  interrupted "Stream.next" (fun () -> ignore (S.Stream.next stream));
  interrupted "stop" (fun () -> S.stop m);
  interrupted "restart" (fun () -> S.restart m);
  interrupted "remove" (fun () -> S.remove m);
  interrupted "close" (fun () -> S.close s);
  (match S.close s with
  | () -> Alcotest.fail "closed twice"
  | exception S.Error S.Closed -> ());
  check_bool "a pid" true (pid > 1);
  Unix.kill (-pid) Sys.sigkill

(* Without a wait, a signal that another thread took. *)
let with_another_thread () =
  let stop = Atomic.make false in
  let other =
    Thread.create
      (fun () ->
        while not (Atomic.get stop) do
          ignore (Xlchild.poll ~timeout:0.01 [])
        done)
      ()
  in
  S.with_supervisor (fun s ->
      let m = S.add s long in
      interrupted "await" (fun () -> ignore (S.await m (( = ) S.Failed))));
  Atomic.set stop true;
  Thread.join other

(* In a child of fork there is no thread that could answer. *)
let forked () =
  S.with_supervisor @@ fun s ->
  let m = S.add s long in
  match Unix.fork () with
  | 0 ->
      ignore (Unix.alarm 20);
      let closed f =
        match f () with _ -> false | exception S.Error S.Closed -> true
      in
      let refused =
        closed (fun () -> ignore (S.await m is_running))
        && closed (fun () -> S.stop m)
        && closed (fun () -> ignore (S.add s long))
        && closed (fun () -> S.close s)
      in
      Unix._exit (if refused then 0 else 1)
  | pid ->
      check_bool "refused" true (snd (Unix.waitpid [] pid) = WEXITED 0);
      check_bool "running" true (S.await m is_running)

let cases =
  not_under_valgrind ~why:points
    [
      case "B10 B11 a command's output, at every point" output;
      case "B10 B11 starting a command, at every point" starting;
      case "B10 waiting for a command, at every point" waiting;
      case "B10 log files, at every point" log_files;
      case "B10 supervisors, at every point" supervisors;
      case "B10 services, at every point" members;
      case "B10 streams of events, at every point" streams;
      case "B10 handlers that raise in a supervisor's wait" handlers;
      case "B10 the same beside another thread" with_another_thread;
      case "C14 a supervisor in a child of fork" forked;
    ]
