(* test_account.ml - why a child died, and what it cost: ~account:true

   tests/c/account.c has what the library promises; here is what OCaml adds. *)

open Xlchild
open Support

let check_bool = Alcotest.(check bool)
let check_string = Alcotest.(check string)
let sleep = command ~account:true "sleep" [ "1000" ]
let sh text = command ~account:true "sh" [ "-c"; text ]
let of_ child = Option.get (Child.account child)

(* Of a signal of ours it is only sure when the child was seen alive after it: on
   a busy machine it may have ended by then. *)
let by expected ?(perhaps = false) (a : Account.t) =
  check_string "who" (Account.ended_by_text expected)
    (Account.ended_by_text a.ended_by);
  match expected with
  | By_kill | By_timeout | By_abort -> ()
  | _ -> check_bool "how sure" perhaps a.perhaps

let an_exit_and_its_costs () =
  with_context @@ fun ctx ->
  let child = start ctx (sh "exit 3") in
  let ended = Child.wait child in
  let a = of_ child in
  by By_itself a;
  check_bool "nothing was sent" true (a.sent = None);
  check_bool "no core" true (a.core_dumped = Some false);
  (match (a.exec_time, a.end_time) with
  | Some e, Some o -> check_bool "in order" true (0. < e && e <= o && o < 600.)
  | _ -> Alcotest.fail "no times");
  check_bool "the kernel's usage" true (a.usage <> None && a.usage = ended.rusage);
  check_bool "it has no cgroup of its own" true
    (a.memory_kills = None && a.cpu_time = None && a.memory_peak = None
   && a.pids_peak = None && a.memory_stall = None && a.cpu_stall = None
   && a.io_stall = None)

