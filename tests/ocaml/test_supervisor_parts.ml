(* test_supervisor_parts.ml - the pure parts of the supervisor, and its files

   Time is an argument there: nothing waits. The modules are the library's own,
   not part of its interface. *)

module Policy = Xlchild_supervisor.Policy
module Machine = Xlchild_supervisor__Machine
module State_file = Xlchild_supervisor__State_file
module Log_file = Xlchild_supervisor__Log_file
module Line_watch = Xlchild_supervisor__Line_watch
open Xlchild_supervisor

let property ?(count = 500) name gen law =
  Alcotest.test_case name `Quick (fun () ->
      QCheck.Test.check_exn (QCheck.Test.make ~count ~name gen law))

let invalid name f =
  match f () with
  | _ -> Alcotest.failf "%s: no error" name
  | exception Invalid_argument _ -> ()

(* ---- policy ---- *)

let nonsense () =
  let b = Policy.back_off in
  invalid "first" (fun () -> b ~first:(-1.) ());
  invalid "first nan" (fun () -> b ~first:nan ());
  invalid "factor" (fun () -> b ~factor:0.5 ());
  invalid "most" (fun () -> b ~first:10. ~most:1. ());
  invalid "settled" (fun () -> b ~settled:(-1.) ());
  invalid "restarts" (fun () -> b ~restarts:(-1) ());
  invalid "within nan" (fun () -> b ~within:nan ());
  invalid "name" (fun () -> service ~name:"" "true" []);
  invalid "a slash" (fun () -> service ~name:"a/b" "true" []);
  invalid "a dot" (fun () -> service ~name:".a" "true" []);
  invalid "a blank" (fun () -> service ~name:"a b" "true" []);
  invalid "ready_within" (fun () -> service ~name:"x" "true" ~ready_within:(-1.) []);
  invalid "no text" (fun () -> service ~name:"x" "true" ~readiness:(Line "") []);
  invalid "stdout" (fun () -> service ~name:"x" "true" ~readiness:(Newline_on 1) []);
  invalid "taken" (fun () ->
      service ~name:"x" "true" ~readiness:(Newline_on 5) ~fds:[ (5, Unix.stdin) ] []);
  invalid "fds" (fun () -> service ~name:"x" "true" ~fds:[ (2, Unix.stdin) ] []);
  invalid "fds twice" (fun () ->
      service ~name:"x" "true" ~fds:[ (7, Unix.stdin); (7, Unix.stdin) ] []);
  invalid "no bytes" (fun () ->
      service ~name:"x" "true" ~output:(Log_file { path = "x"; most = 0; keep = 1 }) []);
  invalid "no cgroup" (fun () ->
      service ~name:"x" "true" ~stop:{ Xlchild.default_kill with scope = Control_group } [])

(* Fails at once again and again: what is decided, until it gives up. *)
let crash_loop b =
  let rec go history now waits =
    match
      Policy.decide (Always b) history ~now ~failed:true ~ready_for:0.
    with
    | Start_in wait, history -> go history (now +. wait) (wait :: waits)
    | Give_up, _ -> List.rev waits
    | Leave, _ -> Alcotest.fail "left"
  in
  go Policy.fresh 1000. []

let doubled () =
  Alcotest.(check (list (float 1e-9)))
    "doubled up to the most, then given up"
    [ 1.; 2.; 4.; 5.; 5. ]
    (crash_loop (Policy.back_off ~first:1. ~most:5. ~restarts:5 ~within:60. ()))

let settles () =
  let b = Policy.back_off ~first:1. ~settled:10. () in
  let next history ~now ~ready_for =
    match Policy.decide (Always b) history ~now ~failed:true ~ready_for with
    | Start_in wait, history -> (wait, history)
    | _ -> Alcotest.fail "not started again"
  in
  let _, history = next Policy.fresh ~now:0. ~ready_for:0. in
  let second, history = next history ~now:1. ~ready_for:9.9 in
  Alcotest.(check (float 0.)) "not settled" 2. second;
  let third, _ = next history ~now:20. ~ready_for:10. in
  Alcotest.(check (float 0.)) "settled" 1. third

let who_restarts () =
  let decision restart ~failed =
    fst (Policy.decide restart Policy.fresh ~now:0. ~failed ~ready_for:0.)
  in
  let b = Policy.back_off ~first:0. () in
  let table =
    [
      (Policy.Never, true, Policy.Leave);
      (Never, false, Leave);
      (On_failure b, true, Start_in 0.);
      (On_failure b, false, Leave);
      (Always b, true, Start_in 0.);
      (Always b, false, Start_in 0.);
    ]
  in
  List.iter
    (fun (restart, failed, expected) ->
      Alcotest.(check bool) "decision" true (decision restart ~failed = expected))
    table

let steps =
  QCheck.(
    small_list (pair (float_bound_inclusive 30.) (float_bound_inclusive 20.)))

(* Whatever it lives through, no window holds more starts than are granted, and
   no wait leaves its bounds. *)
let never_too_often =
  property "restarts: never more than granted in any window"
    QCheck.(pair (int_range 0 5) steps)
    (fun (restarts, steps) ->
      let within = 40. and first = 0.5 and most = 8. in
      let b = Policy.back_off ~first ~most ~restarts ~within () in
      let rec go history now starts = function
        | [] -> true
        | (pause, ready_for) :: more -> (
            let now = now +. pause +. ready_for in
            match
              Policy.decide (Always b) history ~now ~failed:true ~ready_for
            with
            | Start_in wait, history ->
                let at = now +. wait in
                let starts = at :: starts in
                let recent =
                  List.filter (fun s -> s > at -. within) starts
                in
                wait >= first && wait <= most
                && List.length recent <= restarts
                && go history at starts more
            | Give_up, _ -> List.length starts >= restarts
            | Leave, _ -> false)
      in
      go Policy.fresh 0. [] steps)

(* ---- the machine ---- *)

type happening = Ask_start | Ask_stop | Say_ready | Die of int | Pass of float

let happening =
  QCheck.make
    QCheck.Gen.(
      frequency
        [
          (2, return Ask_start);
          (2, return Ask_stop);
          (3, return Say_ready);
          (4, map (fun n -> Die n) (int_bound 2));
          (6, map (fun s -> Pass s) (float_bound_inclusive 3.));
        ])

(* A world with one process: fails where the machine asks for what cannot be. *)
type world = {
  mutable machine : Machine.t;
  mutable now : float;
  mutable alive : bool;
  mutable asked_to_end : bool;
  mutable told : what list;  (* the newest first *)
  mutable launches : int;
}

let rec feed w input =
  let machine, actions = Machine.step ~now:w.now w.machine input in
  w.machine <- machine;
  List.iter (act w) actions

and act w = function
  | Machine.Tell what -> w.told <- what :: w.told
  | Terminate ->
      if not w.alive then failwith "ended nobody";
      w.asked_to_end <- true
  | Launch ->
      if w.alive then failwith "two at once";
      w.launches <- w.launches + 1;
      w.asked_to_end <- false;
      if w.launches mod 5 = 0 then
        feed w
          (Not_launched
             { code = Xlchild.Fail; stage = Exec; errno = None; argument = None;
               program = None; path = None })
      else begin
        w.alive <- true;
        feed w (Launched (Xlchild.Pid.of_int (w.launches + 1)))
      end

let happens w = function
  | Ask_start -> feed w Start
  | Ask_stop -> feed w Stop
  | Say_ready -> if w.alive then feed w Is_ready
  | Die n ->
      if w.alive then begin
        w.alive <- false;
        feed w (Has_ended (Status (Unix.WEXITED n)))
      end
  | Pass s ->
      w.now <- w.now +. s;
      feed w Tick

let a_world readiness restart =
  let service =
    service ~name:"x" ~readiness ~ready_within:2. ~restart "true" []
  in
  {
    machine = Machine.make service;
    now = 0.;
    alive = false;
    asked_to_end = false;
    told = [];
    launches = 0;
  }

(* Every start that was told has its end, before the next start. *)
let rec paired = function
  | [] -> true
  | Started { pid } :: rest -> (
      match
        List.find_opt
          (function Started _ | Ended _ -> true | _ -> false)
          rest
      with
      | Some (Ended ended) -> ended.pid = pid && paired rest
      | Some _ -> false
      | None -> true)
  | _ :: rest -> paired rest

let machine_law readiness =
  let b = Policy.back_off ~first:0.1 ~most:1. ~restarts:4 ~within:20. () in
  property "C5 a service's life: one process, one end each, as asked"
    QCheck.(pair (int_bound 2) (list_of_size Gen.(0 -- 60) happening))
    (fun (policy, happenings) ->
      let w =
        a_world readiness
          (match policy with
          | 0 -> Policy.Never
          | 1 -> On_failure b
          | _ -> Always b)
      in
      List.iter
        (fun h ->
          happens w h;
          let alive_by_machine = Machine.pid w.machine <> None in
          if alive_by_machine <> w.alive then failwith "it does not know")
        happenings;
      (* told to end, and ended: it stays down, however much time passes *)
      happens w Ask_stop;
      if w.alive && not w.asked_to_end then failwith "it was not ended";
      happens w (Die 0);
      let launches = w.launches in
      List.iter (happens w) [ Pass 100.; Pass 100. ];
      paired (List.rev w.told)
      && Machine.state w.machine = Stopped
      && w.launches = launches
      && Machine.due w.machine = None)

let late () =
  let w = a_world (Line "up") Policy.Never in
  happens w Ask_start;
  Alcotest.(check (option (float 0.))) "due" (Some 2.) (Machine.due w.machine);
  happens w (Pass 1.9);
  Alcotest.(check bool) "patient" false w.asked_to_end;
  happens w (Pass 0.2);
  Alcotest.(check bool) "ended" true w.asked_to_end;
  happens w (Die 0);
  let last_end =
    List.find_map
      (function Ended { cause; _ } -> Some cause | _ -> None)
      w.told
  in
  Alcotest.(check bool) "as not ready" true (last_end = Some Not_ready);
  Alcotest.(check string) "a failure" "failed"
    (state_text (Machine.state w.machine))

let start_meets_stop () =
  let w = a_world At_once Policy.Never in
  happens w Ask_start;
  happens w Ask_stop;
  happens w Ask_start;
  Alcotest.(check string) "still ending" "stopping"
    (state_text (Machine.state w.machine));
  happens w (Die 1);
  Alcotest.(check int) "started again at once" 2 w.launches

(* ---- the state file ---- *)

let entry =
  let open QCheck.Gen in
  let pid = map Xlchild.Pid.of_int (int_range 2 100_000) in
  let ending =
    oneof
      [
        map (fun n -> Status (Unix.WEXITED n)) (int_bound 255);
        map
          (fun s -> Status (Unix.WSIGNALED s))
          (oneofl Sys.[ sigterm; sigkill; sigsegv; 40 ]);
        oneofl
          [ Lost While_away; Lost Before_boot; Lost (Not_told Not_ours) ];
      ]
  in
  let stage =
    oneof
      [
        oneofl State_file.[ Intended; Unknown ];
        map3
          (fun pid start_time ready ->
            State_file.Living { pid; start_time; ready })
          pid nat bool;
        map3
          (fun pid ending cause -> State_file.Over { pid; ending; cause })
          pid ending
          (oneofl [ By_itself; Told_to; Not_ready ]);
      ]
  in
  let word = string_size ~gen:(char_range 'a' 'z') (int_range 1 12) in
  map3 (fun name run stage : State_file.entry -> { name; run; stage }) word word
    stage

let contents =
  QCheck.make
    ~print:State_file.to_string
    QCheck.Gen.(
      map
        (fun entries : State_file.contents ->
          { boot = "b-1,pid:[2]"; entries })
        (small_list entry))

let reads_what_it_wrote =
  property "a state file is read as it was written" contents (fun c ->
      State_file.(of_string (to_string c)) = Ok c)

let refuses_prefixes =
  property ~count:100 "no truncated state file is taken for a whole one"
    contents (fun c ->
      let text = State_file.to_string c in
      List.for_all
        (fun n ->
          Result.is_error (State_file.of_string (String.sub text 0 n)))
        (List.init (String.length text) Fun.id))

let refuses_flips =
  property "no state file with another byte is taken for the one written"
    QCheck.(triple contents small_nat (int_range 1 255))
    (fun (c, at, mask) ->
      let text = Bytes.of_string (State_file.to_string c) in
      let at = at mod Bytes.length text in
      Bytes.set text at (Char.chr (Char.code (Bytes.get text at) lxor mask));
      Result.is_error (State_file.of_string (Bytes.to_string text)))

let never_raises =
  property "any bytes are read or refused" QCheck.string (fun text ->
      Result.is_error (State_file.of_string text))

(* ---- log files and lines ---- *)

let pieces =
  let open QCheck in
  let char = Gen.(frequency [ (1, return '\n'); (8, char_range 'a' 'z') ]) in
  list_of_size Gen.(0 -- 12) (string_gen_of_size Gen.(0 -- 60) char)

let files_of path =
  let rec from i acc =
    let name = Printf.sprintf "%s.%d" path i in
    if Sys.file_exists name then from (i + 1) (Support.read_all name :: acc)
    else acc
  in
  from 1 [] @ [ Support.read_all path ]

(* Whether every file but the last ends with a line's end, unless it is full. *)
let no_torn_lines ~most files =
  match List.rev files with
  | [] -> false
  | _ :: older ->
      List.for_all
        (fun text ->
          String.length text = most || text.[String.length text - 1] = '\n')
        older

let rotation =
  property ~count:60 "rotation loses no byte, tears no line, exceeds no size"
    QCheck.(pair (int_range 8 100) pieces)
    (fun (most, pieces) ->
      Support.with_temporary_folder @@ fun folder ->
      let path = Filename.concat folder "log" in
      let log = Log_file.open_ ~path ~most ~keep:100_000 in
      List.iter (Log_file.add log) pieces;
      Log_file.close log;
      let files = files_of path in
      String.concat "" files = String.concat "" pieces
      && List.for_all (fun text -> String.length text <= most) files
      && no_torn_lines ~most files)

let keeps () =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "log" in
  let write keep =
    let log = Log_file.open_ ~path ~most:4 ~keep in
    List.iter (Log_file.add log) [ "1\n"; "2\n"; "3\n4\n5\n6\n7\n" ];
    Log_file.end_line log;
    Log_file.close log
  in
  write 2;
  Alcotest.(check (list string)) "the newest" [ "3\n4\n"; "5\n6\n"; "7\n" ]
    (files_of path);
  Array.iter
    (fun name -> Sys.remove (Filename.concat folder name))
    (Sys.readdir folder);
  write 0;
  Alcotest.(check (list string)) "only the newest" [ "7\n" ] (files_of path)

let moved_away () =
  Support.with_temporary_folder @@ fun folder ->
  let path = Filename.concat folder "log" in
  let log = Log_file.open_ ~path ~most:1000 ~keep:1 in
  Log_file.add log "before\nand";
  Unix.rename path (path ^ ".moved");
  Log_file.add log " on\n";
  Log_file.reopen log;
  Log_file.add log "after";
  Log_file.end_line log;
  Log_file.end_line log;
  Log_file.close log;
  Alcotest.(check string) "moved" "before\nand on\n"
    (Support.read_all (path ^ ".moved"));
  Alcotest.(check string) "new" "after\n" (Support.read_all path)

let rec in_pieces sizes text =
  match sizes with
  | n :: more when n < String.length text && n > 0 ->
      String.sub text 0 n
      :: in_pieces more (String.sub text n (String.length text - n))
  | _ -> [ text ]

let line_found =
  property "a line is found however its stream is cut"
    QCheck.(pair bool (small_list (int_range 1 7)))
    (fun (there, sizes) ->
      let text =
        "first\nnow go" ^ (if there then "ing up" else "ne up") ^ "\nlast"
      in
      let watch = Line_watch.make "going" in
      List.exists (Line_watch.add watch) (in_pieces sizes text) = there)

let long_line () =
  let watch = Line_watch.make "up" in
  let fill = String.make (Line_watch.longest - 2) 'x' in
  Alcotest.(check bool) "within" true (Line_watch.add watch (fill ^ "up\n"));
  Alcotest.(check bool) "beyond" false
    (Line_watch.add watch (fill ^ "xxup\nu"));
  Alcotest.(check bool) "unfinished" false (Line_watch.add watch "p");
  Alcotest.(check bool) "finished" true (Line_watch.add watch "\n")

let cases =
  [
    Alcotest.test_case "X5 arguments that make no sense" `Quick nonsense;
    Alcotest.test_case "back-off doubles, then gives up" `Quick doubled;
    Alcotest.test_case "back-off starts over once settled" `Quick settles;
    Alcotest.test_case "who is started again" `Quick who_restarts;
    never_too_often;
    machine_law At_once;
    machine_law (Line "up");
    Alcotest.test_case "one that is not ready in time" `Quick late;
    Alcotest.test_case "a start that meets a stop" `Quick start_meets_stop;
    reads_what_it_wrote;
    refuses_prefixes;
    refuses_flips;
    never_raises;
    rotation;
    Alcotest.test_case "as many logs as are asked for" `Quick keeps;
    Alcotest.test_case "a log that was moved away" `Quick moved_away;
    line_found;
    Alcotest.test_case "a line that is too long" `Quick long_line;
  ]
