(* threads.ml - a daemon of many threads that run commands, killed at random

   threads.exe SECONDS THREADS drives: it starts the daemon (this program with
   "daemon"), kills it or asks it to end, starts the next one, and counts what
   is wrong: a status that is another's, a child, descriptor or process that is
   left, a stranger that was hit. Strangers are children of the driver's own
   that come and go all the time. Run by `make soak-ocaml`, and shortly by
   run.sh. *)

module F = Xlchild_forkhelpers

let mark = "XLCHILD_STRESS"

(* ---- the daemon ---- *)

let said = Mutex.create ()

let say format =
  Printf.ksprintf
    (fun text ->
      Mutex.lock said;
      print_endline text;
      Mutex.unlock said)
    format

let wrong format = Printf.ksprintf (fun text -> say "wrong %s" text) format
let ending = Atomic.make false
let commands = Atomic.make 0

let status_text = function
  | Unix.WEXITED n -> Printf.sprintf "exit %d" n
  | Unix.WSIGNALED n -> Printf.sprintf "signal %d" n
  | Unix.WSTOPPED n -> Printf.sprintf "stop %d" n

let demand what ok status =
  if not ok then wrong "%s: %s" what (status_text status)

let sh script = [ "-c"; script ]

let start env ?syslog_stdout script =
  F.safe_close_and_exec ~env None None None [] ?syslog_stdout "/bin/sh"
    (sh script)

let one_command env random =
  let n = Random.State.int random 200 in
  let code = Printf.sprintf "exit %d" n in
  match Random.State.int random 10 with
  | 0 -> (
      match F.execute_command_get_output ~env "/bin/sh" (sh code) with
      | _ -> if n <> 0 then wrong "exit 0 for %d" n
      | exception F.Spawn_internal_error (_, _, status) ->
          demand code (status = WEXITED n) status)
  | 1 ->
      let text = String.make (1 + (n * 50)) 'x' in
      let out, _ =
        F.execute_command_get_output_send_stdin ~env "/bin/cat" [] text
      in
      if out <> text then wrong "another output"
  | 2 -> (
      match
        F.execute_command_get_output ~env ~timeout:0.02 "/bin/sleep" [ "5" ]
      with
      | _ -> wrong "no timeout"
      | exception F.Subprocess_timeout -> ())
  | 3 ->
      let p = start env "exec sleep 5" in
      F.kill p Sys.sigkill;
      let _, status = F.waitpid p in
      demand "kill" (status = WSIGNALED Sys.sigkill) status
  | 4 ->
      (* by its number, which is its own until it has been waited for *)
      let p = start env code in
      if n land 1 = 0 then Thread.yield ();
      let pid = F.getpid p in
      (match if pid > 1 then Unix.kill pid Sys.sigterm with
      | () -> ()
      | exception Unix.Unix_error (e, _, _) ->
          wrong "kill by number: %s" (Unix.error_message e));
      let its, status = F.waitpid p in
      demand "killed by number"
        (its = pid && (status = WEXITED n || status = WSIGNALED Sys.sigterm))
        status
  | 5 ->
      let p = start env code in
      let theirs = ref (0, Unix.WEXITED (-1)) in
      let other = Thread.create (fun () -> theirs := F.waitpid p) () in
      let mine = F.waitpid p in
      Thread.join other;
      demand "both" (mine = !theirs && snd mine = WEXITED n) (snd !theirs)
  | 6 -> F.dontwaitpid (start env code)
  | 7 -> (
      match F.execute_command_get_output ~env "/nonesuch" [] with
      | _ -> wrong "it ran"
      | exception F.Spawn_internal_error (_, _, WEXITED 127) -> ())
  | 8 ->
      let p = start env ~syslog_stdout:(F.Syslog_WithKey "k") ("echo x; " ^ code) in
      let _, status = F.waitpid p in
      demand "logged" (status = WEXITED n) status
  | _ ->
      let p = start env code in
      let rec poll () =
        match F.waitpid_nohang p with
        | 0, _ -> Thread.yield (); poll ()
        | _, status -> demand "polled" (status = WEXITED n) status
      in
      poll ()

let worker env number () =
  let random = Random.State.make [| number; Unix.getpid () |] in
  while not (Atomic.get ending) do
    (try one_command env random with
    | Xlchild.Error { errno = Some (EAGAIN | ENOMEM); _ } -> ()
    | exn -> wrong "raised: %s" (Printexc.to_string exn));
    Atomic.incr commands
  done

let own_children () =
  Array.to_list (Sys.readdir "/proc/self/task")
  |> List.concat_map (fun task ->
         match open_in ("/proc/self/task/" ^ task ^ "/children") with
         | exception Sys_error _ -> []
         | file ->
             let line = try input_line file with End_of_file -> "" in
             close_in file;
             List.filter (( <> ) "") (String.split_on_char ' ' line))

(* What the library keeps for threads that wait is bounded, and no leak. *)
let kept =
  [ "anon_inode:[eventfd]"; "anon_inode:[timerfd]"; "anon_inode:[eventpoll]" ]

let targets () =
  Array.to_list (Sys.readdir "/proc/self/fd")
  |> List.filter_map (fun fd ->
         match Unix.readlink ("/proc/self/fd/" ^ fd) with
         | target -> Some target
         | exception Unix.Unix_error _ -> None)

let fds () =
  List.length (List.filter (fun t -> not (List.mem t kept)) (targets ()))

let rec eventually left condition =
  condition ()
  || left > 0
     && begin
          Thread.delay 0.01;
          eventually (left - 1) condition
        end

