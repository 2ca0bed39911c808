(* test_loop.ml - inside the host's event loop, and properties of pure parts *)

open Xlchild
open Support

(* A small loop of the host's: watches and timers, run by select. *)
type host = {
  mutable watches :
    (Unix.file_descr * readiness ref * (readiness -> unit)) list;
  mutable timers : (float ref * (unit -> unit)) list;
  mutable watched : int;  (* registrations so far *)
}

let host () = { watches = []; timers = []; watched = 0 }

let loop_of h =
  {
    watch =
      (fun fd interest ready ->
        let interest = ref interest in
        let entry = (fd, interest, ready) in
        h.watches <- entry :: h.watches;
        h.watched <- h.watched + 1;
        {
          modify = (fun r -> interest := r);
          unwatch =
            (fun () -> h.watches <- List.filter (( != ) entry) h.watches);
        });
    set_timer =
      (fun at fired ->
        let entry = (ref at, fired) in
        h.timers <- entry :: h.timers;
        {
          fire_soon = (fun () -> fst entry := 0.);
          cancel = (fun () -> h.timers <- List.filter (( != ) entry) h.timers);
        });
  }

let turn h =
  let now = Unix.gettimeofday () in
  let wait =
    List.fold_left (fun w (at, _) -> min w (max 0. (!at -. now))) 5. h.timers
  in
  let wanted =
    List.filter_map
      (fun (fd, i, _) -> if !i.readable then Some fd else None)
      h.watches
  in
  let readable, _, _ =
    try Unix.select wanted [] [] wait
    with Unix.Unix_error (Unix.EINTR, _, _) -> ([], [], [])
  in
  List.iter
    (fun (fd, _, ready) ->
      if List.mem fd readable then ready { readable = true; writable = false })
    h.watches;
  let now = Unix.gettimeofday () in
  let due, later = List.partition (fun (at, _) -> !at <= now) h.timers in
  h.timers <- later;
  List.iter (fun (_, fired) -> fired ()) due

let registered () =
  let h = host () in
  with_context (fun ctx ->
      register_loop ctx (Some (loop_of h));
      Alcotest.(check int) "idle: nothing registered" 0 (List.length h.watches);
      let ended = ref [] in
      ignore
        (start ctx (exit_with 3) ~report:(Callback (fun e -> ended := e :: !ended)));
      Alcotest.(check bool) "registered" true (h.watched > 0);
      let killed = ref None in
      ignore
        (run_async ctx (verbs [ "pause" ]) ~timeout:0.05 (fun o ->
             killed := Some o));
      while !ended = [] || !killed = None do
        turn h
      done;
      check_status "status" "exit 3" (List.hd !ended);
      (match !killed with
      | Some o -> Alcotest.(check bool) "timeout" true (o.ending = Timeout)
      | None -> ());
      fails_with "not while a child lives" Busy (fun () ->
          let c = start ctx (verbs [ "pause" ]) in
          Fun.protect
            ~finally:(fun () ->
              Child.kill c Sys.sigkill;
              ignore (Child.wait c))
            (fun () -> register_loop ctx None)));
  Alcotest.(check int) "closed: no watch is left" 0 (List.length h.watches);
  Alcotest.(check int) "closed: no timer is left" 0 (List.length h.timers)

exception Refused

let hook_that_raises () =
  with_context @@ fun ctx ->
  register_loop ctx
    (Some
       {
         watch = (fun _ _ _ -> raise Refused);
         set_timer = (fun _ _ -> raise Refused);
       });
  (match start ctx (exit_with 0) with
  | _ -> Alcotest.fail "it started"
  | exception Refused -> ());
  Alcotest.(check int) "nothing runs" 0 (count ctx);
  register_loop ctx None;
  check_status "usable" "exit 2" (Child.wait (start ctx (exit_with 2)))

let polled () =
  with_context @@ fun ctx ->
  ignore (start ctx (exit_with 5) ~report:(Event 1));
  let rec go () =
    match check ctx with
    | Some (Exited { ended; _ }) -> check_status "status" "exit 5" ended
    | Some _ -> Alcotest.fail "another event"
    | None ->
        let entries, timeout = before_poll ~timeout:5. ctx in
        Alcotest.(check bool) "only lowered" true
          (match timeout with Some t -> t <= 5. | None -> false);
        let ready = poll ?timeout (List.map (fun e -> e.fd) entries) in
        after_poll ctx
          (List.map
             (fun e ->
               (e, { readable = List.mem e.fd ready; writable = false }))
             entries);
        go ()
  in
  go ()

let poll_many () =
  with_pipe @@ fun r w ->
  Alcotest.(check bool) "nothing" true (poll ~timeout:0. [ r ] = []);
  ignore (Unix.write_substring w "x" 0 1);
  Alcotest.(check bool) "readable" true (poll ~timeout:5. [ r ] = [ r ]);
  let before = now () in
  Alcotest.(check bool) "in time" true (poll ~timeout:0.02 [] = []);
  Alcotest.(check bool) "the clock goes on" true (now () -. before >= 0.01)

let passed_on () =
  with_context ~owner:Mainloop @@ fun ctx ->
  let c = start ctx (verbs [ "signal"; "SIGUSR2" ]) in
  let pid, status = Unix.waitpid [] (Child.pid c :> int) in
  Alcotest.(check bool) "a stranger" false (exited ctx 999_999_999 status);
  Alcotest.(check bool) "ours" true (exited ctx pid status);
  Alcotest.(check bool) "once" false (exited ctx pid status);
  check_status "as it was passed"
    (Printf.sprintf "signal %d" Sys.sigusr2)
    (Child.wait c);
  let c = start ctx (exit_with 11) in
  while Child.poll c = None do
    sigchld_occurred ctx
  done;
  check_status "as it was reaped" "exit 11" (Child.wait c)

let diagnosed () =
  with_context ~owner:Libxl @@ fun ctx ->
  let d = diagnose ctx in
  Alcotest.(check bool) "mode" true
    (d.mode_asked = Libxl && d.mode_in_force = Libxl && d.mode_reason = None);
  Alcotest.(check int) "children" 0 d.children;
  Alcotest.(check bool) "words" true (String.length d.words > 0);
  fails_with "another owner" Sigchld_conflict (fun () ->
      create ~owner:Mainloop ())

(* ---- properties ---- *)

let check_property ?(count = 200) name arbitrary law () =
  QCheck.Test.check_exn (QCheck.Test.make ~count ~name arbitrary law)

let numbers_round_trip =
  check_property "codes" QCheck.(int_range (-2000) 2000) (fun n ->
      code_number (code_of_number n) = n)

let any_end =
  check_property ~count:60 "ends"
    QCheck.(pair bool (int_range 0 255))
    (fun (signalled, n) ->
      with_context @@ fun ctx ->
      if signalled && n >= 34 && n <= 64 then
        (Child.wait (start ctx (verbs [ "signal"; string_of_int n ]))).status
        = Status (Unix.WSIGNALED n)
      else (Child.wait (start ctx (exit_with n))).status
           = Status (Unix.WEXITED n))

(* Any map of targets to two pipes, the null device and nothing. *)
let any_fd_map =
  check_property ~count:60 "descriptor maps"
    QCheck.(small_list (pair (int_range 3 12) (int_range 0 3)))
    (fun wanted ->
      let wanted = List.sort_uniq (fun (a, _) (b, _) -> compare a b) wanted in
      with_context @@ fun ctx ->
      with_pipe @@ fun r w ->
      let source = function
        | 0 -> Fd r
        | 1 -> Fd w
        | 2 -> Null
        | _ -> Closed_fd
      in
      let fds =
        Fd_map.of_list (List.map (fun (t, s) -> (t, source s)) wanted)
      in
      let o =
        run ctx (command ~search:false ~fds child [ "fds" ]) ~stdout:`Capture
      in
      let expected =
        "0" :: "1" :: "2"
        :: List.filter_map
             (fun (t, s) -> if s < 3 then Some (string_of_int t) else None)
             wanted
      in
      o.out.data = String.concat "\n" expected ^ "\n")

let cases =
  [
    case "O4 a loop that registers" registered;
    case "O3 B3 a hook that raises" hook_that_raises;
    case "O1 before and after poll" polled;
    case "poll and the clock" poll_many;
    case "C2 B4 statuses passed on" passed_on;
    case "X3 diagnosis, and a refused owner" diagnosed;
    case "codes and numbers, any of them" numbers_round_trip;
    case "B4 any end is told as it is" any_end;
    case "C16 any descriptor map" any_fd_map;
  ]