let who_sent_it () =
  with_context @@ fun ctx ->
  let ours = start ctx sleep in
  check_bool "not yet" true (Child.account ours = None);
  Child.kill ours Sys.sigkill;
  ignore (Child.wait ours);
  by By_kill (of_ ours);
  check_bool "and what" true ((of_ ours).sent = Some (By_kill, Sys.sigkill));
  let theirs = start ctx sleep in
  Unix.kill (Child.pid theirs :> int) Sys.sigterm;
  ignore (Child.wait theirs);
  by By_others (of_ theirs);
  check_bool "not ours" true ((of_ theirs).sent = None);
  (* nobody could be asked whether SIGKILL was the memory killer's *)
  let own = start ctx (sh "kill -KILL $$") in
  ignore (Child.wait own);
  by By_others ~perhaps:true (of_ own);
  let relative = Family.create ~holds:[ Group ] ctx in
  let child =
    start ctx (command ~family:relative ~account:true "sleep" [ "1000" ])
  in
  ignore (Family.stop relative);
  ignore (Child.wait child);
  by By_kill (of_ child);
  Family.close relative

let runs () =
  with_context @@ fun ctx ->
  let cost (o : outcome) = Option.get o.account in
  by By_itself (cost (run ctx (sh "exit 1")));
  let killed = kill_at_once Process in
  let slow = command ~account:true ~kill:killed "sleep" [ "1000" ] in
  by By_timeout (cost (run ctx ~timeout:0.05 slow));
  let outcome = ref None in
  let operation = run_async ctx slow (fun o -> outcome := Some o) in
  abort operation;
  check_bool "told" true
    (eventually (fun () ->
         ignore (check ctx);
         !outcome <> None));
  by By_abort (cost (Option.get !outcome));
  check_bool "and what" true
    ((cost (Option.get !outcome)).sent = Some (By_abort, Sys.sigkill))

(* Each kind of report, and a batch. *)
let reports () =
  with_context @@ fun ctx ->
  let ends = ref 0 in
  let by_callback =
    start ctx (sh "exit 4")
      ~report:(Callback (fun _ -> incr ends))
  in
  check_bool "told" true
    (eventually (fun () ->
         ignore (check ctx);
         !ends = 1));
  by By_itself (of_ by_callback);
  let by_event = start ctx (sh "exit 5") ~report:(Event 7) in
  ignore (wait ctx);
  by By_itself (of_ by_event);
  (match start_many ctx [ (sh "exit 6", Hold); (exit_with 0, Hold) ] with
  | [ Ok asked; Ok not_asked ] ->
      ignore (Child.wait asked);
      ignore (Child.wait not_asked);
      by By_itself (of_ asked);
      check_bool "not asked for" true (Child.account not_asked = None)
  | _ -> Alcotest.fail "another answer");
  match start_result ctx (sh "exit 0") ~report:Silent with
  | Ok _ -> Alcotest.fail "nobody could ask for it"
  | Error e -> check_bool "refused" true (e.code = Invalid)

(* As the library knows a child: what nobody has is asked for by its number. *)
type unknown = {
  of_context : Xlchild.t;
  id : int;
  pid : int;
  mutable account : Account.t option;
}

external account_take : Xlchild.t -> unknown -> int
  = "xlchild_ml_account_take"

(* Accounts of children whose end is an event, and whose handles are dropped, are
   nobody's to ask for: they do not pile up. Who asks later has it all the same. *)
let dropped_handles () =
  with_context @@ fun ctx ->
  let c = command ~account:true ~search:false tiny [] in
  let end_of tag =
    match wait ctx with
    | Exited { tag = its; _ } when its = tag -> ()
    | _ -> Alcotest.fail "another event"
  in
  let asked = start ctx c ~report:(Event 2) in
  end_of 2;
  let[@inline never] some n =
    List.init n (fun _ ->
        let id = Child.id (start ctx c ~report:(Event 1)) in
        end_of 1;
        id)
  in
  let ids = some 50 in
  Gc.full_major ();
  Gc.full_major ();
  ignore (some 1);
  let is_there id =
    account_take ctx { of_context = ctx; id; pid = 0; account = None } = 0
  in
  Alcotest.(check int) "left" 0 (List.length (List.filter is_there ids));
  by By_itself (of_ asked)

let not_asked_for () =
  with_context @@ fun ctx ->
  let child = start ctx (exit_with 0) in
  ignore (Child.wait child);
  check_bool "a child" true (Child.account child = None);
  check_bool "a run" true ((run ctx (exit_with 0)).account = None);
  let child = start ctx sleep in
  Child.detach child;
  check_bool "detached" true (Child.account child = None);
  Child.kill_result child Sys.sigkill |> ignore;
  let pid = (Child.pid child :> int) in
  if pid > 1 then try Unix.kill pid Sys.sigkill with Unix.Unix_error _ -> ()

(* However many ask: one answer. *)
let one_answer () =
  with_context @@ fun ctx ->
  for _ = 1 to 20 do
    let child = start ctx (sh "exit 9") in
    let right = Atomic.make 0 in
    let ask () =
      ignore (Child.wait child);
      match Child.account child with
      | Some { ended_by = By_itself; _ } -> Atomic.incr right
      | _ -> ()
    in
    let threads = List.init 6 (fun _ -> Thread.create ask ()) in
    List.iter Thread.join threads;
    Alcotest.(check int) "all are told" 6 (Atomic.get right);
    check_bool "the same" true (Child.account child == Child.account child)
  done

let every_point () =
  with_context @@ fun ctx ->
  let c = command ~account:true ~search:false child [ "exit"; "9" ] in
  let before () = start ctx c in
  let after child _ =
    check_status "its status" "exit 9" (Child.wait child);
    by By_itself (of_ child)
  in
  Test_raising.sweep ~before ~after (fun child ->
      ignore (Child.wait child);
      ignore (Child.account child));
  Test_raising.sweep ~before:ignore
    ~after:(fun () answer ->
      Option.iter (fun (o : outcome) -> by By_itself (Option.get o.account)) answer;
      Test_raising.none_left ctx ())
    (fun () -> run ctx c)

let printed () =
  with_context @@ fun ctx ->
  let usage =
    match (run ctx (exit_with 0)).child.rusage with
    | Some u -> Some { u with user_time = 0.25; system_time = 0.5; max_rss = 7 }
    | None -> None
  in
  let a : Account.t =
    {
      ended_by = By_memory_killer;
      perhaps = true;
      core_dumped = Some true;
      sent = Some (By_timeout, Sys.sigterm);
      exec_time = Some 0.001;
      end_time = Some 1.5;
      usage;
      memory_kills = Some 1;
      cpu_time = Some 2.;
      memory_peak = Some 4096;
      pids_peak = Some 3;
      memory_stall = Some 0.5;
      cpu_stall = Some 0.25;
      io_stall = Some 0.125;
    }
  in
  check_string "all of it"
    "ended by the memory killer, perhaps, core dumped, sent signal 15 by a \
     time-out, a program after 0.001 s, over after 1.500 s, user 0.250 s, \
     system 0.500 s, 7 KiB, 1 killed for want of memory, its cgroup: cpu 2.000 \
     s, memory peak 4096, threads peak 3, waited for memory 0.500 s, for a \
     processor 0.250 s, for a device 0.125 s"
    (Format.asprintf "%a" Account.pp a);
  let less = { a with ended_by = By_itself; perhaps = false } in
  check_bool "compared" true
    (Account.equal a { a with perhaps = true }
    && (not (Account.equal a less))
    && Account.compare a less <> 0)

let cases =
  [
    case "C32 an exit, and its costs" an_exit_and_its_costs;
    case "C33 who sent the signal" who_sent_it;
    case "C32 C33 runs" runs;
    case "C32 with every report" reports;
    case "C32 C34 nobody asked" not_asked_for;
    case "C34 handles that are dropped" dropped_handles;
    case "B9 C32 one answer for all" one_answer;
    case "accounts in words" printed;
  ]
  @ not_under_valgrind ~why:Test_raising.points
      [ case "B10 C32 accounts, at every point" every_point ]
