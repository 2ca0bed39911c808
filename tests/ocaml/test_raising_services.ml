(* test_raising_services.ml - handlers that raise in the rest of what daemons call

   As test_raising_daemons.ml: commands with a time-out or a family, whatever asks
   of one that was started, and the supervisor's ends: of a service, of itself, and
   of what a previous life left. *)

open Support
open Test_raising
open Test_raising_daemons

let check_string = Alcotest.(check string)

(* ---- forkhelpers ---- *)

let more_output () =
  leaving_nothing @@ fun ~before ~after ->
  let go expected f =
    sweep ~step:2 ~before
      ~after:(fun () answer ->
        Option.iter (fun (out, _) -> check_string "stdout" expected out) answer;
        after ())
      f
  in
  go "out\n" (fun () ->
      F.execute_command_get_output ~timeout:100. "/bin/echo" [ "out" ]);
  go "" (fun () ->
      match F.execute_command_get_output ~timeout:0.002 "/bin/sleep" [ "9" ] with
      | answer -> answer
      | exception F.Subprocess_timeout -> ("", ""));
  go "" (fun () ->
      match F.execute_command_get_output "/bin/nonesuch" [] with
      | answer -> answer
      | exception F.Spawn_internal_error _ -> ("", ""));
  F.set_family Always;
  Fun.protect
    ~finally:(fun () -> F.set_family Never)
    (fun () ->
      let leaves = "sleep 1000 >/dev/null 2>&1 & echo out" in
      ignore (F.execute_command_get_output "/bin/true" []);
      leaving_nothing @@ fun ~before ~after ->
      sweep ~step:5 ~before
        ~after:(fun () _ ->
          Gc.full_major ();
          (* lets go of those that nobody has any more *)
          ignore (F.execute_command_get_output "/bin/true" []);
          after ())
        (fun () -> F.execute_command_get_output "/bin/sh" [ "-c"; leaves ]))

(* [dontwaitpid] and [kill] are one step: nothing can be raised in there. *)
let asking () =
  let exits () =
    F.safe_close_and_exec None None None [] "/bin/sh" [ "-c"; "exit 9" ]
  in
  sweep ~before:exits
    ~after:(fun p _ ->
      check_bool "again" true (snd (F.waitpid p) = WEXITED 9))
    (fun p ->
      match F.waitpid_fail_if_bad_exit p with
      | () -> Alcotest.fail "it failed"
      | exception F.Subprocess_failed 9 -> ())

(* ---- the supervisor ---- *)

let running m = check_bool "running" true (S.await ~timeout:30. m is_running)

let removing () =
  S.with_supervisor @@ fun s ->
  let none name =
    Option.iter S.remove (S.find s name);
    check_bool "its name is free" true (S.find s name = None)
  in
  let other = S.service ~name:"other" "/bin/sleep" [ "1000" ] in
  sweep ~step:2
    ~before:(fun () ->
      let m = S.add s other in
      running m;
      m)
    ~after:(fun _ _ -> none "other")
    S.remove;
  sweep ~before:ignore
    ~after:(fun () _ -> none "other")
    (fun () ->
      match S.add_result s other with
      | Ok m -> m
      | Error e -> raise (S.Error e));
  let m = S.add s long in
  running m;
  sweep ~before:ignore
    ~after:(fun () _ -> running m)
    (fun () ->
      S.reopen_logs s;
      (S.left s, S.family m, S.name m));
  sweep ~before:ignore
    ~after:(fun () _ ->
      S.stop m;
      S.start m;
      running m)
    (fun () -> S.start m)

let closed s =
  match S.close s with () -> () | exception S.Error S.Closed -> ()

let closing () =
  leaving_nothing @@ fun ~before ~after ->
  let with_one () =
    before ();
    let s = S.create () in
    running (S.add s long);
    s
  in
  let over s _ =
    closed s;
    after ()
  in
  sweep ~step:2 ~before:with_one ~after:over S.close;
  sweep ~before
    ~after:(fun () answer ->
      Option.iter closed answer;
      Gc.full_major ();
      after ())
    (fun () -> S.create ())

(* It is ended, if not by the call that was interrupted then by the next. *)
let previous_lives () =
  with_temporary_folder @@ fun state_folder ->
  leaving_nothing @@ fun ~before ~after ->
  let before () =
    before ();
    let s = S.create ~state_folder () in
    running (S.add s long);
    S.close ~leave:true s;
    S.create ~state_folder ()
  in
  sweep ~step:3 ~before
    ~after:(fun s _ ->
      S.stop_left s;
      check_bool "nobody is left" true (eventually (fun () -> S.left s = []));
      closed s;
      after ())
    (fun s ->
      if List.length (S.left s) <> 1 then Alcotest.fail "one was left";
      S.stop_left s)

let cases =
  not_under_valgrind ~why:points
    [
      case "B10 B11 commands that end otherwise, at every point" more_output;
      case "B10 asking of a command, at every point" asking;
      case "B10 services that are removed, at every point" removing;
      case "B10 supervisors that are closed, at every point" closing;
      case "B10 what a previous life left, at every point" previous_lives;
    ]
