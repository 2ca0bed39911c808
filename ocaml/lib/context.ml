(* context.ml - contexts: made, given a mode, closed; the treaty *)

open Types
open Errors

type t = Raw.t

let set_mode_result ?fork_replacement ?childproc_exited (t : t) owner =
  let fork = t.fork and stranger = t.stranger in
  t.fork <- fork_replacement;
  t.stranger <- childproc_exited;
  match
    Raw.setmode t owner (fork_replacement <> None) (childproc_exited <> None)
  with
  | Ok () -> Ok ()
  | Result.Error _ as e ->
      t.fork <- fork;
      t.stranger <- stranger;
      checked t e

let set_mode ?fork_replacement ?childproc_exited t owner =
  get (set_mode_result ?fork_replacement ?childproc_exited t owner)

(* Into [t], which is made before: an exception at any moment, of a signal
   handler say, finds it there and closes it. *)
let unopened log : t =
  {
    ctx = Raw.unopened ();
    fork = None;
    stranger = None;
    log;
    occurred = None;
    disaster = None;
    loop = None;
    raised = Atomic.make [];
    stash = Atomic.make [];
    reports = Atomic.make Raw.Numbers.empty;
    operations = Atomic.make Raw.Numbers.empty;
    dropped = Atomic.make [];
    emptied = Atomic.make Raw.Numbers.empty;
    forgotten = Atomic.make [];
    registrations = Atomic.make Raw.Numbers.empty;
    unasked = Atomic.make { Raw.lived = 0; ids = [] };
  }

let open_into t ?(owner = Nobody) ?(min_level = Warning) () =
  let self = Weak.create 1 in
  Weak.set self 0 (Some t);
  match Raw.alloc t self min_level (t.Raw.log <> None) with
  | Result.Error e -> Result.Error (error_of e)
  | Ok () -> set_mode_result t owner

let create_result ?owner ?min_level ?log () =
  let t = unopened log in
  let ok = Ok t in
  match open_into t ?owner ?min_level () with
  | Ok () -> ok
  | Result.Error _ as e ->
      ignore (Raw.close t);
      e
  | exception exn ->
      ignore (Raw.close t);
      raise exn

let create ?owner ?min_level ?log () =
  let t = unopened log in
  try
    get (open_into t ?owner ?min_level ());
    t
  with exn ->
    ignore (Raw.close t);
    raise exn

let close_result (t : t) =
  match Raw.close t with
  | Result.Error _ as e -> plain e
  | Ok () ->
      t.fork <- None;
      t.stranger <- None;
      t.log <- None;
      t.occurred <- None;
      t.disaster <- None;
      t.loop <- None;
      Atomic.set t.stash [];
      Atomic.set t.reports Raw.Numbers.empty;
      Atomic.set t.operations Raw.Numbers.empty;
      Atomic.set t.emptied Raw.Numbers.empty;
      Atomic.set t.registrations Raw.Numbers.empty;
      Raw.raise_kept t;
      Ok ()

let close t = get (close_result t)

(* Whatever is raised where: what comes first in the outer handler closes it, and
   nothing can come before that. *)
let with_context ?owner ?min_level ?log f =
  let t = create ?owner ?min_level ?log () in
  match
    match f t with
    | x ->
        (match close_result t with
        | Ok () | Result.Error { code = Closed; _ } -> ()
        | Result.Error e -> raise (Error e));
        x
    | exception exn ->
        let backtrace = Printexc.get_raw_backtrace () in
        (try ignore (close_result t) with _ -> ());
        Printexc.raise_with_backtrace exn backtrace
  with
  | x -> x
  | exception exn ->
      ignore (Raw.close t);
      raise exn

let fileno_result t = plain (Raw.fileno t)
let fileno t = get (fileno_result t)

let disaster_latched t =
  match get (plain (Raw.disaster_latched t)) with
  | 0 -> None
  | rc -> Some (code_of_number rc)

let leaked = Raw.leaked
let count t = get (plain (Raw.count t))

(* ---- the treaty ---- *)

let errno_of_number =
  [ (11, Unix.EAGAIN); (12, Unix.ENOMEM); (38, Unix.ENOSYS) ]

let fork () =
  let pid = Raw.fork () in
  if pid >= 0 then pid
  else
    let error =
      match List.assoc_opt (-pid) errno_of_number with
      | Some error -> error
      | None -> Unix.EUNKNOWNERR (-pid)
    in
    raise (Unix.Unix_error (error, "fork", ""))

let exited t pid status =
  get
    (plain
       (Result.map (( = ) 0)
          (pumping t ~save:forget (fun () -> Raw.exited t pid status))))

let sigchld_occurred t =
  get
    (plain (pumping t ~save:forget (fun () -> Raw.sigchld_occurred t)))

let postfork_child_noexec = Raw.postfork_child_noexec
