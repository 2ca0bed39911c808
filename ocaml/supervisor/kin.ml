(* kin.ml - whom a run of a service has started: held, or as the next life finds it

   Called by loop.ml, turns.ml and xlchild_supervisor.ml. This life has a family
   of the library's. The next one has a small file in the state folder, which is
   no part of the state file, so that an older daemon reads that all the same:

       BOOT RUN never|timeout|failure|always CGROUP IDENTITY

   The cgroup, "-" where there is none, is that one only with its identity. *)

type left = {
  policy : Xlchild.Family.policy;
  cgroup : string option;
  clear : unit -> bool;
      (* kills who has the run's mark; whether there was somebody *)
}

type t = Held of Xlchild.Family.policy * Xlchild.Family.t | Left of left

let policies =
  Xlchild.Family.
    [
      (Never, "never");
      (On_timeout, "timeout");
      (On_failure, "failure");
      (Always, "always");
    ]

let policy = function Held (policy, _) -> policy | Left { policy; _ } -> policy

(* ---- the file ---- *)

let file name = name ^ ".family"

(* What cannot be kept is not there for the next life, which kills the group. *)
let save folder ~boot ~name ~run policy family =
  let cgroup, identity =
    match Xlchild.Family.cgroup family with
    | Some path when not (String.contains path ' ') -> (
        match Processes.identity path with
        | identity -> (path, identity)
        | exception Unix.Unix_error _ -> ("-", "-"))
    | _ -> ("-", "-")
  in
  let text =
    String.concat " "
      [ boot; run; List.assoc policy policies; cgroup; identity ]
  in
  try
    let fd =
      Safe.open_file folder (file name) [ Read_write; Create; Truncate ]
    in
    Fun.protect
      ~finally:(fun () -> Unix.close fd)
      (fun () -> ignore (Unix.write_substring fd text 0 (String.length text)))
  with Unix.Unix_error _ -> ()

let read folder name =
  match Safe.open_file folder (file name) [] with
  | exception Unix.Unix_error _ -> ""
  | fd ->
      let input = Unix.in_channel_of_descr fd in
      Fun.protect
        ~finally:(fun () -> close_in_noerr input)
        (fun () ->
          try input_line input with End_of_file | Sys_error _ -> "")

let is_same path identity =
  match Processes.identity path with
  | its -> its = identity
  | exception Unix.Unix_error _ -> false

let load folder ~boot ~name ~run ~clear =
  match String.split_on_char ' ' (read folder name) with
  | [ its_boot; its_run; word; path; identity ]
    when its_boot = boot && its_run = run -> (
      match List.find_opt (fun (_, text) -> text = word) policies with
      | None -> None
      | Some (policy, _) ->
          let cgroup = if is_same path identity then Some path else None in
          Some (Left { policy; cgroup; clear }))
  | _ -> None

let forget folder name = Safe.unlink folder (file name)

(* ---- ending it ---- *)

let stop = function
  | Held (_, family) -> ignore (Xlchild.Family.stop_result family)
  | Left { cgroup; clear; _ } ->
      Option.iter Cgroup.kill cgroup;
      ignore (clear () : bool)

let is_gone = function
  | Held (_, family) -> (
      match Xlchild.Family.look_result family with
      | Ok state -> state.empty || state.hold = None
      | Result.Error _ -> true)
  | Left { cgroup; clear; _ } ->
      (match cgroup with
      | Some path -> Cgroup.members path = []
      | None -> true)
      && not (clear ())

(* Its child has ended so, maybe as it was told to: whether it goes, too. *)
let goes t ~told ~failed =
  match policy t with
  | Never -> false
  | On_timeout -> told
  | On_failure -> told || failed
  | Always -> true

let child_ended t ~told ~failed =
  let goes = goes t ~told ~failed in
  if goes then stop t;
  goes

(* Of what is not to be there when the next one starts. *)
let is_in_the_way t = policy t <> Never && not (is_gone t)

let let_go = function
  | Held (_, family) -> ignore (Xlchild.Family.close_result family)
  | Left { cgroup; _ } ->
      Option.iter
        (fun path -> try Unix.rmdir path with Unix.Unix_error _ -> ())
        cgroup

let state = function
  | Held (_, family) ->
      Result.to_option (Xlchild.Family.look_result family)
  | Left _ -> None
