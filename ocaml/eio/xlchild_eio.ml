(* xlchild_eio.ml - Xlchild's children in Eio's fibers

   A child belongs to a switch: what ends the switch ends the child, and waits
   for that. pump.ml does the context's work. *)

open Eio.Std

type t = Pump.t

let create = Pump.create
let count (t : t) = Xlchild.count t.ctx

(* ---- children ---- *)

type child = {
  of_ : t;
  child : Xlchild.Child.t;
  ended : Xlchild.ended Promise.t;
}

let unless_ended = function
  | Ok () | Error { Xlchild.code = Not_found; _ } -> ()
  | Error e -> raise (Xlchild.Error e)

let pid c = Xlchild.Child.pid c.child
let await c = Promise.await c.ended

let kill ?scope c signal =
  Pump.calling c.of_ (fun _ ->
      unless_ended (Xlchild.Child.kill_result ?scope c.child signal))

let end_it ?policy c =
  Pump.calling c.of_ (fun _ ->
      unless_ended (Xlchild.Child.terminate_result ?policy c.child))

let terminate ?policy c =
  end_it ?policy c;
  await c

(* With the switch, whoever still waits; Eio runs this where nothing cancels. *)
let release ?policy c () =
  if not (Promise.is_resolved c.ended) then begin
    end_it ?policy c;
    ignore (Pump.await_here c.of_ c.ended)
  end

(* What has ended is nothing to the switch any more. *)
let start_in ~sw ?policy (t : t) command =
  Switch.check sw;
  let hook = Atomic.make Switch.null_hook in
  let ended, resolve =
    Pump.promise t ~kept:(fun () -> Switch.remove_hook (Atomic.get hook))
  in
  let child =
    Pump.calling t (fun ctx ->
        Xlchild.start ctx command ~report:(Callback resolve))
  in
  let c = { of_ = t; child; ended } in
  match Switch.on_release_cancellable sw (release ?policy c) with
  | its_hook ->
      Atomic.set hook its_hook;
      if Promise.is_resolved ended then Switch.remove_hook its_hook;
      c
  | exception exn ->
      Eio.Cancel.protect (release ?policy c);
      raise exn

let start ~sw t command = start_in ~sw t command

(* ---- waiting, and cancellation ---- *)

(* Cancelled, [stop] brings the end about, and that is waited for. *)
let until_over t promise ~stop =
  match Promise.await promise with
  | x -> x
  | exception exn ->
      let backtrace = Printexc.get_raw_backtrace () in
      Eio.Cancel.protect (fun () ->
          stop ();
          ignore (Pump.await_here t promise));
      Printexc.raise_with_backtrace exn backtrace

let exec (t : t) command =
  let ended, resolve = Pump.promise t in
  let child =
    Pump.calling t (fun ctx ->
        Xlchild.start ctx command ~report:(Callback resolve))
  in
  until_over t ended ~stop:(fun () ->
      Pump.calling t (fun _ ->
          unless_ended (Xlchild.Child.terminate_result child)))

(* ---- running to completion ---- *)

type input = [ Xlchild.input | `Flow of Eio.Flow.source_ty r ]

type output =
  [ `Inherit
  | `Null
  | `Fd of Unix.file_descr
  | `File of string
  | `Append of string
  | `Capture
  | `Capture_at_most of int
  | `Flow of Eio.Flow.sink_ty r ]
[@@ocamlformat "disable"]

(* The end that the child has: a program of its own, which expects to wait. It is
   closed here once the child has it. *)
let theirs ends flow =
  let fd = Eio_unix.Resource.fd flow in
  ends := fd :: !ends;
  Eio_unix.Fd.use_exn "xlchild" fd (fun fd ->
      Unix.clear_nonblock fd;
      fd)

(* As fast as the child reads. One that does not read on is no failure. *)
let feed source sink =
  let buffer = Cstruct.create 65536 in
  let rec copy () =
    match Eio.Flow.single_read source buffer with
    | exception End_of_file -> ()
    | n -> (
        match Eio.Flow.write sink [ Cstruct.sub buffer 0 n ] with
        | () -> copy ()
        | exception Eio.Io (Eio.Net.E (Connection_reset _), _) -> ())
  in
  copy ();
  Eio.Flow.close sink

let piece = 65536

(* What is in the pipe of a child that has ended: as much as a pipe holds, since
   a grandchild may write without end. *)
let most_pieces = 16

(* Read when the sink has taken what was before: a child that writes faster
   waits. *)
let drain source sink ~over ~until_eof () =
  let buffer = Cstruct.create piece in
  let write n =
    Eio.Flow.write sink [ Cstruct.sub buffer 0 n ]
  in
  let fd = Eio_unix.Resource.fd source in
  let now_there () =
    Eio_unix.Fd.use_exn "xlchild" fd (fun fd ->
        Xlchild.poll ~timeout:0. [ fd ] <> [])
  in
  let rec rest left =
    if left > 0 && now_there () then
      match Eio.Flow.single_read source buffer with
      | n ->
          write n;
          rest (left - 1)
      | exception End_of_file -> ()
  in
  let readable () =
    Eio_unix.Fd.use_exn "xlchild" fd Eio_unix.await_readable;
    `Readable
  in
  let next () =
    if until_eof then `Readable
    else Fiber.first readable (fun () -> Promise.await over; `Over)
  in
  let rec copy () =
    match next () with
    | `Over -> rest most_pieces
    | `Readable -> (
        match Eio.Flow.single_read source buffer with
        | n ->
            write n;
            copy ()
        | exception End_of_file -> ())
  in
  copy ();
  Eio.Flow.close source

(* The streams as the library takes them; fibers of [sw] serve the flows. *)
let input_of ~sw ends : input -> Xlchild.input = function
  | #Xlchild.input as input -> input
  | `Flow source ->
      let r, w = Eio_unix.pipe sw in
      let fd = theirs ends r in
      (* it goes when the child has, whoever else could read *)
      Fiber.fork_daemon ~sw (fun () ->
          feed source w;
          `Stop_daemon);
      `Fd fd

let output_of ~sw ends ~over ~until_eof (output : [ output | `Merge ]) :
    [ Xlchild.output | `Merge ] =
  match output with
  | ( `Inherit | `Null | `Fd _ | `File _ | `Append _ | `Capture
    | `Capture_at_most _ | `Merge ) as output ->
      output
  | `Flow sink ->
      let r, w = Eio_unix.pipe sw in
      let fd = theirs ends w in
      Fiber.fork ~sw (drain r sink ~over ~until_eof);
      `Fd fd
[@@ocamlformat "disable"]

let run ?(stdin = `Null) ?(stdout = `Inherit) ?(stderr = `Inherit) ?timeout
    ?(until_eof = false) (t : t) command =
  Switch.run ~name:"Xlchild_eio.run" @@ fun sw ->
  let outcome, resolve = Pump.promise t in
  let over, is_over = Promise.create () in
  let ends = ref [] in
  let close_ends () = List.iter Eio_unix.Fd.close !ends in
  let output stream = output_of ~sw ends ~over ~until_eof stream in
  let start () =
    let stdin = input_of ~sw ends stdin in
    let stdout = output (stdout :> [ output | `Merge ]) in
    let stderr = output stderr in
    let stdout =
      match stdout with
      | `Merge -> invalid_arg "Xlchild_eio.run: stdout merged"
      | #Xlchild.output as stdout -> stdout
    in
    Pump.calling t (fun ctx ->
        Xlchild.run_async ~stdin ~stdout ~stderr ?timeout ~until_eof ctx
          command resolve)
  in
  let operation = Fun.protect start ~finally:close_ends in
  let answer =
    until_over t outcome ~stop:(fun () ->
        Pump.calling t (fun _ ->
            match Xlchild.abort_result operation with
            | Error { code = Aborted; _ } -> ()
            | result -> unless_ended result))
  in
  Promise.resolve is_over ();
  match answer with
  | { Xlchild.ending = Not_started e; _ } -> raise (Xlchild.Error e)
  | outcome -> outcome

let capture ?stdin ?timeout t command =
  let outcome = run ?stdin ~stdout:`Capture ?timeout t command in
  (outcome.Xlchild.out.data, outcome)

let as_result f =
  match f () with x -> Ok x | exception Xlchild.Error e -> Error e

let exec_result t command = as_result (fun () -> exec t command)

let run_result ?stdin ?stdout ?stderr ?timeout ?until_eof t command =
  as_result (fun () -> run ?stdin ?stdout ?stderr ?timeout ?until_eof t command)

let capture_result ?stdin ?timeout t command =
  as_result (fun () -> capture ?stdin ?timeout t command)

(* ---- as Eio's own process manager ---- *)

exception Lost of Xlchild.lost_reason

let () =
  Printexc.register_printer (function
    | Lost reason -> Some ("Xlchild_eio.Lost: " ^ Xlchild.lost_text reason)
    | _ -> None)

module Process = struct
  type t = child
  type tag = [ `Generic | `Unix ]

  let pid c = (pid c :> int)

  let await c =
    match (await c).status with
    | Status (WEXITED n) -> `Exited n
    | Status (WSIGNALED n | WSTOPPED n) -> `Signaled n
    | Lost reason -> raise (Lost reason)

  let signal c signal = kill c signal
end

let process =
  let handler = Eio.Process.Pi.process (module Process) in
  fun child -> Eio.Resource.T (child, handler)

(* As Eio names them. *)
let as_eio (e : Xlchild.error) =
  let program = Option.value e.path ~default:(Option.value e.program ~default:"") in
  match (e.stage, e.errno) with
  | Exec, Some Unix.ENOENT -> Eio.Process.err (Executable_not_found program)
  | Exec, Some Unix.EACCES -> Eio.Process.err (Permission_denied program)
  | Exec, Some Unix.ENOEXEC ->
      Eio.Process.err (Executable_format_error program)
  | Exec, Some Unix.E2BIG -> Eio.Process.err Argument_list_too_long
  | _, Some errno ->
      Eio_unix.Err.v errno (Xlchild.stage_text e.stage)
        (Xlchild.Error.to_string e)
  | _, None -> Xlchild.Error e

module Manager = struct
  type nonrec t = t

  let rec with_fds fds f taken =
    match fds with
    | [] -> f (List.rev taken)
    | (target, fd, blocking) :: more ->
        Eio_unix.Fd.use_exn "spawn" fd (fun fd ->
            (match blocking with
            | `Blocking -> Unix.clear_nonblock fd
            | `Nonblocking -> Unix.set_nonblock fd
            | `Preserve_blocking -> ());
            with_fds more f ((target, Xlchild.Fd fd) :: taken))

  (* A switch that ends kills, as Eio's own does. *)
  let policy = Xlchild.kill_at_once Process

  let spawn_unix t ~sw ?cwd ?pgid ?uid ?gid ?login_tty ~env ~fds ~executable
      args =
    let cwd = Option.map (fun cwd -> Eio.Path.native_exn cwd) cwd in
    let session : Xlchild.session =
      match (pgid, login_tty) with
      | _, Some _ -> New_session
      | None, None -> Same_session
      | Some 0, None -> New_group
      | Some leader, None -> Join_group (Xlchild.Pid.of_int leader)
    in
    let fds =
      match login_tty with
      | None -> fds
      | Some tty -> List.map (fun n -> (n, tty, `Blocking)) [ 0; 1; 2 ] @ fds
    in
    let start ?ctty fds =
      let argv0, arguments =
        match args with
        | [] -> (executable, [])
        | first :: more -> (first, more)
      in
      let command =
        Xlchild.command ~path:executable ~search:false
          ~env:(Array.to_list (Eio.Process.Env.to_array env))
          ?cwd ~session ?ctty ?uid ?gid
          ~fds:(Xlchild.Fd_map.of_list fds) argv0 arguments
      in
      match start_in ~sw ~policy t command with
      | child -> process child
      | exception Xlchild.Error e -> raise (as_eio e)
    in
    with_fds fds
      (fun fds ->
        match login_tty with
        | None -> start fds
        | Some tty ->
            Eio_unix.Fd.use_exn "spawn" tty (fun ctty -> start ~ctty fds))
      []
end

let process_mgr =
  let module Implementation = struct
    include Manager
    include Eio_unix.Process.Make_mgr (Manager)
  end in
  let handler = Eio_unix.Process.Pi.mgr_unix (module Implementation) in
  fun t : Eio_unix.Process.mgr_ty r -> Eio.Resource.T (t, handler)
