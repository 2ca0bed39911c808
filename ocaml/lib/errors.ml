(* errors.ml - codes and texts, and what becomes of the results of Raw

   What pumps goes through [pumping], where exceptions of closures come out.
   Used by every module after this one. *)

open Types

let codes =
  [
    (Nonspecific, -1); (Version, -2); (Fail, -3); (Not_implemented, -4);
    (No_memory, -5); (Invalid, -6); (Bad_fail, -7); (Timed_out, -9);
    (Not_ready, -11); (Osevent_reg_fail, -12); (Buffer_full, -13);
    (Unknown_child, -14); (Lock_fail, -15); (Aborted, -22); (Not_found, -23);
    (Spawn_failed, -128); (Sigchld_conflict, -129);
    (Sigchld_unavailable, -130); (Busy, -131); (Interrupted, -132);
    (System, -133); (Permission, -134); (Limit, -135);
    (Fds_closed, -136); (Closed, -1000);
  ] [@ocamlformat "disable"]

let code_of_number n =
  if n > 0 then Hook n
  else
    match List.find_opt (fun (_, m) -> m = n) codes with
    | Some (code, _) -> code
    | None -> Unknown_code n

let code_number = function
  | Hook n | Unknown_code n -> n
  | code -> List.assoc code codes

let code_text = function
  | Closed -> "the context is closed"
  | Hook n -> Printf.sprintf "a hook of the event loop answered %d" n
  | code -> Raw.strerror (code_number code)

let stage_text = Raw.stage_name
let owner_text = Raw.owner_name

let lost_text reason =
  Raw.lost_text
    (match reason with
    | Stolen -> 1
    | Ignored -> 2
    | Not_passed -> 3
    | Not_ours -> 4
    | Number_reused -> 5
    | Left -> 6
    | Never_ran -> 7)

let error_text e =
  String.concat ""
    [
      code_text e.code;
      (if e.stage = No_stage then "" else ", stage " ^ stage_text e.stage);
      (match e.argument with None -> "" | Some name -> " " ^ name);
      (match e.path with None -> "" | Some path -> " " ^ path);
      (match e.errno with
      | None -> ""
      | Some errno -> ": " ^ Unix.error_message errno);
      (match e.program with
      | Some program when e.path <> Some program ->
          " (program " ^ program ^ ")"
      | _ -> "");
    ]

let () =
  Printexc.register_printer (function
    | Error e -> Some ("Xlchild.Error: " ^ error_text e)
    | _ -> None)

let error_of (f : Raw.failure) =
  {
    code = code_of_number f.rc;
    stage = f.raw_stage;
    errno = f.raw_errno;
    argument = f.raw_argument;
    program = None;
    path = None;
  }

(* What was to be started, and what of it was at fault. *)
let about (c : Raw.command) result =
  Result.map_error
    (fun e ->
      let program = Option.value c.path ~default:c.argv.(0) in
      let path =
        match e.stage with
        | Exec -> Some program
        | Chdir -> c.cwd
        | Cgroup -> c.cgroup
        | _ -> None
      in
      { e with program = Some program; path })
    result

(* A hook that raised is known by its exception. *)
let checked t result =
  match result with
  | Ok _ as ok -> ok
  | Result.Error (f : Raw.failure) ->
      if f.rc > 0 then Raw.raise_kept t;
      Result.Error (error_of f)

let plain result = Result.map_error error_of result
let get = function Ok x -> x | Result.Error e -> raise (Error e)

(* What [call] answered is given to [save] where an exception comes first. *)
let pumping t ~save call =
  Raw.raise_kept t;
  let result = call () in
  if Atomic.get t.Raw.raised <> [] then (
    save result;
    Raw.raise_kept t);
  result

let forget _ = ()

(* What is no number is no duration; infinity is as long as can be. *)
let milliseconds seconds =
  if Float.is_nan seconds then invalid_arg "Xlchild: a duration that is nan"
  else if seconds <= 0. then 0
  else if seconds >= 2_000_000. then 2_000_000_000
  else int_of_float (ceil (seconds *. 1000.))

let timeout_of = function
  | None -> -1
  | Some s when s = infinity -> -1
  | Some s -> milliseconds s
