(* test_family_races.ml - families, and what comes in between

   The collector, another thread, a handler that raises, a fork and a hook that
   fails, each at the moment at which it would do harm. *)

open Xlchild
open Support

let check_bool = Alcotest.(check bool)
let check_int = Alcotest.(check int)

let shell ?family ?account ?(stdin = Null) text =
  command ?family ?account "sh" [ "-c"; text ]
    ~fds:(Fd_map.of_list [ (0, stdin); (1, Null); (2, Null) ])

let quiet f = with_context ~log:(fun _ _ _ -> ()) f

let holds ctx =
  List.filter
    (fun hold ->
      match Family.create_result ~holds:[ hold ] ctx with
      | Ok family -> Family.close family; true
      | Error _ -> false)
    [ Family.Group; Family.Cgroup ]

let each f = quiet @@ fun ctx -> List.iter (f ctx) (holds ctx)

(* ---- the collector ---- *)

(* Nobody has the family but a thread that waits in C, where it is a number. It
   is empty at the moment at which another one is made, which lets go of those
   that are forgotten: the thread is told that it is empty, not that it was
   closed. *)
let waiting_keeps_it () =
  each @@ fun ctx hold ->
  for _ = 1 to 30 do
    with_pipe @@ fun r w ->
    let answer = Atomic.make None in
    let waits = Atomic.make false in
    let[@inline never] start_it () =
      let family = Family.create ~holds:[ hold ] ctx in
      let child = start ctx (shell ~family ~stdin:(Fd r) "read x; :") in
      let cell = ref (Some family) in
      let thread =
        Thread.create
          (fun () ->
            let wait family =
              Atomic.set waits true;
              let result = Family.wait_result family in
              Atomic.set answer (Some result)
            in
            let family = Option.get !cell in
            cell := None;
            wait family)
          ()
      in
      (child, thread)
    in
    let child, thread = start_it () in
    check_bool "it waits" true (eventually (fun () -> Atomic.get waits));
    ignore (poll ~timeout:0.002 []);
    Gc.full_major ();
    Unix.close w;
    ignore (Child.wait child);
    Family.close (Family.create ~holds:[ Group ] ctx);
    Thread.join thread;
    match Atomic.get answer with
    | Some (Ok ()) -> ()
    | Some (Error e) -> Alcotest.fail (Error.to_string e)
    | None -> Alcotest.fail "no answer"
  done

let asking_keeps_it () =
  each @@ fun ctx hold ->
  for _ = 1 to 30 do
    with_pipe @@ fun r w ->
    let told = ref None in
    let[@inline never] start_it () =
      let family = Family.create ~holds:[ hold ] ctx in
      let child = start ctx (shell ~family ~stdin:(Fd r) "read x; :") in
      Family.when_empty family (fun answer -> told := Some answer);
      child
    in
    let child = start_it () in
    Gc.full_major ();
    Unix.close w;
    ignore (Child.wait child);
    Family.close (Family.create ~holds:[ Group ] ctx);
    check_bool "told" true
      (eventually (fun () ->
           ignore (check ctx);
           !told <> None));
    check_bool "well" true (!told = Some (Ok ()))
  done

(* The descriptors that are not what threads wait with, which is kept. *)
let of_families () =
  List.length
    (List.filter
       (fun fd ->
         match Unix.readlink ("/proc/self/fd/" ^ fd) with
         | target -> target <> "anon_inode:[eventfd]"
         | exception Unix.Unix_error _ -> false)
       (String.split_on_char ' ' (open_fds ())))

(* Families are forgotten and swept in several threads at once, while others
   wait, and the heap is moved: what a number names is named once. *)
