(* test_interface.ml - the helpers of the interface: printing and comparing,
   environments, limits, folders, streams that are close-on-exec *)

open Xlchild
open Support

let check_string = Alcotest.(check string)
let check_bool = Alcotest.(check bool)

(* With the interface open, a constructor of results is one. *)
let results_and_exceptions () =
  let halve n = if n mod 2 = 0 then Ok (n / 2) else Error "odd" in
  check_bool "a result" true (halve 3 = Error "odd" && halve 4 = Ok 2);
  let kept = List.map (function Ok n -> n | Error _ -> -1) [ halve 3 ] in
  check_bool "matched" true (kept = [ -1 ]);
  with_context @@ fun ctx ->
  match start ctx (command "/nonexistent" []) with
  | _ -> Alcotest.fail "it started"
  | exception Error { stage = Exec; _ } -> ()

let text_of_start command =
  with_context @@ fun ctx ->
  let text = function Ok _ -> "it started" | Error e -> Error.to_string e in
  let by_start = text (start_result ctx command) in
  let by_run = text (run_result ctx command) in
  let by_many =
    match start_many ctx [ (command, Hold) ] with
    | [ r ] -> text r
    | _ -> "another number"
    | exception Error e ->
        (* refused as a whole, before anything is started *)
        Error.to_string { e with program = Some "true" }
  in
  check_string "run" by_start by_run;
  check_string "start_many" by_start by_many;
  (* on a slow machine it is told later than the call returns *)
  let outcome = ref None in
  let by_async =
    match run_async_result ctx command (fun o -> outcome := Some o) with
    | Result.Error e -> Error.to_string e
    | Ok _ -> (
        check_bool "run_async: an answer" true
          (eventually (fun () ->
               ignore (check ctx);
               !outcome <> None));
        match Option.get !outcome with
        | { ending = Not_started e; _ } -> Error.to_string e
        | o -> Outcome.to_string o)
  in
  check_string "run_async" by_start by_async;
  by_start

let errors_name_things () =
  let words = "child could not be set up or executed, stage " in
  let missing = ": " ^ Unix.error_message ENOENT in
  check_string "program" (words ^ "exec /opt/tools/wrapper" ^ missing)
    (text_of_start (command "/opt/tools/wrapper" [ "-m"; "1" ]));
  check_string "searched" (words ^ "exec nonesuch-of-nowhere" ^ missing)
    (text_of_start (command "nonesuch-of-nowhere" []));
  check_string "folder" (words ^ "chdir /nope" ^ missing ^ " (program true)")
    (text_of_start (command ~cwd:"/nope" "true" []));
  check_string "cgroup"
    (words ^ "cgroup /nonexistent/cgroup" ^ missing ^ " (program true)")
    (text_of_start (command ~cgroup:"/nonexistent/cgroup" "true" []));
  check_bool "an argument" true
    (text_of_start (command "true" [ "a\000b" ])
    = "invalid argument, stage argument argv (program true)")

(* What is said meanwhile goes to the pipe, too: it is looked at afterwards. *)
let streams_that_close_on_exec () =
  with_pipe @@ fun r w ->
  let saved = Unix.dup ~cloexec:true Unix.stderr in
  let standard = Unix.[ stdin; stdout; stderr ] in
  with_context @@ fun ctx ->
  (* what is to be said of the kernel is said before *)
  ignore (start ctx (exit_with 0));
  let before = List.map Test_forkhelpers.closes_on_exec standard in
  Unix.dup2 ~cloexec:true w Unix.stderr;
  List.iter Unix.set_close_on_exec standard;
  let say =
    command "sh"
      [
        "-c";
        "for f in 0 1 2; do [ -e /proc/$$/fd/$f ] || exit 1; done; echo said >&2";
      ]
  in
  let codes, flags =
    Fun.protect
      ~finally:(fun () ->
        List.iter2
          (fun fd closes -> if not closes then Unix.clear_close_on_exec fd)
          standard before;
        Unix.dup2 ~cloexec:false saved Unix.stderr;
        Unix.close saved)
      (fun () ->
        let started = Child.wait (start ctx say) in
        let many =
          List.concat_map
            (function Ok c -> [ Child.wait c ] | Error _ -> [])
            (start_many ctx [ (say, Hold); (say, Hold) ])
        in
        let ran = (run ctx ~stdin:`Inherit say).child in
        let captured = (run ctx ~stdout:`Capture say).child in
        let elsewhere = Child.wait (start ctx (with_fds [ (2, Null) ] say)) in
        ( (started :: many) @ [ ran; captured; elsewhere ],
          List.map Test_forkhelpers.closes_on_exec standard ))
  in
  Alcotest.(check int) "all of them" 6 (List.length codes);
  List.iter (check_status "inherited" "exit 0") codes;
  check_bool "the caller's keep their flags" true (List.for_all Fun.id flags);
  let buffer = Bytes.create 1000 in
  let n = Unix.read r buffer 0 1000 in
  check_string "where they belong"
    (String.concat "" (List.init 5 (fun _ -> "said\n")))
    (Bytes.sub_string buffer 0 n)

