(* xlchild_lwt.ml - promises over Xlchild

   pumped.ml has the context in Lwt's loop, families.ml those of its families. *)

open Lwt.Infix
open Pumped

type t = Pumped.t

let create = Pumped.create
let close = Pumped.close
let count t = Xlchild.count t.ctx

module Family = Families

(* ---- children ---- *)

type child = {
  child : Xlchild.Child.t;
  ended : Xlchild.ended Lwt.t;
  family : Family.t option;  (* of its own *)
  pumped : t;
}

(* Of one that was started nobody knows when this is called: a handler has raised.
   It is ended, with its group if it leads one. *)
let abandon child =
  (match
     Xlchild.Child.kill_result ~scope:Process_group child Sys.sigkill
   with
  | Ok () -> ()
  | Result.Error _ -> ignore (Xlchild.Child.kill_result child Sys.sigkill));
  ignore (Xlchild.Child.detach_result child)

let start_in family t command =
  let ended, resolve = Lwt.wait () in
  let child =
    Xlchild.start t.ctx command ~report:(Callback (resolver t resolve))
  in
  match
    resolve_soon t;
    { child; ended; family; pumped = t }
  with
  | started -> started
  | exception exn ->
      abandon child;
      raise exn

let start ?family t command =
  match family with
  | None -> start_in None t command
  | Some policy ->
      Families.in_its_own policy t command (fun family command ->
          start_in (Some family) t command)

let pid child = Xlchild.Child.pid child.child
let wait child = Lwt.protected child.ended
let family child = child.family

let account child =
  let account = Xlchild.Child.account child.child in
  resolve_soon child.pumped;
  account

let unless_ended = function
  | Ok () | Result.Error { Xlchild.code = Not_found; _ } -> ()
  | Result.Error e -> raise (Xlchild.Error e)

(* What is due meanwhile is told. *)
let unless_it_has child result =
  resolve_soon child.pumped;
  unless_ended result

let kill ?scope child signal =
  unless_it_has child
    (Xlchild.Child.kill_result ?scope child.child signal)

let end_it ?policy child =
  unless_it_has child (Xlchild.Child.terminate_result ?policy child.child)

let terminate ?policy child =
  match end_it ?policy child with
  | () -> wait child
  | exception exn -> Lwt.fail exn

(* Waits for [promise], which cannot be cancelled and does not fail; cancelled
   itself, or where a handler raises, it has [stop] bring the end about and waits
   for it. *)
let until_reaped promise ~stop =
  Lwt.catch
    (fun () -> Lwt.protected promise)
    (fun exn ->
      stop ();
      promise >>= fun _ -> Lwt.fail exn)

(* ---- pipes ---- *)

external write_quietly :
  Unix.file_descr -> Lwt_bytes.t -> int -> int -> int
  = "xlchild_ml_write_quietly"

external error_of_errno : int -> Unix.error = "xlchild_ml_error_of_errno"

(* No SIGPIPE comes of it: EPIPE is an exception, as in Lwt_process where that
   signal is ignored. *)
let write fd data from length =
  Lwt_unix.wrap_syscall Lwt_unix.Write fd (fun () ->
      let n = write_quietly (Lwt_unix.unix_file_descr fd) data from length in
      if n < 0 then
        raise (Unix.Unix_error (error_of_errno (-n), "write", ""));
      n)

let close_quietly fd =
  Lwt.catch
    (fun () -> Lwt_unix.close fd)
    (function Unix.Unix_error _ -> Lwt.return_unit | exn -> Lwt.fail exn)

(* The host's end and the child's. *)
let pipe_from_child () = Lwt_unix.pipe_in ~cloexec:true ()
let pipe_to_child () =
  let theirs, ours = Lwt_unix.pipe_out ~cloexec:true () in
  (ours, theirs)

let output_channel fd =
  Lwt_io.make ~mode:Lwt_io.output
    ~close:(fun () -> close_quietly fd)
    (fun data from length -> write fd data from length)

let input_channel fd =
  Lwt_io.of_fd ~mode:Lwt_io.input ~close:(fun () -> close_quietly fd) fd

(* What the host's stream has, as fast as the child takes it. A child that does
   not read on is no failure. *)
let feed fd chunks =
  let channel = output_channel fd in
  let close () =
    Lwt.catch (fun () -> Lwt_io.close channel) (fun _ -> Lwt.return_unit)
  in
  Lwt.catch
    (fun () ->
      Lwt_stream.iter_s
        (fun text ->
          Lwt_io.write channel text >>= fun () -> Lwt_io.flush channel)
        chunks)
    (function
      | Unix.Unix_error (Unix.EPIPE, _, _) -> Lwt.return_unit
      | exn ->
          !Lwt.async_exception_hook exn;
          Lwt.return_unit)
  >>= close

type input = [ Xlchild.input | `Stream of string Lwt_stream.t ]

(* [start] with a stdin as the library takes it; the stream is fed then. *)
let with_input (stdin : input option) start =
  match stdin with
  | None -> start None
  | Some (#Xlchild.input as stdin) -> start (Some stdin)
  | Some (`Stream chunks) -> (
      let ours, theirs = pipe_to_child () in
      match start (Some (`Fd theirs)) with
      | started ->
          Unix.close theirs;
          Lwt.async (fun () -> feed ours chunks);
          started
      | exception exn ->
          Unix.close theirs;
          Lwt.async (fun () -> close_quietly ours);
          raise exn)

(* ---- running to completion ---- *)

(* The loop does not wait for a start: that it came to nothing is its end. *)
let exec_alone t command =
  match start t (Xlchild.nowait command) with
  | exception exn -> Lwt.fail exn
  | child -> (
      match
        until_reaped child.ended ~stop:(fun () -> end_it child)
        >>= fun ended ->
        match Xlchild.not_started command ended with
        | None -> Lwt.return ended
        | Some e -> Lwt.fail (Xlchild.Error e)
      with
      | promise -> promise
      | exception exn ->
          (* a handler's, and there is no promise by which it could be ended *)
          abandon child.child;
          Lwt.fail exn)

let exec ?family t command =
  Families.for_one ?family t command ~cut_short:(fun _ -> false)
    (exec_alone t)

let run_alone ?stdin ?stdout ?stderr ?timeout ?until_eof t command =
  let outcome, resolve = Lwt.wait () in
  match
    with_input stdin (fun stdin ->
        Xlchild.run_async ?stdin ?stdout ?stderr ?timeout ?until_eof t.ctx
          (Xlchild.nowait command)
          (resolver t resolve))
  with
  | exception exn -> Lwt.fail exn
  | operation -> (
      match
        resolve_soon t;
        until_reaped outcome ~stop:(fun () ->
            match Xlchild.abort_result operation with
            | Result.Error { code = Aborted; _ } -> ()
            | result -> unless_ended result)
        >>= function
        | { Xlchild.ending = Not_started e; _ } -> Lwt.fail (Xlchild.Error e)
        | outcome -> Lwt.return outcome
      with
      | promise -> promise
      | exception exn ->
          ignore (Xlchild.abort_result operation);
          Lwt.fail exn)

let is_cut_short (outcome : Xlchild.outcome) =
  match outcome.ending with
  | Timeout | Abort | Out_of_memory -> true
  | Completed | Not_started _ -> false

let run ?stdin ?stdout ?stderr ?timeout ?until_eof ?family t command =
  Families.for_one ?family t command ~cut_short:is_cut_short
    (run_alone ?stdin ?stdout ?stderr ?timeout ?until_eof t)

let capture ?stdin ?timeout ?family t command =
  run ?stdin ~stdout:`Capture ?timeout ?family t command >|= fun outcome ->
  (outcome.Xlchild.out.data, outcome)

let as_result promise =
  Lwt.catch
    (fun () -> promise () >|= Result.ok)
    (function
      | Xlchild.Error e -> Lwt.return (Result.Error e)
      | exn -> Lwt.fail exn)

let exec_result ?family t command =
  as_result (fun () -> exec ?family t command)

let run_result ?stdin ?stdout ?stderr ?timeout ?until_eof ?family t command =
  as_result (fun () ->
      run ?stdin ?stdout ?stderr ?timeout ?until_eof ?family t command)

let capture_result ?stdin ?timeout ?family t command =
  as_result (fun () -> capture ?stdin ?timeout ?family t command)

(* ---- output as it comes ---- *)

let piece = 65536

(* What is in the pipe of a child that has ended: as much as a pipe holds, since
   a grandchild may write without end. *)
let most_pieces = 16

let rest fd =
  let buffer = Bytes.create piece in
  let fd = Lwt_unix.unix_file_descr fd in
  let rec more left =
    if left = 0 then []
    else
      match Unix.read fd buffer 0 piece with
      | 0 -> []
      | n ->
          let text = Bytes.sub_string buffer 0 n in
          text :: more (left - 1)
      | exception Unix.Unix_error (Unix.EINTR, _, _) -> more left
      | exception Unix.Unix_error _ -> []
  in
  Unix.set_nonblock fd;
  more most_pieces

(* Read when somebody wants it: a child that writes faster waits. When it has
   ended the pipe is emptied and closed, wanted or not. *)
let reading fd ~ended =
  let kept = ref [] and over = ref false in
  let buffer = Bytes.create piece in
  let reads = Lwt_mutex.create () in
  let finish () =
    Lwt_mutex.with_lock reads (fun () ->
        if !over then Lwt.return_unit
        else begin
          kept := !kept @ rest fd;
          over := true;
          close_quietly fd
        end)
  in
  Lwt.async (fun () ->
      Lwt.catch (fun () -> ended >|= ignore) (fun _ -> Lwt.return_unit)
      >>= finish);
  let at_its_end () =
    Lwt.catch
      (fun () -> Lwt.protected ended >|= fun _ -> `Look_again)
      (fun _ -> Lwt.return `Look_again)
  in
  let rec next () =
    match !kept with
    | text :: more ->
        kept := more;
        Lwt.return_some text
    | [] when !over -> Lwt.return_none
    | [] -> (
        Lwt_mutex.with_lock reads (fun () ->
            if !over || !kept <> [] then Lwt.return `Look_again
            else if not (Lwt.is_sleeping ended) then Lwt.return `Finish
            else
              Lwt.pick
                [ (Lwt_unix.wait_read fd >|= fun () -> `Read); at_its_end () ])
        >>= function
        | `Look_again -> Lwt.pause () >>= next
        | `Finish ->
            (* it is about to be done, unless a handler raised *)
            Lwt.pause () >>= finish >>= next
        | `Read when !over -> next () (* closed: the number is another's *)
        | `Read -> (
            match Unix.read (Lwt_unix.unix_file_descr fd) buffer 0 piece with
            | 0 -> Lwt.return_none
            | n -> Lwt.return_some (Bytes.sub_string buffer 0 n)
            | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK | EINTR), _, _)
              ->
                Lwt.pause () >>= next))
  in
  Lwt_stream.from next

let stream ?stdin ?stderr ?timeout ?family t command =
  let ours, theirs = pipe_from_child () in
  let outcome =
    run ?stdin ~stdout:(`Fd theirs) ?stderr ?timeout ?family t command
  in
  match
    Unix.close theirs;
    (reading ours ~ended:outcome, outcome)
  with
  | both -> both
  | exception exn ->
      Lwt.cancel outcome;
      raise exn

(* ---- with channels ---- *)

type process = {
  child : child;
  stdin : Lwt_io.output_channel;
  stdout : Lwt_io.input_channel;
  stderr : Lwt_io.input_channel;
}

let open_process ?family t command =
  let in_ours, in_theirs = pipe_to_child () in
  let out_ours, out_theirs = pipe_from_child () in
  let err_ours, err_theirs = pipe_from_child () in
  let theirs = [ in_theirs; out_theirs; err_theirs ] in
  let command =
    Xlchild.with_fds
      [ (0, Fd in_theirs); (1, Fd out_theirs); (2, Fd err_theirs) ]
      command
  in
  match
    let child = start ?family t command in
    match
      List.iter Unix.close theirs;
      {
        child;
        stdin = output_channel in_ours;
        stdout = input_channel out_ours;
        stderr = input_channel err_ours;
      }
    with
    | p -> p
    | exception exn ->
        abandon child.child;
        raise exn
  with
  | p -> p
  | exception exn ->
      List.iter
        (fun fd -> try Unix.close fd with Unix.Unix_error _ -> ())
        theirs;
      Lwt.async (fun () ->
          Lwt_list.iter_s close_quietly [ in_ours; out_ours; err_ours ]);
      raise exn

let close_channels p =
  let quietly close channel =
    Lwt.catch
      (fun () -> close channel)
      (function Unix.Unix_error _ -> Lwt.return_unit | exn -> Lwt.fail exn)
  in
  quietly Lwt_io.close p.stdin >>= fun () ->
  quietly Lwt_io.close p.stdout >>= fun () -> quietly Lwt_io.close p.stderr

let close_process p = close_channels p >>= fun () -> wait p.child

let gone child =
  match child.family with
  | None -> Lwt.return_unit
  | Some family -> Families.gone family

let with_process ?family t command f =
  match open_process ?family t command with
  | exception exn -> Lwt.fail exn
  | p ->
      Lwt.try_bind
        (fun () -> f p)
        (fun x -> close_process p >>= fun _ -> gone p.child >|= fun () -> x)
        (fun exn ->
          end_it p.child;
          close_process p >>= fun _ ->
          gone p.child >>= fun () -> Lwt.fail exn)
