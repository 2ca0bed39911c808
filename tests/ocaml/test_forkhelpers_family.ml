(* test_forkhelpers_family.ml - whom a fork server's command takes along

   The last part of what test_forkhelpers.ml begins. *)

open Xlchild_forkhelpers

let has_cgroups () =
  Xlchild.with_context ~log:(fun _ _ _ -> ()) @@ fun ctx ->
  match Xlchild.Family.create_result ~holds:[ Cgroup ] ctx with
  | Ok family -> Xlchild.Family.close family; true
  | Result.Error _ -> false

module Theirs = Xlchild_forkhelpers.Make (Xlchild_forkhelpers.No_tracer)

(* A command whose worker has left its group, where somebody could find it all the
   same, and says who it is; then what [then_] says. [f] is told the answer, and
   whether the worker lives. A time-out that comes before there is one is tried
   again, with more time. *)
let rec with_worker ?(session = has_cgroups ()) ?timeout ~then_ call f =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "worker" in
  let script =
    Printf.sprintf
      "%s sh -c 'echo $$ > %s.new; mv %s.new %s; exec sleep 1000' & until [ -s        %s ]; do sleep 0.01; done; echo said; %s"
      (if session then "setsid" else "")
      path path path path then_
  in
  let answer =
    match call ?timeout "/bin/sh" [ "-c"; script ] with
    | out, _ -> Ok out
    | exception exn -> Error exn
  in
  let there_is_one () =
    Support.eventually ~left:200 (fun () -> Sys.file_exists path)
  in
  match timeout with
  | Some seconds when seconds < 20. && not (there_is_one ()) ->
      with_worker ~session ~timeout:(4. *. seconds) ~then_ call f
  | _ ->
      let worker = int_of_string (String.trim (Support.read_all path)) in
      let lives = Test_moving.alive worker in
      if lives && worker > 1 then Unix.kill worker Sys.sigkill;
      f answer ~lives

let with_policy policy f =
  set_family policy;
  Fun.protect ~finally:(fun () -> set_family Never) f

let plainly ?timeout program arguments =
  execute_command_get_output ?timeout program arguments

let check_lives = Alcotest.(check bool) "the worker lives"
let is_timeout = function Error Subprocess_timeout -> () | _ -> Alcotest.fail "no time-out"

let a_timeout_takes_the_family () =
  (* as with the fork server *)
  with_worker ~session:true ~timeout:0.3 ~then_:"sleep 1000" plainly
    (fun answer ~lives -> is_timeout answer; check_lives true lives);
  let gone answer ~lives = is_timeout answer; check_lives false lives in
  let slow = with_worker ~timeout:0.3 ~then_:"sleep 1000" in
  with_policy On_timeout @@ fun () ->
  slow plainly gone;
  slow
    (fun ?timeout program arguments ->
      Theirs.execute_command_get_output ?timeout program arguments)
    gone;
  slow
    (fun ?timeout program arguments ->
      execute_command_get_output_send_stdin ?timeout program arguments "x")
    gone;
  (* in time, it leaves who it leaves *)
  with_worker ~then_:"exit 0" plainly (fun answer ~lives ->
      Alcotest.(check bool) "output" true (answer = Ok "said\n");
      check_lives true lives)

let by_policy () =
  let failed = function
    | Error (Spawn_internal_error (_, "said\n", Unix.WEXITED 3)) -> ()
    | _ -> Alcotest.fail "it did not fail so"
  in
  with_policy Always (fun () ->
      with_worker ~then_:"exit 0" plainly (fun answer ~lives ->
          Alcotest.(check bool) "output" true (answer = Ok "said\n");
          check_lives false lives));
  with_policy On_failure (fun () ->
      with_worker ~then_:"exit 3" plainly (fun answer ~lives ->
          failed answer;
          check_lives false lives);
      with_worker ~then_:"exit 0" plainly (fun _ ~lives ->
          check_lives true lives);
      match plainly "/nonexistent" [] with
      | _ -> Alcotest.fail "it ran"
      | exception Spawn_internal_error ("", "", Unix.WEXITED 127) -> ())

let logged () =
  Test_forkhelpers.with_syslog @@ fun next ->
  with_policy Always @@ fun () ->
  with_worker ~then_:"exit 0"
    (fun ?timeout program arguments ->
      execute_command_get_output ?timeout
        ~syslog_stdout:(Syslog_WithKey "key") program arguments)
    (fun answer ~lives ->
      Alcotest.(check bool) "not returned" true (answer = Ok "");
      check_lives false lives);
  ignore (next ())

(* The module's own context may give up what the tests before had it keep. *)
let case name f =
  Alcotest.test_case name `Quick @@ fun () ->
  let fds () = String.split_on_char ' ' (Support.open_fds ()) in
  ignore (plainly "/bin/true" []);
  (* the logger stays, once it is there *)
  ignore (Xlchild_syslog.outlives ());
  let before = fds () in
  f ();
  Alcotest.(check bool) "no descriptor is left" true
    (Support.eventually (fun () ->
         List.for_all (fun fd -> List.mem fd before) (fds ())))

let cases =
  Support.not_under_valgrind ~why:"it knows no pidfds"
    [
      case "F3 a timeout takes the family along" a_timeout_takes_the_family;
      case "F3 the output's command, by policy" by_policy;
      case "F3 one that logs, by policy" logged;
    ]