let printing () =
  with_context @@ fun ctx ->
  let run_it code =
    run ctx ~stderr:`Capture
      (command "sh" [ "-c"; Printf.sprintf "echo why >&2; exit %d" code ])
  in
  let good = run_it 0 and bad = run_it 3 in
  check_string "status" "exit code 3" (Status.to_string bad.child.status);
  check_string "outcome" "exit code 3, stderr \"why\\n\""
    (Format.asprintf "%a" Outcome.pp bad);
  check_bool "success" true
    (Outcome.is_success good && not (Outcome.is_success bad));
  check_string "get_ok" "why\n" (Outcome.get_ok good).err.data;
  (match Outcome.get_ok bad with
  | _ -> Alcotest.fail "it is none"
  | exception Outcome.Unsuccessful o ->
      check_bool "the same" true (Outcome.equal o bad));
  check_bool "to_result" true
    (Outcome.to_result good = Ok good && Outcome.to_result bad = Error bad);
  check_string "lost" ("lost: " ^ lost_text Stolen)
    (Status.to_string (Lost Stolen));
  check_string "signal" "signal 15"
    (Format.asprintf "%a" Status.pp (Status (WSIGNALED Sys.sigterm)));
  let all =
    [ Status (WEXITED 1); Lost Ignored; Status (WEXITED 0); Lost Stolen ]
  in
  let sorted = List.sort Status.compare all in
  check_bool "an order" true
    (List.sort Status.compare (List.rev all) = sorted
    && List.for_all (fun s -> Status.equal s s) all);
  let error code = { code; stage = Exec; errno = None; argument = None;
                     program = None; path = None } in
  check_bool "errors" true
    (Error.equal (error Fail) (error Fail)
    && Error.compare (error Fail) (error Limit) <> 0);
  check_bool "ended" true (Ended.equal good.child good.child)

let environments () =
  let env = [ "A=1"; "AB=2"; "B"; "A=3" ] in
  check_bool "find" true
    (Environment.find "A" env = Some "1" && Environment.find "B" env = None);
  check_bool "set" true
    (Environment.set "A" "x=y" env = [ "AB=2"; "B"; "A=x=y" ]);
  check_bool "unset" true (Environment.unset "AB" env = [ "A=1"; "B"; "A=3" ]);
  List.iter
    (fun name ->
      match Environment.set name "x" [] with
      | _ -> Alcotest.failf "%S is a name" name
      | exception Invalid_argument _ -> ())
    [ ""; "a=b"; "a\000" ];
  with_context @@ fun ctx ->
  let out =
    run ctx ~stdout:`Capture
      (command "sh" [ "-c"; "echo $XLCHILD_TEST $PATH" ]
         ~env:(Environment.extend [ ("XLCHILD_TEST", "1") ]))
  in
  check_string "the caller's, and more"
    ("1 " ^ Sys.getenv "PATH" ^ "\n")
    out.out.data

