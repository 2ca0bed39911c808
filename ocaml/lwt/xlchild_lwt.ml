(* xlchild_lwt.ml - promises over Xlchild

   One watch on the context's descriptor pumps it; reports and completions
   resolve promises from there. *)

open Lwt.Infix

type t = {
  ctx : Xlchild.t;
  watch : Lwt_engine.event;
  owner : int;  (* the pid of the process that made it *)
  due : (unit -> unit) Queue.t;
      (* promises to resolve once the call of the library is over: what waits
         for them may close the context *)
}

let resolve_due due =
  while not (Queue.is_empty due) do
    (Queue.take due) ()
  done

let is_usable ctx =
  match Xlchild.count ctx with _ -> true | exception Xlchild.Error _ -> false

(* What a closure raised is told, and it goes on; so is, once, the refusal of a
   context that cannot be used any more. *)
let rec pump ctx due ~stop =
  match Xlchild.check ctx with
  | Some _ -> pump ctx due ~stop
  | None -> resolve_due due
  | exception Xlchild.Error { code = Closed; _ } -> resolve_due due
  | exception exn ->
      let usable = is_usable ctx in
      if not usable then stop ();
      !Lwt.async_exception_hook exn;
      if usable then pump ctx due ~stop

let create ?owner ?min_level ?log () =
  let ctx = Xlchild.create ?owner ?min_level ?log () in
  let due = Queue.create () in
  match Xlchild.fileno ctx with
  | fd ->
      let owner = Unix.getpid () in
      let watch =
        Lwt_engine.on_readable fd (fun event ->
            let stop () = Lwt_engine.stop_event event in
            (* in a child of fork it is the parent's *)
            if Unix.getpid () <> owner then stop () else pump ctx due ~stop)
      in
      { ctx; due; watch; owner }
  | exception exn ->
      Xlchild.close ctx;
      raise exn

(* Reports may come while a child is being started. *)
let resolve_soon t =
  if not (Queue.is_empty t.due) then
    Lwt.async (fun () ->
        Lwt.pause () >|= fun () -> resolve_due t.due)

let resolver t resolve x =
  Queue.add (fun () -> Lwt.wakeup_later resolve x) t.due

let close t =
  if Unix.getpid () = t.owner then Xlchild.close t.ctx;
  Lwt_engine.stop_event t.watch

let count t = Xlchild.count t.ctx

(* ---- children ---- *)

type child = { child : Xlchild.Child.t; ended : Xlchild.ended Lwt.t }

let start t command =
  let ended, resolve = Lwt.wait () in
  let child =
    Xlchild.start t.ctx command ~report:(Callback (resolver t resolve))
  in
  resolve_soon t;
  { child; ended }

let pid child = Xlchild.Child.pid child.child
let wait child = Lwt.protected child.ended

let unless_ended = function
  | Ok () | Result.Error { Xlchild.code = Not_found; _ } -> ()
  | Result.Error e -> raise (Xlchild.Error e)

let kill ?scope child signal =
  unless_ended (Xlchild.Child.kill_result ?scope child.child signal)

let terminate ?policy child =
  match unless_ended (Xlchild.Child.terminate_result ?policy child.child) with
  | () -> wait child
  | exception exn -> Lwt.fail exn

(* Waits for [promise], which cannot be cancelled; cancelled itself, it has
   [stop] bring the end about and waits for it. *)
let until_reaped promise ~stop =
  Lwt.catch
    (fun () -> Lwt.protected promise)
    (function
      | Lwt.Canceled ->
          stop ();
          promise >>= fun _ -> Lwt.fail Lwt.Canceled
      | exn -> Lwt.fail exn)

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
let exec t command =
  match start t (Xlchild.nowait command) with
  | exception exn -> Lwt.fail exn
  | child -> (
      until_reaped child.ended ~stop:(fun () ->
          unless_ended (Xlchild.Child.terminate_result child.child))
      >>= fun ended ->
      match Xlchild.not_started command ended with
      | None -> Lwt.return ended
      | Some e -> Lwt.fail (Xlchild.Error e))

let run ?stdin ?stdout ?stderr ?timeout ?until_eof t command =
  let outcome, resolve = Lwt.wait () in
  match
    with_input stdin (fun stdin ->
        Xlchild.run_async ?stdin ?stdout ?stderr ?timeout ?until_eof t.ctx
          (Xlchild.nowait command)
          (resolver t resolve))
  with
  | exception exn -> Lwt.fail exn
  | operation ->
      resolve_soon t;
      ( until_reaped outcome ~stop:(fun () ->
            match Xlchild.abort_result operation with
            | Result.Error { code = Aborted; _ } -> ()
            | result -> unless_ended result)
      >>= function
        | { Xlchild.ending = Not_started e; _ } -> Lwt.fail (Xlchild.Error e)
        | outcome -> Lwt.return outcome )

let capture ?stdin ?timeout t command =
  run ?stdin ~stdout:`Capture ?timeout t command >|= fun outcome ->
  (outcome.Xlchild.out.data, outcome)

let as_result promise =
  Lwt.catch
    (fun () -> promise () >|= Result.ok)
    (function
      | Xlchild.Error e -> Lwt.return (Result.Error e)
      | exn -> Lwt.fail exn)

let exec_result t command = as_result (fun () -> exec t command)

let run_result ?stdin ?stdout ?stderr ?timeout ?until_eof t command =
  as_result (fun () -> run ?stdin ?stdout ?stderr ?timeout ?until_eof t command)

let capture_result ?stdin ?timeout t command =
  as_result (fun () -> capture ?stdin ?timeout t command)

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
        kept := !kept @ rest fd;
        over := true;
        close_quietly fd)
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
            if !over || !kept <> [] || not (Lwt.is_sleeping ended) then
              Lwt.return `Look_again
            else
              Lwt.pick
                [ (Lwt_unix.wait_read fd >|= fun () -> `Read); at_its_end () ])
        >>= function
        | `Look_again -> Lwt.pause () >>= next
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

let stream ?stdin ?stderr ?timeout t command =
  let ours, theirs = pipe_from_child () in
  let outcome = run ?stdin ~stdout:(`Fd theirs) ?stderr ?timeout t command in
  Unix.close theirs;
  (reading ours ~ended:outcome, outcome)

(* ---- with channels ---- *)

type process = {
  child : child;
  stdin : Lwt_io.output_channel;
  stdout : Lwt_io.input_channel;
  stderr : Lwt_io.input_channel;
}

let open_process t command =
  let in_ours, in_theirs = pipe_to_child () in
  let out_ours, out_theirs = pipe_from_child () in
  let err_ours, err_theirs = pipe_from_child () in
  let theirs = [ in_theirs; out_theirs; err_theirs ] in
  let command =
    Xlchild.with_fds
      [ (0, Fd in_theirs); (1, Fd out_theirs); (2, Fd err_theirs) ]
      command
  in
  match start t command with
  | child ->
      List.iter Unix.close theirs;
      {
        child;
        stdin = output_channel in_ours;
        stdout = input_channel out_ours;
        stderr = input_channel err_ours;
      }
  | exception exn ->
      List.iter Unix.close theirs;
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

let with_process t command f =
  match open_process t command with
  | exception exn -> Lwt.fail exn
  | p ->
      Lwt.try_bind
        (fun () -> f p)
        (fun x -> close_process p >|= fun _ -> x)
        (fun exn ->
          unless_ended (Xlchild.Child.terminate_result p.child.child);
          close_process p >>= fun _ -> Lwt.fail exn)