(* Until stdin is at its end. *)
let daemon threads =
  F.set_syslog_socket "/nonexistent";
  let env = [| "PATH=/bin:/usr/bin"; mark ^ "=1" |] in
  F.waitpid_fail_if_bad_exit
    (start env ~syslog_stdout:(F.Syslog_WithKey "k") "exit 0");
  ignore (Xlchild.fileno (F.context ()));
  let before = fds () in
  let all = List.init threads (fun n -> Thread.create (worker env n) ()) in
  (try ignore (input_line stdin) with End_of_file -> ());
  if List.length (targets ()) > before + (4 * threads) + 100 then
    say "leaked: %d descriptors" (List.length (targets ()));
  Atomic.set ending true;
  List.iter Thread.join all;
  Gc.full_major ();
  if not (eventually 1000 (fun () -> own_children () = [])) then
    say "leaked %d children" (List.length (own_children ()));
  if not (eventually 1000 (fun () -> fds () <= before)) then
    say "leaked %d descriptors: %s" (fds () - before)
      (String.concat " " (targets ()));
  say "commands %d" (Atomic.get commands)

(* ---- the driver ---- *)

type count = {
  mutable wrong : int;
  mutable leaked : int;
  mutable hit : int;
  mutable commands : int;
  mutable lives : int;
  mutable kills : int;
}

let count =
  { wrong = 0; leaked = 0; hit = 0; commands = 0; lives = 0; kills = 0 }

let hear line =
  match String.index_opt line ' ' with
  | None -> ()
  | Some i -> (
      let rest = String.sub line (i + 1) (String.length line - i - 1) in
      match String.sub line 0 i with
      | "wrong" ->
          count.wrong <- count.wrong + 1;
          if count.wrong <= 20 then print_endline ("WRONG: " ^ rest)
      | "leaked" ->
          count.leaked <- count.leaked + 1;
          print_endline ("LEAKED: " ^ rest)
      | "commands" -> count.commands <- count.commands + int_of_string rest
      | _ -> ())

(* Who is nobody's business: they end by themselves, with exit code 0. *)
let stop_strangers = Atomic.make false

let strangers () =
  while not (Atomic.get stop_strangers) do
    let pids =
      List.init 8 (fun _ ->
          Unix.create_process "/bin/sleep" [| "sleep"; "0.2" |] Unix.stdin
            Unix.stderr Unix.stderr)
    in
    List.iter
      (fun pid ->
        match snd (Unix.waitpid [] pid) with
        | WEXITED 0 -> ()
        | _ -> count.hit <- count.hit + 1)
      pids
  done

let one_life threads ~seconds ~killed =
  let in_r, in_w = Unix.pipe ~cloexec:true () in
  let out_r, out_w = Unix.pipe ~cloexec:true () in
  let program = Sys.executable_name in
  let pid =
    Unix.create_process program
      [| program; "daemon"; string_of_int threads |]
      in_r out_w Unix.stderr
  in
  Unix.close in_r;
  Unix.close out_w;
  count.lives <- count.lives + 1;
  let out = Unix.in_channel_of_descr out_r in
  let reader =
    Thread.create
      (fun () ->
        try
          while true do
            hear (input_line out)
          done
        with End_of_file -> ())
      ()
  in
  Thread.delay seconds;
  if killed then begin
    count.kills <- count.kills + 1;
    if pid > 1 then Unix.kill pid Sys.sigkill
  end;
  Unix.close in_w;
  let _, status = Unix.waitpid [] pid in
  Thread.join reader;
  close_in out;
  match status with
  | WEXITED 0 -> ()
  | WSIGNALED s when killed && s = Sys.sigkill -> ()
  | status ->
      count.wrong <- count.wrong + 1;
      print_endline ("WRONG: the daemon: " ^ status_text status)

let is_marked pid =
  match open_in_bin (Printf.sprintf "/proc/%s/environ" pid) with
  | exception Sys_error _ -> false
  | file ->
      let found =
        match input_line file with
        | exception (End_of_file | Sys_error _) -> false
        | text ->
            List.mem (mark ^ "=1") (String.split_on_char '\000' text)
      in
      close_in_noerr file;
      found

let marked () =
  List.filter
    (fun name -> int_of_string_opt name <> None && is_marked name)
    (Array.to_list (Sys.readdir "/proc"))

let drive seconds threads =
  Random.self_init ();
  Sys.set_signal Sys.sigpipe Signal_ignore;
  let until = Unix.gettimeofday () +. seconds in
  let others = Thread.create strangers () in
  let rec lives () =
    let left = until -. Unix.gettimeofday () in
    if left > 0. then begin
      one_life threads
        ~seconds:(min left (0.3 +. Random.float (max 1. (seconds /. 20.))))
        ~killed:(left > 3. && Random.int 3 > 0);
      lives ()
    end
  in
  lives ();
  one_life threads ~seconds:0.5 ~killed:false;
  Atomic.set stop_strangers true;
  Thread.join others;
  (* what a killed daemon had started ends by itself within 5 s *)
  if not (eventually 2000 (fun () -> marked () = [])) then begin
    count.leaked <- count.leaked + List.length (marked ());
    print_endline ("LEAKED: processes " ^ String.concat " " (marked ()))
  end;
  Printf.printf
    "%d threads, %d lives, %d killed, %d commands counted: %d wrong, %d \
     leaked, %d strangers hit\n"
    threads count.lives count.kills count.commands count.wrong count.leaked
    count.hit;
  if count.wrong + count.leaked + count.hit > 0 || count.commands = 0 then
    exit 1

let () =
  match Array.to_list Sys.argv with
  | [ _; "daemon"; threads ] -> daemon (int_of_string threads)
  | [ _; seconds; threads ] ->
      drive (float_of_string seconds) (int_of_string threads)
  | _ ->
      prerr_endline "usage: threads SECONDS THREADS";
      exit 2
