(* test_service_families.ml - a service's family goes with it, by policy

   Also when its daemon is killed, which is keeper.ml, and its next life finds
   what is left. *)

open Xlchild_supervisor
open Hearing
module Family = Xlchild.Family

let check_bool = Alcotest.(check bool)
let check_string = Alcotest.(check string)
let alive = Test_moving.alive

let always =
  Policy.Always
    (Policy.back_off ~first:0.001 ~factor:1. ~most:0.001 ~restarts:1_000_000 ())

let running m =
  check_bool "it runs" true (await ~timeout:20. m (( = ) Running))

(* Whether nobody leaves: then workers may have a session of their own. *)
let has_cgroups =
  lazy
    (Xlchild.with_context ~log:(fun _ _ _ -> ()) @@ fun ctx ->
     match Family.create_result ~holds:[ Cgroup ] ctx with
     | Ok family -> Family.close family; true
     | Result.Error _ -> false)

(* Starts a worker that takes a lock, which says that the one before is gone, and
   writes its pid; then what [then_] says. *)
let script folder then_ =
  Printf.sprintf
    "flock -n -E 77 %s/lock true || exit 77; %s flock %s/lock sh -c 'echo $$ > \
     %s/worker; exec sleep 1000' & until [ -s %s/worker ]; do sleep 0.01; done; \
     echo up; %s"
    folder
    (if Lazy.force has_cgroups then "setsid" else "")
    folder folder folder then_

let spec ?restart ?(policy = Family.Always) ?account ?stop folder then_ =
  service ~name:"s" "/bin/sh"
    [ "-c"; script folder then_ ]
    ~family:policy ?account ?restart ?stop ~readiness:(Line "up")

let worker_in folder =
  let path = Filename.concat folder "worker" in
  check_bool "it said who it is" true
    (Support.eventually (fun () ->
         Sys.file_exists path && String.trim (Support.read_all path) <> ""));
  let pid = int_of_string (String.trim (Support.read_all path)) in
  Sys.remove path;
  pid

let kill pid = if pid > 1 then try Unix.kill pid Sys.sigkill with Unix.Unix_error _ -> ()

let crash m =
  match pid m with Some pid -> kill (pid :> int) | None -> ()

let in_a_folder = Support.with_temporary_folder

let none_overlapped heard =
  ignore (said heard);
  Alcotest.(check int) "met the one before" 0
    (times heard "s ended by itself: exit code 77")

(* ---- in one life ---- *)

let a_crash_takes_it_along () =
  List.iter
    (fun policy ->
      in_a_folder @@ fun folder ->
      Hearing.with_supervisor @@ fun t heard ->
      let m = add t (spec ~restart:always ~policy folder "wait") in
      for i = 1 to 5 do
        expect heard ~times:i "s ready";
        let worker = worker_in folder in
        check_bool "it lives" true (alive worker);
        crash m;
        expect heard ~times:(i + 1) "s started";
        check_bool "gone before the next start" false (alive worker)
      done;
      running m;
      let worker = worker_in folder in
      stop m;
      check_bool "gone when it is stopped" false (alive worker);
      none_overlapped heard)
    Family.[ Always; On_failure ]

(* What goes by no policy is gone before the next start; but for [Never]. *)
let before_the_next_start () =
  in_a_folder (fun folder ->
      Hearing.with_supervisor @@ fun t heard ->
      let m =
        add t
          (spec ~restart:Policy.Never ~policy:On_failure folder "exit 0")
      in
      expect heard "s ended by itself: exit code 0";
      let worker = worker_in folder in
      check_bool "it lives on" true (alive worker);
      (match family m with
      | Some s -> check_bool "shown" true ((not s.empty) && not s.ending)
      | None -> Alcotest.fail "no family");
      start m;
      expect heard ~times:2 "s started";
      check_bool "gone before the next start" false (alive worker);
      expect heard ~times:2 "s ended by itself: exit code 0";
      none_overlapped heard;
      let worker = worker_in folder in
      kill worker);
  in_a_folder (fun folder ->
      Hearing.with_supervisor @@ fun t heard ->
      let m =
        add t (spec ~restart:Policy.Never ~policy:Never folder "exit 0")
      in
      expect heard "s ended by itself: exit code 0";
      let worker = worker_in folder in
      start m;
      expect heard "s ended by itself: exit code 77";
      check_bool "nobody ends it" true (alive worker);
      kill worker)

