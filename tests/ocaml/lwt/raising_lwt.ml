(* raising_lwt.ml - handlers that raise in what begins a promise

   As the sweeps of test_raising.ml: an exception at every allocation of a call
   made outside the loop. Afterwards the child is the host's, by its promise, or
   is gone (B11); no descriptor is left open, and the next call works. What comes
   inside the loop is the hook's, and the loop goes on (B3). *)

open Lwt.Infix
open Xlchild
open Sweeping

let child =
  Filename.concat (Sys.getenv "XLCHILD_ROOT") "build/tests/helpers/child"

let verbs list = command ~search:false child list
let pause = verbs [ "pause" ]

let open_fds () =
  Sys.readdir "/proc/self/fd" |> Array.to_list
  |> List.filter (fun fd -> Sys.file_exists ("/proc/self/fd/" ^ fd))
  |> List.sort compare |> String.concat " "

(* Turns of the loop, until it is so: for 10 s at most. *)
let eventually condition =
  let until = now () +. 10. in
  let rec turn () =
    if condition () then Lwt.return_true
    else if now () > until then Lwt.return_false
    else Lwt_unix.sleep 0.001 >>= turn
  in
  Lwt_main.run (turn ())

(* Lwt's own pipe loses its descriptors to an exception that comes into it. *)
let any_fds = ""

let as_before ctx fds =
  let well () =
    Xlchild_lwt.count ctx = 0 && (fds = any_fds || open_fds () = fds)
  in
  if not (eventually well) then
    Alcotest.failf "left at point %d: %d children, descriptors %s, not %s"
      !point (Xlchild_lwt.count ctx) (open_fds ()) fds

(* [finish] of what came out, in the loop. *)
let go ?fds ctx ~finish f =
  let fds = Option.value fds ~default:(open_fds ()) in
  sweep ~before:ignore
    ~after:(fun () answer ->
      Option.iter (fun x -> Lwt_main.run (finish x)) answer;
      as_before ctx fds)
    f

let ignoring promise = promise >|= ignore

let cancelled promise =
  Lwt.cancel promise;
  Lwt.catch
    (fun () -> promise >|= ignore)
    (function Lwt.Canceled -> Lwt.return_unit | exn -> Lwt.fail exn)

let with_context f () =
  let ctx = Xlchild_lwt.create () in
  (* Lwt's own descriptors are there by then, and a first family's *)
  Lwt_main.run
    ( Xlchild_lwt.capture ctx ~family:Always (verbs [ "exit"; "0" ])
    >>= fun _ -> Lwt_unix.sleep 0.001 );
  f ctx;
  Xlchild_lwt.close ctx

let starting ctx =
  let ended child =
    Xlchild_lwt.kill child Sys.sigkill;
    ignoring (Xlchild_lwt.wait child)
  in
  go ctx ~finish:ended (fun () -> Xlchild_lwt.start ctx pause);
  go ctx ~finish:ended (fun () -> Xlchild_lwt.start ctx (nowait pause));
  go ctx ~finish:ended (fun () ->
      Xlchild_lwt.start ctx ~family:Family.Always pause)

(* What a call raised is in its promise, or comes out of it. *)
let beginning ctx =
  let caught promise =
    Lwt.catch
      (fun () -> cancelled promise)
      (function Raised -> Lwt.return_unit | exn -> Lwt.fail exn)
  in
  go ctx ~finish:caught (fun () -> Xlchild_lwt.exec ctx pause);
  go ctx ~finish:caught (fun () ->
      Xlchild_lwt.exec ctx ~family:Family.Always pause);
  go ctx ~finish:caught (fun () -> Xlchild_lwt.run ctx pause);
  go ctx ~finish:caught (fun () ->
      Xlchild_lwt.run ctx ~stdout:`Capture ~timeout:100. pause);
  go ctx ~finish:caught (fun () ->
      Xlchild_lwt.run ctx ~family:Family.Always pause)

let channels ctx =
  let closed (p : Xlchild_lwt.process) =
    Xlchild_lwt.kill p.child Sys.sigkill;
    ignoring (Xlchild_lwt.close_process p)
  in
  go ~fds:any_fds ctx ~finish:closed (fun () -> Xlchild_lwt.open_process ctx pause);
  let over (chunks, outcome) =
    Lwt_stream.fold (fun _ n -> n + 1) chunks 0 >>= fun _ ->
    Lwt.catch
      (fun () -> ignoring outcome)
      (function Raised -> Lwt.return_unit | exn -> Lwt.fail exn)
  in
  let hook = !Lwt.async_exception_hook in
  (Lwt.async_exception_hook :=
     function Raised -> () | exn -> hook exn);
  Fun.protect
    ~finally:(fun () -> Lwt.async_exception_hook := hook)
    (fun () ->
      go ~fds:any_fds ctx ~finish:over (fun () ->
          Xlchild_lwt.stream ctx (verbs [ "say"; "x"; "exit"; "0" ])))

(* [kill] is one step: nothing can be raised in there. *)
let ending ctx =
  let fds = open_fds () in
  let each f =
    sweep
      ~before:(fun () -> Xlchild_lwt.start ctx pause)
      ~after:(fun child _ ->
        Xlchild_lwt.kill child Sys.sigkill;
        ignore (Lwt_main.run (Xlchild_lwt.wait child));
        as_before ctx fds)
      f
  in
  each (fun child -> ignore (Xlchild_lwt.terminate child))

let contexts () =
  let fds = open_fds () in
  sweep ~before:ignore
    ~after:(fun () answer ->
      Option.iter Xlchild_lwt.close answer;
      Gc.full_major ();
      if not (eventually (fun () -> open_fds () = fds)) then
        Alcotest.failf "left at point %d: %s, not %s" !point (open_fds ()) fds)
    (fun () -> Xlchild_lwt.create ())

let case name f = Alcotest.test_case name `Quick f

let cases =
  Valgrind.without ~why:"it samples no allocations"
    [
      case "B11 starts, at every point" (with_context starting);
      case "B10 B11 beginning a promise, at every point"
        (with_context beginning);
      case "B10 B11 channels, at every point" (with_context channels);
      case "B10 ending, at every point" (with_context ending);
      case "B10 X1 contexts, at every point" contexts;
    ]