let forgotten_by_many () =
  quiet @@ fun ctx ->
  ignore (run ctx ~family:Always (exit_with 0));
  let before = of_families () in
  let wrong = Atomic.make 0 in
  let worker i () =
    for k = 1 to 15 do
      let family = Family.create ~policy:Always ctx in
      let c = command ~family ~account:true ~search:false child [ "exit"; "7" ] in
      let started = start ctx c in
      if k mod 3 = i mod 3 then Gc.compact ();
      (match Child.wait started with
      | { status = Status (WEXITED 7); _ } -> ()
      | _ -> Atomic.incr wrong);
      (match Child.account started with
      | Some { ended_by = By_itself; _ } -> ()
      | _ -> Atomic.incr wrong);
      match Family.wait_result ~timeout:30. family with
      | Ok () -> ()
      | Error _ -> Atomic.incr wrong
    done
  in
  List.iter Thread.join (List.init 4 (fun i -> Thread.create (worker i) ()));
  check_int "all are right" 0 (Atomic.get wrong);
  Gc.full_major ();
  Gc.full_major ();
  Family.close (Family.create ctx);
  check_bool "nothing is left" true
    (eventually (fun () -> of_families () = before))

(* ---- closures ---- *)

(* They may use the library, close the family, make another one; the context
   alone cannot be closed there. *)
let used_from_its_closure () =
  each @@ fun ctx hold ->
  let family = Family.create ~policy:Always ~holds:[ hold ] ctx in
  let child = start ctx (shell ~family "sleep 1000 & :") in
  let said = ref [] in
  let say text = said := text :: !said in
  Family.when_empty family (fun _ ->
      say (if Family.is_empty family then "empty" else "not empty");
      (match close_result ctx with
      | Error { code = Busy; _ } -> say "busy"
      | _ -> say "closed");
      let other = Family.create ~holds:[ Group ] ctx in
      Family.when_empty other (fun _ -> say "another");
      Gc.full_major ();
      Family.close other;
      Family.close family;
      match Family.look_result family with
      | Error { code = Not_found; _ } -> say "gone"
      | _ -> say "there");
  Family.when_empty family (fun _ -> say "the second");
  check_bool "told" true
    (eventually (fun () ->
         ignore (check ctx);
         List.mem "the second" !said));
  ignore (Child.wait child);
  (* what is due, as the second one is, is told by any call in between *)
  Alcotest.(check (list string)) "as they were called"
    [ "empty"; "busy"; "another"; "gone" ]
    (List.filter (( <> ) "the second") (List.rev !said));
  check_int "each once" 5 (List.length !said)

(* A loop's hook that fails: the call raises what it raised, and what was asked
   is never told; asked again it is, once. *)
let a_hook_fails () =
  each @@ fun _ hold ->
  quiet @@ fun ctx ->
  let fails = ref false and timers = ref [] in
  let watch fd interest f =
    let entry = (fd, interest, f) in
    timers := `Fd entry :: !timers;
    { modify = ignore;
      unwatch = (fun () -> timers := List.filter (( != ) (`Fd entry)) !timers) }
  in
  let set_timer _ _ =
    if !fails then raise Exit;
    { fire_soon = ignore; cancel = ignore }
  in
  register_loop ctx (Some { watch; set_timer });
  let family = Family.create ~policy:Always ~holds:[ hold ] ctx in
  let child = start ctx (shell ~family "exec sleep 1000") in
  let told = ref [] in
  fails := true;
  (match Family.when_empty_result family (fun _ -> told := 1 :: !told) with
  | Ok () -> () (* there was a timer already *)
  | Error _ -> Alcotest.fail "an error, not what it raised"
  | exception Exit -> told := 0 :: !told);
  fails := false;
  let refused = !told = [ 0 ] in
  Family.when_empty family (fun _ -> told := 2 :: !told);
  Child.kill child Sys.sigkill;
  ignore (Child.wait child);
  check_bool "told" true
    (eventually (fun () ->
         ignore (check ctx);
         List.mem 2 !told));
  Alcotest.(check (list int)) "once"
    (if refused then [ 0; 2 ] else [ 1; 2 ])
    (List.sort compare !told);
  Family.close family

(* ---- forks ---- *)

