(* children.ml - starting, waiting, killing, adopting *)

open Types
open Errors

type report =
  | Hold
  | Event of int
  | Callback of (ended -> unit)
  | Silent

module Child = struct
  type t = {
    context : Raw.t;
    id : int;
    pid : Pid.t;
    report : int;  (* of a callback; 0 *)
    mutable ended : ended option;  (* taken already *)
  }

  let pid child = child.pid
  let id child = child.id
  let context child = child.context

  let wait_result ?timeout child =
    Raw.raise_kept child.context;
    match child.ended with
    | Some ended -> Ok ended
    | None ->
        plain
          (pumping child.context
             ~save:(function
               | Ok ended -> child.ended <- Some ended
               | Result.Error _ -> ())
             (fun () ->
               let result =
                 Raw.wait child.context child.id (timeout_of timeout)
               in
               (match result with
               | Ok ended -> child.ended <- Some ended
               | Result.Error _ -> ());
               result))

  let wait ?timeout child = get (wait_result ?timeout child)

  let poll child =
    match wait_result ~timeout:0. child with
    | Ok ended -> Some ended
    | Result.Error { code = Timed_out; _ } -> None
    | Result.Error e -> raise (Error e)

  let kill_result ?(scope = Process) child signal =
    plain (Raw.kill child.context child.id signal scope)

  let kill ?scope child signal = get (kill_result ?scope child signal)

  let terminate_result ?policy child =
    checked child.context (Raw.terminate child.context child.id policy)

  let terminate ?policy child = get (terminate_result ?policy child)

  let detach_result child =
    let result = plain (Raw.detach child.context child.id) in
    if Result.is_ok result && child.report <> 0 then
      Raw.remove child.context.reports child.report;
    result

  let detach child = get (detach_result child)
end

(* The report as C takes it, and the number of its closure. *)
let raw_report (t : Raw.t) : report -> Raw.report * int = function
  | Hold -> (Raw.Hold, 0)
  | Silent -> (Raw.Silent, 0)
  | Event tag -> (Raw.Event tag, 0)
  | Callback f ->
      let number = Raw.fresh () in
      Raw.add t.reports number f;
      (Raw.Callback number, number)

let drop_report (t : Raw.t) number = if number <> 0 then Raw.remove t.reports number

let child_of context report (id, pid) =
  { Child.context; id; pid; report; ended = None }

let start_result ?(report = Hold) t command =
  let raw, number = raw_report t report in
  match Raw.spawn t command raw with
  | Ok started -> Ok (child_of t number started)
  | Result.Error _ as e ->
      drop_report t number;
      about command (checked t e)

let start ?report t command = get (start_result ?report t command)

(* Ends it, if need be, and takes its result; it may have been detached. *)
let finish child =
  let ended =
    match Child.wait_result ~timeout:0. child with
    | Result.Error { code = Timed_out; _ } ->
        Result.bind (Child.terminate_result child) (fun () ->
            Child.wait_result child)
    | result -> result
  in
  match ended with
  | Ok _ | Result.Error { code = Not_found; _ } -> ()
  | Result.Error e -> raise (Error e)

let with_child t command f =
  let child = start t command in
  match f child with
  | x ->
      finish child;
      x
  | exception exn ->
      let backtrace = Printexc.get_raw_backtrace () in
      (try finish child with _ -> ());
      Printexc.raise_with_backtrace exn backtrace

let start_many t batch =
  let prepared =
    Array.of_list
      (List.map (fun (command, report) -> (command, raw_report t report)) batch)
  in
  let drop (_, (_, number)) = drop_report t number in
  match
    Raw.spawn_many t (Array.map (fun (c, (raw, _)) -> (c, raw)) prepared)
  with
  | Result.Error _ as e ->
      Array.iter drop prepared;
      get (checked t e)
  | Ok results ->
      Array.to_list
        (Array.mapi
           (fun i result ->
             match result with
             | Ok started -> Ok (child_of t (snd (snd prepared.(i))) started)
             | Result.Error failure ->
                 drop prepared.(i);
                 about
                   (fst prepared.(i))
                   (Result.Error (error_of failure)))
           results)

let set_starters_result t n = plain (Raw.set_starters t n)
let set_starters t n = get (set_starters_result t n)

let find t pid =
  match Raw.lookup t pid with
  | Ok id -> Some (child_of t 0 (id, pid))
  | Result.Error { rc = -23; _ } -> None
  | Result.Error e -> raise (Error (error_of e))

type identity =
  | By_start_time of { pid : Pid.t; start_time : int }
  | By_pidfd of Unix.file_descr

let start_time_result pid = plain (Raw.start_time pid)
let start_time pid = get (start_time_result pid)

(* What the kernel says of the pidfd; -1 for what is none, or is reaped. *)
let pid_of_pidfd fd =
  match open_in (Printf.sprintf "/proc/self/fdinfo/%d" (Raw.int_of_fd fd)) with
  | exception Sys_error _ -> -1
  | file ->
      let rec find () =
        match Scanf.sscanf (input_line file) "Pid: %d" Fun.id with
        | pid -> pid
        | exception (Scanf.Scan_failure _ | Failure _) -> find ()
      in
      Fun.protect
        ~finally:(fun () -> close_in file)
        (fun () -> try find () with End_of_file -> -1)

let adopt_result ?(report = Hold) t identity =
  let raw, number = raw_report t report in
  let pid, ticks, pidfd =
    match identity with
    | By_start_time { pid; start_time } -> (pid, start_time, None)
    | By_pidfd fd -> (pid_of_pidfd fd, 0, Some fd)
  in
  match Raw.adopt t pid ticks pidfd raw with
  | Ok id -> Ok (child_of t number (id, pid))
  | Result.Error _ as e ->
      drop_report t number;
      checked t e

let adopt ?report t identity = get (adopt_result ?report t identity)
