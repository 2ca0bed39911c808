(* suite_eio.ml - children in Eio's fibers

   Built where Eio is, and run there by eio.sh, once a backend of Eio's. Each case
   leaves no child, no descriptor and no thread waiting. *)

open Eio.Std
module X = Xlchild
module E = Xlchild_eio

let sh script = X.command "sh" [ "-c"; script ]
let sleeping = X.command "sleep" [ "1000" ]

let stubborn =
  X.command "sh"
    ~kill:(X.kill_policy ~grace:0.05 ())
    [ "-c"; "trap '' TERM; echo up; while :; do sleep 1000; done" ]

let check_bool = Alcotest.(check bool)
let check_int = Alcotest.(check int)
let check_string = Alcotest.(check string)

let status name expected (ended : X.ended) =
  check_string name expected (X.Status.to_string ended.status)

let no_children () =
  match Unix.waitpid [ Unix.WNOHANG ] (-1) with
  | exception Unix.Unix_error (Unix.ECHILD, _, _) -> ()
  | _ -> Alcotest.fail "a child is left"

let open_fds () =
  List.length
    (List.filter
       (fun fd -> Sys.file_exists ("/proc/self/fd/" ^ fd))
       (Array.to_list (Sys.readdir "/proc/self/fd")))

(* In a switch that has a context; its children are over afterwards. *)
let within f () =
  let fds = open_fds () in
  (Eio_main.run @@ fun env ->
   Switch.run @@ fun sw ->
   f env sw (E.create ~sw ()));
  no_children ();
  check_int "descriptors" fds (open_fds ())

exception Boom

