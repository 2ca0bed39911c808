(* family_lwt.ml - families and accounts in Lwt's loop

   The same as tests/python/test_family_async.py has for Python's loops. Whoever
   a command leaves behind is made by the helper stray, in one of several ways,
   and found by a mark in its command line. Run by suite_lwt.ml. *)

open Lwt.Infix
open Xlchild
module Held = Xlchild.Family
module Family = Xlchild_lwt.Family

let check_bool = Alcotest.(check bool)
let check_int = Alcotest.(check int)
let helpers = Filename.concat (Sys.getenv "XLCHILD_ROOT") "build/tests/helpers"
let stray = Filename.concat helpers "stray"

let shell ?family ?account ?kill text =
  command ?family ?account ?kill "sh" [ "-c"; text ]
    ~fds:(Fd_map.of_list [ (0, Null); (1, Null); (2, Null) ])

let leaves = "sleep 1000 & :"
let stays = "sleep 1000 & wait"
let open_fds () =
  List.sort compare
    (List.filter_map
       (fun fd ->
         match Unix.readlink ("/proc/self/fd/" ^ fd) with
         | target -> Some (fd ^ " " ^ target)
         | exception Unix.Unix_error (ENOENT, _, _) -> None)
       (Array.to_list (Sys.readdir "/proc/self/fd")))