(* Who holds out against the first signal is killed when the leader has gone. *)
let stopped () =
  in_a_folder @@ fun folder ->
  Hearing.with_supervisor @@ fun t heard ->
  let stop_ = Xlchild.kill_policy ~grace:30. ~scope:Process_group () in
  let m =
    add t
      (service ~name:"s" "/bin/sh" ~family:On_timeout ~stop:stop_
         ~readiness:(Line "up")
         [
           "-c";
           Printf.sprintf
             "sh -c 'trap \"\" TERM; echo $$ > %s/worker; while :; do sleep 1; \
              done' & until [ -s %s/worker ]; do sleep 0.01; done; echo up; wait"
             folder folder;
         ])
  in
  running m;
  let worker = worker_in folder in
  let since = Xlchild.now () in
  stop m;
  check_bool "not for the grace" true (Xlchild.now () -. since < 20.);
  check_bool "gone" false (alive worker);
  expect heard "s stopped: signal 15"

let shown () =
  in_a_folder @@ fun folder ->
  Hearing.with_supervisor @@ fun t _ ->
  let m = add t (spec folder "wait") in
  let plain = add t (service ~name:"plain" "sleep" [ "1000" ]) in
  running m;
  running plain;
  check_bool "none" true (family plain = None);
  let now = Option.get (family m) in
  check_bool "as it is" true
    (now.started && (not now.empty) && (not now.ending)
    && now.hold
       = Some (if Lazy.force has_cgroups then Family.Cgroup else Group)
    && now.pid = pid m);
  stop m;
  let then_ = Option.get (family m) in
  check_bool "as it was" true (then_.empty && then_.ending);
  remove m;
  match service ~name:"x" ~cgroup:"/x" ~family:Always "true" [] with
  | _ -> Alcotest.fail "a cgroup, too"
  | exception Invalid_argument text ->
      check_string "named"
        "Xlchild_supervisor.service: family: beside a cgroup" text

let accounts () =
  let events = ref [] in
  let t =
    create ~on_event:(fun e -> events := e :: !events) ()
  in
  let m =
    add t
      (service ~name:"s" "sleep" [ "1000" ] ~account:true ~family:Always
         ~restart:Policy.Never)
  in
  running m;
  stop m;
  let missing = add t (service ~name:"none" "sleep" [ "1000" ]) in
  running missing;
  stop missing;
  close t;
  let of_ name =
    List.filter_map
      (fun e ->
        match e.what with
        | _ when e.service <> name -> None
        | Accounted { account; _ } ->
            Some (e.run, Xlchild.Account.ended_by_text account.ended_by)
        | Ended _ -> Some (e.run, "ended")
        | _ -> None)
      (List.rev !events)
  in
  (match of_ "s" with
  | [ (run, "a kill"); (other, "ended") ] ->
      check_string "of the same run" run other
  | others -> Alcotest.failf "%s" (String.concat ", " (List.map snd others)));
  Alcotest.(check (list string)) "not asked for" [ "ended" ]
    (List.map snd (of_ "none"))

let cannot_start () =
  Hearing.with_supervisor @@ fun t heard ->
  let m =
    add t
      (service ~name:"s" "/nonexistent" [] ~family:Always
         ~restart:Policy.Never)
  in
  check_bool "it failed" true (await ~timeout:20. m (( = ) Failed));
  check_bool "nothing is held" true (family m = None);
  Alcotest.(check int) "told" 1
    (List.length
       (List.filter
          (fun text ->
            String.length text > 13 && String.sub text 0 13 = "s not started")
          (said heard)))

(* ---- over the lives of a daemon ---- *)

let file_of state name =
  let path = Filename.concat state name in
  if Sys.file_exists path then Support.read_all path else ""