let limits () =
  with_context @@ fun ctx ->
  let said limits what =
    String.trim
      (run ctx ~stdout:`Capture
         (command "sh" [ "-c"; "ulimit " ^ what ] ~rlimits:limits))
        .out
        .data
  in
  check_string "files" "77" (said [ Rlimit.(make Open_files 77) ] "-n");
  check_string "soft alone" "66"
    (said [ Rlimit.(make Open_files ~hard:88 66) ] "-Sn");
  check_string "hard" "88"
    (said [ Rlimit.(make Open_files ~hard:88 66) ] "-Hn");
  check_string "cpu" "100" (said [ Rlimit.(make Cpu 100) ] "-t");
  check_string "core" "0" (said [ Rlimit.(make Core 0) ] "-c");
  check_string "by number" "55" (said [ Rlimit.(make (Number 7) 55) ] "-n");
  let mine = Rlimit.(current Open_files) in
  check_string "current"
    (if mine.soft = Rlimit.unlimited then "unlimited"
    else string_of_int mine.soft)
    (said [] "-n");
  (match Rlimit.(make Core (-2)) with
  | _ -> Alcotest.fail "negative"
  | exception Invalid_argument _ -> ());
  match Rlimit.(current (Number 99)) with
  | _ -> Alcotest.fail "no such limit"
  | exception Unix.Unix_error (EINVAL, _, _) -> ()

let folders () =
  with_temporary_folder @@ fun folder ->
  let here = Filename.concat folder "here" in
  Unix.mkdir here 0o700;
  let fd = Unix.openfile here [ O_RDONLY; O_CLOEXEC ] 0 in
  Unix.rename here (Filename.concat folder "there");
  with_context @@ fun ctx ->
  let out =
    run ctx ~stdout:`Capture (command ~cwd_fd:fd "pwd" [ "-P" ])
  in
  check_string "where it is now"
    (Filename.concat folder "there" ^ "\n")
    out.out.data;
  Unix.close fd;
  match command ~cwd:"/" ~cwd_fd:fd "pwd" [] with
  | _ -> Alcotest.fail "both"
  | exception Invalid_argument _ -> ()

let policies () =
  check_bool "of seconds" true
    (kill_policy ~signal:Sys.sigint ~grace:0.25 ~scope:Process_group ()
    = ({
        first_signal = Sys.sigint;
        grace_ms = 250;
        scope = Process_group;
      } [@alert "-deprecated"]));
  check_bool "as by default" true (kill_policy () = default_kill);
  match kill_policy ~grace:nan () with
  | _ -> Alcotest.fail "nan"
  | exception Invalid_argument _ -> ()

let started () =
  with_context @@ fun ctx ->
  let pid = ref 0 in
  let note (p : Pid.t) = pid := (p :> int) in
  let o = run ctx ~started:note (exit_with 4) in
  Alcotest.(check int) "its pid" (o.child.pid :> int) !pid;
  match
    run ctx ~started:(fun _ -> raise Exit) (verbs [ "pause" ])
  with
  | _ -> Alcotest.fail "no exception"
  | exception Exit -> ()

(* The child opens its stdin, a FIFO, and finds no peer while the call is
   patient; then it finds no program. *)
let with_a_late_child f =
  with_temporary_folder @@ fun folder ->
  let fifo = Filename.concat folder "fifo" in
  Unix.mkfifo fifo 0o600;
  let opened = ref None in
  let open_it _ = opened := Some (Unix.openfile fifo [ O_WRONLY; O_CLOEXEC ] 0) in
  Fun.protect
    ~finally:(fun () -> Option.iter Unix.close !opened)
    (fun () -> f (`File fifo) open_it (command ~search:false "/nonexistent" []));
  check_bool "it was late" true (!opened <> None)

let late_failures () =
  with_context @@ fun ctx ->
  let check_error (e : error) =
    check_string "in words"
      "child could not be set up or executed, stage exec /nonexistent: No such \
       file or directory"
      (Error.to_string e)
  in
  (with_a_late_child @@ fun stdin started command ->
   match run_result ctx ~stdin ~started command with
   | Error e -> check_error e
   | Ok o -> Alcotest.failf "an outcome: %s" (Outcome.to_string o));
  with_a_late_child @@ fun stdin started command ->
  let outcome = ref None in
  ignore (run_async ctx ~stdin ~started command (fun o -> outcome := Some o));
  check_bool "told" true
    (eventually (fun () ->
         ignore (check ctx);
         !outcome <> None));
  match !outcome with
  | Some { ending = Not_started e; _ } -> check_error e
  | o -> Alcotest.failf "%s" (Outcome.to_string (Option.get o))

let cases =
  [
    case "results and exceptions" results_and_exceptions;
    case "B5 errors name what is wrong" errors_name_things;
    case "C16 streams that close on exec" streams_that_close_on_exec;
    case "printing and comparing" printing;
    case "environments" environments;
    case "C16 a folder by descriptor" folders;
    case "policies of seconds" policies;
    case "B3 run tells its pid" started;
    case "C15 a start that fails late" late_failures;
  ]
  @ not_under_valgrind ~why:"it keeps descriptors and limits of its own"
      [ case "C16 limits by name" limits ]