(* What threads of the library's own are about to close is let be closed. *)
let same_fds before =
  let rec look left =
    if left > 0 && open_fds () <> before then begin
      ignore (Xlchild.poll ~timeout:0.001 []);
      look (left - 1)
    end
  in
  look 2000;
  Alcotest.(check (list string)) "descriptors" before (open_fds ())

(* What the loop is to watch, and when to wake up. *)
let registrations () =
  (Lwt_engine.readable_count (), Lwt_engine.writable_count (),
   Lwt_engine.timer_count ())

let holds =
  lazy
    (with_context ~log:(fun _ _ _ -> ()) @@ fun ctx ->
     List.filter
       (fun hold ->
         match Held.create_result ~holds:[ hold ] ctx with
         | Ok family -> Held.close family; true
         | Error { code = Not_implemented; _ } -> false
         | Error e -> Alcotest.fail (Error.to_string e))
       [ Held.Group; Held.Cgroup ])

let ways () =
  if List.mem Held.Cgroup (Lazy.force holds) then
    [ "and"; "nohup"; "setsid"; "twice"; "closed" ]
  else [ "and"; "nohup" ]

let read_line_of path =
  match open_in_bin path with
  | exception Sys_error _ -> ""
  | file ->
      Fun.protect
        ~finally:(fun () -> close_in file)
        (fun () -> try input_line file with End_of_file | Sys_error _ -> "")

(* Who has the mark in its command line. *)
let left mark =
  List.filter
    (fun name ->
      match int_of_string_opt name with
      | Some pid when pid > 1 ->
          List.mem mark
            (String.split_on_char '\000'
               (read_line_of (Printf.sprintf "/proc/%d/cmdline" pid)))
      | _ -> false)
    (Array.to_list (Sys.readdir "/proc"))

let last = ref 0

let new_mark () =
  incr last;
  Printf.sprintf "lwt-%d-%d" (Unix.getpid ()) !last

let nobody mark = Alcotest.(check (list string)) "nobody is left" [] (left mark)

(* One of each hold, in turn. *)
let each ?policy ctx f =
  Lwt_list.iter_s
    (fun hold -> Family.with_family ?policy ~holds:[ hold ] ctx f)
    (Lazy.force holds)

let rec turns n =
  if n = 0 then Lwt.return_unit else Lwt.pause () >>= fun () -> turns (n - 1)

let fails code promise =
  Lwt.try_bind promise
    (fun _ -> Alcotest.fail "no error")
    (function
      | Xlchild.Error e ->
          Alcotest.(check string) "as it says" (code_text code)
            (code_text e.code);
          Lwt.return_unit
      | exn -> Lwt.fail exn)

let is_canceled promise =
  Lwt.try_bind
    (fun () -> promise)
    (fun _ -> Alcotest.fail "not cancelled")
    (function Lwt.Canceled -> Lwt.return_unit | exn -> Lwt.fail exn)

(* ---- F3: nobody is left ---- *)

let in_whatever_way ctx =
  Lwt_list.iter_s
    (fun way ->
      let mark = new_mark () in
      let c = command ~account:true stray [ way; mark ] in
      Xlchild_lwt.run ctx ~family:Always c >>= fun o ->
      check_bool "well" true (Outcome.is_success o);
      check_bool "its account" true
        (match o.account with
        | Some { ended_by = By_itself; _ } -> true
        | _ -> false);
      nobody mark;
      Xlchild_lwt.exec ctx ~family:Always c >>= fun ended ->
      check_bool "well" true (Ended.is_success ended);
      nobody mark;
      let child = Xlchild_lwt.start ctx ~family:Always c in
      check_bool "not yet" true
        (Xlchild_lwt.account child = None
        || not (Lwt.is_sleeping (Xlchild_lwt.wait child)));
      Xlchild_lwt.wait child >>= fun _ ->
      check_bool "by itself" true
        (match Xlchild_lwt.account child with
        | Some { ended_by = By_itself; _ } -> true
        | _ -> false);
      Family.wait (Option.get (Xlchild_lwt.family child)) >|= fun () ->
      nobody mark)
    (ways ())

let two_hundred ctx =
  let mark = new_mark () in
  let ways = Array.of_list (ways ()) in
  let before = registrations () and fds_before = open_fds () in
  Lwt_list.iter_p
    (fun i ->
      let way = ways.(i mod Array.length ways) in
      Xlchild_lwt.run ctx ~family:Always (command stray [ way; mark ])
      >|= fun o -> check_bool "well" true (Outcome.is_success o))
    (List.init (if Valgrind.present then 20 else 200) Fun.id)
  >>= fun () ->
  nobody mark;
  turns 3 >|= fun () ->
  check_bool "registrations" true (registrations () = before);
  same_fds fds_before

let streams_and_processes ctx =
  let mark = new_mark () in
  let c = command "sh" [ "-c"; Printf.sprintf "echo up; %s nohup %s" stray mark ]
  in
  Xlchild_lwt.capture ctx ~family:Always c >>= fun (out, _) ->
  Alcotest.(check string) "captured" "up\n" out;
  nobody mark;
  let chunks, outcome = Xlchild_lwt.stream ctx ~family:Always c in
  Lwt_stream.fold ( ^ ) chunks "" >>= fun out ->
  Alcotest.(check string) "streamed" "up\n" out;
  outcome >>= fun _ ->
  nobody mark;
  Xlchild_lwt.with_process ctx ~family:Always c (fun p ->
      Lwt_io.read_line p.stdout)
  >>= fun line ->
  Alcotest.(check string) "read" "up" line;
  nobody mark;
  (* the function fails while it runs *)
  let runs = command "sh" [ "-c"; Printf.sprintf "%s and %s; echo up; sleep 1000" stray mark ] in
  Lwt.catch
    (fun () ->
      Xlchild_lwt.with_process ctx ~family:On_timeout runs (fun p ->
          Lwt_io.read_line p.stdout >>= fun _ -> raise Exit))
    (function Exit -> Lwt.return_unit | exn -> Lwt.fail exn)
  >|= fun () -> nobody mark

let policies ctx =
  let fails_so = "sleep 1000 & exit 3" in
  Lwt_list.iter_s
    (fun (policy, text, ends) ->
      each ~policy ctx @@ fun family ->
      let child =
        Xlchild_lwt.start ctx (shell ~family:(Family.held family) text)
      in
      check_bool "none of its own" true (Xlchild_lwt.family child = None);
      Xlchild_lwt.wait child >>= fun _ ->
      check_bool "as it says" ends (Family.look family).ending;
      (if ends then Lwt.return_unit
       else
         fails Timed_out (fun () -> Family.wait ~timeout:0. family)
         >>= fun () ->
         fails Timed_out (fun () -> Family.wait ~timeout:0.01 family)
         >>= fun () ->
         Family.stop family >|= check_bool "somebody" true)
      >>= fun () -> Family.wait ~timeout:10. family)
    Held.
      [
        (Never, fails_so, false);
        (On_timeout, fails_so, false);
        (On_failure, leaves, false);
        (On_failure, fails_so, true);
        (Always, leaves, true);
      ]

let timed_out ctx =
  let mark = new_mark () in
  let c =
    command "sh" ~kill:(kill_at_once Process)
      [ "-c"; Printf.sprintf "%s nohup %s; sleep 1000" stray mark ]
  in
  Xlchild_lwt.run ctx ~family:On_timeout ~timeout:0.2 c >|= fun o ->
  check_bool "timed out" true (o.ending = Timeout);
  nobody mark

(* ---- cancelled, at each await ---- *)

(* [start]'s promise, cancelled when the loop has turned so often. *)
let cancelled_after n ctx ?family start =
  let r, w = Lwt_unix.pipe_in ~cloexec:true () in
  let c =
    command "sh" ~kill:(kill_at_once Process) [ "-c"; "sleep 1000 & exec sleep 1000" ]
      ~fds:(Fd_map.of_list [ (0, Null); (1, Fd w); (2, Null) ])
  in
  let promise = start ?family c in
  Unix.close w;
  turns n >>= fun () ->
  Lwt.cancel promise;
  is_canceled promise >>= fun () ->
  check_int "reaped" 0 (Xlchild_lwt.count ctx);
  (* nobody has it open *)
  Lwt_unix.read r (Bytes.create 1) 0 1 >>= fun n ->
  check_int "at its end" 0 n;
  Lwt_unix.close r

let cancelled ctx =
  let before = registrations () in
  Lwt_list.iter_s
    (fun (family : Held.policy) ->
      Lwt_list.iter_s
        (fun n ->
          cancelled_after n ctx ~family (fun ?family c ->
              Xlchild_lwt.exec ctx ?family c >|= ignore)
          >>= fun () ->
          cancelled_after n ctx ~family (fun ?family c ->
              Xlchild_lwt.run ctx ?family ~stdout:`Inherit c >|= ignore))
        [ 0; 1; 2; 5; 20 ])
    [ On_timeout; On_failure; Always ]
  >>= fun () ->
  turns 3 >|= fun () ->
  check_bool "registrations" true (registrations () = before)

(* Cancelled while whoever was ended is waited for: that goes on, and it is
   done then. *)
let cancelled_while_they_go ctx =
  let mark = new_mark () in
  let c = command stray [ "nohup"; mark ] in
  let rec again left =
    if left = 0 then Lwt.return_unit
    else begin
      let promise = Xlchild_lwt.exec ctx ~family:Always c in
      let rec until_reaped () =
        if Xlchild_lwt.count ctx = 0 then Lwt.return_unit
        else Lwt_unix.sleep 0.0001 >>= until_reaped
      in
      until_reaped () >>= fun () ->
      Lwt.cancel promise;
      Lwt.try_bind
        (fun () -> promise)
        (fun _ -> Lwt.return_unit)
        (function Lwt.Canceled -> Lwt.return_unit | exn -> Lwt.fail exn)
      >>= fun () ->
      nobody mark;
      again (left - 1)
    end
  in
  again 20

let a_wait_costs_nothing ctx =
  each ctx @@ fun family ->
  let child =
    Xlchild_lwt.start ctx (shell ~family:(Family.held family) stays)
  in
  let before = registrations () and fds_before = open_fds () in
  let by hand =
    let promise = Family.wait family in
    turns hand >>= fun () ->
    check_bool "pending" true (Lwt.is_sleeping promise);
    Lwt.cancel promise;
    is_canceled promise
  in
  Lwt_list.iter_s by [ 0; 1; 2; 5 ] >>= fun () ->
  Lwt_list.iter_s
    (fun () ->
      Lwt.catch
        (fun () ->
          Lwt_unix.with_timeout 0.01 (fun () -> Family.wait family))
        (function Lwt_unix.Timeout -> Lwt.return_unit | e -> Lwt.fail e))
    [ (); (); () ]
  >>= fun () ->
  check_bool "registrations" true (registrations () = before);
  same_fds fds_before;
  (* of many the one that is cancelled takes nobody along *)
  let waiting = List.init 3 (fun _ -> Family.wait family) in
  Lwt.cancel (List.nth waiting 1);
  is_canceled (List.nth waiting 1) >>= fun () ->
  let stopping = Family.stop ~signal:Sys.sigterm ~grace:5. family in
  Lwt.cancel stopping;
  is_canceled stopping >>= fun () ->
  List.nth waiting 0 >>= fun () ->
  List.nth waiting 2 >>= fun () ->
  Xlchild_lwt.wait child >>= fun _ ->
  Family.stop family >|= check_bool "nobody" false

(* However often the same is asked, the library has one to tell. *)
let it_is_asked_once ctx =
  each ctx @@ fun family ->
  let child =
    Xlchild_lwt.start ctx (shell ~family:(Family.held family) stays)
  in
  let words () =
    Gc.full_major ();
    (Gc.stat ()).live_words
  in
  let wait_and_cancel n =
    for _ = 1 to n do
      Lwt.cancel (Family.wait family)
    done;
    turns 2
  in
  wait_and_cancel 1000 >>= fun () ->
  let before = words () in
  wait_and_cancel 5000 >>= fun () ->
  check_bool "nothing grows" true (words () < before + 5000);
  Family.stop family >>= fun _ ->
  Xlchild_lwt.wait child >|= ignore

let grace ctx =
  each ctx @@ fun family ->
  let r, w = Lwt_unix.pipe_in ~cloexec:true () in
  let c =
    command "sh" ~family:(Family.held family)
      [ "-c"; "trap '' TERM; echo x; sleep 1000 & :" ]
      ~fds:(Fd_map.of_list [ (0, Null); (1, Fd w); (2, Null) ])
  in
  let child = Xlchild_lwt.start ctx c in
  Unix.close w;
  Xlchild_lwt.wait child >>= fun _ ->
  Family.stop ~signal:Sys.sigterm ~grace:0.02 family >>= fun somebody ->
  check_bool "somebody" true somebody;
  check_bool "empty" true (Family.is_empty family);
  Lwt_unix.read r (Bytes.create 2) 0 2 >>= fun _ ->
  Lwt_unix.read r (Bytes.create 1) 0 1 >>= fun n ->
  check_int "nobody has it open" 0 n;
  Lwt_unix.close r

(* ---- closures, two at once, and the loop ---- *)

exception Boom

(* One that raises is the hook's, and keeps nobody from being told. *)
let one_raises ctx =
  each ~policy:Always ctx @@ fun family ->
  let old = !Lwt.async_exception_hook and seen = ref [] in
  Lwt.async_exception_hook := (fun exn -> seen := exn :: !seen);
  Lwt.finalize
    (fun () ->
      let child =
        Xlchild_lwt.start ctx (shell ~family:(Family.held family) "read x; :")
      in
      let told = ref 0 in
      let one = Family.wait family in
      Held.when_empty (Family.held family) (fun _ -> raise Boom);
      Held.when_empty (Family.held family) (fun _ -> incr told);
      let two = Family.wait family in
      Xlchild_lwt.wait child >>= fun _ ->
      one >>= fun () ->
      two >>= fun () ->
      Lwt.pause () >|= fun () ->
      check_int "told" 1 !told)
    (fun () ->
      Lwt.async_exception_hook := old;
      Lwt.return_unit)
  >|= fun () -> check_bool "heard" true (!seen = [ Boom ])

let two_at_once ctx =
  Family.with_family ctx @@ fun one ->
  Family.with_family ctx @@ fun two ->
  let start family =
    Xlchild_lwt.start ctx (shell ~family:(Family.held family) stays)
  in
  let a = start one and b = start two in
  let first = Family.wait one and second = Family.wait two in
  Family.stop one >>= fun _ ->
  first >>= fun () ->
  check_bool "the other one lives" true
    (Lwt.is_sleeping second && not (Family.is_empty two));
  Lwt.join
    [ (Xlchild_lwt.wait a >|= ignore); (Family.stop two >|= ignore); second ]
  >>= fun () ->
  Xlchild_lwt.wait b >|= ignore

let closed_meanwhile ctx =
  let family = Family.create ~holds:[ Group ] ctx in
  let child =
    Xlchild_lwt.start ctx (shell ~family:(Family.held family) stays)
  in
  let waiting = Family.wait family in
  ignore (Family.signal family Sys.sigkill);
  Family.close family;
  fails Not_found (fun () -> waiting) >>= fun () ->
  fails Not_found (fun () -> Family.wait family) >>= fun () ->
  fails Not_found (fun () -> Family.stop family) >>= fun () ->
  (match Family.close family with
  | () -> Alcotest.fail "closed twice"
  | exception Xlchild.Error { code = Not_found; _ } -> ());
  Xlchild_lwt.wait child >|= ignore

let wrong ctx =
  Lwt_unix.sleep 0. >>= fun () ->
  let before = open_fds () in
  let family = Family.create ctx in
  let named : exn -> unit Lwt.t = function
    | Xlchild.Error { code = Invalid; argument = Some "family"; _ } ->
        Lwt.return_unit
    | exn -> Lwt.fail exn
  in
  let both = command ~family:(Family.held family) "true" [] in
  let refused promise =
    Lwt.try_bind promise (fun _ -> Alcotest.fail "not refused") named
  in
  refused (fun () -> Xlchild_lwt.run ctx ~family:Always both) >>= fun () ->
  refused (fun () -> Xlchild_lwt.exec ctx ~family:Always both) >>= fun () ->
  refused (fun () ->
      ignore (Xlchild_lwt.start ctx ~family:Always both);
      Lwt.return_unit)
  >>= fun () ->
  let other = Xlchild.create () in
  let stranger = Held.create other in
  refused (fun () ->
      Xlchild_lwt.exec ctx (command ~family:stranger "true" []))
  >>= fun () ->
  Held.close stranger;
  Xlchild.close other;
  let missing = command "/nonexistent" [] in
  let is_exec = function
    | Ok _ -> Alcotest.fail "it started"
    | Result.Error { stage = Exec; _ } -> ()
    | Result.Error e -> Alcotest.fail (Error.to_string e)
  in
  Xlchild_lwt.exec_result ctx ~family:Always missing >|= is_exec >>= fun () ->
  Xlchild_lwt.run_result ctx ~family:Always missing >|= is_exec >>= fun () ->
  Xlchild_lwt.capture_result ctx ~family:Always missing >|= is_exec
  >>= fun () ->
  (match Xlchild_lwt.start ctx ~family:Always missing with
  | _ -> Alcotest.fail "it started"
  | exception Xlchild.Error { stage = Exec; _ } -> ());
  Lwt.try_bind
    (fun () -> Family.wait ~timeout:nan family)
    (fun () -> Alcotest.fail "nan is no time")
    (function Invalid_argument _ -> Lwt.return_unit | e -> Lwt.fail e)
  >|= fun () ->
  Family.close family;
  same_fds before

(* Nobody has the child any more: its family is let go of when it is empty. *)
let dropped ctx =
  Lwt_unix.sleep 0. >>= fun () ->
  let before = open_fds () in
  let[@inline never] forget () =
    let child = Xlchild_lwt.start ctx ~family:Always (shell leaves) in
    Xlchild_lwt.wait child >>= fun _ ->
    Family.wait (Option.get (Xlchild_lwt.family child))
  in
  forget () >>= fun () ->
  turns 3 >|= fun () ->
  Gc.full_major ();
  Gc.full_major ();
  Family.close (Family.create ctx);
  same_fds before

(* Kept by who waits for it only. *)
let kept_while_somebody_waits ctx =
  let r, w = Unix.pipe ~cloexec:true () in
  let[@inline never] start () =
    let family = Family.create ctx in
    let child =
      Xlchild_lwt.start ctx
        (command "sh" [ "-c"; "read x; :" ] ~family:(Family.held family)
           ~fds:(Fd_map.of_list [ (0, Fd r); (1, Null); (2, Null) ]))
    in
    (child, Family.wait family)
  in
  let child, waiting = start () in
  Unix.close r;
  Gc.full_major ();
  Family.close (Family.create ctx);
  turns 3 >>= fun () ->
  check_bool "pending" true (Lwt.is_sleeping waiting);
  Unix.close w;
  waiting >>= fun () ->
  Xlchild_lwt.wait child >|= ignore

exception Given_up

(* Lwt_main.run ends while somebody waits: the next one goes on, and a context
   that is closed in between tells whoever waited, and leaves nothing. *)
let the_loop_is_given_up () =
  let before_all = open_fds () in
  let watched = registrations () in
  let ctx = Xlchild_lwt.create () in
  let go promise = try Lwt_main.run promise with Given_up -> () in
  let given_up start =
    let family = Family.create ~holds:[ Group ] ctx in
    let child =
      Xlchild_lwt.start ctx
        (shell ~family:(Family.held family) "exec sleep 1000")
    in
    let waiting = ref Lwt.return_unit in
    go
      (Lwt.pause () >>= fun () ->
       waiting := start family;
       Lwt_unix.sleep 0.01 >>= fun () -> Lwt.fail Given_up);
    check_bool "pending" true (Lwt.is_sleeping !waiting);
    (family, child, !waiting)
  in
  let wait family = Family.wait family in
  (* the next loop goes on *)
  let family, child, waiting = given_up wait in
  ignore (Family.signal family Sys.sigkill);
  Lwt_main.run (waiting >>= fun () -> Xlchild_lwt.wait child >|= ignore);
  Family.close family;
  (* it is cancelled when there is no loop *)
  let family, child, waiting = given_up wait in
  Lwt.cancel waiting;
  check_bool "cancelled" true (Lwt.state waiting = Lwt.Fail Lwt.Canceled);
  ignore (Family.signal family Sys.sigkill);
  Lwt_main.run (Xlchild_lwt.wait child >|= ignore);
  Family.close family;
  (* the context goes *)
  let family, child, waiting = given_up wait in
  ignore (Family.signal family Sys.sigkill);
  Lwt_main.run (Xlchild_lwt.wait child >|= ignore);
  let again = Family.create ctx in
  let pending =
    let child =
      Xlchild_lwt.start ctx
        (shell ~family:(Family.held again) "exec sleep 1000"
           ~kill:(kill_at_once Process))
    in
    ignore (child : Xlchild_lwt.child);
    let pending = Family.wait again in
    ignore (Family.signal again Sys.sigkill);
    pending
  in
  Xlchild_lwt.close ctx;
  Lwt_main.run
    (waiting >>= fun () ->
     fails Not_found (fun () -> pending) >>= fun () ->
     fails Closed (fun () -> Family.wait family));
  check_bool "registrations" true (registrations () = watched);
  same_fds before_all

let cases case =
  [
    case "F3 in whatever way nobody is left" in_whatever_way;
    case "F3 200 commands leave nobody" two_hundred;
    case "F3 streams and channels leave nobody" streams_and_processes;
    case "F3 a time-out takes it along" timed_out;
    case "F3 A2 cancelled, it is ended" cancelled;
    case "F3 A2 cancelled while they go" cancelled_while_they_go;
    case "F2 two at once" two_at_once;
    case "F2 B6 closed meanwhile" closed_meanwhile;
    case "F1 B5 what is wrong is said, and nothing stays" wrong;
    case "F1 a child that is dropped takes its family along" dropped;
    case "F2 B1 kept while somebody waits" kept_while_somebody_waits;
  ]
  @ Valgrind.without ~why:"it knows no pidfds, and so no group is held"
      [
        case "F3 the policies" policies;
        case "F2 a wait is cancelled and costs nothing" a_wait_costs_nothing;
        case "F2 B1 the library is asked once" it_is_asked_once;
        case "F2 SIGKILL comes after the grace" grace;
        case "F2 B3 a closure that raises keeps nobody from being told" one_raises;
        Alcotest.test_case "F2 a loop that is given up" `Quick
          the_loop_is_given_up;
      ]