(* The fifth word of the file that is beside the state file. *)
let cgroup_of state =
  match String.split_on_char ' ' (file_of state "s.family") with
  | [ _; _; "failure"; path; _ ] -> path
  | _ -> Alcotest.failf "the file has %S" (file_of state "s.family")

let it_was_told heard =
  ignore (said heard);
  times heard "s ended by itself: exit code 0" = 1

let over_lives how () =
  in_a_folder @@ fun folder ->
  let state = Filename.concat folder "state" in
  let text =
    Printf.sprintf "echo $$ > %s/leader; %s" folder
      (script folder (if how = `Well then "read x < " ^ folder ^ "/go" else "wait"))
  in
  Unix.mkfifo (Filename.concat folder "go") 0o600;
  Test_groups.one_life state "none" text ~more:[ "family" ];
  let leader = Test_groups.find_pid (Filename.concat folder "leader") in
  let worker = worker_in folder in
  let cgroup = cgroup_of state in
  check_bool "both live" true (alive leader && alive worker);
  (* an older daemon reads what it always did *)
  List.iter
    (fun line ->
      match String.split_on_char ' ' line with
      | [ "xlchild-supervisor"; "1" ] | [ "boot"; _ ] | [ "sum"; _ ] | [ "" ] -> ()
      | [ "run"; "s"; _; "living"; pid; _; ("ready" | "starting") ] ->
          check_string "the leader" (string_of_int leader) pid
      | _ -> Alcotest.failf "%S is not of its format" line)
    (String.split_on_char '\n' (file_of state "services"));
  if how = `Away then begin
    kill leader;
    check_bool "it has ended" true
      (Support.eventually (fun () -> not (alive leader)))
  end;
  Hearing.with_supervisor ~state_folder:state (fun t heard ->
      let m =
        add t
          (service ~name:"s" "/bin/sh" [ "-c"; text ] ~family:On_failure
             ~readiness:(Line "up")
             ~restart:(if how = `Well then Policy.Never else always))
      in
      if how <> `Away then begin
        expect heard "s adopted";
        check_bool "no family of this life" true (family m = None)
      end;
      (match how with
      | `Crash ->
          kill leader;
          expect heard "s started"
      | `Away -> expect heard "s started"
      | `Stop -> stop m
      | `Well ->
          let fd = Unix.openfile (Filename.concat folder "go") [ O_WRONLY ] 0 in
          ignore (Unix.write_substring fd "x\n" 0 2);
          Unix.close fd;
          check_bool "its end is told" true
            (Support.eventually (fun () ->
                 List.exists
                   (fun text ->
                     Str.string_match (Str.regexp "s ended by itself") text 0)
                   (said heard))));
      (match how with
      | `Crash | `Away | `Stop ->
          check_bool "the worker is gone" false (alive worker)
      | `Well when it_was_told heard ->
          check_bool "it ended well: the worker lives" true (alive worker);
          kill worker
      | `Well -> check_bool "nobody can tell" false (alive worker));
      if how = `Crash || how = `Away then begin
        running m;
        none_overlapped heard;
        stop m;
        check_bool "its worker is gone" false (alive (worker_in folder))
      end);
  check_bool "no cgroup is left" false
    (cgroup <> "-" && how <> `Well && Sys.file_exists cgroup);
  check_string "no file is left" "" (file_of state "s.family")

let cases =
  let case = Support.case in
  Support.not_under_valgrind ~why:"it knows no pidfds"
    [
      case "F3 a crash takes a service's family along" a_crash_takes_it_along;
      case "F3 a service's family is gone before the next start"
        before_the_next_start;
      case "F3 C27 stopped, with its family" stopped;
      case "F1 F2 a service's family is shown" shown;
      case "C32 a service's account" accounts;
      case "F1 a service that does not start" cannot_start;
      case "F3 adopted, and crashed" (over_lives `Crash);
      case "F3 crashed while no daemon lived" (over_lives `Away);
      case "F3 adopted, and stopped" (over_lives `Stop);
      case "F3 adopted, and ended well" (over_lives `Well);
    ]