(* [f] is cancelled after so many seconds. *)
let cancelled env ~after f =
  let clock = Eio.Stdenv.clock env in
  match Eio.Time.with_timeout clock after (fun () -> Ok (f ())) with
  | Ok _ -> Alcotest.fail "it was not cancelled"
  | Error `Timeout -> ()

(* ---- children ---- *)

let statuses _ sw t =
  List.iter
    (fun n ->
      let script = Printf.sprintf "exit %d" n in
      status script (Printf.sprintf "exit code %d" n) (E.exec t (sh script));
      status script
        (Printf.sprintf "exit code %d" n)
        (E.await (E.start ~sw t (sh script))))
    [ 0; 1; 77; 255 ];
  status "signal" "signal 9" (E.exec t (sh "kill -9 $$"));
  check_int "none lives" 0 (E.count t)

let many _ _ t =
  let one n () =
    let ended = E.exec t (sh (Printf.sprintf "exit %d" n)) in
    status "its own" (Printf.sprintf "exit code %d" n) ended
  in
  Fiber.all (List.init 100 one)

let told_to_all _ sw t =
  let child = E.start ~sw t (sh "read x; exit 4") in
  ignore (E.pid child);
  Fiber.all
    (List.init 10 (fun _ () -> status "each" "exit code 4" (E.await child)));
  status "for ever" "exit code 4" (E.await child);
  E.kill child Sys.sigkill;
  status "terminated" "exit code 4" (E.terminate child)

let with_stdin_held f =
  let r, w = Unix.pipe ~cloexec:true () in
  Fun.protect
    ~finally:(fun () ->
      Unix.close r;
      Unix.close w)
    (fun () -> f r w)

(* Cancelling who waits does nothing to the child. *)
let awaiting_is_cancelled env sw t =
  with_stdin_held @@ fun r w ->
  let child =
    E.start ~sw t (X.with_fds [ (0, X.Fd r) ] (sh "read x; exit 3"))
  in
  cancelled env ~after:0.02 (fun () ->
      E.await child);
  ignore (Unix.write_substring w "x\n" 0 2);
  status "it went on" "exit code 3" (E.await child)

let killing _ sw t =
  let child = E.start ~sw t sleeping in
  E.kill child Sys.sigterm;
  status "killed" "signal 15" (E.await child);
  let child = E.start ~sw t sleeping in
  status "by policy" "signal 15" (E.terminate child)

let failed_start _ sw t =
  let fails f =
    match f () with
    | _ -> Alcotest.fail "it started"
    | exception X.Error { stage = Exec; errno = Some ENOENT; _ } -> ()
  in
  let none = X.command "/nonexistent" [] in
  fails (fun () -> ignore (E.exec t none));
  fails (fun () -> ignore (E.start ~sw t none));
  fails (fun () -> ignore (E.run t none));
  (match E.run_result t none with
  | Error { stage = Exec; _ } -> ()
  | _ -> Alcotest.fail "no error");
  match E.exec_result t (X.command ~cwd:"/nonexistent" "true" []) with
  | Error { stage = Chdir; _ } -> ()
  | _ -> Alcotest.fail "no error"

(* ---- switches ---- *)

let alive pid =
  match Unix.kill pid 0 with () -> true | exception Unix.Unix_error _ -> false

let switch_ends _ _ t =
  let pids =
    Switch.run @@ fun sw ->
    List.init 5 (fun _ -> (E.pid (E.start ~sw t sleeping) :> int))
  in
  check_bool "ended and reaped" false (List.exists alive pids);
  check_int "none lives" 0 (E.count t)

let switch_fails _ _ t =
  let pid = ref 0 in
  (match
     Switch.run @@ fun sw ->
     pid := (E.pid (E.start ~sw t sleeping) :> int);
     raise Boom
   with
  | () -> Alcotest.fail "no exception"
  | exception Boom -> ());
  check_bool "ended and reaped" false (alive !pid)

(* The context's own switch: its fiber has gone already. *)
let same_switch _ sw t = ignore (E.start ~sw t sleeping)

let switch_is_over _ _ t =
  let gone = ref None in
  (try
     Switch.run @@ fun sw ->
     gone := Some sw;
     Switch.fail sw Boom
   with Boom -> ());
  match E.start ~sw:(Option.get !gone) t sleeping with
  | _ -> Alcotest.fail "it started"
  | exception _ -> check_int "none lives" 0 (E.count t)

let policy_of_switch _ _ t =
  (Switch.run @@ fun sw ->
   let r, w = Eio_unix.pipe sw in
   Eio_unix.Fd.use_exn "w" (Eio_unix.Resource.fd w) (fun fd ->
       let c = E.start ~sw t (X.with_fds [ (1, X.Fd fd) ] stubborn) in
       ignore (E.pid c));
   check_string "it ignores SIGTERM" "up"
     (Eio.Buf_read.line (Eio.Buf_read.of_flow ~max_size:100 r)));
  check_int "none lives" 0 (E.count t)

let not_kept _ sw t =
  for _ = 1 to 500 do
    ignore (E.await (E.start ~sw t (X.command "true" [])))
  done

(* ---- cancellation ---- *)

let soon = 0.03

let cancelling env _ t =
  List.iter
    (fun f ->
      cancelled env ~after:soon f;
      check_int "ended and reaped" 0 (E.count t))
    [
      (fun () -> ignore (E.exec t sleeping));
      (fun () -> ignore (E.exec t stubborn));
      (fun () -> ignore (E.run t sleeping));
      (fun () -> ignore (E.capture t sleeping));
    ]

let racing _ _ t =
  let winner =
    Fiber.first
      (fun () -> E.exec t (sh "exit 5"))
      (fun () -> E.exec t sleeping)
  in
  status "the first" "exit code 5" winner;
  check_int "the other is over" 0 (E.count t)

let timeout _ _ t =
  let o = E.run ~timeout:0.03 t sleeping in
  check_bool "timeout" true (o.ending = X.Timeout);
  status "killed" "signal 15" o.child

(* ---- streams ---- *)

let capturing _ _ t =
  let out, o = E.capture t (sh "echo out; exit 2") ~stdin:(`String "") in
  check_string "output" "out\n" out;
  status "status" "exit code 2" o.child;
  let o = E.run t ~stdout:`Capture ~stderr:`Merge (sh "echo out; echo err >&2") in
  check_string "merged" "out\nerr\n" o.out.data

let sink buffer = `Flow (Eio.Flow.buffer_sink buffer :> Eio.Flow.sink_ty r)
let source text = `Flow (Eio.Flow.string_source text :> Eio.Flow.source_ty r)

let flows _ _ t =
  let out = Buffer.create 100 and err = Buffer.create 100 in
  let o =
    E.run t ~stdin:(source "hello") ~stdout:(sink out) ~stderr:(sink err)
      (sh "tr a-z A-Z; echo err >&2; exit 6")
  in
  status "status" "exit code 6" o.child;
  check_string "stdout" "HELLO" (Buffer.contents out);
  check_string "stderr" "err\n" (Buffer.contents err)

let large_flows _ _ t =
  let text = String.init 3_000_000 (fun i -> Char.chr (i * 7 mod 251)) in
  let out = Buffer.create 3_000_000 in
  ignore (E.run t ~stdin:(source text) ~stdout:(sink out) (X.command "cat" []));
  check_bool "through" true (Buffer.contents out = text)