(* A child of fork goes out of with_family by an exception: the family is the
   parent's, and so is its cgroup. *)
let out_of_a_fork () =
  each @@ fun ctx hold ->
  Family.with_family ~policy:Always ~holds:[ hold ] ctx @@ fun family ->
  let child = start ctx (shell ~family "exec sleep 1000") in
  flush_all ();
  (match Unix.fork () with
  | 0 ->
      (* each of these is refused, and none does harm *)
      let code =
        match
          Family.with_family ctx (fun _ -> 1)
        with
        | _ -> 1
        | exception Error _ -> (
            match Family.stop_result family with
            | Ok _ -> 2
            | Error _ -> (
                match Family.close_result family with
                | Ok () -> 3
                | Error _ ->
                    Gc.full_major ();
                    0))
      in
      Unix._exit code
  | pid -> (
      match Unix.waitpid [] pid with
      | _, WEXITED 0 -> ()
      | _, status -> Alcotest.fail (process_status status)));
  let s = Family.look family in
  check_bool "as it was" true (s.started && (not s.empty) && not s.ending);
  Option.iter
    (fun folder -> check_bool "there" true (Sys.is_directory folder))
    (Family.cgroup family);
  check_bool "the child lives" true (Child.poll child = None);
  ignore (Family.stop family);
  check_status "ended here" "signal 9"
    (let e = Child.wait child in
     match e.status with
     | Status (WSIGNALED n) when n = Sys.sigkill ->
         { e with status = Status (WSIGNALED 9) }
     | _ -> e);
  Family.wait ~timeout:30. family

(* ---- what is raised at any point ---- *)

(* A handler that raises while closures are being told: the exception comes out,
   and nobody's answer is lost. *)
let told_at_every_point () =
  quiet @@ fun ctx ->
  let until_told (told, _) =
    while !told = 0 do
      ignore (check ctx)
    done
  in
  let after (told, child) _ =
    check_bool "told" true
      (eventually (fun () ->
           ignore (check ctx);
           !told > 0));
    check_int "once" 1 !told;
    Option.iter (fun child -> ignore (Child.wait child)) child;
    Test_raising.none_left ctx ()
  in
  let sweep before = Test_raising.sweep ~before ~after until_told in
  sweep (fun () ->
      let told = ref 0 in
      ignore
        (run_async ctx ~family:Always (exit_with 0) (fun _ -> incr told));
      (told, None));
  sweep (fun () ->
      let told = ref 0 in
      ignore (run_async ctx (exit_with 0) (fun _ -> incr told));
      (told, None));
  let said = ref [] in
  sweep (fun () ->
      let told = ref 0 in
      let started = ref 0 and data = Buffer.create 10 in
      let say = verbs [ "say"; "hello"; "exit"; "0" ] in
      let out text = Buffer.add_string data text in
      ignore
        (run_async ctx say ~stdout:(`Stream out)
           ~started:(fun _ -> incr started)
           (fun o ->
             incr told;
             (* one that raised in there has ended the command *)
             if Outcome.is_success o then
               said := (!started, Buffer.contents data) :: !said));
      (told, None));
  check_bool "all of it" true
    (!said <> [] && List.for_all (( = ) (1, "hello\n")) !said);
  sweep (fun () ->
      let told = ref 0 in
      let report = Callback (fun _ -> incr told) in
      ignore (start ctx ~report (exit_with 0));
      (told, None));
  sweep (fun () ->
      let told = ref 0 in
      let family = Family.create ~holds:[ Group ] ctx in
      let c = command ~family ~search:false child [ "exit"; "0" ] in
      let child = start ctx c in
      Family.when_empty family (fun _ -> incr told);
      (told, Some child))

let cases =
  [
    case "F1 C32 B9 forgotten by many threads" forgotten_by_many;
    case "F2 B3 a family is used from its closure" used_from_its_closure;
    case "F2 O3 a hook that fails" a_hook_fails;
  ]
  @ not_under_valgrind ~why:"it knows no pidfds"
      [
        case "F2 B1 who waits keeps a family" waiting_keeps_it;
        case "F2 B1 who asks keeps a family" asking_keeps_it;
        case "F1 C14 a child of fork lets the family be" out_of_a_fork;
      ]
  @ not_under_valgrind ~why:Test_raising.points
      [ case "B10 F2 answers that are told, at every point" told_at_every_point ]
