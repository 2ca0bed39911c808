(* run.ml - commands run to completion, waited for or not *)

open Types
open Errors

type input =
  [ `Null | `Inherit | `Fd of Unix.file_descr | `File of string
  | `String of string ] [@@ocamlformat "disable"]

type output =
  [ `Inherit | `Null | `Fd of Unix.file_descr | `File of string
  | `Append of string | `Capture | `Capture_at_most of int
  | `Stream of string -> unit ] [@@ocamlformat "disable"]

let raw_input : input -> Raw.stream = function
  | `Inherit -> (0, None, None, 0)
  | `Null -> (1, None, None, 0)
  | `Fd fd -> (2, Some fd, None, 0)
  | `File path -> (3, None, Some path, 0)
  | `String data -> (5, None, Some data, 0)

let raw_output : [ output | `Merge ] -> Raw.stream = function
  | `Inherit -> (0, None, None, 0)
  | `Null -> (1, None, None, 0)
  | `Fd fd -> (2, Some fd, None, 0)
  | `File path -> (3, None, Some path, 0)
  | `Append path -> (4, None, Some path, 0)
  | `Capture -> (6, None, None, 0)
  | `Capture_at_most limit ->
      if limit < 1 then invalid_arg "Xlchild: `Capture_at_most of less than 1";
      (6, None, None, limit)
  | `Stream _ -> (7, None, None, 0)
  | `Merge -> (8, None, None, 0)

(* A child that comes late to its program, on a busy machine say, may find then
   that there is none. *)
let late_failure command (o : Raw.raw_outcome) =
  match about command (Option.fold o.late ~none:(Ok ())
                         ~some:(fun f -> Result.Error (error_of f))) with
  | Ok () -> None
  | Result.Error e -> Some e

let outcome_of command (o : Raw.raw_outcome) =
  {
    child = o.ended;
    ending =
      (match (late_failure command o, code_of_number o.rc) with
      | Some e, _ -> Not_started e
      | None, Timed_out -> Timeout
      | None, Aborted -> Abort
      | None, No_memory -> Out_of_memory
      | None, _ -> Completed);
    stdin_written = o.written;
    out = o.raw_out;
    err = o.raw_err;
    account = o.raw_account;
  }

(* A command under way: the streams' closures, and the first that raised. *)
type running = {
  ctx : Raw.t;
  mutable child_id : int;
  mutable stream_raised : (exn * Printexc.raw_backtrace) option;
}

let closure_of (stream : [ output | `Merge ]) =
  match stream with `Stream f -> Some f | _ -> None

let guarded running f x =
  try f x
  with exn ->
    running.stream_raised <- Some (exn, Printexc.get_raw_backtrace ());
    ignore (Raw.terminate running.ctx running.child_id None)

let on_data running out err stream data =
  match if stream = 1 then out else err with
  | None -> ignore
  | Some _ when running.stream_raised <> None -> ignore
  | Some f -> fun () -> guarded running f data

let options ~stdin ~stdout ~stderr ~timeout ~until_eof ~started : Raw.exec_opts
    =
  let streams = closure_of stdout <> None || closure_of stderr <> None in
  {
    stdin = raw_input stdin;
    stdout = raw_output stdout;
    stderr = raw_output stderr;
    timeout_ms =
      (match timeout with
      | None -> 0
      | Some s when s = infinity -> 0
      | Some s -> max 1 (milliseconds s));
    linger = (if until_eof then 1 else 0);
    started = started || streams;
    streams;
  }

let raise_stream running =
  match running.stream_raised with
  | None -> ()
  | Some (exn, backtrace) -> Printexc.raise_with_backtrace exn backtrace

let run_alone ?(stdin = `Null) ?(stdout = `Inherit) ?(stderr = `Inherit)
    ?timeout ?(until_eof = false) ?started (t : Raw.t) command =
  Raw.raise_kept t;
  let out = closure_of (stdout :> [ output | `Merge ]) in
  let err = closure_of stderr in
  let running = { ctx = t; child_id = 0; stream_raised = None } in
  let opts =
    options ~stdin
      ~stdout:(stdout :> [ output | `Merge ])
      ~stderr ~timeout ~until_eof ~started:(started <> None)
  in
  let number = Raw.fresh () in
  if opts.started then
    Raw.add t.operations number
      {
        on_started =
          (fun id pid ->
            running.child_id <- id;
            match started with
            | None -> ignore
            | Some f -> fun () -> guarded running f pid);
        on_data = on_data running out err;
        on_complete = (fun _ -> ignore);
      };
  let result = Raw.exec t command opts number in
  if opts.started then Raw.remove t.operations number;
  raise_stream running;
  match about command (checked t result) with
  | Result.Error _ as e -> e
  | Ok o -> (
      match outcome_of command o with
      | { ending = Not_started e; _ } -> Result.Error e
      | outcome -> Ok outcome)

(* ---- with a family of its own ---- *)

let last_wait = 10. (* for who has been sent SIGKILL *)

(* Of a run that did not complete the kill policy has ended the family. *)
let is_ending policy family (result : (outcome, error) result) =
  let cut_short =
    match result with
    | Ok { ending = Timeout | Abort | Out_of_memory; _ } ->
        policy <> Family.Never
    | Ok _ | Result.Error _ -> false
  in
  cut_short
  || match Family.look_result family with
     | Ok state -> state.ending
     | Result.Error _ -> false

let wait_for_the_last family =
  ignore (Family.wait_result ~timeout:last_wait family)

let in_one_of_its_own policy t (command : Raw.command) f =
  if command.family <> None then Family.wrong "family"
  else
    Family.with_family ~policy t @@ fun family ->
    match f { command with family = Some family } with
    | result ->
        if is_ending policy family result then wait_for_the_last family;
        result
    | exception exn ->
        let backtrace = Printexc.get_raw_backtrace () in
        if policy <> Family.Never then begin
          ignore (Family.stop_result family);
          wait_for_the_last family
        end;
        Printexc.raise_with_backtrace exn backtrace

let run_result ?stdin ?stdout ?stderr ?timeout ?until_eof ?started ?family t
    command =
  let go =
    run_alone ?stdin ?stdout ?stderr ?timeout ?until_eof ?started t
  in
  match family with
  | None -> go command
  | Some policy -> in_one_of_its_own policy t command go

let run ?stdin ?stdout ?stderr ?timeout ?until_eof ?started ?family t command =
  get
    (run_result ?stdin ?stdout ?stderr ?timeout ?until_eof ?started ?family t
       command)

type operation = { op_context : Raw.t; op_number : int }

let new_operation t = { op_context = t; op_number = Raw.fresh () }

(* Of one that was begun nobody knows when this is called: it is ended by its
   policy, and nobody is told. *)
let give_up operation =
  ignore (Raw.abort operation.op_context operation.op_number);
  Raw.remove operation.op_context.operations operation.op_number

let begin_alone ?(stdin = `Null) ?(stdout = `Inherit) ?(stderr = `Inherit)
    ?timeout ?(until_eof = false) ?started operation command complete =
  let t = operation.op_context and number = operation.op_number in
  let stdout = (stdout :> [ output | `Merge ]) in
  let out = closure_of stdout and err = closure_of stderr in
  let running = { ctx = t; child_id = 0; stream_raised = None } in
  let opts =
    options ~stdin ~stdout ~stderr ~timeout ~until_eof
      ~started:(started <> None)
  in
  Raw.add t.operations number
    {
      on_started =
        (fun id pid ->
          running.child_id <- id;
          match started with None -> ignore | Some f -> fun () -> f pid);
      on_data = on_data running out err;
      on_complete =
        (fun raw ->
          let outcome = outcome_of command raw in
          let tell = complete outcome in
          Option.iter
            (fun (exn, backtrace) ->
              Raw.keep t exn backtrace;
              running.stream_raised <- None)
            running.stream_raised;
          tell);
    };
  match Raw.exec_start t command opts number with
  | Ok () -> Ok ()
  | Result.Error _ as e ->
      Raw.remove t.operations number;
      about command (checked t e)

(* The outcome comes when it is empty, or nobody can tell. What a handler raises
   here has this begun anew: it is told once all the same. *)
let when_over policy family complete =
  let is_told = ref false in
  fun outcome ->
    let tell () =
      if not !is_told then begin
        is_told := true;
        complete outcome
      end
    in
    let close () = ignore (Family.close_result family) in
    let finish _ =
      close ();
      tell
    in
    if not (is_ending policy family (Ok outcome)) then finish ()
    else
      match Family.told_when_empty family finish with
      | Ok () -> ignore
      | Result.Error _ -> finish ()

let begin_in_its_own policy operation (command : Raw.command) complete go =
  if command.family <> None then Family.wrong "family"
  else
    match Family.create_result ~policy operation.op_context with
    | Result.Error _ as e -> e
    | Ok family -> (
        match
          go
            { command with family = Some family }
            (when_over policy family complete)
        with
        | Ok () -> Ok ()
        | Result.Error _ as e ->
            Family.abandon family;
            e
        | exception exn ->
            give_up operation;
            if policy <> Family.Never then ignore (Family.stop_result family);
            Family.abandon family;
            raise exn)

let run_async_into ?stdin ?stdout ?stderr ?timeout ?until_eof ?started ?family
    command complete operation =
  let go =
    begin_alone ?stdin ?stdout ?stderr ?timeout ?until_eof ?started operation
  in
  match family with
  | None -> go command (fun outcome () -> complete outcome)
  | Some policy -> begin_in_its_own policy operation command complete go

let run_async_result ?stdin ?stdout ?stderr ?timeout ?until_eof ?started
    ?family t command complete =
  Handover.handed_over_result (new_operation t) ~undo:give_up
    (run_async_into ?stdin ?stdout ?stderr ?timeout ?until_eof ?started
       ?family command complete)

let run_async ?stdin ?stdout ?stderr ?timeout ?until_eof ?started ?family t
    command complete =
  Handover.handed_over (new_operation t) ~undo:give_up
    (run_async_into ?stdin ?stdout ?stderr ?timeout ?until_eof ?started
       ?family command complete)

let abort_result op = plain (Raw.abort op.op_context op.op_number)
let abort op = get (abort_result op)