let deaf _ _ t =
  let text = String.make 1_000_000 'x' in
  let o = E.run t ~stdin:(source text) (X.command "true" []) in
  status "no failure" "exit code 0" o.child;
  (* somebody else holds the reading end *)
  let o =
    E.run t ~stdin:(source text)
      (sh "sleep 0.2 < /dev/stdin & exec true")
  in
  status "nor is that" "exit code 0" o.child

let held_open _ _ t =
  let out = Buffer.create 10 in
  let o = E.run t ~stdout:(sink out) (sh "echo first; sleep 1000 & echo $!") in
  match String.split_on_char '\n' (Buffer.contents out) with
  | [ "first"; pid; "" ] ->
      let pid = int_of_string pid in
      check_bool "a pid" true (pid > 1);
      Unix.kill pid Sys.sigkill;
      status "status" "exit code 0" o.child
  | _ -> Alcotest.fail (Buffer.contents out)

let until_eof _ _ t =
  let out = Buffer.create 10 in
  ignore
    (E.run t ~until_eof:true ~stdout:(sink out)
       (sh "(sleep 0.05; echo late) & echo soon"));
  check_string "all of it" "soon\nlate\n" (Buffer.contents out)

(* One that takes pieces, and takes its time. *)
module Slow = struct
  type t = { took : int ref; most : int ref; pause : unit -> unit }

  let rss () =
    let file = open_in "/proc/self/statm" in
    Fun.protect
      ~finally:(fun () -> close_in file)
      (fun () -> Scanf.sscanf (input_line file) "%d %d" (fun _ n -> n * 4096))

  let single_write t pieces =
    let n = Cstruct.lenv pieces in
    t.pause ();
    t.took := !(t.took) + n;
    t.most := max !(t.most) (rss ());
    n

  let copy t ~src = Eio.Flow.Pi.simple_copy ~single_write t ~src
end

let slow took most pause : Eio.Flow.sink_ty r =
  let handler = Eio.Flow.Pi.sink (module Slow) in
  Eio.Resource.T ({ Slow.took; most; pause }, handler)

let back_pressure _ _ t =
  Gc.compact ();
  let took = ref 0 and most = ref 0 in
  let before = Slow.rss () in
  let o =
    E.run t
      ~stdout:(`Flow (slow took most Fiber.yield))
      (X.command "head" [ "-c"; "300000000"; "/dev/zero" ])
  in
  status "status" "exit code 0" o.child;
  check_int "all of it" 300_000_000 !took;
  check_bool "in 16 MiB" true (!most - before < 16 * 1024 * 1024)

let sink_fails _ _ t =
  (match
     E.run t
       ~stdout:(`Flow (slow (ref 0) (ref 0) (fun () -> raise Boom)))
       (sh "echo x; exec sleep 1000")
   with
  | _ -> Alcotest.fail "no exception"
  | exception Boom -> ());
  check_int "ended and reaped" 0 (E.count t)

(* ---- Eio's own interface ---- *)

let eio_process _ _ t =
  let mgr = E.process_mgr t in
  check_string "parse_out" "hello"
    (Eio.Process.parse_out mgr Eio.Buf_read.line [ "echo"; "hello" ]);
  (match Eio.Process.run mgr [ "sh"; "-c"; "exit 3" ] with
  | () -> Alcotest.fail "no failure"
  | exception Eio.Io (Eio.Process.E (Child_error (`Exited 3)), _) -> ());
  let out = Buffer.create 10 in
  Eio.Process.run mgr
    ~stdin:(Eio.Flow.string_source "text")
    ~stdout:(Eio.Flow.buffer_sink out) [ "cat" ];
  check_string "flows" "text" (Buffer.contents out);
  (Switch.run @@ fun sw ->
   let p = Eio.Process.spawn ~sw mgr [ "sleep"; "1000" ] in
   check_bool "a pid" true (Eio.Process.pid p > 1);
   Eio.Process.signal p Sys.sigint;
   check_bool "signalled" true (Eio.Process.await p = `Signaled Sys.sigint);
   Eio.Process.signal p Sys.sigkill);
  Switch.run @@ fun sw ->
  ignore (Eio.Process.spawn ~sw mgr [ "sleep"; "1000" ])

let eio_folder env _ t =
  let mgr = E.process_mgr t in
  let cwd = Eio.Path.(Eio.Stdenv.fs env / "/usr") in
  check_string "folder" "/usr"
    (Eio.Process.parse_out mgr Eio.Buf_read.line ~cwd [ "pwd" ]);
  check_string "environment" "A=1"
    (Eio.Process.parse_out mgr Eio.Buf_read.line ~env:[| "A=1" |]
       ~executable:"/usr/bin/env" [ "env" ])

let eio_errors _ _ t =
  let mgr = E.process_mgr t in
  let fails name expected executable =
    match Eio.Process.run mgr ~executable [ "x" ] with
    | () -> Alcotest.fail "it started"
    | exception Eio.Io (Eio.Process.E e, _) ->
        check_bool name true (e = expected)
  in
  fails "none" (Executable_not_found "/nonexistent") "/nonexistent";
  fails "denied" (Permission_denied "/etc/passwd") "/etc/passwd"

(* ---- domains ---- *)

let domains env _ t =
  let manager = Eio.Stdenv.domain_mgr env in
  Fiber.all
    (List.init 4 (fun d () ->
         Eio.Domain_manager.run manager (fun () ->
             Fiber.all
               (List.init 25 (fun i () ->
                    let n = (d * 25) + i in
                    status "its own"
                      (Printf.sprintf "exit code %d" n)
                      (E.exec t (sh (Printf.sprintf "exit %d" n))))))));
  let c = ref None in
  Switch.run @@ fun sw ->
  c := Some (E.start ~sw t sleeping);
  let c = Option.get !c in
  Eio.Domain_manager.run manager (fun () -> E.kill c Sys.sigkill);
  status "killed from another" "signal 9" (E.await c)

let forked _ _ t =
  match Unix.fork () with
  | exception Failure _ -> () (* OCaml forks no program that had domains *)
  | 0 ->
      let refused =
        match Xlchild_eio.count t with
        | _ -> false
        | exception X.Error _ -> true
      in
      Unix._exit (if refused then 0 else 1)
  | pid -> check_bool "refused" true (snd (Unix.waitpid [] pid) = WEXITED 0)

(* ---- beside others ---- *)

let beside_eio env _ t =
  let own = Eio.Stdenv.process_mgr env in
  Fiber.all
    (List.concat
       (List.init 25 (fun n ->
            [
              (fun () ->
                let script = Printf.sprintf "exit %d" n in
                Switch.run @@ fun sw ->
                let p = Eio.Process.spawn ~sw own [ "sh"; "-c"; script ] in
                check_bool "Eio's own" true (Eio.Process.await p = `Exited n));
              (fun () ->
                status "ours"
                  (Printf.sprintf "exit code %d" (100 + n))
                  (E.exec t (sh (Printf.sprintf "exit %d" (100 + n)))));
            ])))

let log_raises () =
  match
    Eio_main.run @@ fun _ ->
    Switch.run @@ fun sw ->
    let t = E.create ~sw ~min_level:X.Debug ~log:(fun _ _ _ -> raise Boom) () in
    ignore (E.exec t (X.command "true" []))
  with
  | () -> no_children ()
  | exception Boom -> no_children ()

let case name f = Alcotest.test_case name `Quick (within f)

let () =
  Alcotest.run "xlchild-eio"
    [
      ( "children",
        [
          case "C5 statuses" statuses;
          case "C5 a hundred at once" many;
          case "B9 told to all" told_to_all;
          case "A2 who waits is cancelled" awaiting_is_cancelled;
          case "C13 killing" killing;
          case "C15 failed starts" failed_start;
        ] );
      ( "switches",
        [
          case "B11 released" switch_ends;
          case "B11 failed" switch_fails;
          case "B11 the context's own" same_switch;
          case "X5 one that is over" switch_is_over;
          case "C13 by policy" policy_of_switch;
          case "C21 what has ended is not kept" not_kept;
        ] );
      ( "cancellation",
        [
          case "A2 ends the child and waits" cancelling;
          case "A2 the first of two" racing;
          case "C18 timeout" timeout;
        ] );
      ( "streams",
        [
          case "captured" capturing;
          case "flows" flows;
          case "C18 large flows" large_flows;
          case "C18 nobody reads" deaf;
          case "C18 held open" held_open;
          case "to the end" until_eof;
          case "C18 a slow sink" back_pressure;
          case "B3 a sink that raises" sink_fails;
        ] );
      ( "Eio's interface",
        [
          case "spawn, run, parse_out" eio_process;
          case "C16 folder and environment" eio_folder;
          case "C15 errors" eio_errors;
          case "beside Eio's own children" beside_eio;
        ] );
      ( "forks and domains",
        [
          case "C14 in a child of fork" forked;
          case "B2 four domains" domains;
          Alcotest.test_case "B3 a log closure that raises" `Quick log_raises;
        ] );
    ]
